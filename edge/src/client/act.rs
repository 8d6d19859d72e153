//! The acts of a client that its gate decides about.

use tributary_gate::Action;
use tributary_protocol::{
    Message, MessageType, TransactionId,
    amf::Value,
    command::{Command, NetStreamCommand, ObjectEncoding, stream::PublishKind},
};

/// A command that names a stream: publish, releaseStream, FCPublish, FCUnpublish, play or play2.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) action: Action,
    command: Command,
    /// The name as the client wrote it.
    written: String,
}

impl Act {
    /// `None` if the message is no such command, or one with arguments that the origin refuses.
    pub(super) fn of(message: &Message) -> Option<Self> {
        // A name that cannot be peeked, such as a long string, is a name all the same.
        let peeked = Command::peek(message.kind, &message.payload);
        if peeked.is_some_and(|(name, _)| !NAMES.contains(&name)) {
            return None;
        }
        let command = Command::decode(message.kind, &message.payload).ok()?;
        let (action, written) = match NetStreamCommand::parse(&command).ok()? {
            NetStreamCommand::Publish { name, .. }
            | NetStreamCommand::ReleaseStream { name }
            | NetStreamCommand::FcPublish { name }
            | NetStreamCommand::FcUnpublish { name } => (Action::Publish, name),
            NetStreamCommand::Play { name, .. } => (Action::Play, name),
            NetStreamCommand::Play2(options) => (Action::Play, options.name),
            _ => return None,
        };
        Some(Self {
            action,
            command,
            written,
        })
    }

    /// The name without its query and surrounding slashes, as the origin reads it, and the query.
    pub(super) fn name(&self) -> (&str, &str) {
        let (name, query) = self.written.split_once('?').unwrap_or((&self.written, ""));
        (name.trim_matches('/'), query)
    }

    /// The name of the command.
    pub(super) fn command(&self) -> &str {
        &self.command.name
    }

    pub(super) fn transaction(&self) -> TransactionId {
        self.command.transaction
    }

    pub(super) fn is_publish(&self) -> bool {
        self.command.name == "publish"
    }

    /// Whether it only comes beside a publish.
    pub(super) fn is_beside(&self) -> bool {
        self.action == Action::Publish && !self.is_publish()
    }

    /// The kind of a publish: `live`, `record` or `append`.
    pub(super) fn kind(&self) -> &'static str {
        match NetStreamCommand::parse(&self.command) {
            Ok(NetStreamCommand::Publish { kind, .. }) => kind.as_str(),
            _ => PublishKind::default().as_str(),
        }
    }

    /// Start, duration and reset of a play as its command has them; 0 where it has none.
    pub(super) fn range(&self) -> (f64, f64, bool) {
        let argument = |index| self.command.arguments.get(index);
        let number = |index| argument(index).and_then(Value::as_number).unwrap_or(0.0);
        let resets = argument(3).and_then(Value::as_bool);
        (
            number(1),
            number(2),
            resets.unwrap_or_else(|| number(3) != 0.0),
        )
    }

    /// Takes the query off the name. Returns whether there was one.
    pub(super) fn strip(&mut self) -> bool {
        let Some((name, _)) = self.written.split_once('?') else {
            return false;
        };
        let name = name.to_owned();
        self.rewrite(name)
    }

    /// Gives the stream another name. Without a query of its own, the name keeps the client's.
    /// Returns whether the name is one.
    pub(super) fn rename(&mut self, name: &str) -> bool {
        if !is_name(name) {
            return false;
        }
        let (_, query) = self.name();
        let written = match (name.contains('?'), query) {
            (true, _) | (_, "") => name.to_owned(),
            (false, query) => format!("{name}?{query}"),
        };
        self.rewrite(written)
    }

    fn rewrite(&mut self, name: String) -> bool {
        let members = match self.command.arguments.first_mut() {
            Some(Value::Object(options)) => Some(&mut options.properties),
            Some(Value::EcmaArray(options)) => Some(&mut options.properties),
            _ => None,
        };
        let place = match members {
            // The last member of a name is the one that counts.
            Some(members) => (members.iter_mut().rev())
                .find(|(key, _)| key == "streamName")
                .map(|(_, value)| value),
            None => self.command.arguments.first_mut(),
        };
        let Some(place) = place else { return false };
        *place = Value::from(name.as_str());
        self.written = name;
        true
    }

    /// The message of the command, in place of the one that it was read from.
    pub(super) fn into_message(self, read: &Message) -> Message {
        let encoding = match read.kind {
            MessageType::COMMAND_AMF3 => ObjectEncoding::Amf3,
            _ => ObjectEncoding::Amf0,
        };
        let (kind, payload) = self.command.encode(encoding);
        Message {
            kind,
            payload,
            ..read.clone()
        }
    }
}

