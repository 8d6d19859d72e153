//! One worker's queue for shared objects, and the delivery from it.
//!
//! The link thread queues a message once for each worker with members. The hub takes the messages
//! that have gathered for one object, makes one buffer of them for each encoding, and writes it to
//! the members' sockets. Each item of the queue has a *place* in its order. An item `After` in a
//! session's inbox names a place: the session waits until the hub has passed it, so that a client
//! gets its objects and its session in one order.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    ops::Deref,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tributary_node::queue;
use tributary_protocol::{
    Message, SessionId,
    amf::ObjectEncoding,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    shared_object::Flags,
};

use super::{
    Delivery, HubOut, ObjectKey, ObjectMessage, Recipient, Seat, ToHub,
    audience::{Behind, LocalAudience},
    batch::{Got, ObjectBatch},
    seat::Member,
};
use crate::{metrics::Metrics, wire::Wire};

/// The worker's end of the queue, its seats and its audiences.
pub(crate) struct Hub {
    queue: RefCell<queue::Receiver<ToHub>>,
    taken: Cell<u64>,
    passed: Cell<u64>,
    /// An item that ended the last run, and follows it.
    next: RefCell<Option<ToHub>>,
    audiences: RefCell<HashMap<ObjectKey, Rc<LocalAudience>>>,
    seats: RefCell<HashMap<SessionId, Rc<Seat>>>,
    batches: RefCell<[ObjectBatch; 2]>,
    /// Connections that wait until the hub has passed a place.
    waiting: RefCell<Vec<(u64, Rc<Wire>)>>,
    metrics: Arc<Metrics>,
}

/// Messages of one object that are delivered together.
struct Run {
    deliveries: Vec<Delivery>,
    /// The place of the first message.
    place: u64,
    /// The merged changes of a storm, which all members get in place of the messages.
    sum: Option<Box<Behind>>,
}

/// A member that did not get all of a run at once, and the index of the first message it lacks.
struct Laggard {
    member: Rc<Member>,
    from: usize,
}

/// Messages in one run.
const MAX_RUN: usize = 256;

/// A run with at least this many messages, all of them changes alone, is sent as one merged change.
/// Reason: the worker is behind, or a member storms.
const STORM: usize = 16;

/// Bytes of a run beyond which no message is added. Reason: a socket takes little more than its
/// bound on unsent bytes at once.
const MAX_RUN_BYTES: usize = 256 * 1024;

/// Members served before other tasks of the worker get a turn.
const SLICE: usize = 128;

/// A run that took longer than this is followed by a pause as long as the run, [`MOST_REST`] at
/// most: messages that arrive meanwhile leave in the same writes.
const LONG_RUN: Duration = Duration::from_micros(500);
const MOST_REST: Duration = Duration::from_millis(4);

impl Hub {
    /// A worker's hub and the link's end of it.
    pub(crate) fn new(metrics: Arc<Metrics>) -> (Rc<Self>, Arc<HubOut>) {
        let (hub_out, receiver) = HubOut::new();
        let hub = Rc::new(Self {
            queue: RefCell::new(receiver),
            taken: Cell::new(0),
            passed: Cell::new(0),
            next: RefCell::default(),
            audiences: RefCell::default(),
            seats: RefCell::default(),
            batches: RefCell::default(),
            waiting: RefCell::default(),
            metrics,
        });
        (hub, hub_out)
    }

    /// Delivers the items of the queue for as long as the link thread runs.
    pub(crate) async fn run(self: Rc<Self>) {
        while let Some(what) = self.take().await {
            let begun = Instant::now();
            match what {
                ToHub::Join {
                    audience,
                    session,
                    flags,
                    aside,
                } => self.join(audience, session, flags, aside),
                ToHub::Leave { audience, session } => self.leave(audience, session),
                ToHub::Deliver(first) => self.deliver(first).await,
            }
            self.pass();
            let took = begun.elapsed();
            if took >= LONG_RUN {
                sleep_until(begun + took + took.min(MOST_REST)).await;
            } else if self.next.borrow().is_some() || !self.queue.borrow().is_empty() {
                // Sessions get their turn between runs.
                yield_now().await;
            }
        }
    }

