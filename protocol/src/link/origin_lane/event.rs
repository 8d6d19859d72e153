//! What a lane tells its origin, and what it is told.

use crate::{
    Message, MessageStreamId, SessionId,
    link::{
        AudienceId, Bandwidth, CloseReason, FeedPlace, Filter, Generation, LiveId, OpenSession,
        Statistics, WriterId,
        lane_frame::{Fragment, Head, ToEdge},
    },
};

/// What a lane tells its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginEvent {
    /// A client asks to connect.
    Open {
        /// Its number.
        session: SessionId,
        /// Who it is.
        open: OpenSession,
    },
    /// A message of a client. Tell [`OriginLane::consumed`](crate::link::OriginLane::consumed) when it has been handled.
    Message {
        /// From whom.
        session: SessionId,
        /// The message stream's generation after it.
        generation: Generation,
        /// The message.
        message: Message,
    },
    /// A publishing client is silent, or no longer.
    Stalled {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// Whether it is silent.
        stalled: bool,
    },
    /// The session is over: the edge ended it, or a limit was exceeded.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// What a session's connection has carried, as the edge counts it.
    Statistics {
        /// Which.
        session: SessionId,
        /// The figures.
        statistics: Statistics,
    },
    /// Messages to this audience did not fit what a lane keeps, and were dropped; there is room
    /// again. Answer with [`ToAudience::Snapshot`](crate::link::ToAudience::Snapshot): until then every
    /// message to all of the audience is dropped.
    SnapshotWanted {
        /// Which.
        audience: AudienceId,
    },
    /// The edge ended the lane.
    Ended,
}

/// One thing an origin tells a session; the lane keeps their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tell {
    /// The connect is accepted.
    Accept,
    /// A message.
    Message {
        /// The message.
        message: Message,
        /// The place in the feed it follows.
        after: Option<FeedPlace>,
    },
    /// A message stream plays this.
    Attach {
        /// The message stream.
        stream: MessageStreamId,
        /// The live stream.
        live: LiveId,
        /// The first message of the publication that it plays; 0 towards an edge that does not
        /// know of publications.
        publication: u64,
    },
    /// A message stream plays nothing.
    Detach {
        /// The message stream.
        stream: MessageStreamId,
    },
    /// A publish is accepted.
    AcceptPublish {
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
        /// The live stream.
        live: LiveId,
        /// What the feed must carry.
        writer: WriterId,
    },
    /// A publish is refused or over.
    StopPublish {
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
    },
    /// What a viewer gets.
    Filter {
        /// The message stream.
        stream: MessageStreamId,
        /// What passes.
        filter: Filter,
    },
    /// The edge is to say what the session's connection carries, from now on.
    Watch,
    /// How fast the session's connection may be.
    Bandwidth(Bandwidth),
    /// The client is to be pinged.
    Ping,
    /// The session is over.
    Close(CloseReason),
}

impl Tell {
    /// All of it in one frame.
    pub(super) fn frame(self, session: SessionId) -> ToEdge {
        match self {
            Self::Accept => ToEdge::Accept { session },
            Self::Message { message, after } => {
                let head = Some(Head {
                    after,
                    ..Head::of(&message)
                });
                ToEdge::Fragment {
                    session,
                    fragment: Fragment {
                        head,
                        data: message.payload,
                    },
                }
            }
            Self::Attach {
                stream,
                live,
                publication,
            } => ToEdge::Attach {
                session,
                stream,
                live,
                publication,
            },
            Self::Detach { stream } => ToEdge::Detach { session, stream },
            Self::AcceptPublish {
                stream,
                generation,
                live,
                writer,
            } => ToEdge::AcceptPublish {
                session,
                stream,
                generation,
                live,
                writer,
            },
            Self::StopPublish { stream, generation } => ToEdge::StopPublish {
                session,
                stream,
                generation,
            },
            Self::Filter { stream, filter } => ToEdge::Filter {
                session,
                stream,
                filter,
            },
            Self::Watch => ToEdge::Watch { session },
            Self::Bandwidth(bandwidth) => ToEdge::Bandwidth { session, bandwidth },
            Self::Ping => ToEdge::Ping { session },
            Self::Close(reason) => ToEdge::Close { session, reason },
        }
    }
}
