//! One client in its worker's hub: its memberships, and the messages that wait for it.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    sync::Arc,
};

use bytes::Bytes;
use tributary_node::queue::Probe;
use tributary_protocol::{
    Message, MessageStreamId, SessionId, amf::ObjectEncoding, shared_object::Flags,
};

use super::{
    ObjectKey, ObjectMessage, Recipient,
    batch::{Got, ObjectBatch},
};
use crate::wire::Wire;

mod parcel;

/// The seat of one client.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(super) session: SessionId,
    wire: Rc<Wire>,
    /// Shows whether the session's inbox has items.
    inbox: Probe,
    encoding: ObjectEncoding,
    /// The message stream on which the client uses objects.
    stream: Cell<MessageStreamId>,
    /// The place that the hub has to pass before the session handles its next item.
    after: Cell<Option<u64>>,
    /// Whether the waiting messages have exceeded their bound.
    overflowed: Cell<bool>,
    waiting: RefCell<SeatQueue>,
    members: RefCell<Vec<Rc<Member>>>,
}

/// The messages that wait until the client's socket takes them.
#[derive(Debug, Default)]
struct SeatQueue {
    entries: VecDeque<Entry>,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    /// The place of the message in the hub's order; of several, that of the first.
    place: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    /// One message.
    Message(Arc<ObjectMessage>, Rc<Member>),
    /// The values that the slots which the member has missed hold when the member can get them.
    CatchUp(Rc<Member>),
}

/// A membership of one object.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) seat: Rc<Seat>,
    pub(super) key: ObjectKey,
    pub(super) flags: Cell<Flags>,
    /// Whether the member stands aside.
    pub(super) aside: Cell<bool>,
    /// The place up to which the member has every change; set while it is behind.
    pub(super) had: Cell<Option<u64>>,
    /// The highest version that the member has got; later messages have no lower one.
    seen: Cell<u32>,
    /// The member's slot in the audience.
    pub(super) slot: Cell<usize>,
}

/// Bytes that an entry counts besides its payload.
const ENTRY: usize = 64;

/// Bytes that wait for a client that takes nothing, one message of any size not counted. Reason:
/// its inbox holds as many bytes of its session's messages.
const MOST_UNREAD: usize = 64 * 1024;

/// Bytes that wait for a client that is not known to be slow, one message of any size not counted.
/// Reason: more than two runs, between which its session has its turn.
const MOST_WAITING: usize = 1024 * 1024;

impl Member {
    pub(super) fn new(seat: &Rc<Seat>, key: ObjectKey, flags: Flags, aside: bool) -> Rc<Self> {
        Rc::new(Self {
            seat: Rc::clone(seat),
            key,
            flags: Cell::new(flags),
            aside: Cell::new(aside),
            had: Cell::new(None),
            seen: Cell::new(0),
            slot: Cell::new(0),
        })
    }
}

impl Seat {
    pub(crate) fn new(
        session: SessionId,
        wire: Rc<Wire>,
        inbox: Probe,
        encoding: ObjectEncoding,
    ) -> Rc<Self> {
        Rc::new(Self {
            session,
            wire,
            inbox,
            encoding,
            stream: Cell::new(MessageStreamId::CONNECTION),
            after: Cell::new(None),
            overflowed: Cell::new(false),
            waiting: RefCell::default(),
            members: RefCell::default(),
        })
    }

    /// Sets the message stream on which the client uses objects, and gets their messages.
    pub(crate) fn set_stream(&self, stream: MessageStreamId) {
        self.stream.set(stream);
    }

    /// The parts of the client's copies that differ from those of others.
    pub(crate) fn recipient(&self, flags: Flags) -> Recipient {
        Recipient {
            stream: self.stream.get(),
            encoding: self.encoding,
            flags,
        }
    }

    /// Sets the place that the hub has to pass before the session handles its next item.
    pub(crate) fn set_after(&self, place: Option<u64>) {
        self.after.set(place);
    }

    /// The place that the session waits for.
    pub(crate) fn after(&self) -> Option<u64> {
        self.after.get()
    }