    /// Adds the seat of a client, which may be a member of objects for as long as the guard lives.
    pub(crate) fn enter(self: &Rc<Self>, seat: Rc<Seat>) -> Seated {
        self.seats
            .borrow_mut()
            .insert(seat.session, Rc::clone(&seat));
        let hub = Rc::clone(self);
        Seated { hub, seat }
    }

    /// As [`Self::enter`], for a client that comes from another process with this record.
    pub(crate) fn enter_moved(
        self: &Rc<Self>,
        seat: Rc<Seat>,
        parcel: &mut ParcelReader<'_>,
    ) -> Result<Seated, ParcelError> {
        let seated = self.enter(seat);
        for member in seated.import(parcel)? {
            let mut audiences = self.audiences.borrow_mut();
            audiences.entry(member.key).or_default().insert(&member);
        }
        Ok(seated)
    }

    /// The place of the newest item: after it, nothing is on its way from the link thread.
    pub(crate) fn newest(&self) -> u64 {
        self.taken.get() + self.queue.borrow().len() as u64
    }

    fn forget(&self, seat: &Seat) {
        self.seats.borrow_mut().remove(&seat.session);
        for member in seat.rise_from_all() {
            self.remove(&member);
        }
    }

    /// Whether all items up to this place are delivered.
    pub(crate) fn has_passed(&self, place: u64) -> bool {
        self.passed.get() >= place
    }

    /// Wakes the connection when the hub has passed this place.
    pub(crate) fn wake_at(&self, place: u64, wire: &Rc<Wire>) {
        self.waiting.borrow_mut().push((place, Rc::clone(wire)));
    }

    async fn take(&self) -> Option<ToHub> {
        if let Some(next) = self.next.borrow_mut().take() {
            return Some(next);
        }
        let what = poll_fn(|cx| self.queue.borrow_mut().poll_next(cx)).await?;
        self.taken.set(self.taken.get() + 1);
        Some(what)
    }

