//! Audiences: the members of one shared object among the sessions of one lane.
//!
//! A group tells a lane who uses an object ([`ToAudience`]); from then on one frame reaches all of
//! them, whatever their number. The edge writes each member's own flags and encoding.

use bytes::Bytes;

use crate::{SessionId, amf::ObjectEncoding, shared_object::Flags};

/// An audience of a lane; its group chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceId(pub u32);

/// Who of an audience gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every member.
    All,
    /// Every member but this one, the author of a change.
    AllBut(SessionId),
    /// This member alone.
    One(SessionId),
}

/// What a group tells an audience; a lane keeps its place among what it tells sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAudience {
    /// Creates the audience, and the edge's mirror of the object. What an audience that exists is
    /// told so is ignored, and so is everything to one that does not.
    Begin {
        /// The object's name.
        name: String,
        /// Whether the object outlives its members.
        persistent: bool,
    },
    /// A session begins to use the object.
    Join {
        /// Which.
        session: SessionId,
        /// The flags of its Use, which go into every message to it.
        flags: Flags,
    },
    /// A member stands aside, or no more: what goes to all passes it by, while what is for it
    /// alone keeps its place. The group sends it then what it has to get.
    Stand {
        /// Which.
        session: SessionId,
        /// Whether it is passed by.
        aside: bool,
    },
    /// A session uses the object no more. One that is closed has left.
    Leave {
        /// Which.
        session: SessionId,
    },
    /// A message of the object.
    Send {
        /// To whom. A message to all, or all but one, also goes into the edge's mirror, whether or
        /// not there are members.
        to: Recipients,
        /// For members of this encoding only, because the values of the other's message differ;
        /// `None` for everybody. Of the two forms the one for AMF3 goes into the mirror.
        encoding: Option<ObjectEncoding>,
        /// A shared-object message in the form of type 19, with values of `encoding` and flags 0.
        body: Bytes,
    },
    /// The object's whole state, to all: a Clear, and a Change for every slot. It gives the mirror
    /// of a new audience what there is, and stands for what a lane could not keep through an
    /// outage.
    Snapshot {
        /// As in [`Self::Send`].
        encoding: Option<ObjectEncoding>,
        /// As in [`Self::Send`].
        body: Bytes,
    },
    /// Ends the audience and the edge's mirror.
    End,
}

impl ToAudience {
    /// The session that comes, goes, or stands otherwise.
    pub(super) fn mover(&self) -> Option<SessionId> {
        match *self {
            Self::Join { session, .. } | Self::Stand { session, .. } | Self::Leave { session } => {
                Some(session)
            }
            _ => None,
        }
    }

    /// Whether other sessions are members after it, or hear.
    pub(super) fn moves(&self) -> bool {
        !matches!(self, Self::Send { .. } | Self::Snapshot { .. })
    }

    /// What it counts against the bounds of a lane, in bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Send { body, .. } | Self::Snapshot { body, .. } => body.len(),
            Self::Begin { name, .. } => name.len(),
            Self::Join { .. } | Self::Stand { .. } | Self::Leave { .. } | Self::End => 0,
        }
    }
}
