//! A client on a stage.

use std::{net::SocketAddr, sync::Arc};

use tributary_protocol::{
    Message,
    amf::{Object, Value},
    command::ObjectEncoding,
    link::{ClientClaims, CloseReason},
    shared_object::{Event, Flags},
};

use super::{Answer, Runner};

/// The connect of a client.
#[derive(Clone, Debug)]
pub struct ConnectAs {
    /// Its address.
    pub peer: SocketAddr,
    /// Its encoding.
    pub encoding: ObjectEncoding,
    /// Members of its connect object, besides `app`, `tcUrl` and `objectEncoding`.
    pub properties: Object,
    /// The arguments of its connect.
    pub arguments: Vec<Value>,
    /// The facts that its edge has verified.
    pub claims: Option<ClientClaims>,
}

impl Default for ConnectAs {
    fn default() -> Self {
        Self {
            peer: SocketAddr::from(([127, 0, 0, 1], 5_000)),
            encoding: ObjectEncoding::Amf0,
            properties: Object::new().with("flashVer", "LNX 9,0,124,2"),
            arguments: Vec::new(),
            claims: None,
        }
    }
}

impl ConnectAs {
    /// With these arguments.
    pub fn with(arguments: impl IntoIterator<Item = Value>) -> Self {
        Self {
            arguments: arguments.into_iter().collect(),
            ..Self::default()
        }
    }
}

/// One message to a client, or the close of its connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Heard {
    /// The `_result` of its connect or of a call.
    Result(f64, Value),
    /// The `_error` of its connect or of a call.
    Error(f64, Value),
    /// An onStatus, by message stream.
    Status(u32, Value),
    /// A call: its name, its transaction id, its arguments.
    Call(String, f64, Vec<Value>),
    /// An event of a shared object, by the object's name.
    SharedObject(String, Event),
    /// Any other message.
    Message(Message),
    /// Its connection is closed.
    Closed(CloseReason),
}

/// A client on a [`Stage`](super::Stage). Its drop sends nothing; see [`Client::leave`].
#[derive(Debug)]
pub struct Client {
    runner: Arc<Runner>,
    number: u64,
}

impl Client {
    pub(super) fn new(runner: Arc<Runner>, number: u64) -> Self {
        Self { runner, number }
    }

    /// Whether its connect was answered with success.
    pub fn is_accepted(&self) -> bool {
        let number = self.number;
        self.runner.run(move |lanes| lanes.is_accepted(number))
    }

    /// The info object of a connect that was refused.
    pub fn refused(&self) -> Option<Value> {
        let number = self.number;
        self.runner.run(move |lanes| lanes.refused(number))
    }

    /// Whether the application has closed its connection, or the client has left.
    pub fn is_closed(&self) -> bool {
        let number = self.number;
        self.runner.run(move |lanes| lanes.is_closed(number))
    }

    /// Calls a method and waits for the answer, as long as the stage has work to do.
    ///
    /// # Panics
    ///
    /// If there is no answer; use [`Client::send`] for a call that is answered later.
    pub fn call(&self, name: &str, arguments: impl IntoIterator<Item = Value>) -> Answer {
        let id = self.send(name, arguments);
        self.answer(id)
            .unwrap_or_else(|| panic!("no answer to {name} (transaction {id})"))
    }

    /// Calls a method and gives the transaction id.
    pub fn send(&self, name: &str, arguments: impl IntoIterator<Item = Value>) -> f64 {
        let (number, name) = (self.number, name.to_owned());
        let arguments = arguments.into_iter().collect();
        self.runner
            .run(move |lanes| lanes.call(number, 0, &name, arguments))
    }

    /// As [`Client::send`], but the call runs only with the next act on the stage: so calls of
    /// several clients wait side by side.
    pub fn queue(&self, name: &str, arguments: impl IntoIterator<Item = Value>) -> f64 {
        let (number, name) = (self.number, name.to_owned());
        let arguments = arguments.into_iter().collect();
        self.runner
            .run(move |lanes| lanes.queue(number, 0, &name, arguments))
    }

    /// Calls a method on a message stream, without an answer: `publish`, `play`.
    pub fn send_on(&self, stream: u32, name: &str, arguments: impl IntoIterator<Item = Value>) {
        let (number, name) = (self.number, name.to_owned());
        let arguments = arguments.into_iter().collect();
        self.runner
            .run(move |lanes| lanes.call(number, stream, &name, arguments));
    }

    /// The answer to a call, if it has come; it is removed from [`Client::heard`].
    pub fn answer(&self, transaction: f64) -> Option<Answer> {
        let number = self.number;
        self.runner
            .run(move |lanes| lanes.answer(number, transaction))
    }

    /// Answers a call of the application's.
    pub fn respond(&self, transaction: f64, answer: Answer) {
        let number = self.number;
        self.runner
            .run(move |lanes| lanes.respond(number, transaction, answer));
    }

    /// Sends events of a temporary shared object: [`Event::Use`] and later ones.
    pub fn send_object(&self, name: &str, events: impl IntoIterator<Item = Event>) {
        self.send_object_as(name, Flags::TEMPORARY, events);
    }

    /// Sends events of a shared object of this kind.
    pub fn send_object_as(
        &self,
        name: &str,
        flags: Flags,
        events: impl IntoIterator<Item = Event>,
    ) {
        let (number, name) = (self.number, name.to_owned());
        let events = events.into_iter().collect();
        self.runner
            .run(move |lanes| lanes.object(number, name, flags, events));
    }

    /// The events of shared objects among [`Client::heard`].
    pub fn object_events(&self) -> Vec<(String, Event)> {
        let heard = self.heard().into_iter();
        heard
            .filter_map(|heard| match heard {
                Heard::SharedObject(name, event) => Some((name, event)),
                _ => None,
            })
            .collect()
    }

    /// Sends any message.
    pub fn send_message(&self, message: Message) {
        let number = self.number;
        self.runner.run(move |lanes| lanes.message(number, message));
    }

    /// The messages to the client since the last call.
    pub fn heard(&self) -> Vec<Heard> {
        let number = self.number;
        self.runner.run(move |lanes| lanes.heard(number))
    }

    /// The calls among [`Client::heard`]: names and arguments.
    pub fn calls(&self) -> Vec<(String, Vec<Value>)> {
        let heard = self.heard().into_iter();
        heard
            .filter_map(|heard| match heard {
                Heard::Call(name, _, arguments) => Some((name, arguments)),
                _ => None,
            })
            .collect()
    }

    /// The codes of the onStatus events among [`Client::heard`].
    pub fn statuses(&self) -> Vec<String> {
        let heard = self.heard().into_iter();
        heard
            .filter_map(|heard| match heard {
                Heard::Status(_, info) => Some(info.get("code")?.as_str()?.to_owned()),
                _ => None,
            })
            .collect()
    }

    /// Closes its connection.
    pub fn leave(&self) {
        let number = self.number;
        self.runner.run(move |lanes| lanes.leave(number));
    }
}
