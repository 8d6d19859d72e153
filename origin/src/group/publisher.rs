//! Publishers and viewers of a stream, and the result of a claim of its name.

use std::{fmt, sync::Arc, time::Instant};

use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{Generation, TakeoverKey, WriterId},
};

use super::pull_id::PullId;
use crate::{
    app::{ClientId, Identity, NetStreamId, StreamId},
    live::LiveStream,
    session::{LaneKey, SessionKey},
};

/// A message stream of a client, or a stream of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct StreamSlot {
    pub(super) session: SessionKey,
    pub(super) stream: MessageStreamId,
}

impl StreamSlot {
    /// The place where a stream of the application publishes and plays.
    pub(super) fn of_application(stream: StreamId) -> Self {
        Self {
            session: SessionKey {
                lane: LaneKey::APPLICATION,
                session: SessionId(stream.0),
            },
            stream: MessageStreamId::CONNECTION,
        }
    }

    /// The place where a NetStream of the application watches the stream that it publishes
    /// elsewhere.
    pub(super) fn of_net_stream(stream: NetStreamId) -> Self {
        Self {
            session: SessionKey {
                lane: LaneKey::APPLICATION,
                session: SessionId(stream.0),
            },
            stream: NET_STREAM,
        }
    }

    /// The place where a pull publishes.
    pub(super) fn of_pull(pull: PullId) -> Self {
        Self {
            session: SessionKey {
                lane: LaneKey::APPLICATION,
                session: SessionId(pull.0),
            },
            stream: PULL,
        }
    }

    /// The stream or NetStream of the application, or the pull; `None` for a client's.
    pub(super) fn of(self) -> Option<Own> {
        if self.session.lane != LaneKey::APPLICATION {
            return None;
        }
        let number = self.session.session.0;
        Some(match self.stream {
            NET_STREAM => Own::NetStream(NetStreamId(number)),
            PULL => Own::Pull(PullId(number)),
            _ => Own::Stream(StreamId(number)),
        })
    }
}

impl fmt::Display for StreamSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of() {
            Some(Own::Pull(_)) => f.write_str("pull"),
            Some(_) => f.write_str("application"),
            None => ClientId(self.session).fmt(f),
        }
    }
}

/// A publisher or viewer that is no client: a stream or NetStream of the application, or a pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    Stream(StreamId),
    NetStream(NetStreamId),
    Pull(PullId),
}

/// Distinguishes the places of NetStreams from those of streams.
const NET_STREAM: MessageStreamId = MessageStreamId(1);

/// Distinguishes the places of pulls.
const PULL: MessageStreamId = MessageStreamId(2);

/// A publisher that claims a name.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub(super) slot: StreamSlot,
    pub(super) generation: Generation,
    pub(super) identity: Option<Identity>,
    /// The key that it shows, if its client was asked to reconnect.
    pub(super) key: Option<TakeoverKey>,
    /// The query of its publish name.
    pub(super) query: Box<str>,
    pub(super) holds: Holds,
}

/// How firmly a publisher holds its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Until its publisher gives it up.
    Firmly,
    /// Until another publisher claims it: an application that only sends data messages. Viewers get
    /// no status of its publication.
    Loosely,
}

/// A session's claim to a name that another may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bid<'a> {
    pub(super) session: SessionKey,
    pub(super) identity: Option<&'a Identity>,
    /// The key that the session shows, if its client was asked to reconnect.
    pub(super) key: Option<TakeoverKey>,
}

/// The result of a claim of a name.
#[derive(Debug)]
pub(super) enum Claim {
    /// The name was free: its viewers get the beginning.
    Fresh {
        live: Arc<LiveStream>,
        writer: WriterId,
    },
    /// A take-over or a return: viewers that know the stream get no status.
    Continued {
        live: Arc<LiveStream>,
        writer: WriterId,
        displaced: Option<Holder>,
    },
    /// Another publisher holds the name.
    Taken,
}

/// A publisher and its hold on a name.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) slot: StreamSlot,
    pub(super) generation: Generation,
    pub(super) writer: WriterId,
    pub(super) query: Box<str>,
    pub(super) holds: Holds,
    pub(super) identity: Option<Identity>,
    pub(super) stalled: bool,
    /// Whether the application has a notice of this publish.
    pub(super) told: bool,
    /// Whether the client has had the status of this publish from the process before.
    pub(super) silent: bool,
    pub(super) since: Instant,
}

/// The application's knowledge of a publisher that is about to go on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The publisher no longer holds the name.
    Gone,
    /// The application gets a notice.
    New,
    /// The application has the notice: the same client published the name before.
    Known,
}

/// A stream that has lost its publisher for good; its viewers get the end.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) live: Arc<LiveStream>,
    /// The last publisher.
    pub(super) publisher: StreamSlot,
    pub(super) holds: Holds,
    /// Whether viewers have the beginning of the stream.
    pub(super) announced: bool,
}

/// A stream as its group knows it.
#[derive(Debug)]
pub(super) struct KnownStream<'a> {
    pub(super) live: &'a Arc<LiveStream>,
    /// The publisher, or the last one.
    pub(super) publisher: StreamSlot,
    pub(super) viewers: usize,
    pub(super) since: Instant,
}

/// The result of a viewer's join.
#[derive(Debug)]
pub(super) enum Viewing {
    /// The stream: it is being published, or its publisher may return.
    Live(Arc<LiveStream>),
    /// Nothing until the name has a publisher.
    Wait,
    /// Too many names of this application are waited for.
    Full,
}
