//! The line: a long message to an audience, and the orders that must not pass it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::order::Order;
use crate::{
    SessionId,
    link::{AudienceId, ToAudience, lane_frame::AudienceHead},
};

/// Orders that stand behind a message longer than a fragment, in order. Orders for other audiences
/// and sessions pass them.
#[derive(Debug, Default)]
pub(super) struct Line {
    items: VecDeque<Standing>,
    /// The items of each audience.
    of_audience: HashMap<AudienceId, usize>,
    /// The items of each session.
    of_session: HashMap<SessionId, usize>,
    /// The orders that change a member's standing.
    moves: usize,
    /// Whether the line has a place among the turns.
    has_turn: bool,
}

/// An item of the line.
#[derive(Debug)]
pub(super) enum Standing {
    Audience(AudienceId, ToAudience),
    /// A message to all, of which `sent` bytes have been encoded.
    Long {
        audience: AudienceId,
        head: AudienceHead,
        body: Bytes,
        sent: usize,
    },
    Session(SessionId, Order),
    /// The member's queue is empty.
    Rejoin(AudienceId, SessionId),
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn has_audience(&self, audience: AudienceId) -> bool {
        self.of_audience.contains_key(&audience)
    }

    /// Whether an order to a session of these audiences must stand in the line.
    pub(super) fn holds_back(&self, session: SessionId, audiences: &[AudienceId]) -> bool {
        let concerned = |&audience: &AudienceId| self.has_audience(audience);
        !self.items.is_empty()
            && (self.of_session.contains_key(&session) || audiences.iter().any(concerned))
    }

    /// Whether no order changes a member's standing.
    pub(super) fn is_settled(&self) -> bool {
        self.moves == 0
    }

    /// Adds an item at the end.
    pub(super) fn stand(&mut self, item: Standing) {
        self.count(&item);
        self.items.push_back(item);
    }

    /// Adds an item before all others.
    pub(super) fn stand_first(&mut self, item: Standing) {
        self.count(&item);
        self.items.push_front(item);
    }

    /// Takes the first item.
    pub(super) fn next(&mut self) -> Option<Standing> {
        let item = self.items.pop_front()?;
        let (audience, session) = item.concerns();
        if let Some(audience) = audience {
            subtract(&mut self.of_audience, audience);
        }
        if let Some(session) = session {
            subtract(&mut self.of_session, session);
        }
        self.moves -= usize::from(item.moves());
        Some(item)
    }

    /// Whether the first item is a long message.
    pub(super) fn begins_with_long(&self) -> bool {
        matches!(self.items.front(), Some(Standing::Long { .. }))
    }

    /// Takes a place among the turns; false if the line has one, or needs none.
    pub(super) fn take_turn(&mut self) -> bool {
        !self.items.is_empty() && !std::mem::replace(&mut self.has_turn, true)
    }

    /// The line's turn has come.
    pub(super) fn end_turn(&mut self) {
        self.has_turn = false;
    }

    fn count(&mut self, item: &Standing) {
        let (audience, session) = item.concerns();
        if let Some(audience) = audience {
            *self.of_audience.entry(audience).or_default() += 1;
        }
        if let Some(session) = session {
            *self.of_session.entry(session).or_default() += 1;
        }
        self.moves += usize::from(item.moves());
    }
}

impl Standing {
    /// The audience and the session whose later orders must not pass the item.
    fn concerns(&self) -> (Option<AudienceId>, Option<SessionId>) {
        match self {
            Self::Audience(audience, order) => (Some(*audience), order.mover()),
            Self::Long { audience, .. } | Self::Rejoin(audience, _) => (Some(*audience), None),
            Self::Session(session, _) => (None, Some(*session)),
        }
    }

    fn moves(&self) -> bool {
        matches!(self, Self::Audience(_, order) if order.moves())
    }
}

fn subtract<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        link::{CloseReason, ToSession},
        shared_object::Flags,
    };

    const AUDIENCE: AudienceId = AudienceId(1);
    const SESSION: SessionId = SessionId(1);

    fn long() -> Standing {
        Standing::Long {
            audience: AUDIENCE,
            head: AudienceHead {
                all_but: None,
                encoding: None,
                length: 0,
            },
            body: Bytes::new(),
            sent: 0,
        }
    }

    #[test]
    fn members_and_sessions_in_the_line_are_held_back_and_others_are_not() {
        let mut line = Line::default();
        assert!(!line.holds_back(SESSION, &[AUDIENCE]));
        line.stand_first(long());
        assert!(line.holds_back(SESSION, &[AUDIENCE]));
        assert!(!line.holds_back(SESSION, &[AudienceId(2)]));
        let close = Order::Session(ToSession::Close(CloseReason::Limit));
        line.stand(Standing::Session(SESSION, close));
        assert!(line.holds_back(SESSION, &[]));
        assert!(line.begins_with_long());
        line.next();
        assert!(!line.has_audience(AUDIENCE));
        line.next();
        assert!(line.is_empty() && !line.holds_back(SESSION, &[AUDIENCE]));
    }

    #[test]
    fn a_line_is_settled_when_no_member_moves_in_it() {
        let mut line = Line::default();
        let join = ToAudience::Join {
            session: SESSION,
            flags: Flags::TEMPORARY,
        };
        line.stand(Standing::Audience(AUDIENCE, join));
        assert!(!line.is_settled());
        assert!(line.holds_back(SESSION, &[]), "it is about to join");
        line.next();
        assert!(line.is_settled());
    }

    #[test]
    fn a_line_has_one_turn_at_a_time() {
        let mut line = Line::default();
        assert!(!line.take_turn(), "it is empty");
        line.stand(long());
        assert!(line.take_turn());
        assert!(!line.take_turn());
        line.end_turn();
        assert!(line.take_turn());
    }
}
