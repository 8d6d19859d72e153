//! What a group and its lanes say to each other.

use std::sync::Arc;

use tributary_node::queue::{self, PushError};
use tributary_protocol::{
    Message, MessageStreamId, SessionId,
    link::{
        Bandwidth, CloseReason, FeedPlace, Filter, Generation, OpenSession, Statistics, WriterId,
    },
};

pub use tributary_protocol::link::{AudienceId, Recipients, ToAudience};

use crate::live::LiveStream;

/// A lane of this process: one edge and one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey(pub u64);

impl LaneKey {
    /// No lane: what the application of a group does itself stands under it.
    pub(crate) const APPLICATION: Self = Self(u64::MAX);

    /// A lane without an edge: of a connection within the process. Links count theirs from 0.
    pub(crate) fn within(number: u64) -> Self {
        Self(number | 1 << 62)
    }
}

/// A session of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey {
    /// Its lane.
    pub lane: LaneKey,
    /// Its number there.
    pub session: SessionId,
}

/// One thing that arrives at a group, in lane order for each lane.
#[derive(Debug)]
pub enum Mail {
    /// A client asks to connect. Answer with [`ToSession::Accept`] and its `_result`, or with its
    /// `_error` and [`ToSession::Close`].
    Open {
        /// The session.
        session: SessionKey,
        /// The way back.
        lane: LaneOut,
        /// Who it is and its connect command.
        open: OpenSession,
    },
    /// A message from a client. Its bytes are credited back when the lane's [`LaneOut::consumed`]
    /// is told, which the group does once it has handled the message.
    Message {
        /// The session.
        session: SessionKey,
        /// The message stream's generation after this message.
        generation: Generation,
        /// The message, complete.
        message: Message,
    },
    /// The session is over; nothing more comes from it and nothing reaches it.
    Closed {
        /// The session.
        session: SessionKey,
        /// Why.
        reason: CloseReason,
    },
    /// The lane's link was lost (`true`) or is back: timers of its publishers stand still between.
    Outage {
        /// The lane.
        lane: LaneKey,
        /// Whether the link is lost.
        lost: bool,
    },
    /// The lane could not keep what an audience was told, and has room again: the audience is to
    /// get a [`ToAudience::Snapshot`], and nothing else reaches it before that.
    SnapshotWanted {
        /// The audience.
        audience: AudienceId,
    },
    /// What a session's connection has carried, some seconds after
    /// [`ToSession::RequestStatistics`] and from then on.
    Statistics {
        /// The session.
        session: SessionKey,
        /// The figures.
        statistics: Statistics,
    },
    /// A publisher's edge says that its client sends nothing (`true`), or sends again.
    Stalled {
        /// The session.
        session: SessionKey,
        /// The message stream it publishes on.
        stream: MessageStreamId,
        /// Whether it is silent.
        stalled: bool,
    },
}

/// What a group tells one session.
#[derive(Debug)]
pub enum ToSession {
    /// The connect is accepted; its `_result` follows as a message.
    Accept,
    /// A message for the client.
    Message {
        /// The message, complete.
        message: Message,
        /// The place in its message stream's feed that it follows.
        after: Option<FeedPlace>,
    },
    /// The message stream plays this live stream.
    Attach {
        /// The client's message stream.
        stream: MessageStreamId,
        /// The stream.
        live: Arc<LiveStream>,
    },
    /// The message stream plays nothing.
    Detach {
        /// The client's message stream.
        stream: MessageStreamId,
        /// What it played.
        live: Arc<LiveStream>,
    },
    /// The publish of this generation is accepted as this writer of the stream.
    AcceptPublish {
        /// The client's message stream.
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
        /// The stream.
        live: Arc<LiveStream>,
        /// The writer the media will carry.
        writer: WriterId,
    },
    /// The publish of this generation is refused, or over.
    StopPublish {
        /// The client's message stream.
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
    },
    /// What a viewer gets.
    Filter {
        /// The client's message stream.
        stream: MessageStreamId,
        /// What passes.
        filter: Filter,
    },
    /// Its edge is to say what its connection carries: [`Mail::Statistics`].
    RequestStatistics,
    /// How fast its connection may be, from now on.
    Bandwidth(Bandwidth),
    /// The client is to be pinged; how long it takes shows in its statistics.
    Ping,
    /// Everything before this is flushed to the client, then its connection closes.
    Close {
        /// Why.
        reason: CloseReason,
    },
}

/// One command of a group to a lane.
#[derive(Debug)]
pub enum LaneCommand {
    /// For one session.
    Session {
        /// The session.
        session: SessionId,
        /// What it is told.
        what: ToSession,
    },
    /// For an audience.
    Audience {
        /// The audience.
        audience: AudienceId,
        /// What it is told.
        what: ToAudience,
    },
    /// The group has handled this much of a session's messages, in payload bytes.
    Consumed {
        /// The session.
        session: SessionId,
        /// Payload bytes.
        bytes: usize,
    },
    /// Commands that the lane's queue had no room for: these sessions cannot go on.
    Lost(Lost),
}

/// Whom a lane's queue had no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// One session.
    Session(SessionId),
    /// The members of an audience.
    Audience(AudienceId),
}

/// What a lane's queue holds at most, in bytes of payload and 64 for each command. Reason:
/// what groups send in one turn waits here until the link's thread takes it, which then keeps a
/// quarter of this for an edge that takes nothing.
pub const LANE_QUEUE: usize = 64 * 1024 * 1024;

/// What a command weighs besides its payload.
const COMMAND: usize = 64;

