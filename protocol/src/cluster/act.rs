//! The orders of the machine to its driver.

use bytes::Bytes;

use super::{here::LaneNumber, move_error::MoveError};
use crate::{GroupName, link::MoveFrame};

/// An order of the machine to its driver, in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Sends a frame to another origin over its newest link. Without a link it is lost.
    Tell { origin: String, frame: MoveFrame },
    /// Writes the names of the edges to the disk, in place of those from before.
    KeepEdges(Vec<String>),
    /// Stops a group. These lanes of it take nothing in any more, and [`Ownership::has_stopped`] is called once the
    /// group has finished what it has begun.
    ///
    /// [`Ownership::has_stopped`]: super::Ownership::has_stopped
    Stop {
        group: GroupName,
        lanes: Vec<LaneNumber>,
        /// The origin at which it goes on.
        to: String,
    },
    /// Ends the lanes of a group that has stopped, so that its edges bring the sessions to this origin.
    /// [`Ownership::has_gone`] is called once edges have the ends.
    ///
    /// [`Ownership::has_gone`]: super::Ownership::has_gone
    HandOver { group: GroupName, to: String },
    /// Lets a group go on here: with these lanes, which have brought all that their edges have, and with what its
    /// application has left at another process.
    Release {
        group: GroupName,
        lanes: Vec<LaneNumber>,
        state: Option<Bytes>,
    },
    /// A move that was asked of this origin has ended.
    Finish {
        id: u64,
        outcome: Result<Finished, MoveError>,
    },
    /// Something for the log.
    Note(Note),
}

/// A move that has ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The sessions with which the group went on.
    pub sessions: u64,
    /// The time for which it stood still.
    pub frozen: std::time::Duration,
}

/// An event that an operator may want to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Another origin has moved a group here.
    Arrived {
        group: GroupName,
        from: String,
        sessions: u64,
    },
    /// Sessions of a group that is at another origin are passed on to it.
    PassedOn { group: GroupName, to: String },
    /// An offer of another origin is refused.
    Refused { origin: String, why: String },
    /// A group was offered and has not come.
    NotCome(GroupName),
    /// The state that an application has left has not come whole.
    StateLost(GroupName),
    /// Edges that had a link before the start have not come back in time.
    EdgesLate(Vec<String>),
    /// Edges have not brought all of a group in time.
    GroupLate {
        group: GroupName,
        edges: Vec<String>,
    },
    /// Other origins have not said in time which groups they have.
    OriginsLate,
}
