//! The network between clients, edges and origins: loopback, or an emulated path on the way.

use std::{net::Ipv4Addr, process, str::FromStr};

use clap::{Args, ValueEnum};
use tributary_path::{Direction, FAR, InvalidSettings, Path, Settings};

use crate::{meter, report::Figures};

/// The path of a scenario's clients or links.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PathOptions {
    /// Emulates a network path: `rtt=50ms,rate=100mbit,loss=0.1%,jitter=2ms`. It needs root.
    #[arg(long)]
    path: Option<Emulated>,
    /// The place of the path.
    #[arg(long, value_enum, default_value_t = PathAt::Clients)]
    path_at: PathAt,
}

/// The settings of a path, and the text they were read from.
#[derive(Clone, Debug)]
struct Emulated {
    text: String,
    settings: Settings,
}

/// A place on the way from clients to origins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum PathAt {
    /// Viewers and publishers on one side, all servers on the other.
    #[default]
    Clients,
    /// Clients and edges on one side, origins on the other. A server of one tier stands beside its
    /// clients.
    Link,
}

/// A kind of process by its place on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Client,
    /// An edge, or a server that has one tier.
    Edge,
    Origin,
}

impl PathOptions {
    /// Describes the path for a report's head.
    pub(crate) fn remark(&self) -> String {
        let Some(Emulated { text, .. }) = &self.path else {
            return "loopback".to_owned();
        };
        let between = match self.path_at {
            PathAt::Clients => "clients and servers",
            PathAt::Link => "edge and origin",
        };
        format!("path of {text} between {between}")
    }

    /// Opens the path.
    pub(crate) fn open(&self) -> Ground {
        let path = self.path.as_ref().map(|Emulated { settings, .. }| {
            Path::open(settings).unwrap_or_else(|error| panic!("--path: {error}"))
        });
        Ground {
            path,
            at: self.path_at,
        }
    }
}

impl FromStr for Emulated {
    type Err = InvalidSettings;

    fn from_str(text: &str) -> Result<Self, InvalidSettings> {
        Ok(Self {
            text: text.to_owned(),
            settings: text.parse()?,
        })
    }
}

/// The network of one run.
#[derive(Debug)]
pub(crate) struct Ground {
    path: Option<Path>,
    at: PathAt,
}

impl Ground {
    /// Runs `start` where processes of a tier stand: the processes and sockets it makes belong there.
    pub(crate) fn at<T: Send>(&self, tier: Tier, start: impl FnOnce() -> T + Send) -> T {
        match &self.path {
            None => start(),
            Some(path) if self.is_far(tier) => path.far().run(start),
            Some(path) => path.near().run(start),
        }
    }

    /// The address on which a server of a tier listens for the tier before it.
    pub(crate) fn address(&self, tier: Tier) -> Ipv4Addr {
        let crossed = match self.at {
            PathAt::Clients => Tier::Edge,
            PathAt::Link => Tier::Origin,
        };
        match self.path {
            Some(_) if tier == crossed => FAR,
            _ => Ipv4Addr::LOCALHOST,
        }
    }

    fn is_far(&self, tier: Tier) -> bool {
        match self.at {
            PathAt::Clients => tier != Tier::Client,
            PathAt::Link => tier == Tier::Origin,
        }
    }

    pub(crate) fn is_loopback(&self) -> bool {
        self.path.is_none()
    }

    /// The process that carries the path's packets: this one, which does nothing else in a run.
    pub(crate) fn carrier(&self) -> Option<u32> {
        self.path.as_ref().map(|_| process::id())
    }

    /// Adds the figures of the path since the beginning of the run.
    pub(crate) fn put(&self, figures: &mut Figures) {
        let Some(path) = &self.path else { return };
        let all = [Direction::Up, Direction::Down].map(|direction| path.counts(direction));
        let sum = |count: fn(&tributary_path::Counts) -> u64| -> f64 {
            all.iter().map(|counts| count(counts) as f64).sum()
        };
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("path packets", sum(|counts| counts.carried));
        put("path packets dropped", sum(|counts| counts.dropped()));
        let spent = meter::thread_seconds(process::id(), tributary_path::THREAD);
        put(
            "path CPU us/packet",
            spent * 1e6 / sum(|counts| counts.carried),
        );
    }
}
