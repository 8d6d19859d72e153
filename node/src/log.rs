//! Logging: text or JSON.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt};

use crate::config::{At, Check, Layers, Mistakes};

mod lines;

use lines::Lines;

/// The table `[log]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The filter: a level, or levels by module (`info,tributary_edge=debug`).
    pub filter: String,
    /// The format of lines.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: Format::Text,
        }
    }
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One line of text; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The flags that change logging.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Flags {
    /// The filter of log lines: a level, or levels by module
    #[arg(long = "log", value_name = "FILTER")]
    pub filter: Option<String>,
}

impl Flags {
    /// Adds the flags as the topmost layer.
    pub fn layer(&self, layers: Layers) -> Layers {
        layers.flag("--log", "log.filter", self.filter.as_ref())
    }
}

impl Check for Config {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        let what = match EnvFilter::try_new(&self.filter) {
            Err(error) => format!("not a filter: {error}"),
            Ok(_) => match self
                .filter
                .split(',')
                .map(str::trim)
                .find(|part| is_neither(part))
            {
                Some(part) => format!("{part:?} is neither a level nor a module with a level"),
                None => return,
            },
        };
        mistakes.add(
            at.key("filter"),
            what,
            "write a level (error, warn, info, debug, trace, off), or levels by module such as \
             info,tributary_edge=debug",
        );
    }
}

/// Whether a single word is neither a level nor a module of this program. The filter would take a
/// misspelt level for a module, and suppress all lines.
fn is_neither(part: &str) -> bool {
    let alone = !part.is_empty() && !part.contains(['=', '[', ':']);
    alone && !part.starts_with("tributary") && part.parse::<LevelFilter>().is_err()
}

/// Writes the waiting lines when it is dropped: the program keeps it until it ends.
#[derive(Debug)]
#[must_use]
pub struct Flush(&'static Lines);

impl Drop for Flush {
    fn drop(&mut self) {
        self.0.flush();
    }
}

/// Starts logging to standard error. Later calls have no effect.
pub fn start(config: &Config) -> Flush {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let written = Lines::to_stderr();
    let lines = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(written);
    let started = match config.format {
        Format::Json => {
            tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish())
        }
        Format::Text => {
            let colour = std::io::stderr().is_terminal();
            tracing::subscriber::set_global_default(lines.with_ansi(colour).finish())
        }
    };
    // Another subscriber is installed: an embedder's, or a test's.
    drop(started);
    Flush(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_a_mistake() {
        let mut mistakes = Mistakes::default();
        Config::default().check(&At::root(), &mut mistakes);
        assert!(mistakes.is_empty());
        for (filter, good) in [
            ("info,=x=y", false),
            ("debgu", false),
            ("warn,verbose", false),
            ("DEBUG", true),
            ("off", true),
            ("info,tributary_edge=debug,quinn=warn", true),
            ("tributary_edge", true),
            ("warn,tributary_edge::client", true),
        ] {
            let mut mistakes = Mistakes::default();
            let config = Config {
                filter: filter.to_owned(),
                ..Config::default()
            };
            config.check(&At::root().key("log"), &mut mistakes);
            assert_eq!(mistakes.is_empty(), good, "{filter}: {mistakes}");
            let told = mistakes.to_string().contains("log.filter");
            assert_eq!(told, !good, "{mistakes}");
        }
    }
}
