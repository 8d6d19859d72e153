//! Settings in layers: file < environment < flags, and every mistake in them at once.
//!
//! A settings struct derives `Serialize` and `Deserialize` with `default` and `deny_unknown_fields`
//! (and does not flatten), and implements [`Check`] for rules that its types cannot express.
//! [`Layers::read`] returns it, or all [`Mistakes`], each with its line, variable or flag.

mod address;
mod changes;
mod de;
mod mistake;
mod tree;
mod units;

use std::{fs, path::Path};

use serde::de::DeserializeOwned;

pub use address::{AddressError, address, read_address};
pub use changes::changes;
pub use mistake::{At, Mistake, Mistakes};
pub use units::{Duration, Secret, Size, UnitError};

use tree::{Node, Place, Value};

/// Settings with rules beyond their types.
pub trait Check {
    /// Adds every mistake; `at` is the path of these settings in the configuration.
    fn check(&self, at: &At, mistakes: &mut Mistakes);
}

/// The layers of a configuration. A later layer wins, key by key.
#[derive(Debug)]
pub struct Layers {
    root: Node,
    mistakes: Mistakes,
}

impl Layers {
    /// Defaults alone.
    pub fn new() -> Self {
        Self {
            root: Node::root(),
            mistakes: Mistakes::default(),
        }
    }

    /// Adds a TOML file.
    pub fn file(mut self, file: &Path) -> Self {
        match fs::read_to_string(file) {
            Ok(text) => self.text(&file.display().to_string(), &text),
            Err(e) => self.mistakes.push(Mistake {
                at: At::root(),
                place: Some(file.display().to_string()),
                what: format!("cannot be read: {e}"),
                remedy: "name a TOML file that this user may read".to_owned(),
            }),
        }
        self
    }

    /// Adds the variables that begin with `TRIBUTARY_`. The word behind it is the section, the rest
    /// the key, and two underscores lead one table down: `TRIBUTARY_LOG_FILTER` is `log.filter`,
    /// `TRIBUTARY_APPLICATIONS_LIVE__STALL_TIME` is `applications.live.stall_time`. A value is
    /// text, TOML, or a list separated by commas, as the setting requires.
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let lower = rest.to_ascii_lowercase();
            let (section, keys) = lower.split_once('_').unwrap_or((&lower, ""));
            let path: Vec<&str> = std::iter::once(section)
                .chain(keys.split("__"))
                .filter(|k| !k.is_empty())
                .collect();
            self.put(Place::Variable(name.clone()), &path, Value::Raw(value));
        }
        self
    }

    /// Adds a flag's value as text, for the setting at a dotted path; `None` is a flag that was not
    /// given.
    pub fn flag(mut self, flag: &'static str, path: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            let path: Vec<&str> = path.split('.').collect();
            self.put(Place::Flag(flag), &path, Value::Raw(value.to_string()));
        }
        self
    }

    /// Adds a repeated flag's values as a list; an empty list leaves the setting as it is.
    pub fn flags<V: ToString>(mut self, flag: &'static str, path: &str, values: &[V]) -> Self {
        if !values.is_empty() {
            let node = |value: &V| Node::new(Place::Flag(flag), Value::Raw(value.to_string()));
            let list = Value::List(values.iter().map(node).collect());
            let path: Vec<&str> = path.split('.').collect();
            self.put(Place::Flag(flag), &path, list);
        }
        self
    }

    /// The settings in force, or every mistake in them.
    pub fn read<T: DeserializeOwned + Check>(self) -> Result<T, Mistakes> {
        let Self { root, mut mistakes } = self;
        let mut rest = root.clone();
        let value = loop {
            match T::deserialize(&rest) {
                Ok(value) => break Some(value),
                Err(e) => {
                    // One mistake hides the next: without its setting the others show.
                    let again = rest.remove(&e.path);
                    mistakes.push(e.into_mistake());
                    if !again {
                        break None;
                    }
                }
            }
        };
        if let Some(value) = &value {
            value.check(&At::root(), &mut mistakes);
        }
        mistakes.locate(|keys| root.place(keys));
        match value {
            Some(value) if mistakes.is_empty() => Ok(value),
            _ => Err(mistakes),
        }
    }

    fn text(&mut self, file: &str, text: &str) {
        let (parsed, mistakes) = tree::parse(file, text);
        for mistake in mistakes {
            self.mistakes.push(mistake);
        }
        self.root.overlay(parsed);
    }

    fn put(&mut self, place: Place, path: &[&str], value: Value) {
        let mut node = Node::new(place.clone(), value);
        for key in path.iter().rev() {
            let table = Value::Table([((*key).to_owned(), node)].into());
            node = Node::new(place.clone(), table);
        }
        self.root.overlay(node);
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self::new()
    }
}

/// The prefix of environment variables.
const PREFIX: &str = "TRIBUTARY_";

#[cfg(test)]
mod tests;
