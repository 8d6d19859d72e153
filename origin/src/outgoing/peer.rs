//! A client's side of a NetConnection and its NetStreams, on any carrier.

use std::collections::{HashMap, VecDeque};

use tributary_protocol::{
    MessageStreamId, MessageType, TransactionId,
    amf::Value,
    command::{Command, Status, stream::PublishKind},
    shared_object::SharedObjectMessage,
};

use super::{Happening, OutgoingOrder, info, weigh};
use crate::app::{CallToken, NetStreamId};

/// The calls and NetStreams of one connection. Orders and commands go in, commands and reports come
/// out; after each input poll both until there are none.
#[derive(Debug, Default)]
pub(super) struct Peer {
    last_transaction: u32,
    calls: HashMap<u32, Waiting>,
    streams: HashMap<NetStreamId, PeerStream>,
    commands: VecDeque<(MessageStreamId, Command)>,
    happenings: VecDeque<(Happening, usize)>,
}

/// A call that waits for an answer.
#[derive(Debug)]
enum Waiting {
    Call(CallToken),
    CreateStream(NetStreamId),
}

/// A NetStream of the connection.
#[derive(Debug, Default)]
struct PeerStream {
    /// Its message stream, once there is one.
    id: Option<MessageStreamId>,
    /// Commands that wait for the message stream.
    waiting: Vec<Command>,
    /// The other side has accepted its publish.
    accepted: bool,
    plays: bool,
}

/// Calls on one connection that may be without an answer. Reason: the other side need not answer,
/// and each is remembered.
pub(super) const OPEN_CALLS: usize = 1_024;

/// The transaction id of connect.
pub(super) const CONNECT_TRANSACTION: u32 = 1;

impl Peer {
    pub(super) fn new() -> Self {
        Self {
            last_transaction: CONNECT_TRANSACTION,
            ..Self::default()
        }
    }

    /// Carries out an order as far as commands do it; the driver handles the media.
    pub(super) fn handle_order(&mut self, order: OutgoingOrder) {
        match order {
            OutgoingOrder::Call {
                name,
                arguments,
                token,
            } => self.call(name, arguments, token),
            OutgoingOrder::Respond {
                transaction,
                answer,
            } => {
                let (name, value) = match answer {
                    Ok(value) => ("_result", value),
                    Err(value) => ("_error", value),
                };
                let command = Command::new(name, transaction).with(value);
                self.say(MessageStreamId::CONNECTION, command);
            }
            OutgoingOrder::Publish { stream, name, kind } => self.publish(stream, &name, kind),
            OutgoingOrder::Play {
                stream,
                name,
                start,
            } => {
                let net_stream = self.streams.entry(stream).or_default();
                net_stream.plays = true;
                net_stream.accepted = false;
                let play = Command::new("play", TransactionId::NONE);
                self.on_stream(stream, play.with(name).with(start));
            }
            OutgoingOrder::Close { stream } => self.close(stream),
            // These are about media, which the driver handles.
            OutgoingOrder::Feed { .. }
            | OutgoingOrder::Carry { .. }
            | OutgoingOrder::Finish { .. }
            | OutgoingOrder::Data { .. }
            | OutgoingOrder::Object(_) => {}
        }
    }

    /// Handles the answer to a call.
    pub(super) fn handle_answer(
        &mut self,
        transaction: TransactionId,
        answer: Result<Value, Value>,
    ) {
        let number = transaction.0 as u32;
        if f64::from(number) != transaction.0 {
            return;
        }
        match self.calls.remove(&number) {
            Some(Waiting::Call(token)) => {
                let (Ok(value) | Err(value)) = &answer;
                let weight = weigh(std::slice::from_ref(value));
                self.happens(Happening::Answered { token, answer }, weight);
            }
            Some(Waiting::CreateStream(stream)) => self.created(stream, answer),
            None => {}
        }
    }

    /// Handles an onStatus.
    pub(super) fn handle_status(&mut self, on: MessageStreamId, status: Value) {
        let weight = weigh(std::slice::from_ref(&status));
        if on == MessageStreamId::CONNECTION {
            return self.happens(Happening::Status(status), weight);
        }
        let Some((&stream, net_stream)) = self
            .streams
            .iter_mut()
            .find(|(_, net_stream)| net_stream.id == Some(on))
        else {
            return;
        };
        match status.get("code").and_then(Value::as_str) {
            Some(code) if code == Status::PublishStart.code() => net_stream.accepted = true,
            Some(code)
                if code == Status::PublishBadName.code()
                    || code == Status::UnpublishSuccess.code() =>
            {
                net_stream.accepted = false;
            }
            _ => {}
        }
        let happening = Happening::StreamStatus {
            stream,
            info: status,
        };
        self.happens(happening, weight);
    }

    /// Handles a call of the other side.
    pub(super) fn handle_call(&mut self, command: Command) {
        let weight = command.name.len() + weigh(&command.arguments);
        let called = Happening::Called {
            name: command.name,
            transaction: command.transaction,
            arguments: command.arguments,
        };
        self.happens(called, weight);
    }

