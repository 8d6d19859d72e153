//! The authority over one shared object: a state machine without clock, socket or storage.
//!
//! Members ask ([`Authority::handle_messages`]), the application acts
//! ([`Authority::set`], [`Authority::lock`] and so on), and what must leave is polled:
//!
//! | poll | what |
//! |---|---|
//! | [`Authority::poll_write`] | what must be stored; answered by [`Authority::handle_stored`] |
//! | [`Authority::poll_output`] | who joins and leaves; bodies, each to all members, all but some, or one |
//! | [`Authority::poll_handled`] | whose messages are handled, for their credit |
//! | [`Authority::poll_seen`] | what the application is to hear |
//!
//! After anything that changes it, poll all four until nothing is left.
//!
//! # Versions
//!
//! One batch (a member's message, or what the application does between lock and unlock) raises
//! the version by one, and the slots it changes carry that version. Removed slots stay as
//! tombstones with theirs. What is no longer remembered as removed lies at or below the
//! *horizon*: a member whose version is below that gets everything anew.
//!
//! A version is given out before it is stored. So an object that is loaded after a crash begins
//! beyond every version that may have been given out ([`VERSION_WINDOW`]), with that as its
//! horizon.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::Arc,
};

use super::{
    Encoded, Flags, Limits, SharedObjectMessage,
    body::{Body, Told},
    slots::{Slot, Slots},
};
use crate::command::Status;

mod application;
mod batch;
mod durable;
mod gate;
mod members;

pub use durable::{Durability, Header, Stored, StoredSlot, Ticket, VERSION_WINDOW, Write};

use batch::Batch;
use durable::Durable;
use gate::Gate;

/// One shared object. `M` names a member; none is ever used again for another.
#[derive(Debug)]
pub struct Authority<M> {
    limits: Limits,
    incarnation: u64,
    version: u32,
    /// A member whose version is below gets everything anew.
    horizon: u32,
    /// The last version at which something was removed that is no longer remembered.
    forgotten: u32,
    resync_depth: u32,
    slots: Slots<M>,
    members: HashMap<M, Flags>,
    /// How often the application has locked it.
    depth: u32,
    /// What the application has done since it locked.
    locked: Option<Batch<M>>,
    waiting: VecDeque<Waiting<M>>,
    durable: Option<Durable>,
    gate: Gate<M>,
    outputs: VecDeque<Output<M>>,
    handled: VecDeque<Handled<M>>,
    observed: bool,
    seen: VecDeque<Seen<M>>,
    refused: u64,
}

/// Something of a member that waits for the lock.
#[derive(Debug)]
enum Waiting<M> {
    Messages {
        member: M,
        access: Access,
        messages: Vec<SharedObjectMessage>,
        bytes: usize,
    },
    Gone(M),
}

/// Messages of a member that are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled<M> {
    /// Whose.
    pub member: M,
    /// How many.
    pub messages: usize,
    /// Their bytes, as they were stated.
    pub bytes: usize,
}

/// What a member may do beside reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Change, remove, clear, send.
    pub write: bool,
}

/// What leaves, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M> {
    /// The member gets what goes to all from now on.
    Join {
        /// Who.
        member: M,
        /// The flags of its Use, which go into every message to it.
        flags: Flags,
    },
    /// The member gets nothing more.
    Leave {
        /// Who.
        member: M,
    },
    /// Something that the member is told waits: what goes to all passes it by, and comes to it
    /// alone behind that.
    Aside {
        /// Who.
        member: M,
    },
    /// Nothing waits for the member any more: it gets what goes to all again.
    Back {
        /// Who.
        member: M,
        /// As in [`Self::Join`].
        flags: Flags,
    },
    /// A body and who gets it.
    Body {
        /// Who: also one that is no member, if it asked for something.
        to: To<M>,
        /// What.
        body: Arc<Body>,
    },
}

/// Who gets a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<M> {
    /// All members that do not stand aside.
    All,
    /// All of those but this one, the author.
    AllBut(M),
    /// This one, aside or not.
    One(M),
}

/// Something that members did, for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen<M> {
    /// A member's batch was accepted.
    Changed {
        /// Who.
        member: M,
        /// What, in order.
        changes: Vec<Change>,
    },
    /// A member sent a message to all.
    Message {
        /// Who.
        member: M,
        /// The handler's name, and what it gets.
        values: Encoded,
    },
    /// Something could not be stored.
    FlushFailed,
}

/// One change of a slot by a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The slot; empty for a clear.
    pub name: Arc<str>,
    /// What happened.
    pub kind: ChangeKind,
    /// What the slot held before.
    pub old: Option<Encoded>,
}

/// What happened to a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It has another value.
    Changed,
    /// It is gone.
    Removed,
    /// All slots are gone.
    Cleared,
}

