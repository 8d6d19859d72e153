//! The tokens of clients that may come back in another session.

use std::{cell::RefCell, collections::HashMap, fmt};

use bytes::Bytes;
use tributary_protocol::{
    MessageStreamId,
    amf::Value,
    command::{Command, Connect},
};

use crate::session::SessionKey;

/// The secret by which a client is known again. It is good once.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ResumeToken(u128);

/// The state of a client that has asked for a token.
#[derive(Debug)]
pub(super) struct Resumable {
    pub(super) token: ResumeToken,
    /// How often it has come back.
    pub(super) returns: u32,
    /// The bytes that its application has it remember: a new edge gets them too.
    pub(super) remembered: RefCell<Bytes>,
    /// The message streams whose publish or play its new edge passes on once more.
    pub(super) repeated: Vec<MessageStreamId>,
}

/// The clients that have a token, and the places of those that have come back.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    clients: HashMap<ResumeToken, SessionKey>,
    places: HashMap<SessionKey, SessionKey>,
}

/// The wish of a connect, by its property `resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResumeWish {
    /// The client takes no token.
    None,
    /// It takes one.
    Token,
    /// It shows one, which may be none that was ever given.
    Resume(Option<ResumeToken>),
}

/// The property of the connect, and of the info object of its answer.
const RESUME: &str = "resume";

/// The digits of a token.
const DIGITS: usize = 32;

impl ResumeToken {
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// The token of these bytes of a record.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }

    pub(super) fn bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_hexdigit();
        let is_token = text.len() == DIGITS && text.bytes().all(is_digit);
        let number = is_token.then(|| u128::from_str_radix(text, 16));
        Some(Self(number?.ok()?))
    }

    fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(hidden)")
    }
}

impl ResumeWish {
    pub(super) fn of(connect: &Connect) -> Self {
        match connect.properties.get(RESUME) {
            Some(Value::Bool(true)) => Self::Token,
            Some(Value::String(text)) => Self::Resume(ResumeToken::parse(text)),
            _ => Self::None,
        }
    }
}

impl Resumable {
    pub(super) fn new(token: ResumeToken) -> Box<Self> {
        Box::new(Self {
            token,
            returns: 0,
            remembered: RefCell::default(),
            repeated: Vec::new(),
        })
    }

    /// Adds the token to the answer to a connect.
    pub(super) fn add_to(&self, answer: &mut Command, resumed: bool) {
        if let Some(Value::Object(info)) = answer.arguments.first_mut() {
            info.push(RESUME, self.token.text());
            info.push("resumed", resumed);
        }
    }

    /// Whether this is the first command since the client came back that gives the message stream a use.
    pub(super) fn take_repeated(&mut self, stream: MessageStreamId) -> bool {
        let at = self.repeated.iter().position(|it| *it == stream);
        at.map(|at| self.repeated.swap_remove(at)).is_some()
    }
}

impl Tokens {
    pub(super) fn add(&mut self, token: ResumeToken, client: SessionKey) {
        self.clients.insert(token, client);
    }

    /// A client has come back as the session of this place.
    pub(super) fn come_back(&mut self, token: ResumeToken, client: SessionKey, place: SessionKey) {
        self.clients.insert(token, client);
        self.places.insert(place, client);
    }

    pub(super) fn remove(&mut self, token: ResumeToken, place: SessionKey) {
        self.clients.remove(&token);
        self.places.remove(&place);
    }

    /// The client that has come back as this session.
    pub(super) fn of_place(&self, place: SessionKey) -> Option<SessionKey> {
        self.places.get(&place).copied()
    }

    /// The client that has this token.
    pub(super) fn client(&self, token: ResumeToken) -> Option<SessionKey> {
        self.clients.get(&token).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tributary_protocol::{amf::Object, command::connect};

    use super::*;

    #[test]
    fn the_wish_of_a_connect_is_a_token_or_another_session() {
        let token = ResumeToken::random();
        let wish = |value: Value| {
            let properties = Object::new().with("app", "live").with(RESUME, value);
            let connect = Connect::parse(connect::command(properties)).expect("a connect");
            ResumeWish::of(&connect)
        };
        assert_eq!(wish(Value::Bool(true)), ResumeWish::Token);
        assert_eq!(wish(token.text().into()), ResumeWish::Resume(Some(token)));
        assert_eq!(ResumeToken::from_bytes(&token.bytes()), Some(token));
        for text in [
            "",
            "1",
            "+1234567890123456789012345678901",
            &"\u{e9}".repeat(16),
        ] {
            assert_eq!(wish(text.into()), ResumeWish::Resume(None), "{text}");
        }
        for value in [Value::Bool(false), Value::Null, 1.0.into()] {
            assert_eq!(wish(value), ResumeWish::None);
        }
        assert!(!format!("{token:?}").contains(&token.text()));
    }
}