    /// Handles a message of type 19 or 16. A message that cannot be read is dropped.
    pub(super) fn handle_object(&mut self, kind: MessageType, payload: &[u8]) {
        if let Ok(message) = SharedObjectMessage::decode(kind, payload) {
            self.happens(Happening::Object(message), payload.len());
        }
    }

    /// Handles any command of the other side but the answer to connect.
    pub(super) fn handle_command(&mut self, on: MessageStreamId, mut command: Command) {
        match command.name.as_str() {
            "_result" | "_error" => {
                let value = command.arguments.pop().unwrap_or(Value::Undefined);
                let answer = match command.name.as_str() {
                    "_result" => Ok(value),
                    _ => Err(value),
                };
                self.handle_answer(command.transaction, answer);
            }
            "onStatus" => {
                let status = command.arguments.pop().unwrap_or(Value::Undefined);
                self.handle_status(on, status);
            }
            _ => self.handle_call(command),
        }
    }

    /// The next command for the other side.
    pub(super) fn poll_command(&mut self) -> Option<(MessageStreamId, Command)> {
        self.commands.pop_front()
    }

    /// The next report for the group, and its weight.
    pub(super) fn poll_happening(&mut self) -> Option<(Happening, usize)> {
        self.happenings.pop_front()
    }

    /// Queues a report for the group.
    pub(super) fn happens(&mut self, what: Happening, weight: usize) {
        self.happenings.push_back((what, weight));
    }

    /// The message stream of a NetStream whose publish the other side has accepted.
    pub(super) fn publishes(&self, stream: NetStreamId) -> Option<MessageStreamId> {
        let net_stream = self.streams.get(&stream)?;
        net_stream.id.filter(|_| net_stream.accepted)
    }

    /// The NetStream that plays on a message stream.
    pub(super) fn plays(&self, on: MessageStreamId) -> Option<NetStreamId> {
        let mut streams = self.streams.iter();
        let (&stream, _) =
            streams.find(|(_, net_stream)| net_stream.id == Some(on) && net_stream.plays)?;
        Some(stream)
    }

    /// The NetStream of a message stream.
    pub(super) fn net_stream(&self, on: MessageStreamId) -> Option<NetStreamId> {
        let mut streams = self.streams.iter();
        let (&stream, _) = streams.find(|(_, net_stream)| net_stream.id == Some(on))?;
        Some(stream)
    }

    fn call(&mut self, name: String, arguments: Vec<Value>, token: Option<CallToken>) {
        let transaction = match token {
            None => TransactionId::NONE,
            Some(token) => match self.remember(Waiting::Call(token)) {
                Some(transaction) => transaction,
                None => {
                    let failed = info(Status::CallFailed, Some("Too many calls are unanswered."));
                    let answer = Err(failed);
                    return self.happens(Happening::Answered { token, answer }, 0);
                }
            },
        };
        let mut command = Command::new(name, transaction);
        command.arguments = arguments;
        self.say(MessageStreamId::CONNECTION, command);
    }

    fn publish(&mut self, stream: NetStreamId, name: &str, kind: PublishKind) {
        let net_stream = self.streams.entry(stream).or_default();
        net_stream.accepted = false;
        net_stream.plays = false;
        let publish = Command::new("publish", TransactionId::NONE);
        self.on_stream(stream, publish.with(name).with(kind.as_str()));
    }

    fn close(&mut self, stream: NetStreamId) {
        let Some(net_stream) = self.streams.remove(&stream) else {
            return;
        };
        if let Some(id) = net_stream.id {
            self.delete(id);
        }
    }

    fn delete(&mut self, id: MessageStreamId) {
        let delete = Command::new("deleteStream", TransactionId::NONE);
        self.say(MessageStreamId::CONNECTION, delete.with(f64::from(id.0)));
    }

    /// Sends a command on a NetStream's message stream, which is made first.
    fn on_stream(&mut self, stream: NetStreamId, command: Command) {
        let net_stream = self.streams.entry(stream).or_default();
        if let Some(id) = net_stream.id {
            return self.say(id, command);
        }
        net_stream.waiting.push(command);
        if net_stream.waiting.len() > 1 {
            return;
        }
        match self.remember(Waiting::CreateStream(stream)) {
            Some(transaction) => {
                let create = Command::new("createStream", transaction);
                self.say(MessageStreamId::CONNECTION, create);
            }
            None => self.failed(stream, "Too many calls are unanswered."),
        }
    }

    /// Handles the answer to createStream.
    fn created(&mut self, stream: NetStreamId, answer: Result<Value, Value>) {
        let id = answer.ok().and_then(|value| value.as_number());
        let id = id.filter(|id| id.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(id));
        let Some(id) = id.map(|id| MessageStreamId(id as u32)) else {
            return self.failed(stream, "The other side makes no message stream.");
        };
        let Some(net_stream) = self.streams.get_mut(&stream) else {
            // The NetStream was closed meanwhile.
            return self.delete(id);
        };
        net_stream.id = Some(id);
        for command in std::mem::take(&mut net_stream.waiting) {
            self.say(id, command);
        }
    }