/// The application's change was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The slot's name is empty or too long.
    Name,
    /// The value, or message, is too large.
    Value,
    /// The object would have too many slots.
    Slots,
    /// The object would be too large.
    Bytes,
}

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// A temporary object without slots.
    pub fn temporary(incarnation: u64, limits: Limits) -> Self {
        Self {
            limits,
            incarnation,
            version: 0,
            horizon: 0,
            forgotten: 0,
            resync_depth: u32::MAX,
            slots: Slots::new(),
            members: HashMap::new(),
            depth: 0,
            locked: None,
            waiting: VecDeque::new(),
            durable: None,
            gate: Gate::new(),
            outputs: VecDeque::new(),
            handled: VecDeque::new(),
            observed: false,
            seen: VecDeque::new(),
            refused: 0,
        }
    }

    /// A persistent object, as it was stored; `incarnation` is for one that was not.
    pub fn persistent(
        incarnation: u64,
        limits: Limits,
        durability: Durability,
        stored: Stored,
    ) -> Self {
        let mut object = Self::temporary(incarnation, limits);
        let header = stored.header.unwrap_or_else(|| Header {
            incarnation,
            version: stored.floor,
            horizon: stored.floor,
            forgotten: stored.floor,
            ..Header::default()
        });
        object.incarnation = header.incarnation;
        object.version = header.version.max(header.reserve);
        (object.horizon, object.forgotten) = (header.horizon, header.forgotten);
        if stored.crashes > 0 || header.reserve > header.version {
            // Versions beyond the stored one may have been seen, with changes that are lost.
            let jump = (VERSION_WINDOW + 1).saturating_mul(stored.crashes);
            object.version = object.version.saturating_add(jump);
            (object.horizon, object.forgotten) = (object.version, object.version);
        }
        for (name, slot) in stored.slots {
            let slot = Slot {
                version: slot.version,
                author: None,
                value: slot.value,
            };
            object.slots.put(name, slot);
        }
        object.durable = Some(Durable::new(durability, object.version));
        object
    }

    /// What must leave next.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// Whose messages are handled.
    pub fn poll_handled(&mut self) -> Option<Handled<M>> {
        self.handled.pop_front()
    }

    /// What the application is to hear; nothing unless [`Self::observe`] asked for it.
    pub fn poll_seen(&mut self) -> Option<Seen<M>> {
        self.seen.pop_front()
    }

    /// Whether [`Self::poll_seen`] has what members do.
    pub fn observe(&mut self, observed: bool) {
        self.observed = observed;
        if !observed {
            self.seen = VecDeque::new();
        }
    }

    /// Which object of this name it is: another one has another number.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether it outlives its members.
    pub fn is_persistent(&self) -> bool {
        self.durable.is_some()
    }

    /// The version of the last change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The version below which a returning member gets everything anew.
    pub fn horizon(&self) -> u32 {
        self.horizon
    }

    /// How many slots have a value.
    pub fn len(&self) -> usize {
        self.slots.live_count()
    }

    /// Whether no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many removed slots are remembered.
    pub fn tombstones(&self) -> usize {
        self.slots.tombstone_count()
    }

    /// The bytes of all slots, names and tombstones included.
    pub fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// A slot's value.
    pub fn slot(&self, name: &str) -> Option<&Encoded> {
        self.slots.value(name)
    }

    /// The version of a slot's last change, also if that removed it.
    pub fn slot_version(&self, name: &str) -> Option<u32> {
        self.slots.get(name).map(|slot| slot.version)
    }

    /// The slots that have a value: name, version, value.
    pub fn slots(&self) -> impl Iterator<Item = (&str, u32, &Encoded)> {
        self.slots
            .live()
            .map(|(name, version, value)| (&**name, version, value))
    }

    /// Whether this member uses the object.
    pub fn is_member(&self, member: M) -> bool {
        self.members.contains_key(&member)
    }

    /// The members, in no order.
    pub fn members(&self) -> impl Iterator<Item = M> {
        self.members.keys().copied()
    }

    /// How many members use it.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody uses it and nothing of it waits: for the lock, or for the store.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty()
            && self.waiting.is_empty()
            && self.depth == 0
            && !self.durable.as_ref().is_some_and(Durable::is_busy)
    }

    /// How many requests of members were refused because of a limit.
    pub fn refused_by_limit(&self) -> u64 {
        self.refused
    }

    /// Everything it holds, for an edge's mirror: a clear, and a change for every slot.
    pub fn snapshot(&self) -> Body {
        let mut events = vec![Told::Clear];
        events.extend(self.all_slots());
        Body {
            version: self.version,
            events,
        }
    }

    fn all_slots(&self) -> impl Iterator<Item = Told> {
        self.slots.live().map(|(name, _, value)| Told::Change {
            name: Arc::clone(name),
            value: value.clone(),
        })
    }

    /// Whether members' messages wait.
    fn is_locked(&self) -> bool {
        self.depth > 0 || self.gate.is_full() || self.is_ahead()
    }

    /// Whether too many versions have been given out that are not stored.
    fn is_ahead(&self) -> bool {
        self.durable
            .as_ref()
            .is_some_and(|durable| durable.is_ahead(self.version))
    }
}

#[cfg(test)]
mod tests;