    /// Passes the place of the last delivered item, and wakes the connections that wait for it.
    fn pass(&self) {
        let in_hand = u64::from(self.next.borrow().is_some());
        self.passed.set(self.taken.get() - in_hand);
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return;
        }
        let passed = self.passed.get();
        waiting.retain(|(place, wire)| {
            let waits = *place > passed;
            if !waits {
                wire.signal().notify_one();
            }
            waits
        });
        if waiting.is_empty() {
            *waiting = Vec::new();
        }
    }

    fn join(&self, audience: ObjectKey, session: SessionId, flags: Flags, aside: bool) {
        let Some(seat) = self.seats.borrow().get(&session).cloned() else {
            return;
        };
        if let Some(member) = seat.member_of(audience) {
            member.flags.set(flags);
            member.aside.set(aside);
            return;
        }
        let member = Member::new(&seat, audience, flags, aside);
        let mut audiences = self.audiences.borrow_mut();
        audiences.entry(audience).or_default().insert(&member);
        seat.sit(member);
    }

    fn leave(&self, audience: ObjectKey, session: SessionId) {
        let seat = self.seats.borrow().get(&session).cloned();
        let Some((seat, member)) = seat.and_then(|seat| {
            let member = seat.member_of(audience)?;
            Some((seat, member))
        }) else {
            return;
        };
        // A member that leaves still gets the changes from before.
        if member.had.get().is_some() {
            seat.freeze(&member, self.catch_up(&member));
        }
        seat.rise(&member);
        self.remove(&member);
    }

    fn remove(&self, member: &Member) {
        let mut audiences = self.audiences.borrow_mut();
        let Some(audience) = audiences.get(&member.key) else {
            return;
        };
        audience.remove(member);
        if audience.is_empty() {
            audiences.remove(&member.key);
            if audiences.is_empty() {
                *audiences = HashMap::new();
            }
        }
    }

    /// The changes that the member has missed, in one body.
    fn catch_up(&self, member: &Member) -> Option<Bytes> {
        let audiences = self.audiences.borrow();
        audiences.get(&member.key)?.catch_up(member)
    }

    /// Delivers a run: this message, and those of the same object behind it.
    async fn deliver(&self, first: Delivery) {
        let run = self.gather(first);
        let key = run.deliveries[0].audience;
        let known = self.audiences.borrow().get(&key).cloned();
        let Some(audience) = known else { return };
        let mut laggards = Vec::new();
        let mut from = 0;
        while let Some(members) = audience.members(from, from + SLICE) {
            if from > 0 {
                yield_now().await;
            }
            for member in members {
                if !member.aside.get()
                    && let Some(from) = self.write_run(&run, &member)
                {
                    laggards.push(Laggard { member, from });
                }
            }
            from += SLICE;
        }
        for batch in &mut *self.batches.borrow_mut() {
            batch.clear();
        }
        for (index, delivery) in run.deliveries.iter().enumerate() {
            let place = run.place + index as u64;
            self.follow(&audience, (place, index), delivery, &laggards);
            // Records the changes before any other task runs: members that are behind rely on it.
            if !audience.note(place, delivery) {
                for laggard in &laggards {
                    laggard.member.seat.overflow();
                }
            }
            if laggards.len() > SLICE {
                yield_now().await;
            }
        }
    }

    fn gather(&self, first: Delivery) -> Run {
        let place = self.taken.get();
        let mut bytes = first.message.size();
        let mut run = vec![first];
        let mut queue = self.queue.borrow_mut();
        while run.len() < MAX_RUN && bytes < MAX_RUN_BYTES {
            let Some(what) = queue.try_next() else { break };
            self.taken.set(self.taken.get() + 1);
            match what {
                ToHub::Deliver(delivery) if delivery.audience == run[0].audience => {
                    bytes += delivery.message.size();
                    run.push(delivery);
                }
                other => {
                    *self.next.borrow_mut() = Some(other);
                    break;
                }
            }
        }
        Run::new(run, place)
    }

    /// Writes a run to a member whose socket takes it at once. Returns the first message that the
    /// member lacks.
    fn write_run(&self, run: &Run, member: &Member) -> Option<usize> {
        let seat = &member.seat;
        let is_author = run.is_author(seat.session);
        let apart = is_author && run.sum.is_none() || member.flags.get().is_server_style();
        if apart || member.had.get().is_some() || !seat.is_clear() {
            return Some(0);
        }
        let encoding = seat.encoding();
        let recipient = seat.recipient(member.flags.get());
        let got = if is_author {
            let mut own = ObjectBatch::default();
            run.fill(&mut own, encoding, Some(seat.session));
            self.write(&mut own, seat.wire(), recipient)
        } else {
            let mut batches = self.batches.borrow_mut();
            let batch = &mut batches[usize::from(encoding == ObjectEncoding::Amf3)];
            if batch.is_empty() {
                run.fill(batch, encoding, None);
            }
            self.write(batch, seat.wire(), recipient)
        };
        match got {
            Got::All => None,
            Got::Before(index) => Some(index),
        }
    }

    fn write(&self, batch: &mut ObjectBatch, wire: &Wire, recipient: Recipient) -> Got {
        let got = batch.write(wire, recipient);
        if got == Got::All {
            self.metrics.object_messages.inc_by(batch.len() as u64);
        }
        got
    }

    /// Sends one message of a run to the members that lack it.
    fn follow(
        &self,
        audience: &LocalAudience,
        (place, index): (u64, usize),
        delivery: &Delivery,
        laggards: &[Laggard],
    ) {
        for Laggard { member, from } in laggards {
            let seat = &member.seat;
            let is_for = delivery.all_but != Some(seat.session)
                && delivery.encoding.is_none_or(|only| only == seat.encoding());
            if index >= *from && is_for {
                self.offer(audience, place, &delivery.message, member);
            }
        }
    }

    fn offer(
        &self,
        audience: &LocalAudience,
        place: u64,
        message: &Arc<ObjectMessage>,
        member: &Rc<Member>,
    ) {
        let seat = &member.seat;
        let flags = member.flags.get();
        // The session sends messages of a server-style member, among its commands.
        if !flags.is_server_style() && member.had.get().is_none() && seat.is_clear() {
            let mut single = ObjectBatch::default();
            single.push(0, message, seat.encoding());
            if self.write(&mut single, seat.wire(), seat.recipient(flags)) == Got::All {
                return;
            }
        }
        if message.is_changes_alone() && seat.is_full() && !seat.is_busy() {
            self.metrics.object_changes_gathered.inc();
            if member.had.get().is_none() {
                audience.falls_behind(member, place - 1);
                seat.push_catch_up(place, member);
            }
            return;
        }
        if message.has_changes() && member.had.get().is_some() {
            seat.freeze(member, audience.catch_up(member));
        }
        self.metrics.object_messages.inc();
        seat.push(place, Arc::clone(message), member);
    }
}

