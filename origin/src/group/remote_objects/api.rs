//! A remote shared object in the hands of the application.

use std::fmt;

use tributary_protocol::{amf::Value, shared_object::Replica};

use super::acts::RemoteObjectActs;
use crate::app::RemoteObjectId;

/// A shared object of the other side of a connection, during one call of the application. Changes
/// show at once; the decisions of the other side come as news.
pub struct RemoteObject<'a> {
    acts: RemoteObjectActs<'a>,
    id: RemoteObjectId,
}

impl<'a> RemoteObject<'a> {
    /// `None` if it is over.
    pub(in crate::group) fn new(acts: RemoteObjectActs<'a>, id: RemoteObjectId) -> Option<Self> {
        acts.objects.table.get(&id)?;
        Some(Self { acts, id })
    }

    /// Sets a slot. `false` if too much waits, or there is no room for it.
    pub fn set(&mut self, slot: &str, value: &Value) -> bool {
        self.acts
            .change(self.id, |replica| replica.set(slot, value))
    }

    /// Removes a slot. `false` if too much waits.
    pub fn remove(&mut self, slot: &str) -> bool {
        self.acts
            .change(self.id, |replica| Some(replica.remove(slot)))
    }

    /// Removes every slot. `false` if too much waits.
    pub fn clear(&mut self) -> bool {
        self.acts.change(self.id, |replica| Some(replica.clear()))
    }

    /// Sends a message to all members, this one too. `false` if too much waits.
    pub fn send(&mut self, handler: &str, arguments: &[Value]) -> bool {
        self.acts
            .change(self.id, |replica| Some(replica.send(handler, arguments)))
    }

    /// Stops using it.
    pub fn close(mut self) {
        self.acts.close(self.id);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.replica().map_or("", Replica::name)
    }

    /// The last version that the other side has sent.
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
        let open = self.acts.objects.table.get(&self.id)?;
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
