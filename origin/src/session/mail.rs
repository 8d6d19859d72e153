//! A group's mail.

use bytes::Bytes;
use tributary_protocol::link::{
    AudienceId, FromSession, OpenSession, RestoredObject, RestoredSession, lane_frame::Reached,
};

use super::{LaneKey, LaneOut, SessionKey};

/// A piece of a group's mail. The mail of one lane arrives in sequence.
#[derive(Debug)]
pub(crate) enum Mail {
    /// An event of a session. The group answers an opening with an accept and its `_result`, or
    /// with its `_error` and a close. It gives a message's credit back with [`LaneOut::consumed`]
    /// once it has handled the message.
    Session {
        session: SessionKey,
        event: FromSession<Opening>,
    },
    /// The lane's link was lost or is back. The timers of the lane's publishers stand still
    /// between.
    Outage {
        lane: LaneKey,
        /// Whether the link is lost.
        lost: bool,
    },
    /// Nothing has come from the lane's edge for a while, with a link or without one, or something has again.
    Silence { lane: LaneKey, silent: bool },
    /// The lane dropped messages to an audience and has room again. The group answers with a
    /// [`ToAudience::Snapshot`](tributary_protocol::link::ToAudience::Snapshot); the lane drops every
    /// message to the audience before it.
    SnapshotWanted { audience: AudienceId },
    /// A part of what the edge of a lane brings from the process before.
    Restore { lane: LaneKey, brought: Brought },
    /// All edges have brought what they have of the group.
    Gathered,
}

/// A part of what an edge brings of a group from another process of this origin.
#[derive(Debug)]
pub(crate) enum Brought {
    /// A session that was accepted there.
    Session {
        session: SessionKey,
        lane: LaneOut,
        restored: Box<RestoredSession>,
    },
    /// The end of what viewers have of a live stream of that process.
    Reached(Reached),
    /// The contents of a shared object.
    Contents(RestoredObject),
    /// The group was handed over, with what its application has left for this instance.
    State(Bytes),
    /// The edge has brought all.
    End,
}

impl Brought {
    /// The bytes that it keeps in memory, about.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Session { restored, .. } => {
                let records = restored.records.iter().map(|record| record.bytes.len());
                let uses = restored.uses.iter().map(|(name, _)| name.len());
                restored.open.connect.len() + records.chain(uses).sum::<usize>()
            }
            Self::Contents(object) => object.body.len(),
            Self::State(state) => state.len(),
            Self::Reached(_) | Self::End => 0,
        }
    }
}

/// The opening of a session.
#[derive(Debug)]
pub(crate) struct Opening {
    /// The group's way to the session's lane.
    pub(crate) lane: LaneOut,
    /// The client and its connect command.
    pub(crate) open: OpenSession,
    /// Whether the edge passes messages of other sessions on for it.
    pub(crate) repeats: bool,
}

/// A group as its lanes reach it. The group lives at least as long as this.
pub(crate) trait Destination: Send {
    /// Puts mail into the group's mailbox. A session whose mail does not fit is closed.
    fn send(&self, mail: Mail);
}
