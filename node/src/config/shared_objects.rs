//! The settings of shared objects in `[applications.NAME]`.

use serde::{Deserialize, Serialize};

/// The shared objects that clients may create. Objects that the application opens itself are not
/// bound by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SharedObjects {
    /// None.
    None,
    /// Objects that end with their members.
    Temporary,
    /// Persistent objects too.
    All,
}

/// The time at which members receive a change of a persistent shared object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// The author receives it when it is stored, the others at once.
    #[default]
    Author,
    /// All members receive it when it is stored.
    Strict,
    /// All members receive it at once.
    Lazy,
}

/// Whether a group with persistent data may start at another origin while its home is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Displace {
    /// The group waits for its home, which has the data; a group without data may start.
    #[default]
    WithoutData,
    /// The group may start, without the data; changes that it stores there are lost to its home.
    Always,
}
