//! A session's end of its lane: its inbox, and the events that it sends.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tributary_node::{
    link::OriginAddress,
    queue::{self, PushError},
};
use tributary_protocol::{
    GroupName, Message, MessageStreamId, SessionId,
    amf::ObjectEncoding,
    link::{
        CloseReason, FromSession, Generation, OpenSession, RelayAddress, Source, Statistics,
        TakeoverKey, ToSession,
    },
    shared_object::Flags,
};

use crate::{
    fanout::LiveStream,
    link::publish::PublishFeed,
    objects::{HubOut, ObjectMessage},
};

mod moving;

pub use moving::Movement;

use moving::Berths;

/// An order to a session of this edge: its source is a ring, its target a feed.
pub type Order = ToSession<Source<Arc<LiveStream>>, PublishFeed>;

/// An item of a session's inbox, in lane order.
#[derive(Debug)]
pub enum FromOrigin {
    /// An order of the origin. A message with a place in a feed waits until the viewer's cursor has
    /// passed that place, 1 s at most; later messages of its message stream wait behind it. The
    /// ring of an attached source may still be before its publication.
    Order(Order),
    /// A message of a shared object that the client uses.
    Object {
        message: Arc<ObjectMessage>,
        /// Set if the message is for clients of this encoding only.
        encoding: Option<ObjectEncoding>,
        /// The flags of the session's Use.
        flags: Flags,
    },
    /// The origin that is about to accept the session takes [`SessionLink::relay`].
    TakesRelays,
    /// A place in the worker's hub: the items that follow wait until it has passed.
    After(u64),
    /// No origin can take the session: answer its connect with NetConnection.Connect.Failed.
    NoOrigin,
    /// The client names an origin that is not configured: answer its connect with
    /// NetConnection.Connect.Rejected.
    UnknownOrigin,
    /// The link to the origin is lost and may come back. Stall and progress timers stand still.
    LinkLost,
    /// The link is back.
    LinkBack,
    /// The mark of the freeze with this number. While [`Upstream::is_frozen`] has it, the session is to
    /// settle: nothing comes behind the mark until [`Upstream::thaw`], but for the loss or the return
    /// of the link. The mark of a freeze that has ended means nothing.
    Freeze(u64),
}

/// A command to the link thread.
#[derive(Debug)]
pub enum ToLane {
    /// An event of a session.
    Session {
        session: SessionId,
        event: FromSession<Box<Opening>>,
    },
    /// A new list of the edge's origins.
    OriginsChanged(Vec<OriginAddress>),
    /// A request for the shared objects that sessions use.
    ListObjects(oneshot::Sender<Vec<ObjectInfo>>),
    /// A step on the way to another process, or from it.
    Move(Movement),
}

/// The opening of a session.
#[derive(Debug)]
pub struct Opening {
    pub request: OpenRequest,
    pub inbox: queue::Sender<FromOrigin>,
    pub park: Arc<Park>,
    /// The hub of the session's worker. Without it, messages of shared objects go to the inbox.
    pub hub: Option<Arc<HubOut>>,
}

impl From<Order> for FromOrigin {
    fn from(order: Order) -> Self {
        Self::Order(order)
    }
}

/// A shared object that sessions of this edge use, as its mirror shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectInfo {
    /// The application instance.
    pub group: String,
    pub name: String,
    /// Whether the object is persistent: it outlives its members.
    pub persistent: bool,
    /// The version of the mirror.
    pub version: u32,
    /// Whether the mirror holds all of it.
    pub complete: bool,
    /// Slots with a value.
    pub slots: usize,
    /// Sessions of this edge that use it.
    pub members: usize,
    /// Bytes of all names and values.
    pub bytes: usize,
}

/// A client's request for a session.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// The application instance.
    pub group: GroupName,
    /// The origin that the client names (`rtmp://edge/?rtmp://origin/app/inst`).
    pub origin: Option<String>,
    /// The client's address and connect command.
    pub open: OpenSession,
}

/// The way of clients' drivers to the link thread; clones share it.
#[derive(Clone, Debug)]
pub struct Upstream {
    lanes: queue::Sender<ToLane>,
    next: Arc<AtomicU64>,
    excess: queue::Excess,
    hub: Option<Arc<HubOut>>,
    /// The sessions that have come from another process.
    berths: Berths,
    /// Rises with each freeze and with each thaw; odd while the links are frozen.
    freezes: Arc<AtomicU64>,
}

/// Bytes in a session's inbox at which it is closed as a slow reader, one message of any permitted
/// size not counted. Reason: commands are never dropped one by one.
pub const INBOX: usize = 64 * 1024;

/// Bytes of all sessions' inboxes together beyond [`INBOX`]. Reason: the memory of the edge is
/// bounded. A message of the largest size fits for each of sixteen clients that do not read; later
/// ones are closed.
pub const INBOX_EXCESS: usize = 256 * 1024 * 1024;

