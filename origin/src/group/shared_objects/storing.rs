//! Persistent objects: loaded when they are first used, written as they change.

use tributary_node::config;
use tributary_protocol::shared_object::{
    Authority, Limits,
    authority::{Durability, Ticket},
};

use super::{MAX_STORED, acts::ObjectActs};
use crate::{
    app::{ObjectError, ObjectId},
    group::mailbox::Item,
    store::{StorageError, Store},
};

/// The treatment of an object that the store does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Create,
    Refuse,
}

impl ObjectActs<'_> {
    /// Loads a persistent object.
    pub(super) fn load_object(
        &mut self,
        name: &str,
        missing: Missing,
    ) -> Result<ObjectId, ObjectError> {
        let store = self.room.process.settings.store.clone();
        let store = store.ok_or(ObjectError::NoStore)?;
        let id = self.objects.next_id();
        let mailbox = self.room.mailbox.clone();
        let told = move |ticket, stored| {
            // The store reports each write once. A group that has ended needs no report.
            let _ = mailbox.push_final(Item::Stored(id, ticket, stored));
        };
        let loaded = store.load(&self.room.name, name, told);
        let (stored_object, stored) = loaded.map_err(|error| self.store_failed(&error))?;
        if stored.header.is_none() {
            if missing == Missing::Refuse || self.has_stored_too_much(&store)? {
                return Err(ObjectError::Limit);
            }
            self.objects.stored = self.objects.stored.map(|count| count + 1);
        }
        let incarnation = self.room.process.incarnation();
        let durability = match self.room.version.settings().durability {
            config::Durability::Strict => Durability::Strict,
            config::Durability::Lazy => Durability::Lazy,
            _ => Durability::Author,
        };
        let object = Authority::persistent(incarnation, Limits::default(), durability, stored);
        self.room.process.metrics.shared_objects.inc();
        self.objects.insert(id, name, object, Some(stored_object));
        Ok(id)
    }

    /// Handles the store's report: a write, and all before it of this object, are stored or failed.
    pub(in crate::group) fn stored(&mut self, id: ObjectId, ticket: Ticket, stored: bool) {
        if let Some(entry) = self.objects.get_mut(id) {
            entry.object.handle_stored(ticket, stored);
            self.settle_object(id);
        }
    }

    /// Stores all changes that are not stored yet.
    pub(in crate::group) fn commit_all(&mut self) {
        for id in self.objects.ids() {
            if let Some(entry) = self.objects.get_mut(id) {
                entry.object.flush();
                self.settle_object(id);
            }
        }
    }

    /// Whether the application may store no more.
    pub(super) fn is_storage_full(&self) -> bool {
        let most = self.room.version.settings().object_storage.get() as u64;
        let store = self.room.process.settings.store.as_ref();
        store.is_some_and(|store| store.used(self.room.name.application()) >= most)
    }

    /// Whether the disk is too far behind for more changes of clients.
    pub(super) fn is_store_behind(&self) -> bool {
        let store = self.room.process.settings.store.as_ref();
        store.is_some_and(Store::is_full)
    }

    /// The names of the stored objects, living or not.
    pub(super) fn stored_names(&self) -> Result<Vec<String>, ObjectError> {
        match &self.room.process.settings.store {
            None => Ok(Vec::new()),
            Some(store) => store
                .names(&self.room.name)
                .map_err(|error| self.store_failed(&error)),
        }
    }

    fn has_stored_too_much(&mut self, store: &Store) -> Result<bool, ObjectError> {
        let count = match self.objects.stored {
            Some(count) => count,
            None => {
                let names = store.names(&self.room.name);
                names.map_err(|error| self.store_failed(&error))?.len()
            }
        };
        self.objects.stored = Some(count);
        Ok(count >= MAX_STORED || self.is_storage_full())
    }

    fn store_failed(&self, error: &StorageError) -> ObjectError {
        tracing::error!(group = %self.room.name, %error, "the store cannot be read");
        ObjectError::Store
    }
}