    /// Whether the waiting messages have exceeded their bound.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed.get()
    }

    /// Marks the seat as over its bound: the missed changes are lost.
    pub(super) fn overflow(&self) {
        self.overflowed.set(true);
        self.wire.signal().notify_one();
    }

    /// Bytes of the waiting messages.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.borrow().weight
    }

    /// Takes the first waiting message, if its place is not after this one. `catch_up` makes the
    /// body of the changes that a member has missed.
    pub(super) fn take_before(
        &self,
        place: u64,
        catch_up: impl Fn(&Member) -> Option<Bytes>,
    ) -> Option<Message> {
        loop {
            let first = self.waiting.borrow().entries.front()?.place;
            if first > place {
                return None;
            }
            if let Some((message, member)) = self.take(&catch_up) {
                return Some(message.to(self.recipient(member.flags.get())));
            }
        }
    }

    /// Sends the waiting messages for as long as the socket takes them. Returns a message that the
    /// session has to send. `catch_up` as for [`Self::take_before`].
    pub(super) fn release(&self, catch_up: impl Fn(&Member) -> Option<Bytes>) -> Option<Message> {
        while self.may_release() {
            let Some((message, member)) = self.take(&catch_up) else {
                continue;
            };
            let flags = member.flags.get();
            let recipient = self.recipient(flags);
            if flags.is_server_style() {
                return Some(message.to(recipient));
            }
            let mut batch = ObjectBatch::default();
            batch.push(0, &message, self.encoding);
            if let Got::Before(_) = batch.write(&self.wire, recipient) {
                self.put_back(message, member);
                break;
            }
        }
        None
    }

    fn may_release(&self) -> bool {
        let something = !self.waiting.borrow().entries.is_empty();
        something && !self.wire.is_blocked() && !self.is_busy()
    }

    /// Whether the hub may write to the client's socket.
    pub(super) fn is_clear(&self) -> bool {
        !self.is_full() && !self.is_busy()
    }

    /// Whether the client's socket takes nothing now, or messages wait already.
    pub(super) fn is_full(&self) -> bool {
        self.wire.is_blocked() || !self.waiting.borrow().entries.is_empty()
    }

    /// Whether the session has items to handle, which may come before messages of the hub.
    pub(super) fn is_busy(&self) -> bool {
        self.after.get().is_some() || !self.inbox.is_empty()
    }

    pub(super) fn wire(&self) -> &Rc<Wire> {
        &self.wire
    }

    pub(super) fn encoding(&self) -> ObjectEncoding {
        self.encoding
    }

    /// Queues a message for a member.
    pub(super) fn push(&self, place: u64, message: Arc<ObjectMessage>, member: &Rc<Member>) {
        let weight = message.size() + ENTRY;
        self.add(place, What::Message(message, Rc::clone(member)), weight);
    }

    /// Queues the changes that a member has missed; later values may replace them while they wait.
    pub(super) fn push_catch_up(&self, place: u64, member: &Rc<Member>) {
        self.add(place, What::CatchUp(Rc::clone(member)), ENTRY);
    }

    fn add(&self, place: u64, what: What, weight: usize) {
        let mut waiting = self.waiting.borrow_mut();
        // A client that takes bytes gets the waiting messages in its session's next turn.
        let most = match self.wire.is_blocked() {
            true => MOST_UNREAD,
            false => MOST_WAITING,
        };
        if waiting.weight >= most {
            self.overflowed.set(true);
        } else {
            waiting.weight += weight;
            waiting.entries.push_back(Entry { place, what });
        }
        drop(waiting);
        self.wire.signal().notify_one();
    }

    /// Fixes the changes that the member has missed: later values must not overtake the message
    /// that follows.
    pub(super) fn freeze(&self, member: &Rc<Member>, missed: Option<Bytes>) {
        let made = missed.and_then(ObjectMessage::new);
        let mut waiting = self.waiting.borrow_mut();
        let of = |entry: &Entry| matches!(&entry.what, What::CatchUp(of) if Rc::ptr_eq(of, member));
        let Some(index) = waiting.entries.iter().position(of) else {
            return;
        };
        match made {
            Some(message) => {
                waiting.weight += message.size();
                let message = Arc::new(message);
                waiting.entries[index].what = What::Message(message, Rc::clone(member));
            }
            None => {
                waiting.weight -= ENTRY;
                waiting.entries.remove(index);
            }
        }
    }

    /// Takes the first waiting message.
    fn take(
        &self,
        catch_up: impl Fn(&Member) -> Option<Bytes>,
    ) -> Option<(Arc<ObjectMessage>, Rc<Member>)> {
        let mut waiting = self.waiting.borrow_mut();
        let entry = waiting.entries.pop_front()?;
        waiting.weight -= ENTRY;
        if let What::Message(message, _) = &entry.what {
            waiting.weight -= message.size();
        }
        if waiting.entries.is_empty() {
            waiting.entries = VecDeque::new();
        }
        drop(waiting);
        let (message, member) = match entry.what {
            What::Message(message, member) => (message, member),
            What::CatchUp(member) => {
                let body = catch_up(&member)?;
                (Arc::new(ObjectMessage::new(body)?), member)
            }
        };
        let seen = member.seen.get().max(message.version());
        member.seen.set(seen);
        match message.version() {
            version if version < seen => Some((Arc::new(message.at_version(seen)), member)),
            _ => Some((message, member)),
        }
    }

    fn put_back(&self, message: Arc<ObjectMessage>, member: Rc<Member>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.weight += message.size() + ENTRY;
        waiting.entries.push_front(Entry {
            // Place 0 keeps it before every other message.
            place: 0,
            what: What::Message(message, member),
        });
    }

    pub(super) fn sit(&self, member: Rc<Member>) {
        self.members.borrow_mut().push(member);
    }

    pub(super) fn member_of(&self, audience: ObjectKey) -> Option<Rc<Member>> {
        let members = self.members.borrow();
        let mut members = members.iter();
        members.find(|member| member.key == audience).cloned()
    }

    /// Ends a membership.
    pub(super) fn rise(&self, member: &Rc<Member>) {
        let mut members = self.members.borrow_mut();
        members.retain(|other| !Rc::ptr_eq(other, member));
        if members.is_empty() {
            *members = Vec::new();
        }
    }

    /// Ends all memberships, and drops the waiting messages.
    pub(super) fn rise_from_all(&self) -> Vec<Rc<Member>> {
        *self.waiting.borrow_mut() = SeatQueue::default();
        std::mem::take(&mut self.members.borrow_mut())
    }
}