/// Bytes of all sessions together that wait for the link thread. Reason: a park bounds one session
/// alone, to 64 KiB and a message. Beyond this sum, a session that still sends is closed.
pub const UPSTREAM: usize = 256 * 1024 * 1024;

/// The link thread is too far behind: [`UPSTREAM`] is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamFull;

impl Upstream {
    /// An upstream, and the queue that the link thread reads.
    pub fn new() -> (Self, queue::Receiver<ToLane>) {
        let (lanes, commands) = queue::queue(UPSTREAM);
        (
            Self {
                lanes,
                next: Arc::new(AtomicU64::new(1)),
                excess: queue::Excess::new(INBOX_EXCESS),
                hub: None,
                berths: Berths::default(),
                freezes: Arc::default(),
            },
            commands,
        )
    }

    /// The same upstream, for sessions of the worker with this hub.
    pub(crate) fn with_hub(self, hub: Arc<HubOut>) -> Self {
        Self {
            hub: Some(hub),
            ..self
        }
    }

    /// The shared objects that sessions of this edge use; empty if the link thread has ended.
    pub async fn list_objects(&self) -> Vec<ObjectInfo> {
        let (answer, answered) = oneshot::channel();
        let _ = self.lanes.push_control(ToLane::ListObjects(answer));
        answered.await.unwrap_or_default()
    }

    /// Replaces the origins of this edge. An origin whose name and address stay keeps its link and
    /// its sessions. Of a removed origin, sessions that are not accepted move to another; accepted
    /// ones are closed with [`CloseReason::OriginLost`]. A group at an origin that stays is not
    /// moved, even if a new origin becomes its home; an edge without a lane of it opens sessions at
    /// the new home. The command is dropped if the link thread hangs.
    pub fn set_origins(&self, origins: Vec<OriginAddress>) {
        let _ = self.lanes.push_control(ToLane::OriginsChanged(origins));
    }

    /// A number for a session, which no other session of the edge has.
    pub fn number(&self) -> SessionId {
        SessionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Opens a session. Never blocks: the result arrives in the session's inbox.
    pub fn open(&self, request: OpenRequest) -> SessionLink {
        self.open_as(self.number(), request)
    }

    /// As [`Self::open`], with a [`Self::number`] that was drawn before.
    pub fn open_as(&self, session: SessionId, request: OpenRequest) -> SessionLink {
        let (inbox, answers) = queue::queue_within(INBOX, &self.excess);
        let park = Arc::new(Park::default());
        let opening = Opening {
            request,
            inbox,
            park: Arc::clone(&park),
            hub: self.hub.clone(),
        };
        let event = FromSession::Open(Box::new(opening));
        // If the link thread is gone or hangs, the inbox is dropped with the command: the session
        // receives its end.
        let _ = self.lanes.push_control(ToLane::Session { session, event });
        SessionLink::new(session, self.lanes.clone(), answers, park)
    }
}

/// The bytes of a session that wait in its lane for credit. The session and the lane share it.
#[derive(Debug, Default)]
pub struct Park {
    bytes: AtomicUsize,
    room: Notify,
}

impl Park {
    /// Bytes in the park at which the client is not read: 64 KiB beyond the one message that may be
    /// under way.
    pub const LIMIT: usize = 64 * 1024;

    /// Bytes that a message counts besides its payload. Reason: its head and its place in a queue
    /// take memory, so that a flood of empty messages is bounded.
    pub const MESSAGE: usize = 128;

    /// The bytes that a message counts.
    pub fn cost(message: &Message) -> usize {
        Self::MESSAGE + message.payload.len()
    }

    /// Counts bytes that are queued for the lane.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Removes bytes that left the lane for the origin from the count.
    pub fn remove(&self, bytes: usize) {
        // A session that moves to another lane sends its messages again: the count stops at zero.
        let take = |held: usize| Some(held.saturating_sub(bytes));
        let before = self
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        let before = before.unwrap_or_else(|held| held);
        if before > Self::LIMIT && before.saturating_sub(bytes) <= Self::LIMIT {
            self.room.notify_waiters();
        }
    }

    /// Whether the client is not to be read.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > Self::LIMIT
    }

    /// Waits until the park has room.
    pub async fn room(&self) {
        loop {
            let room = self.room.notified();
            if !self.is_full() {
                return;
            }
            room.await;
        }
    }
}

/// A session's end of its lane. A drop without [`SessionLink::close`] ends the session with
/// [`CloseReason::Transport`].
#[derive(Debug)]
pub struct SessionLink {
    id: SessionId,
    lane: queue::Sender<ToLane>,
    inbox: queue::Receiver<FromOrigin>,
    park: Arc<Park>,
    closed: bool,
}

