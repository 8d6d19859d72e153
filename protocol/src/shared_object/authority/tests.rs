//! One object and its members; the messages that each of them receives are written as text.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    amf::{ObjectEncoding, Value},
    message::MessageType,
    shared_object::{Event, body::for_member},
};

mod application;
mod durable;
mod limits;
mod members;
mod model;
mod vectors;

/// An object, and all of its output.
struct Room {
    object: Authority<u8>,
    /// Members by number, with the flags they used the object with.
    members: BTreeMap<u8, Flags>,
    aside: BTreeSet<u8>,
    heard: BTreeMap<u8, Vec<String>>,
    handled: Vec<(u8, usize)>,
    seen: Vec<Seen<u8>>,
    writes: Vec<Write>,
    /// The count of bodies that left.
    bodies: usize,
}

const PLAYER: Flags = Flags::TEMPORARY;
const SERVER_STYLE: Flags = Flags([0x10, 0]);

impl Room {
    fn temporary() -> Self {
        Self::with(Authority::temporary(1, Limits::default()))
    }

    fn persistent(durability: Durability) -> Self {
        Self::with(Authority::persistent(
            1,
            Limits::default(),
            durability,
            Stored::default(),
        ))
    }

    fn with(object: Authority<u8>) -> Self {
        Self {
            object,
            members: BTreeMap::new(),
            aside: BTreeSet::new(),
            heard: BTreeMap::new(),
            handled: Vec::new(),
            seen: Vec::new(),
            writes: Vec::new(),
            bodies: 0,
        }
    }

    /// A room that these members use already, with all messages read.
    fn of(mut self, members: &[u8]) -> Self {
        for &member in members {
            self.ask(member, 0, [Event::Use]);
        }
        self.forget();
        self
    }

    fn ask(&mut self, member: u8, version: u32, events: impl Into<Vec<Event>>) {
        self.ask_as(member, Access { write: true }, PLAYER, version, events);
    }

    fn ask_as(
        &mut self,
        member: u8,
        access: Access,
        flags: Flags,
        version: u32,
        events: impl Into<Vec<Event>>,
    ) {
        let message = SharedObjectMessage {
            name: "o".to_owned(),
            version,
            flags,
            events: events.into(),
        };
        self.object
            .handle_messages(member, access, vec![message], 10);
        self.settle();
    }

    /// Polls until nothing is left.
    fn settle(&mut self) {
        while let Some(write) = self.object.poll_write() {
            self.writes.push(write);
        }
        while let Some(output) = self.object.poll_output() {
            self.follow(output);
        }
        while let Some(handled) = self.object.poll_handled() {
            self.handled.push((handled.member, handled.bytes));
        }
        while let Some(seen) = self.object.poll_seen() {
            self.seen.push(seen);
        }
    }

    fn follow(&mut self, output: Output<u8>) {
        match output {
            Output::Join { member, flags } => {
                assert_eq!(self.members.insert(member, flags), None);
            }
            Output::Leave { member } => {
                let aside = self.aside.remove(&member);
                assert!(aside || self.members.remove(&member).is_some());
                self.members.remove(&member);
            }
            Output::Aside { member } => assert!(self.aside.insert(member)),
            Output::Back { member, flags } => {
                assert_eq!(self.members.get(&member), Some(&flags));
                assert!(self.aside.remove(&member));
            }
            Output::Body { to, body } => {
                self.bodies += 1;
                self.tell(&to, &body);
            }
        }
    }

    fn tell(&mut self, to: &To<u8>, body: &Body) {
        let members: Vec<_> = match to {
            To::One(member) => vec![*member],
            _ => {
                let present = |member: &&u8| !self.aside.contains(member);
                let gets = |member: &&u8| *to != To::AllBut(**member);
                let all = self.members.keys().filter(present);
                all.filter(gets).copied().collect()
            }
        };
        let payload = body.encode("o", ObjectEncoding::Amf3);
        for member in members {
            let flags = self.members.get(&member).copied().unwrap_or_default();
            let (kind, payload) = for_member(&payload, flags, ObjectEncoding::Amf3).unwrap();
            let message = SharedObjectMessage::decode(kind, &payload).unwrap();
            assert_eq!(message.flags, flags);
            let line = describe(&message);
            self.heard.entry(member).or_default().push(line);
        }
    }

    fn heard(&mut self, member: u8) -> Vec<String> {
        self.settle();
        self.heard.remove(&member).unwrap_or_default()
    }

    fn forget(&mut self) {
        self.settle();
        self.heard.clear();
        self.handled.clear();
        self.seen.clear();
        self.bodies = 0;
    }

    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.object
            .set(name, Encoded::new(&value.into()))
            .expect("within the limits");
        self.settle();
    }

    /// Reports all writes under way as stored, or as failed.
    fn stored(&mut self, stored: bool) {
        self.settle();
        if let Some(write) = self.writes.last() {
            self.object.handle_stored(write.ticket, stored);
        }
        self.settle();
    }

    fn value(&self, name: &str) -> Option<Value> {
        self.object.contents().slot(name).map(Encoded::value)
    }
}

fn describe(message: &SharedObjectMessage) -> String {
    let events: Vec<_> = message.events.iter().map(describe_event).collect();
    format!("v{} {}", message.version, events.join(", "))
}

fn describe_event(event: &Event) -> String {
    let value = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Null => "null".to_owned(),
        other => format!("{other:?}"),
    };
    match event {
        Event::Change(slots) => slots
            .iter()
            .map(|(name, of)| format!("{name}={}", value(of)))
            .collect::<Vec<_>>()
            .join(" "),
        Event::Success { name } => format!("success {name}"),
        Event::ChangeAccepted { name, value: of } => format!("accepted {name}={}", value(of)),
        Event::Remove { name } => format!("remove {name}"),
        Event::Clear => "clear".to_owned(),
        Event::UseSuccess => "use".to_owned(),
        Event::Status { code, level } => {
            let code = code.trim_start_matches("SharedObject.");
            assert_eq!(level, "error");
            code.to_owned()
        }
        Event::SendMessage { values } => {
            let values: Vec<_> = values.iter().map(value).collect();
            format!("send {}", values.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn change(name: &str, value: impl Into<Value>) -> Event {
    Event::RequestChange {
        name: name.to_owned(),
        value: value.into(),
    }
}

fn remove(name: &str) -> Event {
    Event::RequestRemove {
        name: name.to_owned(),
    }
}

fn send(handler: &str, value: impl Into<Value>) -> Event {
    Event::SendMessage {
        values: vec![handler.into(), value.into()],
    }
}

fn nothing() -> Vec<String> {
    Vec::new()
}
