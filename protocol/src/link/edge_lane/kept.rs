//! The part of a session that its edge keeps, to bring the session to another process of its origin.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    Message, MessageType, TransactionId,
    command::{Command, NetStreamCommand},
    link::{FromSession, Generation, OpenSession, Record, lane_frame::MAX_UNANSWERED},
    mutant::Mutant,
    shared_object::{Event, SharedObjectMessage},
};

/// The opening of a session, its records, and what its origin has of it that is not done with.
#[derive(Debug)]
pub(super) struct Kept {
    open: OpenSession,
    records: Vec<Record>,
    /// Bytes of all records.
    bytes: usize,
    /// Whether a record did not fit: the session cannot be restored.
    is_cut: bool,
    /// Messages that have left and are not done with, in order; without a payload those that are never
    /// sent again: commands that were answered, and answers.
    unhandled: VecDeque<(Generation, Message)>,
    /// Payload bytes of these messages.
    unhandled_bytes: usize,
    /// Whether the client has been told that it is connected.
    is_told: bool,
    /// How many messages have left and are done with.
    handled: u64,
    /// The calls of the application that have left and have no answer.
    unanswered: Vec<TransactionId>,
}

/// The part of a session that goes to another process of the origin.
#[derive(Debug)]
pub(super) struct Salvage {
    pub(super) open: OpenSession,
    pub(super) records: Vec<Record>,
    pub(super) unanswered: Vec<TransactionId>,
    /// Messages that are sent again: to repeat them comes to the same.
    pub(super) again: VecDeque<(Generation, Message)>,
}

/// Messages of one session that are kept until they are done with. Reason: one of them may wait for
/// long, as a change of an object that is locked; beyond this the oldest count as done with.
const MAX_UNHANDLED: usize = 1_024;

/// Payload bytes of these messages. Reason: as above.
const MAX_UNHANDLED_BYTES: usize = 256 * 1024;

/// Bytes of the records of one session. Reason: those of all message streams, each with a name and a
/// query, and what an application has it remember.
const MAX_BYTES: usize = 128 * 1024;

impl Kept {
    pub(super) fn new(open: OpenSession) -> Self {
        Self {
            open,
            records: Vec::new(),
            bytes: 0,
            is_cut: false,
            unhandled: VecDeque::new(),
            unhandled_bytes: 0,
            is_told: false,
            handled: 0,
            unanswered: Vec::new(),
        }
    }

    /// The client of a session that goes on knows that it is connected.
    pub(super) fn told(mut self) -> Self {
        self.is_told = true;
        self
    }

    /// Keeps a record in place of the one of the same part.
    pub(super) fn remember(&mut self, record: Record) {
        let place = self.records.iter().position(|it| it.part == record.part);
        if place.is_some() && Mutant::RecordsAreOld.is_on() {
            return;
        }
        if let Some(place) = place {
            self.bytes -= self.records.swap_remove(place).bytes.len();
        }
        if record.bytes.is_empty() {
            return;
        }
        self.bytes += record.bytes.len();
        self.is_cut |= self.bytes > MAX_BYTES || self.records.len() >= Record::MAX_PARTS;
        if self.is_cut {
            self.records = Vec::new();
            self.bytes = 0;
            return;
        }
        self.records.push(record);
    }

    /// These calls are yet to be answered by the process that the session is brought to.
    pub(super) fn awaits(&mut self, unanswered: &[TransactionId]) {
        if !Mutant::ReportedCallsAreForgotten.is_on() {
            self.unanswered.extend_from_slice(unanswered);
        }
    }

    /// Whether the session can be restored: another process gives no answer to its connect.
    pub(super) fn is_whole(&self) -> bool {
        !self.is_cut && self.is_told
    }

    /// A message has left as a whole.
    pub(super) fn left(&mut self, generation: Generation, mut message: Message) {
        // The server's own commands are answered by statuses, or repeated.
        if message.kind.is_command()
            && let Some((name, transaction)) = Command::peek(message.kind, &message.payload)
            && transaction.expects_answer()
            && NetStreamCommand::is_call(name)
        {
            if self.unanswered.len() >= MAX_UNANSWERED {
                self.unanswered.remove(0);
            }
            self.unanswered.push(transaction);
        }
        if is_answer(&message) {
            message.payload = Bytes::new();
        }
        self.unhandled_bytes += message.payload.len();
        self.unhandled.push_back((generation, message));
        while self.unhandled.len() > MAX_UNHANDLED || self.unhandled_bytes > MAX_UNHANDLED_BYTES {
            self.drop_first();
        }
    }

