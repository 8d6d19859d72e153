//! A group's way to one lane.

use std::sync::Arc;

use bytes::Bytes;
use tributary_node::queue::{self, PushError};
use tributary_protocol::{
    GroupName, SessionId,
    link::{AudienceId, HandedOver, Recipients, Record, Target, ToAudience, ToSession},
};

use super::{LaneKey, RecordKey, RecordOwner};
use crate::live::LiveStream;

/// An order of a group to a session. Its source and target are the live streams themselves, which
/// the lane resolves to their numbers.
pub(crate) type Order = ToSession<Arc<LiveStream>, Target<Arc<LiveStream>>>;

/// One command of a group to a lane.
#[derive(Debug)]
pub(crate) enum LaneCommand {
    /// An order to one session.
    Session { session: SessionId, order: Order },
    /// An order to an audience.
    Audience {
        audience: AudienceId,
        order: ToAudience,
    },
    /// The group has handled this much of a session's messages, in payload bytes.
    Consumed {
        session: SessionId,
        /// Of payload.
        bytes: usize,
        /// How many of its messages are done with, from the first on, if that is known.
        handled: Option<u64>,
    },
    /// The group goes on elsewhere: the lane ends behind all commands before.
    HandOver(HandedOver),
    /// A command had no room in the lane's queue: these sessions cannot go on.
    Lost(Lost),
}

/// The sessions that lose a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// One session.
    Session(SessionId),
    /// The members of an audience.
    Audience(AudienceId),
}

/// The most bytes of a lane's queue: payload, and 64 for each command. Reason: the messages of
/// groups' turns wait here until the link's thread takes them, which then keeps a quarter of this
/// for an edge that takes nothing.
pub(crate) const LANE_QUEUE: usize = 64 * 1024 * 1024;

/// The weight of a command besides its payload.
const COMMAND: usize = 64;

/// A group's way to one lane. Commands leave in sequence.
///
/// A lane that holds more than its bound for a lost link closes sessions with
/// [`CloseReason::Retention`](tributary_protocol::link::CloseReason::Retention) and reports each to
/// the group. So does a lane whose queue is full ([`LANE_QUEUE`]): it closes the session that a
/// command was for, and every member of an audience.
#[derive(Clone, Debug)]
pub(crate) struct LaneOut {
    key: LaneKey,
    edge: Arc<str>,
    commands: queue::Sender<LaneCommand>,
    /// Set if the edge keeps records of the lane's sessions.
    records: Option<Arc<Records>>,
}

/// The group whose sessions have records, and the key for them.
#[derive(Debug)]
struct Records {
    key: RecordKey,
    group: GroupName,
}

impl LaneOut {
    /// A lane's two ends; `edge` is the name on the edge's certificate.
    pub(crate) fn new(key: LaneKey, edge: Arc<str>) -> (Self, queue::Receiver<LaneCommand>) {
        let (commands, receiver) = queue::queue(LANE_QUEUE);
        let out = Self {
            key,
            edge,
            commands,
            records: None,
        };
        (out, receiver)
    }

    /// The edge keeps records of the lane's sessions, which this key signs.
    pub(crate) fn remembering(mut self, key: RecordKey, group: GroupName) -> Self {
        self.records = Some(Arc::new(Records { key, group }));
        self
    }

    /// Whether the edge keeps records of the lane's sessions.
    pub(crate) fn remembers(&self) -> bool {
        self.records.is_some()
    }

    /// Has the edge keep this part of a session's record in place of the one before; empty bytes end the
    /// part.
    pub(crate) fn remember(&self, session: SessionId, part: u32, bytes: Bytes) {
        if let Some(records) = &self.records {
            let record = records.key.sign(self.owner(records, session), part, &bytes);
            self.send(session, ToSession::Remember(record));
        }
    }

    /// The bytes of a record that the edge has brought, if they are of this session.
    pub(crate) fn recall(&self, session: SessionId, record: &Record) -> Option<Bytes> {
        let records = self.records.as_ref()?;
        records.key.verify(self.owner(records, session), record)
    }

