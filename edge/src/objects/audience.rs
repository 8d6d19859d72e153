//! The members of one object on one worker, and the changes for members that fall behind.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use bytes::Bytes;
use tributary_protocol::{
    SessionId,
    amf::ObjectEncoding,
    shared_object::{Mirror, body::Events},
};

use super::{Delivery, seat::Member};

/// The members of one object on one worker.
#[derive(Debug, Default)]
pub(super) struct LocalAudience {
    members: RefCell<Slots>,
    behind: RefCell<Option<Box<Behind>>>,
}

/// Members in fixed slots, so that a run can be interrupted.
#[derive(Debug, Default)]
struct Slots {
    members: Vec<Option<Rc<Member>>>,
    free: Vec<usize>,
}

/// The slots of an object that have changed since a place in the hub's order.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The number of members that will catch up.
    members: usize,
    object: String,
    /// The values of the changed slots; it lacks the other slots.
    mirror: Mirror,
    changed: BTreeMap<Box<str>, Change>,
    /// The last clear of the object.
    cleared: Option<Change>,
    /// The version of the last message for AMF3 members alone: its twin for AMF0 follows.
    twin: Option<u32>,
}

/// A slot's last change.
#[derive(Clone, Copy, Debug)]
struct Change {
    place: u64,
    /// The session that made the change, which does not get it.
    author: Option<SessionId>,
}

/// Slots that change while members are behind. Reason: a slot costs some hundred bytes, and an
/// object of an origin has a quarter as many.
const MAX_CHANGED: usize = 65_536;

/// Bytes of the changed slots' values: twice the bound of an object at its origin.
const MAX_BEHIND: usize = 16 * 1024 * 1024;

impl LocalAudience {
    pub(super) fn is_empty(&self) -> bool {
        let slots = self.members.borrow();
        slots.members.len() == slots.free.len()
    }

    /// The members in the slots `from..to`; `None` behind the last slot.
    pub(super) fn members(&self, from: usize, to: usize) -> Option<Vec<Rc<Member>>> {
        let slots = self.members.borrow();
        let end = slots.members.len().min(to);
        let members = slots.members.get(from..end).filter(|it| !it.is_empty())?;
        Some(members.iter().flatten().cloned().collect())
    }

    pub(super) fn insert(&self, member: &Rc<Member>) {
        let mut slots = self.members.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.members.push(None);
            slots.members.len() - 1
        });
        member.slot.set(slot);
        slots.members[slot] = Some(Rc::clone(member));
    }

    pub(super) fn remove(&self, member: &Member) {
        let mut slots = self.members.borrow_mut();
        let slot = member.slot.get();
        if slots.members[slot].take().is_some() {
            slots.free.push(slot);
        }
        drop(slots);
        if member.had.take().is_some() {
            self.one_less();
        }
    }

    /// Marks a member as behind: it has every change up to the place `had`, and catches up later.
    pub(super) fn falls_behind(&self, member: &Member, had: u64) {
        member.had.set(Some(had));
        self.behind.borrow_mut().get_or_insert_default().members += 1;
    }

    /// Records the changes of a message if a member is behind. Returns `false` if they exceed a
    /// bound.
    pub(super) fn note(&self, place: u64, delivery: &Delivery) -> bool {
        let mut behind = self.behind.borrow_mut();
        behind
            .as_mut()
            .is_none_or(|behind| behind.note(place, delivery))
    }

    /// The changes that the member has missed, in one body. The member is no longer behind.
    pub(super) fn catch_up(&self, member: &Member) -> Option<Bytes> {
        let had = member.had.take()?;
        let body = {
            let behind = self.behind.borrow();
            let seat = &member.seat;
            behind
                .as_ref()
                .and_then(|behind| behind.catch_up(had, seat.session, seat.encoding()))
        };
        self.one_less();
        body
    }

    fn one_less(&self) {
        let mut slot = self.behind.borrow_mut();
        if let Some(behind) = slot.as_mut() {
            behind.members -= 1;
            if behind.members == 0 {
                *slot = None;
            }
        }
    }
}

impl Behind {
    /// Records the changes of a message. Returns `false` if they exceed a bound.
    pub(super) fn note(&mut self, place: u64, delivery: &Delivery) -> bool {
        let body = delivery.message.body();
        let Ok(events) = Events::read(body) else {
            return true;
        };
        if self.object.is_empty() {
            events.object.clone_into(&mut self.object);
        }
        let author = delivery.all_but;
        let change = Change { place, author };
        let is_twin =
            delivery.encoding == Some(ObjectEncoding::Amf0) && self.twin == Some(events.version);
        self.twin = (delivery.encoding == Some(ObjectEncoding::Amf3)).then_some(events.version);
        if !is_twin {
            // A mirror applies the readable events; members get no more of the message either.
            let _ = self.mirror.apply(body);
        }
        for event in events.flatten().filter(|event| event.changes()) {
            match event.slot() {
                Some((name, _)) => {
                    self.changed.insert(name.into(), change);
                }
                None => {
                    self.changed = BTreeMap::new();
                    self.cleared = Some(change);
                }
            }
        }
        self.changed.len() <= MAX_CHANGED && self.mirror.bytes() <= MAX_BEHIND
    }

    /// The changes after the place `had` that this member has missed, in one body.
    pub(super) fn catch_up(
        &self,
        had: u64,
        member: SessionId,
        encoding: ObjectEncoding,
    ) -> Option<Bytes> {
        let missed = |change: &Change| change.place > had && change.author != Some(member);
        if self.cleared.as_ref().is_some_and(missed) {
            return Some(self.mirror.snapshot(&self.object, encoding));
        }
        let mut names = self
            .changed
            .iter()
            .filter(|(_, change)| missed(change))
            .map(|(name, _)| &**name)
            .peekable();
        names.peek()?;
        let version = self.mirror.version();
        Some(self.mirror.catch_up(&self.object, names, version, encoding))
    }
}
