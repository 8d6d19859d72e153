//! The edge's settings.

mod certificate;
mod listen;
mod web;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

use serde::{Deserialize, Serialize};
use tributary_node::{
    config::{At, Check, Duration, Layers, Mistakes, Size, address, read_address},
    link::OriginAddress,
};
use tributary_protocol::link::{Rate, hello::MAX_NAME};

pub use tributary_gate::Transport as Protocol;

pub use self::{certificate::CertificateFiles, listen::Listen, web::WebOrigins};
use crate::departure;

/// The table `[edge]` of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address for RTMP clients on TCP; port 0 takes any free port. Unset: the default, unless
    /// there are others in `listen`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_address"
    )]
    pub rtmp: Option<SocketAddr>,
    /// Listeners, beside the one of `rtmp`.
    pub listen: Vec<Listen>,
    /// The sites whose pages may open WebSockets, on all listeners. Empty: all sites.
    pub web_origins: WebOrigins,
    /// The file of the keys for session tickets of TLS, one on each line, in base64. Edges that
    /// share it accept each other's tickets. Unset: one key, drawn at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ticket_keys: Option<PathBuf>,
    /// The origins, each `HOST:PORT` or `NAME@HOST:PORT`.
    pub origins: Vec<String>,
    /// Where this edge stands, as its origins show it; may be empty.
    pub zone: String,
    /// Threads that serve clients; 0 is one for each core.
    pub workers: usize,
    /// Client connections in all.
    pub max_connections: usize,
    /// Connections that have not finished their handshake.
    pub max_half_open: usize,
    /// Half-open connections from one address. The default leaves room for an office or a mobile
    /// network behind one address: with handshakes of 100 ms, 64 at once are 640 a second.
    pub max_half_open_per_address: usize,
    /// Average rate of a session's messages towards its origin, media not counted, in kbit/s.
    pub session_kbit_per_second: u64,
    /// Bytes that a session may send at once after a rest.
    pub session_burst: Size,
    /// Commands and shared-object messages that a session may send towards its origin in a second.
    /// A session that sends ten times as many without a pause is closed.
    pub session_messages_per_second: u32,
    /// A viewer that is further behind than this jumps to the newest key frame.
    pub max_lag: Duration,
    /// The time for which an edge that leaves still accepts clients: balancers notice meanwhile.
    pub drain_linger: Duration,
    /// The time after which all sessions of an edge that leaves have ended; it includes the linger.
    pub drain_deadline: Duration,
    /// The UNIX socket on which a new process asks for this one's sockets. Unset: the edge's name in
    /// /run/tributary, if that directory is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<PathBuf>,
}

/// The edge's flags.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// Where RTMP clients connect; port 0 takes any free port
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub rtmp: Option<SocketAddr>,
    /// An origin; repeat it for more than one
    #[arg(long = "origin", value_name = "[NAME@]HOST:PORT")]
    pub origins: Vec<String>,
}

impl Flags {
    /// Adds the given flags as the top layer.
    pub fn layer(&self, layers: Layers) -> Layers {
        layers.flag("--rtmp", "edge.rtmp", self.rtmp).flags(
            "--origin",
            "edge.origins",
            &self.origins,
        )
    }
}

impl Config {
    /// The registered port of RTMP.
    pub const DEFAULT_PORT: u16 = 1935;
    /// The descriptors of one process, on a system that is set up for them.
    pub const DEFAULT_MAX_CONNECTIONS: usize = 100_000;
    /// Room for honest clients beside 15,000 that never finish.
    pub const DEFAULT_MAX_HALF_OPEN: usize = 16_384;
    /// See [`Config::max_half_open_per_address`].
    pub const DEFAULT_MAX_HALF_OPEN_PER_ADDRESS: usize = 64;
    /// Far above the traffic of people and their programs.
    pub const DEFAULT_SESSION_KBIT_PER_SECOND: u64 = 2000;
    /// Room for a large shared object at the start of a session.
    pub const DEFAULT_SESSION_BURST: Size = Size::from_mib(4);
    /// Far above the acts of people; a tenth of the load that keeps a core busy.
    pub const DEFAULT_SESSION_MESSAGES_PER_SECOND: u32 = 5000;
    const MOST_SESSION_MESSAGES_PER_SECOND: u32 = 1_000_000;
    const MOST_SESSION_KBIT_PER_SECOND: u64 = 10_000_000;
    /// The lag up to which a viewer still watches live.
    pub const DEFAULT_MAX_LAG: Duration = Duration::from_secs(4);
    /// Balancers look every second or two, and need two or three failures.
    pub const DEFAULT_DRAIN_LINGER: Duration = Duration::from_secs(5);
    /// Kubernetes kills a process 30 s after its signal; the end of the last sessions takes up to 3 s.
    pub const DEFAULT_DRAIN_DEADLINE: Duration = Duration::from_secs(25);
    const MOST_DRAIN_DEADLINE: Duration = Duration::from_secs(departure::MOST.as_secs());
    /// The ring holds 12 s: a viewer with more lag would fall off it.
    const MOST_MAX_LAG: Duration = Duration::from_secs(10);
    const MOST_WORKERS: usize = 1024;

