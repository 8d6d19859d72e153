//! The rule that places groups at origins.

use std::{fmt::Debug, time::Instant};

use crate::GroupName;

use super::table::{OriginId, OriginTable};

/// A rule that decides to which origin a group belongs. Edges with the same rule and the same
/// origins decide alike.
pub trait Placement: Debug {
    /// Adds an origin. `name` is the name by which the edges call it.
    fn added(&mut self, origin: OriginId, name: &str);

    /// Removes an origin.
    fn removed(&mut self, origin: OriginId);

    /// The home of a group; `None` without origins.
    fn home(&self, group: &GroupName) -> Option<OriginId>;

    /// The place of a new session whose group is not displaced.
    fn place(&self, group: &GroupName, origins: &OriginTable, now: Instant) -> SessionPlace;
}

/// The place of a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionPlace {
    /// This origin.
    At(OriginId),
    /// None yet: ask again when an origin's health changes, or at this time.
    Wait(Instant),
    /// No origin can take it.
    Nowhere,
}
