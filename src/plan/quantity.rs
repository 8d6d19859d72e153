//! The quantities of which the load of a node consists. The load harness, which measures the cost of
//! each, has the same list.

use serde::{Deserialize, Serialize};

/// A part of a node's load: a number of things that the node holds, or of events in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// The process itself.
    Process,
    /// Links of an origin.
    Link,
    /// Sessions of any kind.
    Session,
    /// Sessions that watch a stream, beyond their cost as sessions.
    Viewer,
    /// Sessions that publish a stream, beyond their cost as sessions.
    Publisher,
    /// Lanes: groups times the edges with sessions of the group.
    Lane,
    /// Groups of a Rust application.
    Group,
    /// Groups of a script.
    ScriptGroup,
    /// Calls in a second that a Rust application answers.
    Call,
    /// Calls in a second that a script answers.
    ScriptCall,
    /// Messages that publishers send in a second.
    PublishedMessage,
    /// Mbit that publishers send in a second.
    PublishedMbit,
    /// Feeds from origins to edges.
    Feed,
    /// Messages in these feeds in a second.
    FeedMessage,
    /// Mbit in these feeds in a second.
    FeedMbit,
    /// Wake-ups of threads in a second, fewer than the events where these are many.
    Wake,
    /// Writes to viewers in a second, as [`writes`] has them, with the delivery `interactive`.
    InteractiveWrite,
    /// The same with the delivery `standard`.
    StandardWrite,
    /// The same with the delivery `broadcast`.
    BroadcastWrite,
    /// Mbit in a second times their viewers.
    DeliveredMbit,
    /// Megabytes of media in the rings of live streams.
    RingMegabyte,
}

impl Quantity {
    /// Every quantity, in the order of their numbers.
    pub(crate) const ALL: [Self; 21] = [
        Self::Process,
        Self::Link,
        Self::Session,
        Self::Viewer,
        Self::Publisher,
        Self::Lane,
        Self::Group,
        Self::ScriptGroup,
        Self::Call,
        Self::ScriptCall,
        Self::PublishedMessage,
        Self::PublishedMbit,
        Self::Feed,
        Self::FeedMessage,
        Self::FeedMbit,
        Self::Wake,
        Self::InteractiveWrite,
        Self::StandardWrite,
        Self::BroadcastWrite,
        Self::DeliveredMbit,
        Self::RingMegabyte,
    ];
}

/// An amount of each quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Amounts([f64; Quantity::ALL.len()]);

impl Amounts {
    /// These amounts, and this one.
    pub(crate) fn with(mut self, quantity: Quantity, amount: f64) -> Self {
        self.0[quantity as usize] = amount;
        self
    }

    /// These amounts, and the wake-ups of their events, which so many nodes share evenly.
    pub(crate) fn awake(self, nodes: f64) -> Self {
        use Quantity::{Call, FeedMessage, PublishedMessage, ScriptCall};
        let events = [Call, ScriptCall, PublishedMessage, FeedMessage].map(|event| self.of(event));
        let of_one = events.into_iter().sum::<f64>() / nodes;
        self.with(Quantity::Wake, wakes(of_one) * nodes)
    }

    /// The amount of a quantity.
    pub(crate) fn of(&self, quantity: Quantity) -> f64 {
        self.0[quantity as usize]
    }
}

/// The wake-ups that so many events in a second cause in a node: each event wakes threads while there are
/// few, and finds them awake when there are many.
fn wakes(events: f64) -> f64 {
    events / (1.0 + events / MOST_WAKES)
}

/// The writes to a viewer of so many messages in a second: a message waits for others up to some time.
pub(crate) fn writes(messages: f64, longest_wait: f64) -> f64 {
    messages / (1.0 + messages * longest_wait)
}

/// Wake-ups in a second of a node that is never idle. The fit is best with some hundreds.
const MOST_WAKES: f64 = 500.0;

/// The longest wait of a message with each delivery, in seconds, as docs/configuration.md has it.
pub(crate) const INTERACTIVE_WAIT: f64 = 0.005;
pub(crate) const STANDARD_WAIT: f64 = 0.020;
pub(crate) const BROADCAST_WAIT: f64 = 0.060;

/// The bytes of a stream of so many bits in a second that a ring holds after some seconds.
pub(crate) fn held(bits: f64, seconds: f64, ring: Ring) -> f64 {
    (bits / 8.0 * seconds.min(ring.seconds)).min(ring.bytes)
}

/// The content of a ring of media, by docs/limits.md: with a key frame every two seconds, the time by
/// which its readers may be late and one group of pictures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    seconds: f64,
    bytes: f64,
}

impl Ring {
    /// Of a publish, at its edge.
    pub(crate) const PUBLISH: Self = Self::new(5.0, 8.0);
    /// Of a live stream at its origin.
    pub(crate) const ORIGIN: Self = Self::new(7.0, 32.0);
    /// Of a live stream at an edge with viewers.
    pub(crate) const EDGE: Self = Self::new(7.0, 16.0);

    const fn new(seconds: f64, mebibytes: f64) -> Self {
        Self {
            seconds,
            bytes: mebibytes * 1024.0 * 1024.0,
        }
    }
}
