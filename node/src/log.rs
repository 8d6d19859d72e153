//! Logging: text or JSON.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    Layer, Registry,
    filter::{LevelFilter, ParseError, Targets},
    fmt,
    layer::{Layered, SubscriberExt as _},
    reload::{self, Handle},
};

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
        let what = match targets(&self.filter) {
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

/// Whether a part is neither a level nor a module of this program, nor a module with its level. The
/// filter would take a misspelt level for a module, and suppress all lines.
fn is_neither(part: &str) -> bool {
    if part.contains(['[', ']', '{', '}']) {
        return true;
    }
    let alone = !part.is_empty() && !part.contains(['=', ':']);
    alone && !part.starts_with("tributary") && part.parse::<LevelFilter>().is_err()
}

/// The log of the program, which keeps it until it ends: its drop writes the waiting lines.
#[derive(Debug)]
#[must_use]
pub struct Log {
    lines: &'static Lines,
    filter: Handle<Targets, Registry>,
}

impl Log {
    /// Replaces the filter.
    pub fn filter(&self, config: &Config) {
        // It fails only where another subscriber was there before, which filters by itself.
        drop(self.filter.reload(filter(config)));
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.lines.flush();
    }
}

/// Reads a filter. Only a level or a target stands in it, so that no pattern is matched at run time.
fn targets(filter: &str) -> Result<Targets, ParseError> {
    let parts: Vec<_> = filter.split(',').map(str::trim).collect();
    parts.join(",").parse()
}

/// The filter of the settings, which have been checked.
fn filter(config: &Config) -> Targets {
    targets(&config.filter).unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO))
}

/// Starts logging to standard error. Later calls have no effect.
pub fn start(config: &Config) -> Log {
    let (layer, handle) = reload::Layer::new(filter(config));
    let written = Lines::to_stderr();
    let lines = fmt::layer().with_writer(written);
    match config.format {
        Format::Json => install(layer, lines.json().flatten_event(true)),
        Format::Text => {
            let colour = std::io::stderr().is_terminal();
            install(layer, lines.with_ansi(colour));
        }
    }
    Log {
        lines: written,
        filter: handle,
    }
}

/// The layer of the filter.
type Filter = reload::Layer<Targets, Registry>;

/// Makes this the program's subscriber, unless there is one: an embedder's, or a test's.
fn install<L>(filter: Filter, lines: L)
where
    L: Layer<Layered<Filter, Registry>> + Send + Sync + 'static,
{
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    drop(tracing::subscriber::set_global_default(subscriber));
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
            ("warn, tributary_edge=debug", true),
            ("warn,tributary_edge[client]=debug", false),
            ("warn,tributary_edge=loud", false),
            ("", true),
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