impl Run {
    fn new(deliveries: Vec<Delivery>, place: u64) -> Self {
        let storms =
            deliveries.len() >= STORM && deliveries.iter().all(|it| it.message.is_changes_alone());
        let sum = storms.then(|| {
            let mut sum = Box::<Behind>::default();
            for (place, delivery) in (place..).zip(&deliveries) {
                // The bounds of a run keep the changes within theirs.
                let _ = sum.note(place, delivery);
            }
            sum
        });
        Self {
            deliveries,
            place,
            sum,
        }
    }

    fn is_author(&self, session: SessionId) -> bool {
        let mut deliveries = self.deliveries.iter();
        deliveries.any(|delivery| delivery.all_but == Some(session))
    }

    /// Fills a batch with the messages for members of this encoding, or for one author. An author
    /// does not get its own changes.
    fn fill(&self, batch: &mut ObjectBatch, encoding: ObjectEncoding, author: Option<SessionId>) {
        if let Some(sum) = &self.sum {
            let nobody = SessionId(u64::MAX);
            let body = sum.catch_up(0, author.unwrap_or(nobody), encoding);
            if let Some(message) = body.and_then(ObjectMessage::new) {
                batch.push(0, &Arc::new(message), encoding);
            }
            return;
        }
        for (index, delivery) in self.deliveries.iter().enumerate() {
            if delivery.encoding.is_none_or(|only| only == encoding) {
                batch.push(index, &delivery.message, encoding);
            }
        }
    }
}

/// A client's seat in a hub. Its drop, also by a session's task that fails, ends all memberships: a
/// membership that stays would keep the socket open.
#[derive(Debug)]
pub(crate) struct Seated {
    hub: Rc<Hub>,
    seat: Rc<Seat>,
}

impl Seated {
    /// Takes the first waiting message, if its place is not after this one.
    pub(crate) fn take_before(&self, place: u64) -> Option<Message> {
        let catch_up = |member: &Member| self.hub.catch_up(member);
        self.seat.take_before(place, catch_up)
    }

    /// Writes the seat for another process.
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        self.seat.export(parcel, |member| self.hub.catch_up(member));
    }

    /// Sends the waiting messages for as long as the socket takes them. Returns a message that the
    /// session has to send.
    pub(crate) fn release(&self) -> Option<Message> {
        self.seat.release(|member| self.hub.catch_up(member))
    }
}

impl Deref for Seated {
    type Target = Rc<Seat>;

    fn deref(&self) -> &Rc<Seat> {
        &self.seat
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.hub.forget(&self.seat);
    }
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}
