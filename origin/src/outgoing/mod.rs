//! Connections of applications to other instances and servers: the origin as an RTMP client.
//!
//! ```text
//! group ─ OutgoingOrder ─► task on the media thread ──► instance of this process (memory)
//!       ◄─── Happening ──┤  Peer: calls, NetStreams └─► another server (rtmp, TCP)
//!                        └─ rings: what it plays, what it publishes
//! ```
//!
//! A group never waits for one and handles no media of it: a stream that is played comes as a
//! [`LiveStream`] that somebody else writes, a stream that is published is read from one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot};
use tributary_node::queue;
use tributary_protocol::{
    TransactionId,
    amf::{Object, Value},
    command::{ObjectEncoding, Status, stream::PublishKind},
    shared_object::{Event, SharedObjectMessage},
};

use crate::{
    app::{CallToken, NetStreamId},
    live::LiveStream,
};

pub(crate) mod memory;
mod peer;
pub(crate) mod rtmp;
pub(crate) mod target;

#[cfg(test)]
mod tests;

/// What a group wants of a connection.
#[derive(Debug)]
pub(crate) enum OutgoingOrder {
    /// Call a method.
    Call {
        name: String,
        arguments: Vec<Value>,
        token: Option<CallToken>,
    },
    /// Answer a call that came.
    Respond {
        transaction: TransactionId,
        answer: Result<Value, Value>,
    },
    /// Publish a NetStream under this name.
    Publish {
        stream: NetStreamId,
        name: String,
        kind: PublishKind,
    },
    /// What a NetStream publishes comes from here; from nowhere for the moment if there is none.
    Feed {
        stream: NetStreamId,
        live: Option<Arc<LiveStream>>,
    },
    /// Send a data message in what a NetStream publishes.
    Data {
        stream: NetStreamId,
        handler: String,
        values: Vec<Value>,
    },
    /// Play a stream; its media comes as [`Happening::Media`].
    Play {
        stream: NetStreamId,
        name: String,
        /// In seconds, as the play command has it.
        start: f64,
    },
    /// Give a NetStream up.
    Close { stream: NetStreamId },
    /// Say something about a shared object of the other side.
    Object(SharedObjectMessage),
}

/// What a connection tells its group.
#[derive(Debug)]
pub(crate) enum Happening {
    /// An info object for `NetConnection.onStatus`.
    Status(Value),
    /// The connect was accepted, with this info object.
    Connected(Value),
    /// The other side has answered a call.
    Answered {
        token: CallToken,
        answer: Result<Value, Value>,
    },
    /// The other side calls a method.
    Called {
        name: String,
        transaction: TransactionId,
        arguments: Vec<Value>,
    },
    /// An info object for the NetStream's `onStatus`.
    StreamStatus { stream: NetStreamId, info: Value },
    /// What a NetStream plays comes from here, or has ended.
    Media {
        stream: NetStreamId,
        live: Option<Arc<LiveStream>>,
    },
    /// Something about a shared object of the other side.
    Object(SharedObjectMessage),
    /// The connection is over. Nothing follows.
    Closed(Value),
}

/// A happening on its way, which counts until its group has handled it.
pub(crate) struct Told {
    pub(crate) what: Happening,
    _weight: Weight,
}

/// Where a connection's happenings go: its group's mailbox. `false` if that is full.
pub(crate) type Tell = Box<dyn Fn(Told, usize) -> bool + Send + Sync>;

/// The group's end of a connection. The task ends when it is dropped, after it has sent what it
/// was told before.
#[derive(Debug)]
pub(crate) struct Outgoing {
    orders: queue::Sender<(OutgoingOrder, usize)>,
    /// Dropped with this, whatever waits.
    _alive: oneshot::Sender<()>,
}

/// The task's end of a connection.
pub(crate) struct Inbox {
    orders: queue::Receiver<(OutgoingOrder, usize)>,
    gone: oneshot::Receiver<()>,
    tell: Tell,
    backlog: Arc<Backlog>,
}

/// What a group has not handled yet of what a connection has told it.
#[derive(Debug, Default)]
struct Backlog {
    bytes: AtomicUsize,
    less: Notify,
}

/// A part of a backlog.
struct Weight {
    bytes: usize,
    backlog: Arc<Backlog>,
}

/// What is connected with: the properties of the connect command, and what follows them.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) properties: Object,
    pub(crate) arguments: Vec<Value>,
}

/// What a group may have ordered that its connection has not done. Reason: until it is connected
/// and while the other side does not read, orders are kept; the script hears that more is refused.
pub(crate) const ORDERS: usize = 1024 * 1024;

/// What a connection may have told its group that this has not handled. Beyond it the other side
/// is not read. Reason: it must not crowd out the group's clients from its mailbox.
const BACKLOG: usize = 256 * 1024;

/// What an order or a happening weighs besides its values.
const WEIGHT: usize = 256;

/// How long a TCP connection may take to be made, and a server to answer connect.
const CONNECT: Duration = Duration::from_secs(10);

/// What servers know this one by, as `Client.agent` shows it.
pub(crate) const AGENT: &str = "FlashCom/3.5.7 LNX 9,0,124,2";

