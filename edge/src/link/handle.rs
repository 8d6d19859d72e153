//! A session's end of its lane: the items of its inbox, and the events it sends.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use serde::Serialize;
use tokio::sync::{Notify, oneshot};
use tributary_node::queue::{self, PushError};
use tributary_protocol::{
    GroupName, Message, MessageStreamId, SessionId,
    amf::ObjectEncoding,
    link::{CloseReason, FromSession, Generation, OpenSession, Source, Statistics, ToSession},
    shared_object::Flags,
};

use crate::{
    fanout::LiveStream,
    link::{config::OriginAddress, publish::PublishFeed},
    objects::{HubOut, ObjectMessage},
};

/// An order to a session of this edge: its source is a ring, its target a feed.
pub type Order = ToSession<Source<Arc<LiveStream>>, PublishFeed>;

/// An item of a session's inbox, in lane order.
#[derive(Debug)]
pub enum FromOrigin {
    /// An order of the origin. A message with a place in a feed, and every later message of the
    /// same message stream, waits until the viewer's cursor has passed that place, or 1 s. The
    /// ring of an attached source may not have come to its publication.
    Order(Order),
    /// A message of a shared object that the client uses.
    Object {
        /// The message.
        message: Arc<ObjectMessage>,
        /// The message is for clients of this encoding only.
        encoding: Option<ObjectEncoding>,
        /// The flags of its Use.
        flags: Flags,
    },
    /// The session waits until the worker's hub has passed this place.
    After(u64),
    /// No origin can take the session: answer its connect with NetConnection.Connect.Failed.
    NoOrigin,
    /// The origin the client names is not a configured one: answer its connect with
    /// NetConnection.Connect.Rejected.
    UnknownOrigin,
    /// The link to the origin is lost; it may come back. Stall and progress timers stand still.
    LinkLost,
    /// The link is back.
    LinkBack,
}

/// A command to the link thread.
#[derive(Debug)]
pub enum ToLane {
    /// An event of a session.
    Session {
        /// The session.
        session: SessionId,
        /// The event.
        event: FromSession<Box<Opening>>,
    },
    /// The origins from now on.
    OriginsChanged(Vec<OriginAddress>),
    /// A request for the shared objects that sessions use.
    ListObjects(oneshot::Sender<Vec<ObjectInfo>>),
}

/// The opening of a session.
#[derive(Debug)]
pub struct Opening {
    /// The client's request.
    pub request: OpenRequest,
    /// The session's inbox.
    pub inbox: queue::Sender<FromOrigin>,
    /// The session's park.
    pub park: Arc<Park>,
    /// The hub of the session's worker. Without it, messages of shared objects go through the inbox.
    pub hub: Option<Arc<HubOut>>,
}

impl From<Order> for FromOrigin {
    fn from(order: Order) -> Self {
        Self::Order(order)
    }
}

/// A shared object that sessions of this edge use, as its mirror here knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectInfo {
    /// The application instance.
    pub group: String,
    /// The object.
    pub name: String,
    /// Whether it outlives its members.
    pub persistent: bool,
    /// Its version.
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

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct OpenRequest {
    /// The application instance.
    pub group: GroupName,
    /// The origin the client names (`rtmp://edge/?rtmp://origin/app/inst`).
    pub origin: Option<String>,
    /// Who the client is.
    pub open: OpenSession,
}

/// Where clients' drivers open their sessions. Clones open in the same place.
#[derive(Clone, Debug)]
pub struct Upstream {
    lanes: queue::Sender<ToLane>,
    next: Arc<AtomicU64>,
    excess: queue::Excess,
    hub: Option<Arc<HubOut>>,
}

/// What waits in a session's inbox before it is closed as a slow reader, in bytes, one message of
/// any permitted size not counted. Reason: commands are never dropped one by one.
pub const INBOX: usize = 64 * 1024;

/// What all sessions' inboxes may hold together beyond that, in bytes. Reason: a message of the
/// largest size fits for each of sixteen clients that do not read; with thousands of them the edge
/// must not run out of memory, so those that come later are closed.
pub const INBOX_EXCESS: usize = 256 * 1024 * 1024;

/// What all sessions together may have waiting for the link's thread, in bytes. Reason: each
/// session's park bounds it alone, 64 KiB and a message; when the thread is behind by this much, those
/// that still send are closed.
pub const UPSTREAM: usize = 256 * 1024 * 1024;

/// The link's thread is too far behind for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamFull;

impl Upstream {
    /// The clients' end and the lanes' end.
    pub fn new() -> (Self, queue::Receiver<ToLane>) {
        let (lanes, commands) = queue::queue(UPSTREAM);
        (
            Self {
                lanes,
                next: Arc::new(AtomicU64::new(1)),
                excess: queue::Excess::new(INBOX_EXCESS),
                hub: None,
            },
            commands,
        )
    }

