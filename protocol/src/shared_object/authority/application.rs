//! The methods for the application.

use super::{Authority, ChangeBatch, Debug, Durability, Durable, Encoded, Hash, Refused, Told};

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// Gives a slot a value, regardless of members' requests.
    pub fn set(&mut self, name: &str, value: Encoded) -> Result<(), Refused> {
        self.fits(name, &value)?;
        self.act(|object, batch| {
            object.set_slot(batch, name, value);
        });
        Ok(())
    }

    /// Removes a slot; `false` if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        if self.slots.value(name).is_none() {
            return false;
        }
        self.act(|object, batch| object.remove_slot(batch, name));
        true
    }

    /// Removes all slots.
    pub fn clear(&mut self) {
        self.act(Self::clear_slots);
    }

    /// Sends a message to all members: a handler's name and its arguments. Within a lock it keeps
    /// its order among the changes.
    pub fn send(&mut self, values: Encoded) -> Result<(), Refused> {
        if values.size() > self.limits.value {
            return Err(Refused::Value);
        }
        self.act(|_, batch| batch.all(Told::Message(values)));
        Ok(())
    }

    /// Locks the object: the application's changes from now on leave as one message, and members'
    /// messages wait. Returns the count of locks.
    pub fn lock(&mut self) -> u32 {
        self.depth = self.depth.saturating_add(1);
        self.depth
    }

    /// Takes one lock back. Returns the count of locks left; the last one releases the changes and
    /// the members' messages.
    pub fn unlock(&mut self) -> u32 {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            if let Some(batch) = self.locked.take() {
                self.deliver(batch);
            }
            self.catch_up();
        }
        self.depth
    }

    /// Takes all locks back. Returns their count.
    pub fn unlock_all(&mut self) -> u32 {
        let depth = self.depth;
        self.depth = depth.min(1);
        self.unlock();
        depth
    }

    /// The count of locks.
    pub fn lock_depth(&self) -> u32 {
        self.depth
    }

    /// Drops the tombstones of slots removed before this version: a member with an older version
    /// gets a clear and all slots.
    pub fn purge(&mut self, version: u32) {
        self.forget_before(version);
        self.horizon = self.horizon.max(version.min(self.version));
        self.save_header();
    }

    /// The count of versions that a returning member may be behind and still get only the changes.
    pub fn resync_depth(&self) -> u32 {
        self.resync_depth
    }

    /// Sets that count; `u32::MAX`, the default, is no limit.
    pub fn set_resync_depth(&mut self, depth: u32) {
        self.resync_depth = depth;
        self.trim();
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
        if self.members.is_empty() {
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
        self.durable.as_ref().is_some_and(Durable::is_dirty)
    }

    /// The time at which members receive changes that have to be stored.
    pub fn durability(&self) -> Option<Durability> {
        self.durable.as_ref().map(Durable::durability)
    }

    fn save_header(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.header_changed();
        }
    }

    /// Makes a change as part of the lock's batch, or as a batch of its own.
    fn act(&mut self, what: impl FnOnce(&mut Self, &mut ChangeBatch<M>)) {
        let mut batch = self.locked.take().unwrap_or_else(|| ChangeBatch::new(None));
        what(self, &mut batch);
        if self.depth > 0 {
            self.locked = Some(batch);
        } else {
            self.deliver(batch);
        }
    }
}
