//! Shared objects go on with what edges have of them, and members with their use.

use tributary_protocol::{
    link::RestoredObject,
    shared_object::{Authority, Event, Flags, Limits, SharedObjectMessage},
};

use super::{Objects, acts::ObjectActs, brought::BroughtObjects, object_name, rate::Gathered};
use crate::session::SessionKey;

impl Objects {
    /// Takes what edges have of the temporary objects. An object that is made before
    /// [`Self::forget_brought`] begins with it.
    pub(in crate::group) fn bring(&mut self, objects: impl IntoIterator<Item = RestoredObject>) {
        self.brought = BroughtObjects::of(objects).map(Box::new);
    }

    /// The group has gone on: objects that are made from here on are new.
    pub(in crate::group) fn forget_brought(&mut self) {
        self.brought = None;
    }

    /// A temporary object of this name that goes on, if an edge has brought it.
    pub(super) fn brought(
        &mut self,
        name: &str,
        incarnation: u64,
    ) -> Option<Authority<SessionKey>> {
        let mirror = self.brought.as_mut()?.take(name)?;
        Authority::temporary_again(incarnation, Limits::default(), &mirror)
    }
}

impl ObjectActs<'_> {
    /// A client goes on to use an object: it gets all slots.
    pub(in crate::group) fn restore_use(&mut self, key: SessionKey, name: &str, flags: Flags) {
        let uses = SharedObjectMessage {
            name: object_name(name).to_owned(),
            version: 0,
            flags,
            events: vec![Event::Use],
        };
        let messages = vec![uses];
        self.ask_object(key, Gathered { messages, bytes: 0 });
    }
}
