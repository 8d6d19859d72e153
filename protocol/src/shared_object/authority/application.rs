//! The methods for the application.

use super::{
    Authority, Contents, Debug, Durability, Durable, Encoded, Hash, Refused, batch::ChangeBatch,
};
use crate::shared_object::Mirror;

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// Gives a slot a value, regardless of members' requests.
    pub fn set(&mut self, name: &str, value: Encoded) -> Result<(), Refused> {
        self.contents.fits(name, &value)?;
        self.act(|contents, batch| {
            batch.set(contents, name, value);
        });
        Ok(())
    }

    /// Removes a slot; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        if self.contents.slot(name).is_none() {
            return false;
        }
        self.act(|contents, batch| batch.remove(contents, name));
        true
    }

    /// Removes all slots.
    pub fn clear(&mut self) {
        self.act(|contents, batch| batch.clear(contents));
    }

    /// Sends a message to all members: a handler's name and its arguments. Within a lock it keeps
    /// its order among the changes.
    pub fn send(&mut self, values: Encoded) -> Result<(), Refused> {
        self.contents.fits_message(&values)?;
        self.act(|_, batch| batch.message(values));
        Ok(())
    }

    /// Locks the object: the application's changes from now on leave as one message, and members'
    /// messages wait. Returns the count of locks.
    pub fn lock(&mut self) -> u32 {
        self.lock.lock()
    }

    /// Takes one lock back. Returns the count of locks left; the last one releases the changes and
    /// the members' messages.
    pub fn unlock(&mut self) -> u32 {
        let depth = self.lock.unlock();
        if depth == 0 {
            if let Some(batch) = self.lock.take_changes() {
                self.deliver(batch);
            }
            self.catch_up();
        }
        depth
    }

    /// Takes all locks back. Returns their count.
    pub fn unlock_all(&mut self) -> u32 {
        let depth = self.lock.unlock_to_one();
        self.unlock();
        depth
    }

    /// The count of locks.
    pub fn lock_depth(&self) -> u32 {
        self.lock.depth()
    }

    /// Drops the tombstones of slots removed before this version: a member with an older version
    /// gets a clear and all slots.
    pub fn purge(&mut self, version: u32) {
        self.contents.purge(version);
    }

    /// Sets [`Contents::resync_depth`]; `u32::MAX`, the default, is no limit.
    pub fn set_resync_depth(&mut self, depth: u32) {
        self.contents.set_resync_depth(depth);
    }

    /// Whether each change is stored at once; `false` for a temporary object.
    pub fn auto_commit(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::auto_commit)
    }

    /// Turns it on or off. While it is off, only [`Self::flush`] and the last release store the
    /// object, and members' successes do not wait.
    pub fn set_auto_commit(&mut self, on: bool) {
        if let Some(durable) = &mut self.durable {
            durable.set_auto_commit(on);
        }
    }

    /// Releases the application's hold on the object: an object without members is stored.
    pub fn let_go(&mut self) {
        if self.members.member_count() == 0 {
            self.flush();
        }
    }

    /// Starts the store of the whole object; `false` for a temporary object.
    pub fn flush(&mut self) -> bool {
        if let Some(durable) = &mut self.durable {
            durable.commit();
        }
        self.is_persistent()
    }

    /// Whether the object has changes that are not stored.
    pub fn is_dirty(&self) -> bool {
        let durable = self.durable.as_ref();
        durable.is_some_and(|durable| durable.is_dirty(self.progress()))
    }

    /// The time at which members receive changes that have to be stored.
    pub fn durability(&self) -> Option<Durability> {
        self.durable.as_ref().map(Durable::durability)
    }

    /// A temporary object that began without slots goes on with what a mirror has of the one before: the
    /// slots come back that nobody has written or removed since, as one change of the application. An
    /// object that was cleared since, or that goes on with a mirror already, stays as it is.
    pub fn go_on_with(&mut self, mirror: &Mirror) {
        if self.is_persistent() || self.contents.has_forgotten() {
            return;
        }
        let unknown = |name: &str| self.contents.slot_version(name).is_none();
        let missing = mirror.slots().filter(|(name, ..)| unknown(name));
        let missing = missing.filter_map(|(name, _, value)| {
            let value = Encoded::from_full(value.clone())?;
            Some((name.to_owned(), value))
        });
        let missing: Vec<_> = missing.collect();
        self.contents.go_beyond(mirror.version());
        if missing.is_empty() {
            return;
        }
        self.act(|contents, batch| {
            for (name, value) in missing {
                if contents.fits(&name, &value).is_ok() {
                    batch.set(contents, &name, value);
                }
            }
        });
    }

    /// Makes a change as part of the lock's batch, or as a batch of its own.
    fn act(&mut self, change: impl FnOnce(&mut Contents<M>, &mut ChangeBatch<M>)) {
        let locked = self.lock.take_changes();
        let mut batch = locked.unwrap_or_else(ChangeBatch::of_application);
        change(&mut self.contents, &mut batch);
        if let Some(batch) = self.lock.keep_changes(batch) {
            self.deliver(batch);
        }
    }
}