    /// The listeners; the one of `rtmp` comes first.
    pub fn listeners(&self) -> Vec<Listen> {
        let default = SocketAddr::from(([0, 0, 0, 0], Self::DEFAULT_PORT));
        let rtmp = self
            .rtmp
            .or_else(|| self.listen.is_empty().then_some(default));
        let rtmp = rtmp.into_iter().map(Listen::rtmp);
        rtmp.chain(self.listen.iter().cloned()).collect()
    }

    /// Checks that the listeners have the certificates that they need.
    pub fn check_certificates(
        &self,
        at: &At,
        tls: &BTreeMap<String, CertificateFiles>,
        mistakes: &mut Mistakes,
    ) {
        for (index, listen) in self.listen.iter().enumerate() {
            let at = at.key("listen").key(index);
            listen.check_certificates(&at, tls, mistakes);
        }
    }

    /// The rate of a session's messages towards its origin.
    pub fn session_rate(&self) -> Rate {
        Rate {
            bytes_per_second: self.session_kbit_per_second * 1000 / 8,
            burst: self.session_burst.get() as u64,
        }
    }

    /// Threads to start.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rtmp: None,
            listen: Vec::new(),
            web_origins: WebOrigins::default(),
            ticket_keys: None,
            origins: Vec::new(),
            zone: String::new(),
            workers: 0,
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
            max_half_open: Self::DEFAULT_MAX_HALF_OPEN,
            max_half_open_per_address: Self::DEFAULT_MAX_HALF_OPEN_PER_ADDRESS,
            session_kbit_per_second: Self::DEFAULT_SESSION_KBIT_PER_SECOND,
            session_burst: Self::DEFAULT_SESSION_BURST,
            session_messages_per_second: Self::DEFAULT_SESSION_MESSAGES_PER_SECOND,
            max_lag: Self::DEFAULT_MAX_LAG,
            drain_linger: Self::DEFAULT_DRAIN_LINGER,
            drain_deadline: Self::DEFAULT_DRAIN_DEADLINE,
            handover: None,
        }
    }
}

impl Check for Config {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        let limits = [
            ("max_connections", self.max_connections),
            ("max_half_open", self.max_half_open),
            ("max_half_open_per_address", self.max_half_open_per_address),
        ];
        for (key, _) in limits.into_iter().filter(|(_, limit)| *limit == 0) {
            mistakes.add(
                at.key(key),
                "0 admits no client",
                "write 1 or more, or leave it out",
            );
        }
        let mut addresses = BTreeSet::new();
        addresses.extend(self.rtmp);
        for (index, listen) in self.listen.iter().enumerate() {
            let at = at.key("listen").key(index);
            listen.check(&at, mistakes);
            if listen.address.port() != 0 && !addresses.insert(listen.address) {
                let remedy = "write one listener with all its protocols";
                mistakes.add(
                    at.key("address"),
                    "another listener has this address",
                    remedy,
                );
            }
        }
        self.web_origins.check(&at.key("web_origins"), mistakes);
        let mut known = BTreeSet::new();
        for (index, origin) in self.origins.iter().enumerate() {
            let at = at.key("origins").key(index);
            match origin.parse::<OriginAddress>() {
                Ok(origin) if known.insert(origin.known_as().to_owned()) => {}
                Ok(origin) => {
                    let what = format!("{} is named twice", origin.known_as());
                    mistakes.add(at, what, "leave one out");
                }
                Err(error) => {
                    let remedy = "write HOST:PORT or NAME@HOST:PORT";
                    mistakes.add(at, error.to_string(), remedy);
                }
            }
        }
        if self.zone.len() > MAX_NAME {
            let what = format!("longer than {MAX_NAME} bytes");
            mistakes.add(at.key("zone"), what, "write a short name, or leave it out");
        }
        if self.workers > Self::MOST_WORKERS {
            let remedy = "write 0 for one on each core";
            mistakes.add(at.key("workers"), "more than 1024 threads", remedy);
        }
        if !(1..=Self::MOST_SESSION_KBIT_PER_SECOND).contains(&self.session_kbit_per_second) {
            let what = "not from 1 to 10000000";
            let remedy = "write kbit/s, such as 2000";
            mistakes.add(at.key("session_kbit_per_second"), what, remedy);
        }
        let messages = 1..=Self::MOST_SESSION_MESSAGES_PER_SECOND;
        if !messages.contains(&self.session_messages_per_second) {
            let (what, remedy) = ("not from 1 to 1000000", "write a number such as 5000");
            mistakes.add(at.key("session_messages_per_second"), what, remedy);
        }
        if self.drain_deadline > Self::MOST_DRAIN_DEADLINE {
            let what = format!("longer than {}", Self::MOST_DRAIN_DEADLINE);
            mistakes.add(at.key("drain_deadline"), what, "write a time such as 25 s");
        }
        if self.drain_linger > self.drain_deadline {
            let what = "the edge would still accept clients after its deadline";
            let remedy = "write a time below edge.drain_deadline";
            mistakes.add(at.key("drain_linger"), what, remedy);
        }
        if self.max_lag > Self::MOST_MAX_LAG || self.max_lag == Duration::default() {
            let what = format!("not above 0 and up to {}", Self::MOST_MAX_LAG);
            mistakes.add(at.key("max_lag"), what, "write a time such as 4 s");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        edge: Config,
    }

