//! Shared objects of other instances and servers, which the application uses over its connections.

use std::{collections::HashMap, fmt};

use tributary_protocol::{
    amf::Value,
    shared_object::{Limits, Replica, SharedObjectMessage, replica::News},
};

use super::{core::Core, name::MAX_NAME, turn::Turn};
use crate::{
    app::{ConnectionId, Level, RemoteObjectId, TooMany},
    outgoing::Order,
};

/// The shared objects that an application uses elsewhere.
#[derive(Default)]
pub(super) struct RemoteObjects {
    table: HashMap<RemoteObjectId, Open>,
    last: u64,
}

struct Open {
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

impl Core {
    pub(super) fn open_remote_object(
        &mut self,
        connection: ConnectionId,
        name: &str,
        persistent: bool,
    ) -> Result<RemoteObjectId, TooMany> {
        if let Some(known) = self.remote_objects.find(connection, name) {
            return Ok(known);
        }
        if self.remote_objects.table.len() >= MAX_REMOTE_OBJECTS || name.len() > MAX_NAME {
            return Err(TooMany);
        }
        let limits = Limits {
            bytes: MAX_REMOTE_BYTES,
            ..Limits::default()
        };
        let replica = Replica::new(name, persistent, limits);
        if !self
            .connections
            .order(connection, Order::Object(replica.open()))
        {
            return Err(TooMany);
        }
        self.remote_objects.last += 1;
        let id = RemoteObjectId(self.remote_objects.last);
        let open = Open {
            connection,
            replica,
        };
        self.remote_objects.table.insert(id, open);
        Ok(id)
    }

    fn close_remote_object(&mut self, id: RemoteObjectId) {
        if let Some(open) = self.remote_objects.table.remove(&id) {
            let release = Order::Object(open.replica.close());
            self.connections.order_final(open.connection, release);
        }
    }

    /// Changes an object, here and there; `false` if too much waits, or there is no room for it.
    fn change_remote_object(
        &mut self,
        id: RemoteObjectId,
        change: impl FnOnce(&mut Replica) -> Option<SharedObjectMessage>,
    ) -> bool {
        let Some(open) = self.remote_objects.table.get_mut(&id) else {
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
                .order(open.connection, Order::Object(message))
    }
}

impl Turn<'_> {
    /// The other side says something of an object.
    pub(super) fn remote_object(&mut self, connection: ConnectionId, message: SharedObjectMessage) {
        let objects = &mut self.core.remote_objects;
        let Some(id) = objects.find(connection, &message.name) else {
            return;
        };
        let Some(open) = objects.table.get_mut(&id) else {
            return;
        };
        let news = open.replica.handle(message);
        if news.contains(&News::TooLarge) {
            let name = open.replica.name();
            let text = format!("the remote shared object {name:?} is too large and was let go");
            tracing::warn!(group = %self.core.name, "{text}");
            self.core.log(Level::Warning, &text);
            self.core.close_remote_object(id);
        }
        if !news.is_empty() {
            self.ask(|app, context| app.remote_object_news(context, id, &news));
        }
    }
}

/// A shared object of the other side of a connection, during one call of the application. Changes
/// show at once; what the other side makes of them comes as news.
pub struct RemoteObject<'a> {
    core: &'a mut Core,
    id: RemoteObjectId,
}

impl<'a> RemoteObject<'a> {
    /// `None` if it is over.
    pub(super) fn new(core: &'a mut Core, id: RemoteObjectId) -> Option<Self> {
        core.remote_objects.table.get(&id)?;
        Some(Self { core, id })
    }

    /// Sets a slot. `false` if too much waits, or there is no room for it.
    pub fn set(&mut self, slot: &str, value: &Value) -> bool {
        self.core
            .change_remote_object(self.id, |replica| replica.set(slot, value))
    }

    /// Removes a slot. `false` if too much waits.
    pub fn remove(&mut self, slot: &str) -> bool {
        self.core
            .change_remote_object(self.id, |replica| Some(replica.remove(slot)))
    }

    /// Removes every slot. `false` if too much waits.
    pub fn clear(&mut self) -> bool {
        self.core
            .change_remote_object(self.id, |replica| Some(replica.clear()))
    }

    /// Sends a message to all members, this one too. `false` if too much waits.
    pub fn send(&mut self, handler: &str, arguments: &[Value]) -> bool {
        self.core
            .change_remote_object(self.id, |replica| Some(replica.send(handler, arguments)))
    }

    /// Stops using it.
    pub fn close(self) {
        self.core.close_remote_object(self.id);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.replica().map_or("", Replica::name)
    }

    /// Its version, as far as it is known.
    pub fn version(&self) -> u32 {
        self.replica().map_or(0, Replica::version)
    }

    /// Whether the other side has let the application in.
    pub fn is_in_use(&self) -> bool {
        self.replica().is_some_and(Replica::is_in_use)
    }

    /// A slot's value.
    pub fn get(&self, slot: &str) -> Option<Value> {
        self.replica()?.get(slot)
    }

    /// The slots that have a value.
    pub fn slot_names(&self) -> impl Iterator<Item = &str> {
        self.replica().into_iter().flat_map(Replica::names)
    }

    fn replica(&self) -> Option<&Replica> {
        let open = self.core.remote_objects.table.get(&self.id)?;
        Some(&open.replica)
    }
}

impl fmt::Debug for RemoteObject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteObject")
            .field("id", &self.id)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
