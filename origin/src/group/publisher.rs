//! Who publishes and who watches a stream, and what a claim of its name gets.

use std::{fmt, sync::Arc, time::Instant};

use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{Generation, WriterId},
};

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
    /// Where a stream of the application publishes and plays.
    pub(super) fn of_application(stream: StreamId) -> Self {
        Self {
            session: SessionKey {
                lane: LaneKey::APPLICATION,
                session: SessionId(stream.0),
            },
            stream: MessageStreamId::CONNECTION,
        }
    }

    /// Where a NetStream of the application watches what it publishes elsewhere.
    pub(super) fn of_net_stream(stream: NetStreamId) -> Self {
        Self {
            session: SessionKey {
                lane: LaneKey::APPLICATION,
                session: SessionId(stream.0),
            },
            stream: NET_STREAM,
        }
    }

    /// What of the application it is, if it is no client's.
    pub(super) fn of(self) -> Option<Own> {
        if self.session.lane != LaneKey::APPLICATION {
            return None;
        }
        let number = self.session.session.0;
        Some(match self.stream {
            NET_STREAM => Own::NetStream(NetStreamId(number)),
            _ => Own::Stream(StreamId(number)),
        })
    }
}

impl fmt::Display for StreamSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of() {
            Some(_) => f.write_str("application"),
            None => ClientId(self.session).fmt(f),
        }
    }
}

/// Something of the application that publishes or plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// A stream it has opened.
    Stream(StreamId),
    /// A NetStream of one of its connections.
    NetStream(NetStreamId),
}

/// Tells the places of NetStreams from those of streams.
const NET_STREAM: MessageStreamId = MessageStreamId(1);

/// Who asks for a name.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub(super) slot: StreamSlot,
    pub(super) generation: Generation,
    pub(super) identity: Option<Identity>,
    /// The query of its publish name.
    pub(super) query: Box<str>,
    pub(super) holds: Holds,
}

/// How firmly a publisher holds its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Until it gives it up.
    Firmly,
    /// Until somebody wants to publish: an application that only sends data messages. Nobody is
    /// told that it publishes.
    Loosely,
}

/// What a claim of a name got.
#[derive(Debug)]
pub(super) enum Claim {
    /// The name was free: its viewers are to be told.
    Fresh {
        live: Arc<LiveStream>,
        writer: WriterId,
    },
    /// A take-over or a return: viewers are told nothing if they know of the stream.
    Continued {
        live: Arc<LiveStream>,
        writer: WriterId,
        displaced: Option<Holder>,
    },
    /// Somebody else has it.
    Taken,
}

/// A publisher and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) slot: StreamSlot,
    pub(super) generation: Generation,
    pub(super) writer: WriterId,
    pub(super) query: Box<str>,
    pub(super) holds: Holds,
    pub(super) identity: Option<Identity>,
    pub(super) stalled: bool,
    /// Whether the application has been told that this client publishes.
    pub(super) told: bool,
    pub(super) since: Instant,
}

/// What an application knows of a publisher that is about to go on air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It publishes no more.
    Gone,
    /// The application is to be told.
    New,
    /// The same client published the name before.
    Known,
}

/// A stream that has lost its publisher for good; its viewers are to be told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) live: Arc<LiveStream>,
    /// Who published last.
    pub(super) publisher: StreamSlot,
    pub(super) holds: Holds,
    /// Whether viewers were told that it is published.
    pub(super) announced: bool,
}

/// A stream as its group knows it.
#[derive(Debug)]
pub(super) struct KnownStream<'a> {
    pub(super) live: &'a Arc<LiveStream>,
    /// Who publishes, or did last.
    pub(super) publisher: StreamSlot,
    pub(super) viewers: usize,
    pub(super) since: Instant,
}

/// What a viewer of a name gets.
#[derive(Debug)]
pub(super) enum Viewing {
    /// The stream: it is being published, or its publisher may return.
    Live(Arc<LiveStream>),
    /// Nothing until somebody publishes.
    Wait,
    /// Too many names of this application are waited for.
    Full,
}
