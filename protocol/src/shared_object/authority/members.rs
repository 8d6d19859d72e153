//! The messages of members, and the answers to them.

use super::{
    Access, Authority, Debug, Durable, Flags, Handled, Hash, SharedObjectMessage, Status, To, Told,
    batch::{BatchEvents, ChangeBatch},
    lock::Waiting,
    member_output::WaitsFor,
    requests::Requester,
};
use crate::shared_object::Event;

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// Handles messages of one member. Each event is accepted or refused by itself, and all are
    /// answered as one batch. [`Self::poll_handled`] reports their number and `bytes` once they are
    /// handled, which may be after the application has unlocked the object.
    ///
    /// The caller has decided that the member may use the object.
    pub fn handle_messages(
        &mut self,
        member: M,
        access: Access,
        messages: Vec<SharedObjectMessage>,
        bytes: usize,
    ) {
        let handled = Handled {
            member,
            messages: messages.len(),
            bytes,
        };
        let handled = Some(handled);
        if self.is_locked() || self.lock.has_waiting() {
            self.lock.wait(Waiting::Messages {
                member,
                access,
                messages,
                handled,
            });
            return;
        }
        self.handle_now(member, access, messages, handled);
    }

    /// Removes a member whose session is over.
    pub fn handle_gone(&mut self, member: M) {
        if self.lock.has_messages_of(member) {
            // The requests of the member that wait are handled before.
            self.lock.wait(Waiting::Gone(member));
        } else {
            self.leave(member);
        }
    }

    /// A member's session is over, and it joins once more in another one: it stays a member. Its messages that
    /// wait are handled without a report. Returns its flags.
    pub fn handle_away(&mut self, member: M) -> Option<Flags> {
        self.lock.forget_reports(member);
        self.members.goes_away(member)
    }

    /// Handles the items that wait, until the object is locked again.
    pub(super) fn catch_up(&mut self) {
        while !self.is_locked() {
            match self.lock.next_waiting() {
                None => break,
                Some(Waiting::Gone(member)) => self.leave(member),
                Some(Waiting::Messages {
                    member,
                    access,
                    messages,
                    handled,
                }) => self.handle_now(member, access, messages, handled),
            }
        }
    }

    fn handle_now(
        &mut self,
        member: M,
        access: Access,
        messages: Vec<SharedObjectMessage>,
        handled: Option<Handled<M>>,
    ) {
        let mut batch = ChangeBatch::of_member(member, self.observed);
        for message in messages {
            batch = self.handle_message(batch, member, access, message);
        }
        self.deliver(batch);
        self.handled.extend(handled);
    }

    /// Adds the events of a message to a batch. A Use or Release ends it and begins another one.
    fn handle_message(
        &mut self,
        mut batch: ChangeBatch<M>,
        member: M,
        access: Access,
        message: SharedObjectMessage,
    ) -> ChangeBatch<M> {
        let known = message.version;
        for event in message.events {
            match event {
                Event::Use | Event::Release => {
                    self.deliver(batch);
                    batch = ChangeBatch::of_member(member, self.observed);
                    if matches!(event, Event::Use) {
                        self.join(member, message.flags, known);
                    } else {
                        self.leave(member);
                    }
                }
                event => match self.members.flags(member) {
                    Some(flags) => Requester {
                        member,
                        access,
                        known,
                        flags,
                    }
                    .request(event, &mut self.contents, &mut batch),
                    // One notice for a message with requests is enough.
                    None if batch.is_without_own() => {
                        batch.push_own(Told::Status(Status::SharedObjectNoObjectFound));
                    }
                    None => {}
                },
            }
        }
        batch
    }

    fn join(&mut self, member: M, flags: Flags, known: u32) {
        let until = self.waits_for_all();
        self.members.join(member, flags, until.all);
        let mut events = vec![Told::UseSuccess];
        self.contents.push_since(known, &mut events);
        let version = self.contents.version();
        self.members.send(To::One(member), version, events, until);
    }

    fn leave(&mut self, member: M) {
        let until = self.waits_for_all();
        let was_last = self.members.leave(member, until.all);
        if let Some(durable) = &mut self.durable
            && was_last
        {
            durable.commit();
        }
    }

    /// Queues the results of a batch.
    pub(super) fn deliver(&mut self, mut batch: ChangeBatch<M>) {
        self.refused += batch.refused();
        self.seen.extend(batch.take_seen());
        let durable = self.durable.as_ref();
        let ticket = durable.and_then(Durable::ticket);
        let own = ticket.filter(|_| batch.is_versioned() && batch.acknowledges());
        let (version, until) = (self.contents.version(), self.waits_for_all());
        match batch.into_events(own.is_some()) {
            BatchEvents::Same(events) => self.members.send(To::All, version, events, until),
            BatchEvents::Differ {
                author,
                own: events,
                others,
            } => {
                let to = To::AllBut(author);
                self.members.send(to, version, others, until);
                let until = WaitsFor { own, ..until };
                self.members.send(To::One(author), version, events, until);
            }
        }
    }

    /// The write for which all output made now waits.
    fn waits_for_all(&self) -> WaitsFor {
        let durable = self.durable.as_ref();
        let all = durable.and_then(|durable| durable.strict_ticket(self.progress()));
        WaitsFor { own: None, all }
    }
}
