//! The parts of sessions that edges keep, so that another process of their origin can go on with them.

use bytes::Bytes;

use super::OpenSession;
use crate::{
    TransactionId,
    shared_object::{Flags, body::Events},
};

/// A part of what an origin has an edge remember of a session. Its bytes are the origin's own; an
/// edge keeps the newest of each part and does not look into them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub part: u32,
    /// At most [`MAX`](Self::MAX); empty bytes end the part.
    pub bytes: Bytes,
}

/// A session that its edge brings to another process of the origin, with all that the edge has of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoredSession {
    /// The session as it was opened.
    pub open: OpenSession,
    pub records: Vec<Record>,
    /// Commands that the process before has received and not answered. They are not repeated.
    pub unanswered: Vec<TransactionId>,
    /// The shared objects that the session uses, by name.
    pub uses: Vec<(String, Flags)>,
}

/// The contents of a shared object, as an edge has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredObject {
    pub name: String,
    /// Whether the object outlives its members.
    pub persistent: bool,
    /// A body with a clear and all slots, as [`Mirror::snapshot`](crate::shared_object::Mirror::snapshot)
    /// makes it.
    pub body: Bytes,
}

impl RestoredObject {
    /// The version of the object; 0 if the body cannot be read.
    pub fn version(&self) -> u32 {
        Events::read(&self.body).map_or(0, |events| events.version)
    }
}

impl Record {
    /// The most bytes of a part. Reason: it fits one frame, beside its head.
    pub const MAX: usize = 8 * 1024;

    /// The most parts of a session: one for each message stream that a client may have, and a few of
    /// the session itself.
    pub const MAX_PARTS: usize = 68;
}
