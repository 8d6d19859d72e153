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

use std::{collections::VecDeque, fmt::Debug, hash::Hash, sync::Arc};

use super::{
    Encoded, Flags, Limits, Mirror, SharedObjectMessage,
    body::{Body, Told},
};
use crate::command::Status;

mod application;
mod batch;
mod contents;
mod durable;
mod event_list;
mod gate;
mod lock;
mod member_output;
mod members;
mod requests;
mod unstored;

pub use contents::Contents;
pub use durable::{Durability, Header, Stored, StoredSlot, Ticket, VERSION_WINDOW, Write};

use durable::{Durable, Progress};
use lock::ObjectLock;
use member_output::MemberOutput;

/// One shared object. `M` names a member and is never used again for another.
#[derive(Debug)]
pub struct Authority<M> {
    contents: Contents<M>,
    members: MemberOutput<M>,
    lock: ObjectLock<M>,
    /// The writes; none for a temporary object.
    durable: Option<Durable>,
    handled: VecDeque<Handled<M>>,
    observed: bool,
    seen: VecDeque<Seen<M>>,
    refused: u64,
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
        Self::new(Contents::new(incarnation, limits), None)
    }

    /// A temporary object that goes on with what a mirror has of it: its authority is lost. Members may
    /// have seen versions beyond the mirror's, as after a crash of a persistent object's origin. None if
    /// the mirror has more than the limits allow.
    pub fn temporary_again(incarnation: u64, limits: Limits, mirror: &Mirror) -> Option<Self> {
        if mirror.len() > limits.slots || mirror.bytes() > limits.bytes {
            return None;
        }
        let slots = mirror.slots().filter_map(|(name, version, value)| {
            let value = Encoded::from_full(value.clone())?;
            let slot = StoredSlot {
                version,
                value: Some(value),
            };
            Some((Arc::from(name), slot))
        });
        let stored = Stored {
            header: Some(Header {
                incarnation,
                version: mirror.version(),
                ..Header::default()
            }),
            slots: slots.collect(),
            crashes: 1,
            floor: 0,
        };
        let mut contents = Contents::from_store(incarnation, limits, stored);
        contents.is_not_stored();
        Some(Self::new(contents, None))
    }

    /// A persistent object as stored; `incarnation` is for an object that is not stored.
    pub fn persistent(
        incarnation: u64,
        limits: Limits,
        durability: Durability,
        stored: Stored,
    ) -> Self {
        let contents = Contents::from_store(incarnation, limits, stored);
        let durable = Durable::new(durability, contents.version());
        Self::new(contents, Some(durable))
    }

    fn new(contents: Contents<M>, durable: Option<Durable>) -> Self {
        Self {
            contents,
            members: MemberOutput::new(),
            lock: ObjectLock::new(),
            durable,
            handled: VecDeque::new(),
            observed: false,
            seen: VecDeque::new(),
            refused: 0,
        }
    }

    /// The next order to the members.
    pub fn poll_output(&mut self) -> Option<Output<M>> {
        self.members.poll()
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

    /// The slots and their versions.
    pub fn contents(&self) -> &Contents<M> {
        &self.contents
    }

    /// Whether the object outlives its members.
    pub fn is_persistent(&self) -> bool {
        self.durable.is_some()
    }

    /// Whether this member uses the object.
    pub fn is_member(&self, member: M) -> bool {
        self.members.flags(member).is_some()
    }

    /// The members, in no order.
    pub fn members(&self) -> impl Iterator<Item = M> {
        self.members.members()
    }

    /// The count of members.
    pub fn member_count(&self) -> usize {
        self.members.member_count()
    }

    /// Whether the object has no members, and no item waits for the lock or for the store.
    pub fn is_idle(&self) -> bool {
        let durable = self.durable.as_ref();
        self.members.member_count() == 0
            && !self.lock.has_waiting()
            && self.lock.depth() == 0
            && !durable.is_some_and(|durable| durable.is_busy(self.progress()))
    }

    /// The count of members' requests that a limit refused.
    pub fn refused_by_limit(&self) -> u64 {
        self.refused
    }

    /// Whether members' messages must wait.
    fn is_locked(&self) -> bool {
        self.lock.depth() > 0 || self.members.is_full() || self.is_ahead()
    }

    /// Whether too many versions are in use that are not stored.
    fn is_ahead(&self) -> bool {
        self.durable
            .as_ref()
            .is_some_and(|durable| durable.is_ahead(self.contents.version()))
    }

    fn progress(&self) -> Progress {
        Progress {
            version: self.contents.version(),
            has_unstored: self.contents.has_unstored(),
        }
    }
}

#[cfg(test)]
mod tests;
