//! The requests of members: use, change, remove, clear, send, release.

use super::{
    Access, Arc, Authority, Change, ChangeBatch, ChangeKind, Debug, Durable, Encoded, Flags,
    Handled, Hash, Limits, Output, Refused, Seen, SharedObjectMessage, Status, Ticket, To, Told,
    VersionedSlot, Waiting,
};
use crate::{
    amf::Value,
    shared_object::{Body, Event},
};

/// The reason for which a member's request is refused.
enum Denied {
    /// The member may not write.
    Access,
    /// The request exceeds a limit.
    Limit,
    /// The slot has changed since the version that the member knows.
    Conflict,
}

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
        if self.is_locked() || !self.waiting.is_empty() {
            self.waiting.push_back(Waiting::Messages {
                member,
                access,
                messages,
                bytes,
            });
            return;
        }
        self.handle_now(member, access, messages, bytes);
    }

    fn handle_now(
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
        self.requests(member, access, messages);
        self.handled.push_back(handled);
    }

    /// Removes a member whose session is over.
    pub fn handle_gone(&mut self, member: M) {
        let asks = |waiting: &Waiting<M>| matches!(waiting, Waiting::Messages { member: other, .. } if *other == member);
        if self.waiting.iter().any(asks) {
            // The requests of the member that wait are handled before.
            self.waiting.push_back(Waiting::Gone(member));
        } else {
            self.leave(member);
        }
    }

    /// Handles the items that wait, until the object is locked again.
    pub(super) fn catch_up(&mut self) {
        while !self.is_locked() {
            match self.waiting.pop_front() {
                None => break,
                Some(Waiting::Gone(member)) => self.leave(member),
                Some(Waiting::Messages {
                    member,
                    access,
                    messages,
                    bytes,
                }) => self.handle_now(member, access, messages, bytes),
            }
        }
        if self.waiting.is_empty() {
            self.waiting = std::collections::VecDeque::new();
        }
    }

    fn requests(&mut self, member: M, access: Access, messages: Vec<SharedObjectMessage>) {
        let mut batch = ChangeBatch::new(Some(member));
        for message in messages {
            let (version, flags) = (message.version, message.flags);
            for event in message.events {
                match event {
                    Event::Use => {
                        self.deliver(std::mem::replace(
                            &mut batch,
                            ChangeBatch::new(Some(member)),
                        ));
                        self.join(member, flags);
                        self.answer_use(member, version);
                    }
                    Event::Release => {
                        self.deliver(std::mem::replace(
                            &mut batch,
                            ChangeBatch::new(Some(member)),
                        ));
                        self.leave(member);
                    }
                    event if self.is_member(member) => {
                        self.request(&mut batch, member, access, version, event);
                    }
                    _ => self.not_in_use(&mut batch),
                }
            }
        }
        self.deliver(batch);
    }

    /// Adds one notice for a message with requests for an object that its member does not use.
    fn not_in_use(&self, batch: &mut ChangeBatch<M>) {
        if batch.own.is_empty() {
            batch.author(Told::Status(Status::SharedObjectNoObjectFound));
        }
    }

    fn request(
        &mut self,
        batch: &mut ChangeBatch<M>,
        member: M,
        access: Access,
        known: u32,
        event: Event,
    ) {
        match event {
            Event::RequestChange { name, value } => {
                let value = Encoded::new(&value);
                match self.may_change(member, access, known, &name, &value) {
                    Ok(()) => self.change(batch, member, &name, value),
                    Err(denied) => self.deny(batch, denied, Some(&name)),
                }
            }
            Event::RequestRemove { name } => {
                match self.may_touch(member, access, known, &name) {
                    Ok(()) if self.slots.value(&name).is_some() => {
                        batch.acknowledges = true;
                        self.remove_slot(batch, &name);
                    }
                    // The slot is gone already.
                    Ok(()) => self.present(batch, &name),
                    Err(denied) => self.deny(batch, denied, Some(&name)),
                }
            }
            Event::RequestClear if access.write => {
                batch.acknowledges = true;
                self.clear_slots(batch);
            }
            Event::SendMessage { values } if access.write => self.pass_on(batch, member, &values),
            Event::RequestClear | Event::SendMessage { .. } => {
                self.deny(batch, Denied::Access, None);
            }
            // Other events are no requests.
            _ => {}
        }
    }

    fn may_change(
        &self,
        member: M,
        access: Access,
        known: u32,
        name: &str,
        value: &Encoded,
    ) -> Result<(), Denied> {
        self.may_touch(member, access, known, name)?;
        self.fits(name, value).map_err(|_| Denied::Limit)
    }

    /// Whether the member may write, and knows the last version of the slot.
    fn may_touch(&self, member: M, access: Access, known: u32, name: &str) -> Result<(), Denied> {
        if !access.write {
            return Err(Denied::Access);
        }
        let later = match self.slots.get(name) {
            Some(slot) => slot.version > known && slot.author != Some(member),
            // A member that knows no version must not restore a removed slot.
            None => known != 0 && known < self.forgotten,
        };
        if later {
            return Err(Denied::Conflict);
        }
        Ok(())
    }

    /// Whether the object may hold this value in this slot, if necessary without tombstones.
    pub(super) fn fits(&self, name: &str, value: &Encoded) -> Result<(), Refused> {
        if name.is_empty() || name.len() > Limits::MAX_SLOT_NAME {
            return Err(Refused::Name);
        }
        if value.size() > self.limits.value {
            return Err(Refused::Value);
        }
        let new = self.slots.value(name).is_none();
        if new && self.slots.live_count() >= self.limits.slots {
            return Err(Refused::Slots);
        }
        if self.slots.live_bytes_with(name, value) > self.limits.bytes {
            return Err(Refused::Bytes);
        }
        Ok(())
    }

    fn change(&mut self, batch: &mut ChangeBatch<M>, member: M, name: &str, value: Encoded) {
        let name = self.set_slot(batch, name, value.clone());
        let server_style = self
            .members
            .get(&member)
            .is_some_and(|flags| flags.is_server_style());
        batch.acknowledges = true;
        batch.author(if server_style {
            Told::Accepted { name, value }
        } else {
            Told::Success { name }
        });
    }

    /// Gives the slot a value; all members but the author of the batch receive it.
    pub(super) fn set_slot(
        &mut self,
        batch: &mut ChangeBatch<M>,
        name: &str,
        value: Encoded,
    ) -> Arc<str> {
        let name = self.put(batch, name, Some(value.clone()), ChangeKind::Changed);
        batch.others.push(Told::Change {
            name: Arc::clone(&name),
            value,
        });
        self.trim();
        name
    }

    /// Removes a slot that has a value.
    pub(super) fn remove_slot(&mut self, batch: &mut ChangeBatch<M>, name: &str) {
        let name = self.put(batch, name, None, ChangeKind::Removed);
        batch.all(Told::Remove { name });
        self.trim();
    }

    fn put(
        &mut self,
        batch: &mut ChangeBatch<M>,
        name: &str,
        value: Option<Encoded>,
        kind: ChangeKind,
    ) -> Arc<str> {
        self.take_version(batch);
        let name = self.slots.shared_name(name);
        if self.observed && batch.author.is_some() {
            batch.changes.push(Change {
                name: Arc::clone(&name),
                kind,
                old: self.slots.value(&name).cloned(),
            });
        }
        let slot = VersionedSlot {
            version: self.version,
            author: batch.author,
            value,
        };
        self.slots.put(Arc::clone(&name), slot);
        self.dirty(&name);
        name
    }

    /// Removes all slots, without tombstones.
    pub(super) fn clear_slots(&mut self, batch: &mut ChangeBatch<M>) {
        self.take_version(batch);
        self.slots.clear();
        (self.horizon, self.forgotten) = (self.version, self.version);
        if let Some(durable) = &mut self.durable {
            durable.cleared();
        }
        if self.observed && batch.author.is_some() {
            batch.changes.push(Change {
                name: Arc::from(""),
                kind: ChangeKind::Cleared,
                old: None,
            });
        }
        batch.all(Told::Clear);
    }

    fn pass_on(&mut self, batch: &mut ChangeBatch<M>, member: M, values: &[Value]) {
        let values = Encoded::list(values);
        if values.size() > self.limits.value {
            return self.deny(batch, Denied::Limit, None);
        }
        if self.observed {
            // The application receives the member's changes before its message.
            self.note_changes(batch, member);
            self.seen.push_back(Seen::Message {
                member,
                values: values.clone(),
            });
        }
        batch.all(Told::Message(values));
    }

    /// Takes the next version for the first change of a batch.
    fn take_version(&mut self, batch: &mut ChangeBatch<M>) {
        if !batch.versioned {
            batch.versioned = true;
            self.version = self.version.saturating_add(1);
        }
    }

    fn deny(&mut self, batch: &mut ChangeBatch<M>, denied: Denied, name: Option<&str>) {
        if matches!(denied, Denied::Limit) {
            self.refused += 1;
        }
        if !matches!(denied, Denied::Conflict) {
            batch.author(Told::Status(Status::SharedObjectNoWriteAccess));
        }
        if let Some(name) = name {
            self.present(batch, name);
        }
    }

    /// Adds the slot's present value or removal for the author.
    fn present(&self, batch: &mut ChangeBatch<M>, name: &str) {
        let name = self.slots.shared_name(name);
        let event = match self.slots.value(&name).cloned() {
            Some(value) => Told::Change { name, value },
            None => Told::Remove { name },
        };
        batch.author(event);
    }

    fn answer_use(&mut self, member: M, known: u32) {
        let mut events = vec![Told::UseSuccess];
        let since = self.durable.as_ref().and_then(|_| self.since(known));
        match since {
            None => {
                events.push(Told::Clear);
                events.extend(self.all_slots());
            }
            Some(since) => {
                let later = self.slots.iter().filter(|(_, slot)| slot.version > since);
                events.extend(later.map(|(name, slot)| {
                    let name = Arc::clone(name);
                    match slot.value.clone() {
                        Some(value) => Told::Change { name, value },
                        None => Told::Remove { name },
                    }
                }));
            }
        }
        self.emit(To::One(member), events, None);
    }

    /// The version from which changes suffice for a member that knows this one; none if it must get
    /// a clear and all slots.
    fn since(&self, known: u32) -> Option<u32> {
        let within = known != 0 && known >= self.horizon && known <= self.version;
        // At the last version of all, changes no longer raise the version.
        (within && self.version < u32::MAX).then_some(known)
    }

    fn join(&mut self, member: M, flags: Flags) {
        let before = self.members.insert(member, flags);
        if before == Some(flags) || self.gate.is_aside(member) {
            return;
        }
        if before.is_some() {
            self.pass(Output::Leave { member }, None);
        }
        self.pass(Output::Join { member, flags }, None);
    }

    fn leave(&mut self, member: M) {
        if self.members.remove(&member).is_some() {
            self.gate.forget(member);
            self.pass(Output::Leave { member }, None);
            if self.members.is_empty() {
                self.members = std::collections::HashMap::new();
                if let Some(durable) = &mut self.durable {
                    durable.commit();
                }
            }
        }
    }

    /// Queues the results of a batch.
    pub(super) fn deliver(&mut self, mut batch: ChangeBatch<M>) {
        if let Some(member) = batch.author {
            self.note_changes(&mut batch, member);
        }
        let ticket = batch
            .versioned
            .then(|| self.durable.as_ref().and_then(Durable::ticket))
            .flatten();
        let ChangeBatch {
            author,
            others,
            own,
            acknowledges,
            differs,
            ..
        } = batch;
        let acknowledged = ticket.filter(|_| acknowledges);
        match author {
            None => self.emit(To::All, others.into_list(), None),
            Some(_) if !differs && acknowledged.is_none() => {
                self.emit(To::All, others.into_list(), None);
            }
            Some(author) => {
                self.emit(To::AllBut(author), others.into_list(), None);
                self.emit(To::One(author), own.into_list(), acknowledged);
            }
        }
    }

    /// Queues a body for the recipients that need not wait, and behind the messages for which
    /// others wait.
    fn emit(&mut self, to: To<M>, events: Vec<Told>, ticket: Option<Ticket>) {
        if !events.is_empty() {
            let version = self.version;
            let body = Arc::new(Body { version, events });
            self.pass(Output::Body { to, body }, ticket);
        }
    }

    fn pass(&mut self, output: Output<M>, ticket: Option<Ticket>) {
        let all = self.strict_ticket();
        self.gate.pass(output, ticket, all, &mut self.outputs);
    }

    /// The write that all output must wait for.
    fn strict_ticket(&self) -> Option<Ticket> {
        self.durable
            .as_ref()
            .and_then(|durable| durable.strict_ticket(self.version))
    }

    fn note_changes(&mut self, batch: &mut ChangeBatch<M>, member: M) {
        if !batch.changes.is_empty() {
            self.seen.push_back(Seen::Changed {
                member,
                changes: std::mem::take(&mut batch.changes),
            });
        }
    }

    /// Drops tombstones that are too many, too old, or needed as room for slots with values.
    pub(super) fn trim(&mut self) {
        while self.slots.tombstone_count() > self.limits.tombstones
            || (self.slots.bytes() > self.limits.bytes && self.slots.tombstone_count() > 0)
        {
            let forgotten = self.slots.forget_oldest();
            self.forget(forgotten);
        }
        let oldest = self.version.saturating_sub(self.resync_depth);
        if oldest > self.horizon {
            self.horizon = oldest;
            self.forget_before(oldest);
        }
    }

    pub(super) fn forget_before(&mut self, version: u32) {
        while let Some(forgotten) = self.slots.forget_older(version) {
            self.forget(Some(forgotten));
        }
    }

    fn forget(&mut self, tombstone: Option<(u32, Arc<str>)>) {
        if let Some((version, name)) = tombstone {
            self.forgotten = self.forgotten.max(version);
            self.horizon = self.horizon.max(version);
            self.dirty(&name);
        }
    }

    pub(super) fn dirty(&mut self, name: &Arc<str>) {
        if let Some(durable) = &mut self.durable {
            durable.dirty(name);
        }
    }
}
