//! Shared objects of other instances and servers, which the application uses over its connections.
//!
//! State is the replica of each object with its connection. A restored group has none: its
//! connections are gone, and the objects end with them.

use std::collections::HashMap;

use tributary_protocol::shared_object::Replica;

use crate::app::{ConnectionId, RemoteObjectId};

pub(super) mod acts;
pub(super) mod api;
mod turn;

/// The shared objects that an application uses elsewhere.
#[derive(Default)]
pub(super) struct RemoteObjects {
    table: HashMap<RemoteObjectId, OpenObject>,
    last: u64,
}

struct OpenObject {
    connection: ConnectionId,
    replica: Replica,
}

/// Shared objects that one application instance may use elsewhere. Reason: each holds up to
/// [`MAX_REMOTE_BYTES`], which another server decides.
pub(super) const MAX_REMOTE_OBJECTS: usize = 64;

/// Bytes of all slots of one of them. Reason: the other server may be anybody's.
pub(super) const MAX_REMOTE_BYTES: usize = 1024 * 1024;

impl RemoteObjects {
    /// No objects, but their numbers go on.
    pub(super) fn reset(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// A connection is over.
    pub(super) fn end(&mut self, connection: ConnectionId) {
        self.table.retain(|_, open| open.connection != connection);
    }

    fn find(&self, connection: ConnectionId, name: &str) -> Option<RemoteObjectId> {
        let mut table = self.table.iter();
        let (&id, _) =
            table.find(|(_, open)| open.connection == connection && open.replica.name() == name)?;
        Some(id)
    }
}
