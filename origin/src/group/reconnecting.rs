//! Publishers that their edges have asked to reconnect.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tributary_protocol::link::TakeoverKey;

use crate::session::SessionKey;

/// The publishers of a group that are asked to reconnect. For a while, the session that shows the
/// key of one of them may take its names over, whatever `second_publisher` says. The table is made
/// with the first of them: most groups never have one.
#[derive(Debug, Default)]
pub(super) struct Reconnecting(Option<Box<ExpectedTable>>);

type ExpectedTable = HashMap<SessionKey, Expected>;

#[derive(Debug)]
struct Expected {
    key: TakeoverKey,
    until: Instant,
    /// The session that has used the key: no other may.
    by: Option<SessionKey>,
}

/// The time for a client to come back with its key. Reason: it connects at once, and a balancer may
/// need some attempts.
const COMES_WITHIN: Duration = Duration::from_secs(60);

impl Reconnecting {
    /// Expects the client of a session to come back with this key.
    pub(super) fn expect(&mut self, session: SessionKey, key: TakeoverKey, now: Instant) {
        let table = self.0.get_or_insert_default();
        table.retain(|_, expected| expected.until > now);
        let expected = Expected {
            key,
            until: now + COMES_WITHIN,
            by: None,
        };
        table.insert(session, expected);
    }

    /// Whether a session with this key may have the names of another.
    pub(super) fn lets(
        &self,
        holder: SessionKey,
        session: SessionKey,
        key: Option<TakeoverKey>,
        now: Instant,
    ) -> bool {
        let expected = self.0.as_ref().and_then(|table| table.get(&holder));
        let expected = expected.filter(|it| it.until > now);
        expected.is_some_and(|it| key == Some(it.key) && it.by.is_none_or(|by| by == session))
    }

    /// Notes that a session has used the key.
    pub(super) fn used(&mut self, holder: SessionKey, session: SessionKey) {
        if let Some(expected) = self.0.as_mut().and_then(|table| table.get_mut(&holder)) {
            expected.by = Some(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use tributary_protocol::SessionId;

    use super::*;
    use crate::session::LaneKey;

    #[test]
    fn one_session_with_the_key_comes_in_time() {
        let session = |session| SessionKey {
            lane: LaneKey(1),
            session: SessionId(session),
        };
        let (old, new, other) = (session(1), session(2), session(3));
        let key = |byte| Some(TakeoverKey::new([byte; 16]));
        let mut reconnecting = Reconnecting::default();
        let now = Instant::now();
        reconnecting.expect(old, TakeoverKey::new([1; 16]), now);
        assert!(reconnecting.lets(old, new, key(1), now));
        assert!(!reconnecting.lets(old, new, key(2), now));
        assert!(!reconnecting.lets(old, new, None, now));
        assert!(!reconnecting.lets(other, new, key(1), now));
        reconnecting.used(old, new);
        assert!(reconnecting.lets(old, new, key(1), now), "its next name");
        assert!(!reconnecting.lets(old, other, key(1), now), "once");
        assert!(!reconnecting.lets(old, new, key(1), now + COMES_WITHIN));
        reconnecting.expect(other, TakeoverKey::new([3; 16]), now + COMES_WITHIN);
        let known = reconnecting.0.map_or(0, |table| table.len());
        assert_eq!(known, 1, "the old one is forgotten");
    }
}