/// A connection's two ends.
pub(crate) fn open(tell: Tell) -> (Outgoing, Inbox) {
    let (orders, receiver) = queue::queue(ORDERS);
    let (alive, gone) = oneshot::channel();
    let inbox = Inbox {
        orders: receiver,
        gone,
        tell,
        backlog: Arc::default(),
    };
    let outgoing = Outgoing {
        orders,
        _alive: alive,
    };
    (outgoing, inbox)
}

impl Outgoing {
    /// Gives an order; `false` if too many wait or the connection is over.
    pub(crate) fn order(&self, order: OutgoingOrder) -> bool {
        let weight = order.weight();
        self.orders.push((order, weight), weight).is_ok()
    }

    /// Whether it takes orders now.
    pub(crate) fn has_room(&self) -> bool {
        !self.orders.is_closed() && self.orders.weight() < ORDERS
    }

    /// Gives an order that ends something: it is taken whatever waits.
    pub(crate) fn order_final(&self, order: OutgoingOrder) {
        let _ = self.orders.push_final((order, 0));
    }

    /// Gives an order about what a NetStream publishes. A connection that hangs, with too many of
    /// them unread, goes on with what it has.
    pub(crate) fn order_feed(&self, stream: NetStreamId, live: Option<Arc<LiveStream>>) {
        let _ = self
            .orders
            .push_control((OutgoingOrder::Feed { stream, live }, 0));
    }
}

impl Connect {
    /// The connect command that reaches `app` at `tc_url`, with these properties over the usual
    /// ones.
    pub(crate) fn new(app: &str, tc_url: &str, over: &Object, arguments: Vec<Value>) -> Self {
        let mut properties = Object::new();
        let usual = [
            ("app", app.into()),
            ("flashVer", AGENT.into()),
            ("tcUrl", tc_url.into()),
            ("fpad", false.into()),
            ("audioCodecs", Value::Number(f64::from(0x0fff))),
            ("videoCodecs", Value::Number(f64::from(0x00ff))),
            ("videoFunction", Value::Number(1.0)),
            ("objectEncoding", Value::Number(0.0)),
        ];
        for (name, value) in usual {
            properties.push(name, over.get(name).cloned().unwrap_or(value));
        }
        for (name, value) in over.iter() {
            if properties.get(name).is_none() {
                properties.push(name, value.clone());
            }
        }
        Self {
            properties,
            arguments,
        }
    }

    /// The encoding it asks for.
    fn encoding(&self) -> ObjectEncoding {
        let number = self.properties.get("objectEncoding");
        match number.and_then(Value::as_number) {
            Some(3.0) => ObjectEncoding::Amf3,
            _ => ObjectEncoding::Amf0,
        }
    }
}

impl OutgoingOrder {
    fn weight(&self) -> usize {
        WEIGHT
            + match self {
                Self::Call {
                    name, arguments, ..
                } => name.len() + weigh(arguments),
                Self::Respond { answer, .. } => {
                    let (Ok(value) | Err(value)) = answer;
                    weigh(std::slice::from_ref(value))
                }
                Self::Publish { name, .. } | Self::Play { name, .. } => name.len(),
                Self::Data {
                    handler, values, ..
                } => handler.len() + weigh(values),
                Self::Object(message) => message.events.iter().map(weigh_event).sum(),
                Self::Feed { .. } | Self::Close { .. } => 0,
            }
    }
}

/// What values weigh, in bytes, about: the nodes of a value tree cost far more than their wire
/// form.
fn weigh(values: &[Value]) -> usize {
    fn node(value: &Value) -> usize {
        let own = match value {
            Value::String(text) => text.len(),
            _ => 0,
        };
        let mut sum = own + size_of::<Value>();
        value.for_each_child(|child| sum += node(child));
        sum
    }
    values.iter().map(node).sum()
}

impl Told {
    /// Whether nothing follows.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.what, Happening::Closed(_))
    }
}

/// What an event of a shared object weighs, in bytes, about.
fn weigh_event(event: &Event) -> usize {
    WEIGHT
        + match event {
            Event::RequestChange { name, value } => name.len() + weigh(std::slice::from_ref(value)),
            Event::RequestRemove { name } => name.len(),
            Event::SendMessage { values } => weigh(values),
            _ => 0,
        }
}

impl Inbox {
    /// Tells the group that the connection is over, and how it ended.
    pub(crate) fn close(&self, how: Value) {
        self.tell(Happening::Closed(how), 0);
    }

    /// Tells the group something that came in `bytes`. `false` if it cannot be told.
    fn tell(&self, what: Happening, bytes: usize) -> bool {
        let bytes = bytes + WEIGHT;
        self.backlog.bytes.fetch_add(bytes, Ordering::AcqRel);
        let weight = Weight {
            bytes,
            backlog: Arc::clone(&self.backlog),
        };
        let told = Told {
            what,
            _weight: weight,
        };
        (self.tell)(told, bytes)
    }

    /// Whether the group has enough to handle.
    fn is_behind(&self) -> bool {
        self.backlog.bytes.load(Ordering::Acquire) >= BACKLOG
    }
}

impl Backlog {
    /// Waits until the group has caught up.
    async fn caught_up(&self) {
        loop {
            let less = self.less.notified();
            if self.bytes.load(Ordering::Acquire) < BACKLOG {
                return;
            }
            less.await;
        }
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.backlog.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        self.backlog.less.notify_waiters();
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

/// An info object as a value.
fn info(status: Status, description: Option<&str>) -> Value {
    status.info(description, None).into()
}
