//! Shared objects go on with what edges have of them, and members with their use.

use tributary_protocol::{
    link::RestoredObject,
    shared_object::{Authority, Flags, Limits},
};

use super::{Objects, acts::ObjectActs, object_name, rate::Gathered, use_of};
use crate::session::SessionKey;

impl Objects {
    /// Takes what edges have of the temporary objects. An object has it from
    /// [`ObjectActs::show_brought`] on.
    pub(in crate::group) fn bring(&mut self, objects: impl IntoIterator<Item = RestoredObject>) {
        let mut brought = self.brought.take().unwrap_or_default();
        brought.add(objects);
        self.brought = (!brought.is_empty()).then_some(brought);
    }

    /// Whether there are contents that edges have brought, and that objects may still take.
    pub(in crate::group) fn has_brought(&self) -> bool {
        self.brought.is_some()
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
        let mirror = self.brought.as_mut()?.take_for_new(name)?;
        Authority::temporary_again(incarnation, Limits::default(), &mirror)
    }
}

impl ObjectActs<'_> {
    /// The temporary objects that the application has opened so far, and those that are made from here
    /// on, go on with what edges have brought.
    pub(in crate::group) fn show_brought(&mut self) {
        let Some(mut brought) = self.objects.brought.take() else {
            return;
        };
        brought.show();
        for id in self.objects.ids() {
            let Some(entry) = self.objects.get_mut(id) else {
                continue;
            };
            if let Some(mirror) = brought.take(&entry.name) {
                entry.object.go_on_with(&mirror);
                self.settle_object(id);
            }
        }
        self.objects.brought = Some(brought);
    }

    /// A client goes on to use an object: it gets all slots. The object was there before: it is made
    /// again as it was, also for a client that may only read it.
    pub(in crate::group) fn restore_use(&mut self, key: SessionKey, name: &str, flags: Flags) {
        let name = object_name(name);
        let brought = self.objects.brought.as_ref();
        let persistent = brought.and_then(|brought| brought.is_persistent(name));
        let made = persistent
            .filter(|_| self.objects.find(name).is_none())
            .and_then(|persistent| self.create_object(name, persistent).ok());
        let messages = vec![use_of(name, flags)];
        self.ask_object(key, Gathered { messages, bytes: 0 });
        if let Some(made) = made {
            self.settle_object(made);
        }
    }
}
