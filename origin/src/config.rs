//! The origin's settings.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tributary_node::config::{At, Check, Layers, Mistakes, Size, read_address};
use tributary_protocol::link::credit;

/// The table `[origin]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where edges dial, UDP; port 0 takes any free port.
    #[serde(deserialize_with = "read_address")]
    pub link: SocketAddr,
    /// Where applications are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<PathBuf>,
    /// Where the origin keeps data that must survive it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Threads that run groups; 0 is one for each core.
    pub workers: usize,
    /// Groups at a time.
    pub max_groups: usize,
    /// The longest message of a client.
    pub max_message: Size,
    /// The memory for long messages under way, in all.
    pub message_budget: Size,
    /// `fmsVer` in the answer to connect; clients take it for the server's version.
    pub fms_version: String,
}

/// The origin's flags.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// Where applications are
    #[arg(long, value_name = "DIR")]
    pub apps: Option<PathBuf>,
    /// Where the origin keeps data that must survive it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl Flags {
    /// Puts the flags that were given over the layers below.
    pub fn layer(&self, layers: Layers) -> Layers {
        let text = |path: &PathBuf| path.display().to_string();
        layers
            .flag("--apps", "origin.apps", self.apps.as_ref().map(text))
            .flag("--data", "origin.data", self.data.as_ref().map(text))
    }
}

impl Config {
    /// Where edges dial by default.
    pub(crate) const DEFAULT_PORT: u16 = 4935;
    /// A group costs some kilobytes and a lane of each edge that has sessions of it.
    pub(crate) const DEFAULT_MAX_GROUPS: usize = 50_000;
    /// A version that Flash clients accept as that of a current server.
    pub(crate) const DEFAULT_FMS_VERSION: &str = "FMS/3,5,7,7009";
    const MOST_WORKERS: usize = 1024;
    /// The longest payload an RTMP message header can state.
    const MOST_MESSAGE: usize = 0xff_ffff;

    /// Threads to start.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            link: SocketAddr::from(([0, 0, 0, 0], Self::DEFAULT_PORT)),
            apps: None,
            data: None,
            workers: 0,
            max_groups: Self::DEFAULT_MAX_GROUPS,
            max_message: Size(Self::MOST_MESSAGE),
            message_budget: Size(credit::PROCESS_BUDGET as usize),
            fms_version: Self::DEFAULT_FMS_VERSION.to_owned(),
        }
    }
}

impl Check for Config {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.workers > Self::MOST_WORKERS {
            let remedy = "write 0 for one on each core";
            mistakes.add(at.key("workers"), "more than 1024 threads", remedy);
        }
        if self.max_groups == 0 {
            mistakes.add(at.key("max_groups"), "0 runs no group", "write 1 or more");
        }
        let message = self.max_message.get();
        if !(1024..=Self::MOST_MESSAGE).contains(&message) {
            let remedy = "write 1 KiB to 16777215";
            mistakes.add(
                at.key("max_message"),
                "RTMP cannot carry or work with it",
                remedy,
            );
        }
        if self.message_budget.get() < message {
            let remedy = "write at least max_message";
            mistakes.add(at.key("message_budget"), "one message does not fit", remedy);
        }
        for (key, dir) in [("apps", &self.apps), ("data", &self.data)] {
            if let Some(dir) = dir.as_deref().filter(|dir| dir.is_file()) {
                let what = format!("{} is a file", dir.display());
                mistakes.add(at.key(key), what, "name a directory");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        origin: Config,
    }

    impl Check for Whole {
        fn check(&self, at: &At, mistakes: &mut Mistakes) {
            self.origin.check(&at.key("origin"), mistakes);
        }
    }

    fn variables(pairs: &[(&str, &str)]) -> Layers {
        let pairs = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Layers::new().environment(pairs)
    }

    #[test]
    fn flags_win_over_variables() {
        let layers = variables(&[
            ("TRIBUTARY_ORIGIN_LINK", "127.0.0.1:0"),
            ("TRIBUTARY_ORIGIN_APPS", "/one"),
            ("TRIBUTARY_ORIGIN_DATA", "/data"),
            ("TRIBUTARY_ORIGIN_WORKERS", "3"),
            ("TRIBUTARY_ORIGIN_MAX_MESSAGE", "1 MiB"),
            ("TRIBUTARY_ORIGIN_FMS_VERSION", "FMS/4,5,0,297"),
        ]);
        let flags = Flags {
            apps: Some("/two".into()),
            data: None,
        };
        let origin = flags.layer(layers).read::<Whole>().unwrap().origin;
        let expected = Config {
            link: "127.0.0.1:0".parse().unwrap(),
            apps: Some("/two".into()),
            data: Some("/data".into()),
            workers: 3,
            max_message: Size::from_mib(1),
            fms_version: "FMS/4,5,0,297".to_owned(),
            ..Config::default()
        };
        assert_eq!(origin, expected);
        assert_eq!(origin.worker_count(), 3);
        assert!(Config::default().worker_count() >= 1);
    }

    #[test]
    fn every_mistake_is_named() {
        let file = std::env::current_exe().unwrap().display().to_string();
        let mistakes = variables(&[
            ("TRIBUTARY_ORIGIN_WORKERS", "5000"),
            ("TRIBUTARY_ORIGIN_MAX_GROUPS", "0"),
            ("TRIBUTARY_ORIGIN_MAX_MESSAGE", "16 MiB"),
            ("TRIBUTARY_ORIGIN_MESSAGE_BUDGET", "1 MiB"),
            ("TRIBUTARY_ORIGIN_APPS", &file),
            ("TRIBUTARY_ORIGIN_DATA", &file),
            ("TRIBUTARY_ORIGIN_NONSENSE", "1"),
        ]);
        let text = mistakes.read::<Whole>().unwrap_err().to_string();
        for key in [
            "workers",
            "max_groups",
            "max_message",
            "message_budget",
            "apps",
            "data",
            "nonsense",
        ] {
            assert!(text.contains(&format!("origin.{key}")), "{key} in\n{text}");
        }
        assert_eq!(text.lines().count(), 7, "{text}");
        assert!(Layers::new().read::<Whole>().is_ok());
    }
}