    /// The first message is done with.
    fn drop_first(&mut self) -> bool {
        let Some((_, message)) = self.unhandled.pop_front() else {
            return false;
        };
        self.unhandled_bytes -= message.payload.len();
        self.handled += 1;
        true
    }

    /// The first so many messages are done with.
    pub(super) fn handled(&mut self, messages: u64) {
        while self.handled < messages && self.drop_first() {}
        if self.unhandled.is_empty() {
            self.unhandled = VecDeque::new();
        }
    }

    /// A message for the client has come: the command that it answers is done with.
    pub(super) fn came(&mut self, kind: MessageType, payload: &Bytes) {
        let waits = !self.is_told || !self.unanswered.is_empty() || !self.unhandled.is_empty();
        if !waits || !kind.is_command() {
            return;
        }
        let Some((name, transaction)) = Command::peek(kind, payload) else {
            return;
        };
        if !matches!(name, "_result" | "_error") {
            return;
        }
        // The first answer is the one to its connect.
        self.is_told = true;
        if Mutant::AnswersAreMissed.is_on() {
            return;
        }
        if let Some(place) = self.unanswered.iter().position(|it| *it == transaction) {
            self.unanswered.remove(place);
        }
        if self.unanswered.is_empty() {
            self.unanswered = Vec::new();
        }
        // It stays in its place, so that the count of messages is right, and is not sent again.
        for (_, message) in &mut self.unhandled {
            let asks = Command::peek(message.kind, &message.payload);
            if asks.is_some_and(|(_, asked)| asked == transaction) {
                self.unhandled_bytes -= message.payload.len();
                message.payload = Bytes::new();
            }
        }
    }

    /// Takes everything, for another process. `settled` if none of the messages that are not done with was
    /// carried out.
    pub(super) fn salvage(mut self, settled: bool) -> Salvage {
        if settled {
            self.unanswered.retain(|call| {
                let asks = |message: &Message| {
                    let peeked = Command::peek(message.kind, &message.payload);
                    peeked.is_some_and(|(_, transaction)| transaction == *call)
                };
                !self.unhandled.iter().any(|(_, message)| asks(message))
            });
        }
        let unhandled = self.unhandled.into_iter();
        let again = unhandled.filter_map(|(generation, message)| {
            let message = match settled {
                true => Some(message).filter(|message| !message.payload.is_empty()),
                false => repeatable(message),
            };
            Some((generation, message?))
        });
        Salvage {
            open: self.open,
            records: self.records,
            unanswered: self.unanswered,
            again: again.collect(),
        }
    }
}

fn is_answer(message: &Message) -> bool {
    message.kind.is_command()
        && Command::peek(message.kind, &message.payload)
            .is_some_and(|(name, _)| matches!(name, "_result" | "_error"))
}

/// Whether a message may be carried out twice, or a part of it: it is no call of an application's method.
fn may_repeat(message: &Message) -> bool {
    !message.kind.is_command()
        || Mutant::CallsAreRepeated.is_on()
        || Command::peek(message.kind, &message.payload)
            .is_some_and(|(name, _)| !NetStreamCommand::is_call(name))
}

/// The message as it may be sent a second time; none if it must not be. A call of an application's
/// method is carried out at most once, and so is a message to the members of a shared object.
fn repeatable(mut message: Message) -> Option<Message> {
    if message.payload.is_empty() || !may_repeat(&message) || Mutant::NothingIsRepeated.is_on() {
        return None;
    }
    if !message.kind.is_shared_object() {
        return Some(message);
    }
    let mut object = SharedObjectMessage::decode(message.kind, &message.payload).ok()?;
    let before = object.events.len();
    object
        .events
        .retain(|event| !matches!(event, Event::SendMessage { .. }));
    if object.events.is_empty() {
        return None;
    }
    if object.events.len() < before {
        let encoding = match message.kind {
            MessageType::SHARED_OBJECT_AMF3 => crate::amf::ObjectEncoding::Amf3,
            _ => crate::amf::ObjectEncoding::Amf0,
        };
        (message.kind, message.payload) = object.encode(encoding);
    }
    Some(message)
}

/// The messages that are sent again, before those that have not left.
pub(super) fn requeue(salvage: VecDeque<(Generation, Message)>, queue: &mut VecDeque<FromSession>) {
    for (generation, message) in salvage.into_iter().rev() {
        queue.push_front(FromSession::Message {
            generation,
            message,
        });
    }
}

#[cfg(test)]
mod tests;