impl SessionLink {
    pub(crate) fn new(
        id: SessionId,
        lane: queue::Sender<ToLane>,
        inbox: queue::Receiver<FromOrigin>,
        park: Arc<Park>,
    ) -> Self {
        Self {
            id,
            lane,
            inbox,
            park,
            closed: false,
        }
    }

    /// The session's number.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Queues a message for the lane. While [`SessionLink::is_full`], the client is not to be read.
    pub fn send(&self, message: Message, generation: Generation) -> Result<(), UpstreamFull> {
        let cost = Park::cost(&message);
        let event = FromSession::Message {
            generation,
            message,
        };
        self.park.add(cost);
        match self.lane.push(self.command(event), cost) {
            // The inbox of a closed lane has its end already.
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
            Err(PushError::Full(_)) => Err(UpstreamFull),
        }
    }

    /// Notifies the origin that the client is silent while it publishes, or no longer. Dropped if
    /// the link thread hangs: the next change replaces it.
    pub fn stalled(&self, stream: MessageStreamId, stalled: bool) {
        let _ = self
            .lane
            .push_control(self.command(FromSession::Stalled { stream, stalled }));
    }

    /// Sends the origin the figures of the session's connection. Dropped if the link thread hangs:
    /// the next figures replace them.
    pub fn statistics(&self, statistics: Statistics) {
        let _ = self
            .lane
            .push_control(self.command(FromSession::Statistics(statistics)));
    }

    /// Notifies the origin that the client is asked to reconnect, with this key. Dropped if the link
    /// thread hangs: the client then takes its names over as any other would.
    pub fn reconnects(&self, key: TakeoverKey) {
        let _ = self
            .lane
            .push_control(self.command(FromSession::Reconnects(key)));
    }

    /// Sends the origin the address by which the next publish or play of a message stream is relayed.
    /// The command follows at once. Only after [`FromOrigin::TakesRelays`].
    pub fn relay(
        &self,
        stream: MessageStreamId,
        address: RelayAddress,
    ) -> Result<(), UpstreamFull> {
        let cost = address.as_str().len();
        let event = FromSession::Relay { stream, address };
        match self.lane.push(self.command(event), cost) {
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
            Err(PushError::Full(_)) => Err(UpstreamFull),
        }
    }

    /// Whether the client is not to be read.
    pub fn is_full(&self) -> bool {
        self.park.is_full()
    }

    /// The park. Wait on [`Park::room`] while it is full.
    pub fn park(&self) -> &Arc<Park> {
        &self.park
    }

    /// Waits for the next item of the inbox; `None` if the lane is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<FromOrigin> {
        self.inbox.next().await
    }

    /// The next item of the inbox, if there is one.
    pub fn try_next(&mut self) -> Option<FromOrigin> {
        self.inbox.try_next()
    }

    /// A probe that shows whether the inbox has an item.
    pub(crate) fn probe(&self) -> queue::Probe {
        self.inbox.probe()
    }

    /// Ends the session.
    pub fn close(mut self, reason: CloseReason) {
        self.end(reason);
    }

    fn end(&mut self, reason: CloseReason) {
        if !std::mem::replace(&mut self.closed, true) {
            let _ = self
                .lane
                .push_final(self.command(FromSession::Close(reason)));
        }
    }

    fn command(&self, event: FromSession<Box<Opening>>) -> ToLane {
        ToLane::Session {
            session: self.id,
            event,
        }
    }
}

impl Drop for SessionLink {
    fn drop(&mut self) {
        self.end(CloseReason::Transport);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{MessageType, RtmpTimestamp};

    use super::*;

    #[test]
    fn a_link_that_is_far_behind_takes_nothing_more_but_ends() {
        let (upstream, mut commands) = Upstream::new();
        let group: GroupName = "live/room".parse().unwrap();
        let open = OpenSession {
            peer: "127.0.0.1:5000".parse().unwrap(),
            protocol: "rtmp".to_owned(),
            connect: Bytes::new(),
            claims: None,
        };
        let session = upstream.open(OpenRequest {
            group,
            origin: None,
            open,
        });
        let message = Message {
            kind: MessageType::COMMAND_AMF0,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(0),
            payload: Bytes::from(vec![0; 1 << 20]),
        };
        let mut taken = 0;
        while session.send(message.clone(), Generation(0)).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, UPSTREAM / ((1 << 20) + Park::MESSAGE) + 1);
        session.close(CloseReason::Limit);
        let mut last = None;
        while let Some(command) = commands.try_next() {
            last = Some(command);
        }
        assert!(
            matches!(
                last,
                Some(ToLane::Session {
                    event: FromSession::Close(CloseReason::Limit),
                    ..
                })
            ),
            "{last:?}"
        );
    }
}
