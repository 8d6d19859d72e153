//! Remote shared objects, opened, changed and closed.

use tributary_protocol::shared_object::{Limits, Replica, SharedObjectMessage};

use super::{MAX_REMOTE_BYTES, MAX_REMOTE_OBJECTS, OpenObject, RemoteObjects};
use crate::{
    app::{ConnectionId, RemoteObjectId, TooMany},
    group::{connections::Connections, name::MAX_NAME},
    outgoing::OutgoingOrder,
};

/// An application's remote objects at work, over its connections.
pub(in crate::group) struct RemoteObjectActs<'a> {
    pub(in crate::group) connections: &'a mut Connections,
    pub(in crate::group) objects: &'a mut RemoteObjects,
}

impl RemoteObjectActs<'_> {
    pub(in crate::group) fn open(
        &mut self,
        connection: ConnectionId,
        name: &str,
        persistent: bool,
    ) -> Result<RemoteObjectId, TooMany> {
        if let Some(known) = self.objects.find(connection, name) {
            return Ok(known);
        }
        if self.objects.table.len() >= MAX_REMOTE_OBJECTS || name.len() > MAX_NAME {
            return Err(TooMany);
        }
        let limits = Limits {
            bytes: MAX_REMOTE_BYTES,
            ..Limits::default()
        };
        let replica = Replica::new(name, persistent, limits);
        if !self
            .connections
            .order(connection, OutgoingOrder::Object(replica.open()))
        {
            return Err(TooMany);
        }
        self.objects.last += 1;
        let id = RemoteObjectId(self.objects.last);
        let open = OpenObject {
            connection,
            replica,
        };
        self.objects.table.insert(id, open);
        Ok(id)
    }

    pub(super) fn close(&mut self, id: RemoteObjectId) {
        if let Some(open) = self.objects.table.remove(&id) {
            let release = OutgoingOrder::Object(open.replica.close());
            self.connections.order_final(open.connection, release);
        }
    }

    /// Changes an object, here and there; `false` if too much waits, or there is no room for it.
    pub(super) fn change(
        &mut self,
        id: RemoteObjectId,
        change: impl FnOnce(&mut Replica) -> Option<SharedObjectMessage>,
    ) -> bool {
        let Some(open) = self.objects.table.get_mut(&id) else {
            return false;
        };
        if !self.connections.has_room(open.connection) {
            return false;
        }
        let Some(message) = change(&mut open.replica) else {
            return false;
        };
        message.events.is_empty()
            || self
                .connections
                .order(open.connection, OutgoingOrder::Object(message))
    }
}