    impl Check for Whole {
        fn check(&self, at: &At, mistakes: &mut Mistakes) {
            self.edge.check(&at.key("edge"), mistakes);
        }
    }

    #[test]
    fn flags_win_over_variables() {
        let variables = [
            ("TRIBUTARY_EDGE_RTMP", "127.0.0.1:1"),
            ("TRIBUTARY_EDGE_MAX_LAG", "2 s"),
            ("TRIBUTARY_EDGE_SESSION_KBIT_PER_SECOND", "8000"),
            ("TRIBUTARY_EDGE_SESSION_BURST", "1 MiB"),
            ("TRIBUTARY_EDGE_ORIGINS", "a:1,b:2"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let flags = Flags {
            rtmp: Some("127.0.0.1:0".parse().unwrap()),
            origins: Vec::new(),
        };
        let layers = flags.layer(Layers::new().environment(variables));
        let edge = layers.read::<Whole>().unwrap().edge;
        let expected = Config {
            rtmp: Some("127.0.0.1:0".parse().unwrap()),
            origins: vec!["a:1".to_owned(), "b:2".to_owned()],
            max_lag: Duration::from_secs(2),
            session_kbit_per_second: 8000,
            session_burst: Size::from_mib(1),
            ..Config::default()
        };
        assert_eq!(edge, expected);
        let rate = Rate {
            bytes_per_second: 1_000_000,
            burst: 1 << 20,
        };
        assert_eq!(edge.session_rate(), rate);
        assert_eq!(Config::default().session_rate(), Rate::default());
    }

    #[test]
    fn every_mistake_is_named() {
        let variables = [
            ("TRIBUTARY_EDGE_MAX_CONNECTIONS", "0"),
            ("TRIBUTARY_EDGE_MAX_HALF_OPEN", "0"),
            ("TRIBUTARY_EDGE_MAX_HALF_OPEN_PER_ADDRESS", "0"),
            ("TRIBUTARY_EDGE_SESSION_KBIT_PER_SECOND", "0"),
            ("TRIBUTARY_EDGE_SESSION_MESSAGES_PER_SECOND", "0"),
            ("TRIBUTARY_EDGE_MAX_LAG", "0 s"),
            ("TRIBUTARY_EDGE_COALESCE", "5 ms"),
            ("TRIBUTARY_EDGE_WORKERS", "5000"),
            ("TRIBUTARY_EDGE_ORIGINS", "a:1,b"),
            ("TRIBUTARY_EDGE_WEB_ORIGINS", "https://a,b"),
            ("TRIBUTARY_EDGE_NONSENSE", "1"),
            ("TRIBUTARY_EDGE_ZONE", &"z".repeat(256)),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mistakes = Layers::new()
            .environment(variables)
            .read::<Whole>()
            .unwrap_err();
        let text = mistakes.to_string();
        for key in [
            "edge.max_connections",
            "edge.max_half_open",
            "edge.max_half_open_per_address",
            "edge.session_kbit_per_second",
            "edge.session_messages_per_second",
            "edge.max_lag",
            "edge.coalesce",
            "edge.workers",
            "edge.origins.1",
            "edge.web_origins.1",
            "edge.nonsense",
            "edge.zone",
        ] {
            assert!(text.contains(key), "{key} in\n{text}");
        }
        assert_eq!(mistakes.iter().count(), 12, "{text}");
        assert!(text.contains("applications.NAME.delivery_cap"), "{text}");
        assert!(Layers::new().read::<Whole>().is_ok());
    }
}