    fn failed(&mut self, stream: NetStreamId, why: &str) {
        self.streams.remove(&stream);
        let info = info(Status::StreamFailed, Some(why));
        self.happens(Happening::StreamStatus { stream, info }, 0);
    }

    fn remember(&mut self, waiting: Waiting) -> Option<TransactionId> {
        if self.calls.len() >= OPEN_CALLS {
            return None;
        }
        self.last_transaction = self
            .last_transaction
            .checked_add(1)
            .unwrap_or(CONNECT_TRANSACTION + 1);
        self.calls.insert(self.last_transaction, waiting);
        Some(TransactionId(f64::from(self.last_transaction)))
    }

    fn say(&mut self, on: MessageStreamId, command: Command) {
        self.commands.push_back((on, command));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(peer: &mut Peer) -> Vec<String> {
        std::iter::from_fn(|| peer.poll_command())
            .map(|(on, command)| format!("{on} {} {}", command.name, command.transaction.0))
            .collect()
    }

    fn told(peer: &mut Peer) -> Vec<String> {
        std::iter::from_fn(|| peer.poll_happening())
            .map(|(happening, _)| match happening {
                Happening::Answered { token, answer } => format!("{} {}", token.0, answer.is_ok()),
                Happening::Called { name, .. } => format!("called {name}"),
                Happening::StreamStatus { stream, info } => {
                    let code = info.get("code").and_then(Value::as_str).unwrap_or_default();
                    format!("stream {} {code}", stream.0)
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    fn publish(stream: u64) -> OutgoingOrder {
        OutgoingOrder::Publish {
            stream: NetStreamId(stream),
            name: "cam".to_owned(),
            kind: PublishKind::Live,
        }
    }

    #[test]
    fn a_publish_makes_its_message_stream_first() {
        let mut peer = Peer::new();
        peer.handle_order(publish(7));
        assert_eq!(said(&mut peer), ["0 createStream 2"]);
        peer.handle_answer(TransactionId(2.0), Ok(5.0.into()));
        assert_eq!(said(&mut peer), ["5 publish 0"]);
        assert_eq!(peer.publishes(NetStreamId(7)), None, "not accepted");
        let start = info(Status::PublishStart, None);
        peer.handle_status(MessageStreamId(5), start);
        assert_eq!(peer.publishes(NetStreamId(7)), Some(MessageStreamId(5)));
        assert_eq!(told(&mut peer), ["stream 7 NetStream.Publish.Start"]);
        peer.handle_order(OutgoingOrder::Close {
            stream: NetStreamId(7),
        });
        assert_eq!(said(&mut peer), ["0 deleteStream 0"]);
        assert_eq!(peer.publishes(NetStreamId(7)), None);
    }

    #[test]
    fn a_stream_given_up_before_it_is_made_is_deleted() {
        let mut peer = Peer::new();
        peer.handle_order(publish(7));
        said(&mut peer);
        peer.handle_order(OutgoingOrder::Close {
            stream: NetStreamId(7),
        });
        assert_eq!(said(&mut peer).len(), 0);
        peer.handle_answer(TransactionId(2.0), Ok(1.0.into()));
        assert_eq!(said(&mut peer), ["0 deleteStream 0"]);
    }

    #[test]
    fn answers_of_all_kinds_are_survived() {
        for (answer, expected) in [
            (Ok(Value::Null), "stream 7 NetStream.Failed"),
            (Ok(0.5.into()), "stream 7 NetStream.Failed"),
            (Ok(0.0.into()), "stream 7 NetStream.Failed"),
            (Ok((-1.0).into()), "stream 7 NetStream.Failed"),
            (Err(5.0.into()), "stream 7 NetStream.Failed"),
        ] {
            let mut peer = Peer::new();
            peer.handle_order(publish(7));
            peer.handle_answer(TransactionId(2.0), answer);
            assert_eq!(told(&mut peer), [expected]);
        }
        let mut peer = Peer::new();
        for transaction in [0.0, 2.0, -1.0, 1.5, f64::NAN, f64::INFINITY] {
            peer.handle_answer(TransactionId(transaction), Ok(Value::Null));
        }
        peer.handle_status(MessageStreamId(9), Value::Null);
        assert_eq!(told(&mut peer).len(), 0);
    }

    #[test]
    fn calls_are_answered_once_and_bounded() {
        let mut peer = Peer::new();
        let call = |token| OutgoingOrder::Call {
            name: "add".to_owned(),
            arguments: Vec::new(),
            token,
        };
        peer.handle_order(call(None));
        for token in 0..=OPEN_CALLS as u64 {
            peer.handle_order(call(Some(CallToken(token))));
        }
        assert_eq!(told(&mut peer), ["1024 false"]);
        let said = said(&mut peer);
        assert_eq!(said[..2], ["0 add 0", "0 add 2"]);
        let result = Command::new("_result", TransactionId(2.0)).with(3.0);
        for _ in 0..2 {
            peer.handle_command(MessageStreamId::CONNECTION, result.clone());
        }
        assert_eq!(told(&mut peer), ["0 true"]);
    }
}
