//! Connections of applications to other instances and servers: the origin as an RTMP client.
//!
//! ```text
//! group ─ OutgoingOrder ─► task on the media thread ──► instance of this process (memory)
//!       ◄─── Happening ──┤  Peer: calls, NetStreams └─► another server (rtmp, TCP or TLS)
//!                        └─ rings: the streams it plays and publishes
//! ```
//!
//! A group never waits for a connection and handles no media of it. A stream that is played comes
//! as a [`LiveStream`] that the connection writes; a stream that is published is read from one.

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

mod feeding;
pub(crate) mod memory;
mod peer;
pub(crate) mod reach;
pub(crate) mod rtmp;
pub(crate) mod socket;
pub(crate) mod target;

#[cfg(test)]
mod tests;

/// An order of a group to a connection.
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
    /// Take the media of a NetStream from here; without a live stream there is none for the moment.
    Feed {
        stream: NetStreamId,
        live: Option<Arc<LiveStream>>,
    },
    /// Publish exactly this live stream on a NetStream, from its newest key frame.
    Carry {
        stream: NetStreamId,
        live: Arc<LiveStream>,
    },
    /// Close a NetStream that carries a live stream, once all that the stream holds now is sent;
    /// [`Happening::Finished`] reports it.
    Finish { stream: NetStreamId },
    /// Send a data message in a NetStream's publication.
    Data {
        stream: NetStreamId,
        handler: String,
        values: Vec<Value>,
    },
    /// Play a stream; its media comes as [`Happening::Media`].
    Play {
        stream: NetStreamId,
        name: String,
        /// In seconds, as in the play command.
        start: f64,
    },
    /// Close a NetStream.
    Close { stream: NetStreamId },
    /// Send a message about a shared object of the other side.
    Object(SharedObjectMessage),
}

/// A report of a connection to its group.
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
    /// The media of a NetStream comes from here, or has ended.
    Media {
        stream: NetStreamId,
        live: Option<Arc<LiveStream>>,
    },
    /// The rest of a NetStream's publication is sent, and the NetStream is closed.
    Finished { stream: NetStreamId },
    /// The other side has sent a message about a shared object.
    Object(SharedObjectMessage),
    /// The connection is over. Nothing follows.
    Closed(Value),
}

/// A report on its way, which counts until its group has handled it.
pub(crate) struct Told {
    pub(crate) what: Happening,
    _weight: Weight,
}

/// Puts a report into the group's mailbox. `false` if that is full.
pub(crate) type Tell = Box<dyn Fn(Told, usize) -> bool + Send + Sync>;

/// The group's end of a connection. The task ends when it is dropped, after it has sent the earlier
/// orders.
#[derive(Debug)]
pub(crate) struct Outgoing {
    orders: queue::Sender<(OutgoingOrder, usize)>,
    /// Dropped with this, even if orders wait.
    _alive: oneshot::Sender<()>,
}

/// The task's end of a connection.
pub(crate) struct Inbox {
    orders: queue::Receiver<(OutgoingOrder, usize)>,
    gone: oneshot::Receiver<()>,
    tell: Tell,
    backlog: Arc<Backlog>,
}

/// The reports of a connection that its group has not handled yet.
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

/// The content of a connect command: its properties, and the arguments behind them.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) properties: Object,
    pub(crate) arguments: Vec<Value>,
}

/// The most bytes of orders that a connection has not carried out. Reason: orders are kept until it
/// is connected and while the other side does not read; further ones are refused, and the script is
/// notified.
pub(crate) const ORDERS: usize = 1024 * 1024;

/// The most bytes of reports that the group has not handled. Beyond them the other side is not
/// read. Reason: they must not crowd out the group's clients from its mailbox.
const BACKLOG: usize = 256 * 1024;

/// The weight of an order or a report besides its values.
const WEIGHT: usize = 256;

/// How long a server may take to be found, to be reached, to prove who it is, and to answer connect,
/// together.
const CONNECT: Duration = Duration::from_secs(10);

/// The name by which servers know this one: `Client.agent` shows it.
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
    /// Queues an order; `false` if too many wait or the connection is over.
    pub(crate) fn order(&self, order: OutgoingOrder) -> bool {
        let weight = order.weight();
        self.orders.push((order, weight), weight).is_ok()
    }

    /// Whether it takes orders now.
    pub(crate) fn has_room(&self) -> bool {
        !self.orders.is_closed() && self.orders.weight() < ORDERS
    }

    /// Queues an order that ends something, also if the queue is full.
    pub(crate) fn order_final(&self, order: OutgoingOrder) {
        let _ = self.orders.push_final((order, 0));
    }

    /// Queues an order about the media of a NetStream. If a connection hangs with too many of them
    /// unread, the order is dropped.
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

    /// The encoding that it asks for.
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
                Self::Feed { .. }
                | Self::Carry { .. }
                | Self::Finish { .. }
                | Self::Close { .. } => 0,
            }
    }
}

/// The weight of values, about, in bytes: the nodes of a value tree cost far more than their wire
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
    /// Whether it is the last report.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.what, Happening::Closed(_))
    }
}

/// The weight of an event of a shared object, about, in bytes.
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
    /// Reports to the group that the connection is over, and how it ended.
    pub(crate) fn close(&self, how: Value) {
        self.tell(Happening::Closed(how), 0);
    }

    /// Reports something that came in `bytes`. `false` if the group does not take it.
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

    /// The next order, for a test that plays the connection.
    #[cfg(test)]
    pub(crate) async fn next_order(&mut self) -> Option<OutgoingOrder> {
        self.orders.next().await.map(|(order, _)| order)
    }

    /// Reports something, for a test that plays the connection.
    #[cfg(test)]
    pub(crate) fn report(&self, what: Happening) -> bool {
        self.tell(what, 0)
    }

    /// Whether the group has a full backlog.
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
