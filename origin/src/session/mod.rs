//! Sessions as a group and its lanes know them: their keys, a group's mail, and a group's way back.
//!
//! ```text
//! lane ── Mail ──► group's mailbox
//! lane ◄── LaneCommand ── LaneOut ── group
//! ```

mod lane;
mod mail;
mod record_key;

use tributary_protocol::SessionId;

pub(crate) use lane::{LaneCommand, LaneOut, Lost, Order};
pub(crate) use mail::{Brought, Destination, Mail, Opening};
pub(crate) use record_key::{RecordKey, RecordOwner};

/// A lane of this process: one edge and one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LaneKey(pub(crate) u64);

impl LaneKey {
    /// The key of a group's own application, which has no lane.
    pub(crate) const APPLICATION: Self = Self(u64::MAX);

    /// The key of a connection within the process, which has no edge. Lanes of links count from 0.
    pub(crate) fn within(number: u64) -> Self {
        Self(number | 1 << 62)
    }
}

/// A session of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionKey {
    pub(crate) lane: LaneKey,
    /// Its number in the lane.
    pub(crate) session: SessionId,
}
