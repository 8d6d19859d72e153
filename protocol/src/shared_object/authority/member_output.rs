//! The members of an object, and the orders to them.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::Arc,
};

use super::{Body, Flags, Output, Ticket, To, Told, gate::StoreGate};

/// The members with their flags, and the orders to them in sequence. An order that must wait for
/// the store passes the gate.
#[derive(Debug)]
pub(super) struct MemberOutput<M> {
    members: HashMap<M, Flags>,
    /// Members that join once more, in another session.
    away: Vec<M>,
    gate: StoreGate<M>,
    outputs: VecDeque<Output<M>>,
}

/// The writes for which an order waits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WaitsFor {
    /// The write that the order acknowledges.
    pub(super) own: Option<Ticket>,
    /// The write for which all orders wait.
    pub(super) all: Option<Ticket>,
}

impl<M: Copy + Eq + Hash + Debug> MemberOutput<M> {
    pub(super) fn new() -> Self {
        Self {
            members: HashMap::new(),
            away: Vec::new(),
            gate: StoreGate::new(),
            outputs: VecDeque::new(),
        }
    }

    /// The next order.
    pub(super) fn poll(&mut self) -> Option<Output<M>> {
        self.outputs.pop_front()
    }

    /// The flags with which a member uses the object.
    pub(super) fn flags(&self, member: M) -> Option<Flags> {
        self.members.get(&member).copied()
    }

    /// The members, in no order.
    pub(super) fn members(&self) -> impl Iterator<Item = M> {
        self.members.keys().copied()
    }

    pub(super) fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Whether so many bytes wait for the store that members' messages must wait too.
    pub(super) fn is_full(&self) -> bool {
        self.gate.is_full()
    }

    pub(super) fn join(&mut self, member: M, flags: Flags, all: Option<Ticket>) {
        let before = self.members.insert(member, flags);
        let is_back = self.comes_back(member);
        if !is_back && (before == Some(flags) || self.gate.is_aside(member)) {
            return;
        }
        if before.is_some() && !is_back {
            self.push(Output::Leave { member }, all);
        }
        self.push(Output::Join { member, flags }, all);
    }

    /// A member joins once more, in another session: it is sent nothing until then. Returns its flags.
    pub(super) fn goes_away(&mut self, member: M) -> Option<Flags> {
        let flags = self.flags(member)?;
        self.gate.forget(member);
        if !self.away.contains(&member) {
            self.away.push(member);
        }
        Some(flags)
    }

    fn comes_back(&mut self, member: M) -> bool {
        let at = self.away.iter().position(|away| *away == member);
        at.map(|at| self.away.swap_remove(at)).is_some()
    }

    /// Removes a member; returns whether it was the last one.
    pub(super) fn leave(&mut self, member: M, all: Option<Ticket>) -> bool {
        if self.members.remove(&member).is_none() {
            return false;
        }
        self.gate.forget(member);
        self.comes_back(member);
        self.push(Output::Leave { member }, all);
        let is_last = self.members.is_empty();
        if is_last {
            self.members = HashMap::new();
        }
        is_last
    }

    /// Queues a body for the recipients that need not wait, and behind the messages for which
    /// others wait.
    pub(super) fn send(&mut self, to: To<M>, version: u32, events: Vec<Told>, until: WaitsFor) {
        if !events.is_empty() {
            let body = Arc::new(Body { version, events });
            let output = Output::Body { to, body };
            self.gate
                .pass(output, until.own, until.all, &mut self.outputs);
        }
    }

    /// Releases the orders that waited for writes up to this one.
    pub(super) fn release(&mut self, stored: Ticket) {
        self.gate.open(stored, &self.members, &mut self.outputs);
    }

    /// Replaces the events that acknowledge a write, which has failed.
    pub(super) fn fail(&mut self, ticket: Ticket, events: &[Told]) {
        self.gate.fail(ticket, events);
    }

    fn push(&mut self, output: Output<M>, all: Option<Ticket>) {
        self.gate.pass(output, None, all, &mut self.outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: Flags = Flags::TEMPORARY;

    fn outputs(members: &mut MemberOutput<u8>) -> Vec<Output<u8>> {
        std::iter::from_fn(|| members.poll()).collect()
    }

    fn send(members: &mut MemberOutput<u8>, to: To<u8>, own: Option<Ticket>) {
        let until = WaitsFor { own, all: None };
        members.send(to, 1, vec![Told::Clear], until);
    }

    #[test]
    fn a_member_joins_once_for_its_flags() {
        let mut members = MemberOutput::new();
        members.join(1, FLAGS, None);
        members.join(1, FLAGS, None);
        let joins = |flags| Output::Join { member: 1, flags };
        assert_eq!(outputs(&mut members), [joins(FLAGS)]);
        let other = Flags([0x10, 0]);
        members.join(1, other, None);
        let leaves = Output::Leave { member: 1 };
        assert_eq!(outputs(&mut members), [leaves, joins(other)]);
        members.join(2, FLAGS, None);
        assert!(!members.leave(1, None), "2 is a member");
        assert!(members.leave(2, None));
        assert!(!members.leave(2, None), "it was none any more");
        assert_eq!(members.member_count(), 0);
    }

    #[test]
    fn a_member_that_waits_for_the_store_stands_aside_until_then() {
        let mut members = MemberOutput::new();
        members.join(1, FLAGS, None);
        outputs(&mut members);
        send(&mut members, To::One(1), Some(Ticket(7)));
        send(&mut members, To::All, None);
        let body = |to, clears| Output::Body {
            to,
            body: Arc::new(Body {
                version: 1,
                events: vec![Told::Clear; clears],
            }),
        };
        let aside = Output::Aside { member: 1 };
        assert_eq!(outputs(&mut members), [aside, body(To::All, 1)]);
        members.release(Ticket(6));
        assert_eq!(outputs(&mut members), []);
        members.release(Ticket(7));
        let back = Output::Back {
            member: 1,
            flags: FLAGS,
        };
        assert_eq!(outputs(&mut members), [body(To::One(1), 2), back]);
    }
}
