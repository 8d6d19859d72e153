//! The tokens of clients that may come back in another session.

use std::{cell::RefCell, collections::HashMap, fmt, time::Instant};

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
    /// The tokens before, until the client shows that it has this one: answers may be lost.
    pub(super) previous: Vec<ResumeToken>,
    /// The same in all of its sessions.
    pub(super) lineage: u128,
    /// How often it has come back.
    pub(super) returns: u32,
    /// The bytes that its application has it remember: a new edge gets them too.
    pub(super) remembered: RefCell<Bytes>,
    /// The message streams whose publish or play its new edge passes on once more.
    pub(super) repeated: Vec<MessageStreamId>,
    /// The messages that its new edge has still to pass on.
    pub(super) awaited: usize,
    /// Statuses of message streams that it may not have had: its edge may be lost.
    pub(super) unheard: Vec<Unheard>,
}

/// The end of a publish that a client may not have heard of.
#[derive(Debug)]
pub(super) struct Unheard {
    pub(super) stream: MessageStreamId,
    pub(super) status: Command,
    pub(super) at: Instant,
}

/// The clients that have a token, and the places of those that have come back.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    clients: HashMap<ResumeToken, SessionKey>,
    lineages: HashMap<u128, SessionKey>,
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

/// Tokens of a client that are good beside the last one. Reason: each is the token of an answer that may have been
/// lost.
const MAX_PREVIOUS: usize = 8;

/// The digits of a token.
const DIGITS: usize = 32;

impl ResumeToken {
    pub(super) fn random() -> Self {
        Self(rand::random())
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
    /// For a client that asks for its first token.
    pub(super) fn new() -> Box<Self> {
        Self::of(ResumeToken::random(), rand::random(), 0)
    }

    fn of(token: ResumeToken, lineage: u128, returns: u32) -> Box<Self> {
        Box::new(Self {
            token,
            previous: Vec::new(),
            lineage,
            returns,
            remembered: RefCell::default(),
            repeated: Vec::new(),
            awaited: 0,
            unheard: Vec::new(),
        })
    }

    /// The bytes of a record.
    pub(super) fn record(&self) -> Bytes {
        let parts = [
            &self.token.0.to_be_bytes()[..],
            &self.lineage.to_be_bytes(),
            &self.returns.to_be_bytes(),
        ];
        Bytes::from(parts.concat())
    }

    /// The client of these bytes of a record.
    pub(super) fn from_record(bytes: &[u8]) -> Option<Box<Self>> {
        let (token, rest) = bytes.split_first_chunk()?;
        let (lineage, rest) = rest.split_first_chunk()?;
        let (returns, _) = rest.split_first_chunk()?;
        let token = ResumeToken(u128::from_be_bytes(*token));
        let lineage = u128::from_be_bytes(*lineage);
        Some(Self::of(token, lineage, u32::from_be_bytes(*returns)))
    }

    /// Notes a status that the client may not get.
    pub(super) fn note_unheard(&mut self, stream: MessageStreamId, status: Command, now: Instant) {
        self.unheard.retain(|it| it.stream != stream);
        let at = now;
        self.unheard.push(Unheard { stream, status, at });
    }

    /// A message has come in its present session. Returns the tokens before, if the client has shown that it has
    /// the present one: the message is its own.
    pub(super) fn heard(&mut self) -> Vec<ResumeToken> {
        match self.awaited.checked_sub(1) {
            Some(awaited) => {
                self.awaited = awaited;
                Vec::new()
            }
            None => std::mem::take(&mut self.previous),
        }
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
    pub(super) fn add(&mut self, resumable: &Resumable, client: SessionKey) {
        self.clients.insert(resumable.token, client);
        self.lineages.insert(resumable.lineage, client);
    }

    /// A client has come back: it has another token, and this place in place of the one before.
    pub(super) fn come_back(
        &mut self,
        resumable: &mut Resumable,
        client: SessionKey,
        (before, place): (SessionKey, SessionKey),
    ) {
        self.places.remove(&before);
        self.places.insert(place, client);
        let token = ResumeToken::random();
        let used = std::mem::replace(&mut resumable.token, token);
        resumable.previous.push(used);
        if resumable.previous.len() > MAX_PREVIOUS {
            let oldest = resumable.previous.remove(0);
            self.clients.remove(&oldest);
        }
        resumable.returns += 1;
        self.clients.insert(token, client);
    }

    /// A token is no longer good.
    pub(super) fn forget(&mut self, token: ResumeToken) {
        self.clients.remove(&token);
    }

    pub(super) fn remove(&mut self, resumable: &Resumable, place: SessionKey) {
        self.clients.remove(&resumable.token);
        for token in &resumable.previous {
            self.clients.remove(token);
        }
        self.lineages.remove(&resumable.lineage);
        self.places.remove(&place);
    }

    /// The client of a lineage.
    pub(super) fn of_lineage(&self, lineage: u128) -> Option<SessionKey> {
        self.lineages.get(&lineage).copied()
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
    use tributary_protocol::{SessionId, amf::Object, command::connect};

    use super::*;
    use crate::session::LaneKey;

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

    #[test]
    fn a_record_has_all_by_which_a_client_is_known() {
        let mut one = Resumable::new();
        one.returns = 7;
        let other = Resumable::from_record(&one.record()).expect("a record");
        let known = |it: &Resumable| (it.token, it.lineage, it.returns);
        assert_eq!(known(&other), known(&one));
        assert!(Resumable::from_record(b"short").is_none());
    }

    #[test]
    fn the_token_before_is_good_until_the_client_has_the_next_one() {
        let mut one = Resumable::new();
        let mut tokens = Tokens::default();
        let key = |number| SessionKey {
            lane: LaneKey(number),
            session: SessionId(number),
        };
        tokens.add(&one, key(1));
        let first = one.token;
        tokens.come_back(&mut one, key(1), (key(1), key(2)));
        one.awaited = 1;
        assert_eq!(tokens.client(first), Some(key(1)));
        assert!(one.heard().is_empty(), "its edge has passed a message on");
        assert_eq!(one.heard(), [first]);
        tokens.forget(first);
        let second = one.token;
        assert_eq!(
            (tokens.client(first), tokens.client(second)),
            (None, Some(key(1)))
        );
        tokens.come_back(&mut one, key(1), (key(2), key(3)));
        for _ in 0..MAX_PREVIOUS - 1 {
            tokens.come_back(&mut one, key(1), (key(3), key(3)));
        }
        assert_eq!(tokens.client(second), Some(key(1)));
        tokens.come_back(&mut one, key(1), (key(3), key(4)));
        assert_eq!(tokens.client(second), None, "too many answers were lost");
        assert_eq!(tokens.of_place(key(4)), Some(key(1)));
        assert_eq!(tokens.of_place(key(3)), None);
        tokens.remove(&one, key(4));
        assert!(tokens.is_empty() && tokens.places.is_empty() && tokens.lineages.is_empty());
    }
}
