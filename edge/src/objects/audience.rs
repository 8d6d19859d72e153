//! The members of one object on one worker, and what those that fall behind will catch up with.

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

/// Members at fixed places, so that a run can be interrupted.
#[derive(Debug, Default)]
struct Slots {
    members: Vec<Option<Rc<Member>>>,
    free: Vec<usize>,
}

/// What has changed since a place in the hub's order, by slot.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// The members that will catch up with it.
    members: usize,
    object: String,
    /// What changed slots hold; it knows nothing of the others.
    mirror: Mirror,
    changed: BTreeMap<Box<str>, Change>,
    /// Everything was cleared.
    cleared: Option<Change>,
    /// The version of the last body for AMF3 members alone: its twin for AMF0 follows.
    twin: Option<u32>,
}

/// A slot's last change.
#[derive(Clone, Copy, Debug)]
struct Change {
    place: u64,
    /// Who made it, and is not told.
    author: Option<SessionId>,
}

/// Slots that have changed since members fell behind. Reason: each costs some hundred bytes, and
/// an object of ours has a quarter as many.
const MAX_CHANGED: usize = 65_536;

/// What changed slots may hold meanwhile, in bytes: twice what an object of ours holds.
const MAX_BEHIND: usize = 16 * 1024 * 1024;

impl LocalAudience {
    pub(super) fn is_empty(&self) -> bool {
        let slots = self.members.borrow();
        slots.members.len() == slots.free.len()
    }

    /// The members from one place on, up to another; none behind the last.
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

    /// The member has had every change up to this place, and catches up with the rest later.
    pub(super) fn falls_behind(&self, member: &Member, had: u64) {
        member.had.set(Some(had));
        self.behind.borrow_mut().get_or_insert_default().members += 1;
    }

    /// Notes what a message changes, if somebody has fallen behind. `false` if that is more than
    /// may be kept.
    pub(super) fn note(&self, place: u64, delivery: &Delivery) -> bool {
        let mut behind = self.behind.borrow_mut();
        behind
            .as_mut()
            .is_none_or(|behind| behind.note(place, delivery))
    }

    /// What the member has missed, in one body; it has not fallen behind any more.
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
    /// Notes what a message changes. `false` if that is more than may be kept.
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
            // What can be read of it is there; the members get no more of it either.
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

    /// What this member has missed since it had everything up to a place, in one body.
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
