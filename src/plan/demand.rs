//! The audience to plan for, and the machines.

use clap::ValueEnum;
use serde::Serialize;

use super::quantity::{BROADCAST_WAIT, INTERACTIVE_WAIT, Quantity, STANDARD_WAIT, writes};

/// The audience.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args, Serialize)]
#[group(skip)]
pub(super) struct Demand {
    /// Clients that watch a stream, each one stream
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) viewers: u64,
    /// Kilobits in a second of each stream
    #[arg(long, value_name = "KBPS", default_value_t = 1_000)]
    pub(super) bitrate: u64,
    /// Messages in a second of each stream: 30 pictures and 43 pieces of sound make 73
    #[arg(long, value_name = "N", default_value_t = 73)]
    pub(super) messages: u64,
    /// Clients that publish a stream [default: 1, and none without viewers]
    #[arg(long, value_name = "N")]
    pub(super) publishers: Option<u64>,
    /// Clients that neither watch nor publish
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) sessions: u64,
    /// Groups (application instances), over which clients, streams and calls spread evenly
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) groups: u64,
    /// Calls of all clients together in a second
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) calls: u64,
    /// The delivery of the streams
    #[arg(long, value_enum, default_value_t = Delivery::Standard)]
    pub(super) delivery: Delivery,
    /// The language of the groups' application
    #[arg(long, value_enum, default_value_t = Application::Script)]
    pub(super) application: Application,
}

/// The deliveries of docs/configuration.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Delivery {
    Interactive,
    Standard,
    Broadcast,
}

/// The languages of applications; the built-in ones are in Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Application {
    Rust,
    Script,
}

/// The machines, all of one kind.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args, Serialize)]
#[group(skip)]
pub(super) struct Machine {
    /// Cores of a machine
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(super) cores: u64,
    /// GiB of memory of a machine
    #[arg(long, value_name = "GIB", default_value_t = 32)]
    pub(super) memory: u64,
    /// Gbit in a second of a machine's network, in each direction
    #[arg(long, value_name = "GBPS", default_value_t = 10)]
    pub(super) network: u64,
    /// Descriptors of a process (`ulimit -n`)
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(super) descriptors: u64,
    /// Per cent of cores, memory and network that stay free: for peaks, for the loss of a machine, and
    /// for the error of the model
    #[arg(long, value_name = "PERCENT", default_value_t = 30)]
    pub(super) headroom: u64,
}

impl Demand {
    /// Clients that publish.
    pub(super) fn publishers(&self) -> u64 {
        self.publishers
            .unwrap_or_else(|| u64::from(self.viewers > 0))
    }

    /// All clients.
    pub(super) fn clients(&self) -> u64 {
        self.viewers
            .saturating_add(self.publishers())
            .saturating_add(self.sessions)
    }

    /// The share of one of so many clusters.
    pub(super) fn divided(&self, clusters: u64) -> Self {
        Self {
            viewers: self.viewers.div_ceil(clusters),
            publishers: self
                .publishers
                .map(|publishers| publishers.div_ceil(clusters)),
            sessions: self.sessions.div_ceil(clusters),
            groups: self.groups.div_ceil(clusters),
            calls: self.calls.div_ceil(clusters),
            ..self.clone()
        }
    }

    /// Mbit in a second of each stream.
    pub(super) fn mbit(&self) -> f64 {
        self.bitrate as f64 / 1e3
    }

    /// Every reason why there is nothing to plan.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut refuse = |wrong: bool, why: &str| {
            if wrong {
                mistakes.push(why.to_owned());
            }
        };
        refuse(
            self.clients() == 0,
            "no clients: --viewers, --publishers and --sessions are 0; give the number of one of them",
        );
        refuse(
            self.viewers > 0 && self.publishers() == 0,
            "--publishers 0: viewers need a stream; give 1 or more, or --viewers 0",
        );
        let streams = self.publishers() > 0;
        refuse(
            streams && self.bitrate == 0,
            "--bitrate 0: a stream without bits needs no server; give its kilobits in a second, such \
             as 1000",
        );
        refuse(
            streams && self.messages == 0,
            "--messages 0: a stream without messages needs no server; give pictures and pieces of \
             sound in a second, such as 73",
        );
        refuse(
            self.groups == 0,
            "--groups 0: every client is in a group; give 1 or more",
        );
        mistakes
    }
}

impl Delivery {
    /// The writes to a viewer of so many messages in a second, and their quantity.
    pub(super) fn writes(self, messages: f64) -> (Quantity, f64) {
        let (quantity, wait) = match self {
            Self::Interactive => (Quantity::InteractiveWrite, INTERACTIVE_WAIT),
            Self::Standard => (Quantity::StandardWrite, STANDARD_WAIT),
            Self::Broadcast => (Quantity::BroadcastWrite, BROADCAST_WAIT),
        };
        (quantity, writes(messages, wait))
    }
}

impl Machine {
    /// The share of a machine that a plan uses.
    pub(super) fn share(&self) -> f64 {
        1.0 - self.headroom as f64 / 100.0
    }

    /// Every reason why no machine is left.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let parts = [
            ("cores", self.cores),
            ("memory", self.memory),
            ("network", self.network),
            ("descriptors", self.descriptors),
        ];
        let mut mistakes: Vec<_> = parts
            .into_iter()
            .filter(|(_, amount)| *amount == 0)
            .map(|(name, _)| {
                format!("--{name} 0: a machine without it serves no client; give 1 or more")
            })
            .collect();
        if self.headroom > MOST_HEADROOM {
            mistakes.push(format!(
                "--headroom {}: so little of each machine is left that a plan means nothing; give at \
                 most {MOST_HEADROOM}",
                self.headroom
            ));
        }
        mistakes
    }
}

/// Per cent.
const MOST_HEADROOM: u64 = 90;