/// Whether something is left of a name without its query and slashes.
fn is_name(text: &str) -> bool {
    let (name, _) = text.split_once('?').unwrap_or((text, ""));
    !name.trim_matches('/').is_empty()
}

const NAMES: [&str; 6] = [
    "publish",
    "releaseStream",
    "FCPublish",
    "FCUnpublish",
    "play",
    "play2",
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{MessageStreamId, RtmpTimestamp, amf::Object};

    use super::*;

    fn message(kind: MessageType, payload: Bytes) -> Message {
        Message {
            kind,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(0),
            payload,
        }
    }

    fn command(name: &str, arguments: Vec<Value>, encoding: ObjectEncoding) -> Message {
        let mut command = Command::new(name, TransactionId(4.0));
        command.arguments = arguments;
        let (kind, payload) = command.encode(encoding);
        message(kind, payload)
    }

    #[test]
    fn commands_that_name_a_stream_are_acts_of_it() {
        let options = Object::new()
            .with("streamName", "other")
            .with("streamName", "cam?a=b");
        for (name, argument, expected) in [
            ("publish", "cam?a=b".into(), Some((Action::Publish, false))),
            (
                "releaseStream",
                "/cam/?a=b".into(),
                Some((Action::Publish, true)),
            ),
            ("FCPublish", "cam?a=b".into(), Some((Action::Publish, true))),
            (
                "FCUnpublish",
                "cam?a=b".into(),
                Some((Action::Publish, true)),
            ),
            ("play", "cam?a=b".into(), Some((Action::Play, false))),
            ("play2", Value::Object(options), Some((Action::Play, false))),
            ("publish", false.into(), None),
            ("play", false.into(), None),
            ("publish", 1.0.into(), None),
            ("FCSubscribe", "cam".into(), None),
            ("talk", "cam".into(), None),
        ] {
            for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
                let message = command(name, vec![argument.clone()], encoding);
                let act = Act::of(&message);
                let seen = act.as_ref().map(|act| (act.action, act.is_beside()));
                assert_eq!(seen, expected, "{name} {argument:?}");
                let Some(mut act) = act else { continue };
                assert_eq!(act.name(), ("cam", "a=b"), "{name}");
                assert!(act.strip() && !act.strip());
                let again = act.into_message(&message);
                assert_eq!(again.kind, message.kind);
                let again = Act::of(&again).expect("the same act");
                assert_eq!(again.name(), ("cam", ""), "{name}");
            }
        }
    }

    #[test]
    fn a_name_of_a_strange_form_is_no_way_around_the_gate() {
        let mut payload = vec![0x0c, 0, 0, 0, 7];
        payload.extend(b"publish");
        payload.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 2, 0, 3]);
        payload.extend(b"cam");
        let message = message(MessageType::COMMAND_AMF0, payload.into());
        let act = Act::of(&message).expect("the origin reads it so");
        assert_eq!((act.action, act.name()), (Action::Publish, ("cam", "")));
    }
}