    fn owner<'a>(&'a self, records: &'a Records, session: SessionId) -> RecordOwner<'a> {
        RecordOwner {
            group: &records.group,
            edge: &self.edge,
            session,
        }
    }

    /// The lane.
    pub(crate) fn key(&self) -> LaneKey {
        self.key
    }

    /// The name of the edge.
    pub(crate) fn edge(&self) -> &Arc<str> {
        &self.edge
    }

    /// Queues an order to a session. Nothing happens if the lane is gone: it has reported the close of
    /// its sessions.
    pub(crate) fn send(&self, session: SessionId, order: Order) {
        let size = order.size();
        self.push(LaneCommand::Session { session, order }, size);
    }

    /// Queues an order to an audience of the lane, in sequence with the orders to sessions.
    pub(crate) fn audience(&self, audience: AudienceId, order: ToAudience) {
        let size = order.size();
        self.push(LaneCommand::Audience { audience, order }, size);
    }

    fn push(&self, command: LaneCommand, size: usize) {
        let pushed = self.commands.push(command, size + COMMAND);
        if let Err(PushError::Full(command)) = pushed {
            self.push_late(command);
        }
    }

    /// Passes on the end of a session that the queue has no room for, or replaces another command
    /// by its loss.
    fn push_late(&self, command: LaneCommand) {
        let short = match command {
            LaneCommand::Session {
                order: ToSession::Close(_),
                ..
            } => {
                let _ = self.commands.push_final(command);
                return;
            }
            LaneCommand::Session { session, .. } => LaneCommand::Lost(Lost::Session(session)),
            LaneCommand::Audience {
                order:
                    ToAudience::Send {
                        to: Recipients::One(session),
                        ..
                    },
                ..
            } => LaneCommand::Lost(Lost::Session(session)),
            LaneCommand::Audience {
                audience,
                order: ToAudience::Send { .. } | ToAudience::Snapshot { .. },
            } => LaneCommand::Lost(Lost::Audience(audience)),
            short => short,
        };
        if matches!(self.commands.push_control(short), Err(PushError::Full(_))) {
            // The lane ends with its queue.
            self.commands.close();
        }
    }

    /// Ends the lane: its sessions go on elsewhere.
    pub(crate) fn hand_over(&self, handed_over: HandedOver) {
        let _ = self.commands.push_final(LaneCommand::HandOver(handed_over));
    }

    /// Gives a session back the credit of a handled message: once for each message, whose weight the
    /// group's mailbox has counted. `handled` is the count of messages that are done with, if all are
    /// that came before the last of them.
    pub(crate) fn consumed(&self, session: SessionId, bytes: usize, handled: Option<u64>) {
        let handled = handled.filter(|_| self.remembers());
        let consumed = LaneCommand::Consumed {
            session,
            bytes,
            handled,
        };
        let _ = self.commands.push_final(consumed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{
        Message, MessageStreamId, MessageType, RtmpTimestamp, link::CloseReason,
    };

    use super::*;

    fn message(length: usize) -> Order {
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

    /// Beyond its limit a lane's queue takes ends, and the names of the sessions that lose a
    /// command.
    #[test]
    fn a_full_lane_says_whom_it_has_no_room_for() {
        let (out, mut commands) = LaneOut::new(LaneKey(1), Arc::from("edge"));
        out.send(SessionId(1), message(LANE_QUEUE));
        out.send(SessionId(2), message(1));
        out.audience(AudienceId(7), to(Recipients::All));
        out.audience(AudienceId(7), to(Recipients::One(SessionId(3))));
        out.audience(AudienceId(7), ToAudience::End);
        out.consumed(SessionId(1), 10, None);
        let reason = CloseReason::Application;
        out.send(SessionId(2), ToSession::Close(reason));
        assert!(matches!(
            commands.try_next(),
            Some(LaneCommand::Session {
                order: ToSession::Message { .. },
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
                        order: ToAudience::End,
                        ..
                    },
                    LaneCommand::Consumed { bytes: 10, .. },
                    LaneCommand::Session {
                        order: ToSession::Close(_),
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