    /// The same, for sessions of a worker with this hub.
    pub(crate) fn with_hub(self, hub: Arc<HubOut>) -> Self {
        Self {
            hub: Some(hub),
            ..self
        }
    }

    /// The shared objects that sessions of this edge use; none if the links are gone.
    pub async fn list_objects(&self) -> Vec<ObjectInfo> {
        let (answer, answered) = oneshot::channel();
        let _ = self.lanes.push_control(ToLane::ListObjects(answer));
        answered.await.unwrap_or_default()
    }

    /// Replaces the origins of this edge. An origin whose name and address stay keeps its link and
    /// its sessions. Of an origin that leaves, the sessions that are not accepted look for another,
    /// and the accepted ones are closed with [`CloseReason::OriginLost`]. A group that lives at an
    /// origin which stays is not moved, also when a new origin is its home from now on; an edge
    /// without a lane of it opens sessions at the new home. Dropped when the link's thread hangs.
    pub fn set_origins(&self, origins: Vec<OriginAddress>) {
        let _ = self.lanes.push_control(ToLane::OriginsChanged(origins));
    }

    /// Opens a session. Never blocks: what comes of it arrives in the session's inbox.
    pub fn open(&self, request: OpenRequest) -> SessionLink {
        let session = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let (inbox, answers) = queue::queue_within(INBOX, &self.excess);
        let park = Arc::new(Park::default());
        let opening = Opening {
            request,
            inbox,
            park: Arc::clone(&park),
            hub: self.hub.clone(),
        };
        let event = FromSession::Open(Box::new(opening));
        // When the lanes are gone, or hang, the inbox is dropped with the command: the session sees
        // its end.
        let _ = self.lanes.push_control(ToLane::Session { session, event });
        SessionLink::new(session, self.lanes.clone(), answers, park)
    }
}

/// How much of a session waits in its lane for credit, shared by the session and the lane.
#[derive(Debug, Default)]
pub struct Park {
    bytes: AtomicUsize,
    room: Notify,
}

impl Park {
    /// What a session may park before its client is unread, in bytes: 64 KiB beyond the one
    /// message that may be under way.
    pub const LIMIT: usize = 64 * 1024;

    /// What a message in the park counts besides its payload, in bytes. Reason: its head and its
    /// place in a queue; a flood of empty messages must not be free.
    pub const MESSAGE: usize = 128;

    /// What a message counts.
    pub fn cost(message: &Message) -> usize {
        Self::MESSAGE + message.payload.len()
    }

    /// Counts bytes handed to the lane.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Counts bytes that left the lane for the origin.
    pub fn remove(&self, bytes: usize) {
        // A session that moves to another lane sends again what it had sent: never below zero.
        let take = |held: usize| Some(held.saturating_sub(bytes));
        let before = self
            .bytes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        let before = before.unwrap_or_else(|held| held);
        if before > Self::LIMIT && before.saturating_sub(bytes) <= Self::LIMIT {
            self.room.notify_waiters();
        }
    }

    /// Whether the client must not be read.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Acquire) > Self::LIMIT
    }

    /// Waits until the client may be read.
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

/// A session's end of its lane. Dropping it without [`SessionLink::close`] ends the session with
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

    /// The session's number in its lane, for logs.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Hands a message to the lane. Afterwards stop reading the client while
    /// [`SessionLink::is_full`].
    pub fn send(&self, message: Message, generation: Generation) -> Result<(), UpstreamFull> {
        let cost = Park::cost(&message);
        let event = FromSession::Message {
            generation,
            message,
        };
        self.park.add(cost);
        match self.lane.push(self.command(event), cost) {
            // A closed lane has said so in the inbox.
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
            Err(PushError::Full(_)) => Err(UpstreamFull),
        }
    }

    /// Says that the client is silent while it publishes, or no longer. Dropped when the link's thread
    /// hangs: the next change says it.
    pub fn stalled(&self, stream: MessageStreamId, stalled: bool) {
        let _ = self
            .lane
            .push_control(self.command(FromSession::Stalled { stream, stalled }));
    }

    /// Says what the session's connection has carried. Dropped when the link's thread hangs: the next
    /// figures replace them.
    pub fn statistics(&self, statistics: Statistics) {
        let _ = self
            .lane
            .push_control(self.command(FromSession::Statistics(statistics)));
    }

    /// Whether the client must not be read.
    pub fn is_full(&self) -> bool {
        self.park.is_full()
    }

    /// What the session shares with its lane; wait on [`Park::room`] while it is full.
    pub fn park(&self) -> &Arc<Park> {
        &self.park
    }

    /// Waits for the next thing from the origin; `None` when the lane is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<FromOrigin> {
        self.inbox.next().await
    }

    /// The next thing from the origin, if it is here.
    pub fn try_next(&mut self) -> Option<FromOrigin> {
        self.inbox.try_next()
    }

    /// Sees whether there is something from the origin.
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
