//! Settings of shared objects: those of `[applications.NAME]` that are a choice.

use serde::{Deserialize, Serialize};

/// Which shared objects clients may create. What the application opens itself is its own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SharedObjects {
    /// None.
    None,
    /// Those that end with their members.
    Temporary,
    /// Those too that are stored.
    All,
}

/// When members hear of a change of a persistent shared object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// The author when it is stored, the others at once.
    #[default]
    Author,
    /// Everybody when it is stored.
    Strict,
    /// Everybody at once.
    Lazy,
}

/// Whether a group with persistent data may start at another origin while its home is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Displace {
    /// It waits for its home, which has the data; one without data may.
    #[default]
    WithoutData,
    /// It may; it begins there without the data, and what it stores there is lost to its home.
    Always,
}