/// A group's way to one lane. What is sent leaves in the order it was sent.
///
/// A lane that holds more than its bound for a lost link closes sessions of it with
/// [`CloseReason::Retention`]; the group learns of each by [`Mail::Closed`]. So does a lane whose queue
/// is full ([`LANE_QUEUE`]): the session that a command was for is closed, of an audience every member.
#[derive(Clone, Debug)]
pub struct LaneOut {
    key: LaneKey,
    edge: Arc<str>,
    commands: queue::Sender<LaneCommand>,
}

impl ToSession {
    /// What it counts while it waits for its lane, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.payload.len(),
            _ => 0,
        }
    }
}

impl LaneOut {
    /// A lane's two ends; `edge` is the name on the edge's certificate.
    pub fn new(key: LaneKey, edge: Arc<str>) -> (Self, queue::Receiver<LaneCommand>) {
        let (commands, receiver) = queue::queue(LANE_QUEUE);
        let out = Self {
            key,
            edge,
            commands,
        };
        (out, receiver)
    }

    /// The lane.
    pub fn key(&self) -> LaneKey {
        self.key
    }

    /// The name of the edge.
    pub fn edge(&self) -> &Arc<str> {
        &self.edge
    }

    /// Tells a session something. A lane that is gone has said so by [`Mail::Closed`].
    pub fn send(&self, session: SessionId, what: ToSession) {
        let size = what.size();
        self.push(LaneCommand::Session { session, what }, size);
    }

    /// Tells an audience of the lane something; it keeps its place among what sessions are sent.
    pub fn audience(&self, audience: AudienceId, what: ToAudience) {
        let size = what.size();
        self.push(LaneCommand::Audience { audience, what }, size);
    }

    fn push(&self, command: LaneCommand, size: usize) {
        let pushed = self.commands.push(command, size + COMMAND);
        if let Err(PushError::Full(command)) = pushed {
            self.push_late(command);
        }
    }

    /// Passes on a command that the queue has no room for, or says that it is lost.
    fn push_late(&self, command: LaneCommand) {
        let short = match command {
            LaneCommand::Session {
                what: ToSession::Close { .. },
                ..
            } => {
                let _ = self.commands.push_final(command);
                return;
            }
            LaneCommand::Session { session, .. } => LaneCommand::Lost(Lost::Session(session)),
            LaneCommand::Audience {
                what:
                    ToAudience::Send {
                        to: Recipients::One(session),
                        ..
                    },
                ..
            } => LaneCommand::Lost(Lost::Session(session)),
            LaneCommand::Audience {
                audience,
                what: ToAudience::Send { .. } | ToAudience::Snapshot { .. },
            } => LaneCommand::Lost(Lost::Audience(audience)),
            short => short,
        };
        if matches!(self.commands.push_control(short), Err(PushError::Full(_))) {
            // The lane ends with its queue.
            self.commands.close();
        }
    }

    /// Gives a session back the credit of a handled message: once for each message, whose weight the
    /// group's mailbox has counted.
    pub fn consumed(&self, session: SessionId, bytes: usize) {
        let _ = self
            .commands
            .push_final(LaneCommand::Consumed { session, bytes });
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{MessageType, RtmpTimestamp};

    use super::*;

    fn message(length: usize) -> ToSession {
        ToSession::Message {
            message: Message {
                kind: MessageType::COMMAND_AMF0,
                stream: MessageStreamId(0),
                timestamp: RtmpTimestamp(0),
                payload: vec![0; length].into(),
            },
            after: None,
        }
    }

    fn to(recipients: Recipients) -> ToAudience {
        ToAudience::Send {
            to: recipients,
            encoding: None,
            body: Bytes::from_static(b"body"),
        }
    }

    /// Beyond its limit a lane's queue takes ends, and the names of those who lose something.
    #[test]
    fn a_full_lane_says_whom_it_has_no_room_for() {
        let (out, mut commands) = LaneOut::new(LaneKey(1), Arc::from("edge"));
        out.send(SessionId(1), message(LANE_QUEUE));
        out.send(SessionId(2), message(1));
        out.audience(AudienceId(7), to(Recipients::All));
        out.audience(AudienceId(7), to(Recipients::One(SessionId(3))));
        out.audience(AudienceId(7), ToAudience::End);
        out.consumed(SessionId(1), 10);
        let reason = CloseReason::Application;
        out.send(SessionId(2), ToSession::Close { reason });
        assert!(matches!(
            commands.try_next(),
            Some(LaneCommand::Session {
                what: ToSession::Message { .. },
                ..
            })
        ));
        let mut lost = || match commands.try_next() {
            Some(LaneCommand::Lost(lost)) => lost,
            other => panic!("{other:?}"),
        };
        assert_eq!(lost(), Lost::Session(SessionId(2)));
        assert_eq!(lost(), Lost::Audience(AudienceId(7)));
        assert_eq!(lost(), Lost::Session(SessionId(3)));
        let rest: Vec<_> = std::iter::from_fn(|| commands.try_next()).collect();
        assert!(
            matches!(
                rest[..],
                [
                    LaneCommand::Audience {
                        what: ToAudience::End,
                        ..
                    },
                    LaneCommand::Consumed { bytes: 10, .. },
                    LaneCommand::Session {
                        what: ToSession::Close { .. },
                        ..
                    },
                ]
            ),
            "{rest:?}"
        );
    }

    #[test]
    fn a_lane_that_nobody_reads_ends() {
        let (out, mut commands) = LaneOut::new(LaneKey(1), Arc::from("edge"));
        out.send(SessionId(1), message(LANE_QUEUE));
        for _ in 0..=queue::CONTROL_ITEMS {
            out.send(SessionId(2), message(1));
        }
        assert!(out.commands.is_closed());
        let mut count = 0;
        while commands.try_next().is_some() {
            count += 1;
        }
        assert_eq!(count, 1 + queue::CONTROL_ITEMS);
    }
}
