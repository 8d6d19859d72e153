//! What the application does to an object.

use super::{Authority, Batch, Debug, Durability, Durable, Encoded, Hash, Refused, Told};

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// Gives a slot a value, over whatever members have asked for.
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

    /// Sends a message to all members: a handler's name, and what it gets. Within a lock it keeps
    /// its place among the changes.
    pub fn send(&mut self, values: Encoded) -> Result<(), Refused> {
        if values.size() > self.limits.value {
            return Err(Refused::Value);
        }
        self.act(|_, batch| batch.all(Told::Message(values)));
        Ok(())
    }

    /// Locks: what the application does from now on leaves as one message, and members' messages
    /// wait. Returns how often it is locked.
    pub fn lock(&mut self) -> u32 {
        self.depth = self.depth.saturating_add(1);
        self.depth
    }

    /// Takes one lock back. Returns how many are left; with the last one everything goes on.
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

    /// Takes all locks back. Returns how many there were.
    pub fn unlock_all(&mut self) -> u32 {
        let depth = self.depth;
        self.depth = depth.min(1);
        self.unlock();
        depth
    }

    /// How often it is locked.
    pub fn lock_depth(&self) -> u32 {
        self.depth
    }

    /// Forgets the slots that were removed before this version: a member that knows less than
    /// that gets everything anew.
    pub fn purge(&mut self, version: u32) {
        self.forget_before(version);
        self.horizon = self.horizon.max(version.min(self.version));
        self.save_header();
    }

    /// How many versions back a returning member may be and still get the difference alone.
    pub fn resync_depth(&self) -> u32 {
        self.resync_depth
    }

    /// Sets it; `u32::MAX`, the default, is without end.
    pub fn set_resync_depth(&mut self, depth: u32) {
        self.resync_depth = depth;
        self.trim();
    }

    /// Whether changes are stored as they are made; `false` for a temporary object.
    pub fn auto_commit(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::auto_commit)
    }

    /// Turns it on or off. Off, nothing is stored before [`Self::flush`] or the last release, and
    /// members' successes do not wait.
    pub fn set_auto_commit(&mut self, on: bool) {
        if let Some(durable) = &mut self.durable {
            durable.set_auto_commit(on);
        }
    }

    /// The application holds on to the object no longer: without members, that stores it.
    pub fn let_go(&mut self) {
        if self.members.is_empty() {
            self.flush();
        }
    }

    /// Has everything stored; `false` for a temporary object.
    pub fn flush(&mut self) -> bool {
        if let Some(durable) = &mut self.durable {
            durable.commit();
        }
        self.is_persistent()
    }

    /// Whether something is not stored yet.
    pub fn is_dirty(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::is_dirty)
    }

    /// When what is stored is told to members.
    pub fn durability(&self) -> Option<Durability> {
        self.durable.as_ref().map(Durable::durability)
    }

    fn save_header(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.header_changed();
        }
    }

    /// Does something as part of the lock's batch, or as one of its own.
    fn act(&mut self, what: impl FnOnce(&mut Self, &mut Batch<M>)) {
        let mut batch = self.locked.take().unwrap_or_else(|| Batch::new(None));
        what(self, &mut batch);
        if self.depth > 0 {
            self.locked = Some(batch);
        } else {
            self.deliver(batch);
        }
    }
}
