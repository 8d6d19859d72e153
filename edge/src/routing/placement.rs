//! The decision where a group goes.

use std::{fmt::Debug, time::Instant};

use tributary_protocol::GroupName;

use super::table::{OriginId, Table};

/// A rule that decides which origin a group belongs to. Edges with the same rule and the same
/// origins decide alike.
pub trait Placement: Debug {
    /// An origin came. Its name is what the edges call it.
    fn added(&mut self, origin: OriginId, name: &str);

    /// An origin went.
    fn removed(&mut self, origin: OriginId);

    /// The origin that a group belongs to when all are well; `None` without origins.
    fn home(&self, group: &GroupName) -> Option<OriginId>;

    /// Where a new session of a group goes that no origin has said to live elsewhere.
    fn place(&self, group: &GroupName, origins: &Table, now: Instant) -> Place;
}

/// Where a session of a group goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To this origin.
    At(OriginId),
    /// Nowhere yet: ask again when an origin's health changes, or at this time.
    Wait(Instant),
    /// No origin can take it.
    Nowhere,
}
