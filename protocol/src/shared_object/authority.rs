//! The authority over one shared object: a state machine without clock, socket or storage.
//!
//! Members send requests ([`Authority::handle_messages`]), the application calls methods
//! ([`Authority::set`], [`Authority::lock`] and so on), and the caller polls the results:
//!
//! | poll | result |
//! |---|---|
//! | [`Authority::poll_write`] | a write for the store; [`Authority::handle_stored`] reports its end |
//! | [`Authority::poll_output`] | joins and leaves; bodies, each to all members, all but some, or one |
//! | [`Authority::poll_handled`] | messages that are handled, for their members' credit |
//! | [`Authority::poll_seen`] | events for the application |
//!
//! After every change the caller polls all four until nothing is left.
//!
//! # Versions
//!
//! One batch (a member's message, or the application's calls between lock and unlock) raises the
//! version by one, and the slots that it changes carry that version. Removed slots stay as
//! tombstones with their version. Removals that are no longer remembered lie at or below the
//! *horizon*: a member with a version below it gets a clear and all slots.
//!
//! A version is used before it is stored. So an object that is loaded after a crash begins beyond
//! every version that may have been used ([`VERSION_WINDOW`]), and its horizon is that version.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::Arc,
};

use super::{
    Encoded, Flags, Limits, SharedObjectMessage,
    body::{Body, Told},
    slots::{Slots, VersionedSlot},
};
use crate::command::Status;

mod application;
mod batch;
mod durable;
mod gate;
mod members;

pub use durable::{Durability, Header, Stored, StoredSlot, Ticket, VERSION_WINDOW, Write};

use batch::ChangeBatch;
use durable::Durable;
use gate::StoreGate;

/// One shared object. `M` names a member and is never used again for another.
#[derive(Debug)]
pub struct Authority<M> {
    limits: Limits,
    incarnation: u64,
    version: u32,
    /// A member with a version below it gets a clear and all slots.
    horizon: u32,
    /// The last version of a removal that is no longer remembered.
    forgotten: u32,
    resync_depth: u32,
    slots: Slots<M>,
    members: HashMap<M, Flags>,
    /// The count of the application's locks.
    depth: u32,
    /// The application's changes since its first lock.
    locked: Option<ChangeBatch<M>>,
    waiting: VecDeque<Waiting<M>>,
    durable: Option<Durable>,
    gate: StoreGate<M>,
    outputs: VecDeque<Output<M>>,
    handled: VecDeque<Handled<M>>,
    observed: bool,
    seen: VecDeque<Seen<M>>,
    refused: u64,
}

/// An item of a member that waits for the lock.
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

/// Messages of a member that have been handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handled<M> {
    pub member: M,
    pub messages: usize,
    /// Their bytes, as the member's session counted them.
    pub bytes: usize,
}

/// The rights of a member beyond reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether it may change, remove, clear and send.
    pub write: bool,
}

/// An order to the members, in sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M> {
    /// The member receives messages to all from now on.
    Join {
        member: M,
        /// The flags of its Use, which go into every message to it.
        flags: Flags,
    },
    /// The member receives no further messages.
    Leave { member: M },
    /// A message to the member waits for the store: messages to all pass it by, and reach it alone
    /// behind that message.
    Aside { member: M },
    /// No message waits for the member any more: it receives messages to all again.
    Back { member: M, flags: Flags },
    /// A body and its recipients.
    Body {
        /// A requester receives its answer even if it is no member.
        to: To<M>,
        body: Arc<Body>,
    },
}

/// The recipients of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To<M> {
    /// All members that do not stand aside.
    All,
    /// All members but this one, the author; none that stands aside.
    AllBut(M),
    /// This member, even if it stands aside.
    One(M),
}

/// An event for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Seen<M> {
    /// A member's batch was accepted.
    Changed {
        member: M,
        /// The changes in order.
        changes: Vec<Change>,
    },
    /// A member sent a message to all.
    Message {
        member: M,
        /// The handler's name and its arguments.
        values: Encoded,
    },
    /// The store failed to write the object.
    FlushFailed,
}

/// One change of a slot by a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The slot; empty for a clear.
    pub name: Arc<str>,
    pub kind: ChangeKind,
    /// The slot's value before the change.
    pub old: Option<Encoded>,
}

/// The kind of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// The slot has another value.
    Changed,
    /// The slot is removed.
    Removed,
    /// All slots are removed.
    Cleared,
}

/// The reason for which a change of the application was refused.
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
            gate: StoreGate::new(),
            outputs: VecDeque::new(),
            handled: VecDeque::new(),
            observed: false,
            seen: VecDeque::new(),
            refused: 0,
        }
    }

    /// A persistent object as stored; `incarnation` is for an object that is not stored.
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
            // Members may have seen versions beyond the stored one, with changes that are lost.
            let jump = (VERSION_WINDOW + 1).saturating_mul(stored.crashes);
            object.version = object.version.saturating_add(jump);
            (object.horizon, object.forgotten) = (object.version, object.version);
        }
        for (name, slot) in stored.slots {
            let slot = VersionedSlot {
                version: slot.version,
                author: None,
                value: slot.value,
            };
            object.slots.put(name, slot);
        }
        object.durable = Some(Durable::new(durability, object.version));
        object
    }

    /// The next order to the members.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// The next report of handled messages.
    pub fn poll_handled(&mut self) -> Option<Handled<M>> {
        self.handled.pop_front()
    }

    /// The next event for the application; there is none unless [`Self::observe`] asked for them.
    pub fn poll_seen(&mut self) -> Option<Seen<M>> {
        self.seen.pop_front()
    }

    /// Sets whether [`Self::poll_seen`] reports the members' changes.
    pub fn observe(&mut self, observed: bool) {
        self.observed = observed;
        if !observed {
            self.seen = VecDeque::new();
        }
    }

    /// The number of this object among those of its name, each of which has another.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether the object outlives its members.
    pub fn is_persistent(&self) -> bool {
        self.durable.is_some()
    }

    /// The version of the last change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The version below which a returning member gets a clear and all slots.
    pub fn horizon(&self) -> u32 {
        self.horizon
    }

    /// The count of slots that have a value.
    pub fn len(&self) -> usize {
        self.slots.live_count()
    }

    /// Whether no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The count of removed slots that are remembered.
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

    /// The version of a slot's last change, which may have removed it.
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

    /// The count of members.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether the object has no members, and no item waits for the lock or for the store.
    pub fn is_idle(&self) -> bool {
        self.members.is_empty()
            && self.waiting.is_empty()
            && self.depth == 0
            && !self.durable.as_ref().is_some_and(Durable::is_busy)
    }

    /// The count of members' requests that a limit refused.
    pub fn refused_by_limit(&self) -> u64 {
        self.refused
    }

    /// The whole object for an edge's mirror: a clear, and a change for every slot.
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

    /// Whether members' messages must wait.
    fn is_locked(&self) -> bool {
        self.depth > 0 || self.gate.is_full() || self.is_ahead()
    }

    /// Whether too many versions are in use that are not stored.
    fn is_ahead(&self) -> bool {
        self.durable
            .as_ref()
            .is_some_and(|durable| durable.is_ahead(self.version))
    }
}

#[cfg(test)]
mod tests;
