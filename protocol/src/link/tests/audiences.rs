//! Audiences: one frame for all members, and every session receives everything in its order.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{
    link::{AudienceEvent, AudienceId, CloseReason, RETENTION, Recipients, ToAudience, credit},
    shared_object::{Flags, body::Events},
};

/// The messages of sessions by their numbers: as expected, and as received.
#[derive(Default)]
pub(super) struct Club {
    next: u32,
    /// Bodies change this many slots in turn; `None` makes them messages to the members.
    pub(super) slots: Option<u32>,
    expected: BTreeMap<SessionId, Vec<u32>>,
    pub(super) heard: BTreeMap<SessionId, Vec<u32>>,
    /// The members, as the group has reported them to the lane.
    told: BTreeMap<AudienceId, Vec<SessionId>>,
    /// The members that the group has stand aside.
    stood: BTreeSet<(AudienceId, SessionId)>,
    /// The members at the edge, and whether they stand aside.
    seated: BTreeMap<AudienceId, BTreeMap<SessionId, bool>>,
    /// Messages to all that crossed the link.
    frames: u64,
    pub(super) wanted: Vec<AudienceId>,
}

impl Club {
    /// The next number, and `length` bytes that hold it.
    fn numbered(&mut self, length: usize) -> (u32, Vec<u8>) {
        self.next += 1;
        let mut bytes = self.next.to_be_bytes().to_vec();
        bytes.resize(length.max(4), self.next as u8);
        (self.next, bytes)
    }

    /// The next number in a body: a message to the members, or a change of a slot.
    fn body(&mut self, length: usize) -> (u32, Bytes) {
        let (number, data) = self.numbered(length);
        let mut body = text("object");
        body.extend_from_slice(&number.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
        let (kind, name) = match self.slots {
            Some(slots) => (4, text(&format!("{:08}", number % slots))),
            None => (6, Vec::new()),
        };
        body.push(kind);
        body.extend_from_slice(&((name.len() + data.len()) as u32).to_be_bytes());
        body.extend_from_slice(&name);
        body.extend_from_slice(&data);
        (number, body.into())
    }

    /// The number of the last message to a session.
    pub(super) fn last_expected(&self, session: SessionId) -> &u32 {
        self.expected[&session]
            .last()
            .expect("it was told something")
    }

    fn hear_body(&mut self, session: SessionId, body: &[u8]) {
        for event in Events::read(body).expect("a body") {
            let event = event.expect("an event");
            self.hear(session, event.slot().map_or(event.data, |(_, data)| data));
        }
    }

    fn hear(&mut self, session: SessionId, data: &[u8]) {
        let number = u32::from_be_bytes(*data.first_chunk().expect("a number"));
        assert!(data[4..].iter().all(|&byte| byte == number as u8));
        self.heard.entry(session).or_default().push(number);
    }

    pub(super) fn edge_event(&mut self, event: &EdgeEvent) {
        match event {
            EdgeEvent::Session {
                session,
                order: ToSession::Message { message, .. },
            } if message.kind == MessageType::DATA_AMF0 => self.hear(*session, &message.payload),
            EdgeEvent::Object { session, body, .. } => self.hear_body(*session, body),
            EdgeEvent::Audience { audience, event } => self.audience_event(*audience, event),
            EdgeEvent::Session {
                session,
                order: ToSession::Close(_),
            } => {
                for members in self.seated.values_mut() {
                    members.remove(session);
                }
            }
            _ => {}
        }
    }

    fn audience_event(&mut self, audience: AudienceId, event: &AudienceEvent) {
        if let AudienceEvent::Begun { .. } = event {
            self.seated.insert(audience, BTreeMap::new());
        }
        let members = self.seated.get_mut(&audience).expect("it has begun");
        match event {
            AudienceEvent::Begun { .. } => {}
            AudienceEvent::Joined { session, aside, .. } => {
                members.insert(*session, *aside);
            }
            AudienceEvent::Left { session } => {
                members.remove(session);
            }
            AudienceEvent::Message { to, body, .. } => {
                self.frames += 1;
                let all_but = match to {
                    Recipients::AllBut(session) => Some(*session),
                    _ => None,
                };
                let hears =
                    |&(&session, &aside): &(&SessionId, &bool)| !aside && Some(session) != all_but;
                let hearers: Vec<_> = members.iter().filter(hears).map(|(&id, _)| id).collect();
                for session in hearers {
                    self.hear_body(session, body);
                }
            }
            AudienceEvent::Ended => {
                self.seated.remove(&audience);
            }
        }
    }
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

impl Pair {
    /// Two ends, and an audience [`A`] with `N` members.
    pub(super) fn with_members<const N: usize>(seed: u64) -> (Self, [SessionId; N]) {
        let mut pair = Self::new(seed, credit::PROCESS_BUDGET);
        let sessions = std::array::from_fn(|index| pair.open(index as u64 + 1));
        pair.steps(20);
        pair.begin(A);
        for session in sessions {
            pair.join(A, session);
        }
        (pair, sessions)
    }

    pub(super) fn begin(&mut self, audience: AudienceId) {
        let name = format!("object{}", audience.0);
        let persistent = false;
        self.origin
            .audience(audience, ToAudience::Begin { name, persistent });
        self.club.told.insert(audience, Vec::new());
    }

    pub(super) fn join(&mut self, audience: AudienceId, session: SessionId) {
        let flags = Flags::TEMPORARY;
        self.origin
            .audience(audience, ToAudience::Join { session, flags });
        self.club.told.get_mut(&audience).unwrap().push(session);
    }

    fn leave(&mut self, audience: AudienceId, session: SessionId) {
        self.origin
            .audience(audience, ToAudience::Leave { session });
        let members = self.club.told.get_mut(&audience).unwrap();
        members.retain(|&member| member != session);
        self.club.stood.remove(&(audience, session));
    }

    fn stand(&mut self, audience: AudienceId, session: SessionId) {
        let key = (audience, session);
        let aside = !self.club.stood.remove(&key);
        if aside {
            self.club.stood.insert(key);
        }
        self.origin
            .audience(audience, ToAudience::Stand { session, aside });
    }

    pub(super) fn send_all(&mut self, audience: AudienceId, to: Recipients, length: usize) -> u32 {
        let (number, body) = self.club.body(length);
        for member in self.club.told.get(&audience).into_iter().flatten() {
            let stands = self.club.stood.contains(&(audience, *member));
            let hears = match to {
                Recipients::All => !stands,
                Recipients::AllBut(author) => !stands && *member != author,
                Recipients::One(one) => *member == one,
            };
            if hears {
                self.club.expected.entry(*member).or_default().push(number);
            }
        }
        let send = ToAudience::Send {
            to,
            encoding: None,
            body,
        };
        self.origin.audience(audience, send);
        number
    }

    pub(super) fn tell_numbered(&mut self, session: SessionId, length: usize) {
        let (number, payload) = self.club.numbered(length);
        self.club.expected.entry(session).or_default().push(number);
        let payload = payload.into();
        let message = Message {
            kind: MessageType::DATA_AMF0,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(0),
            payload,
        };
        let after = None;
        self.origin
            .send(session, ToSession::Message { message, after });
    }

    fn length(&mut self) -> usize {
        match self.rng.random_range(0..12) {
            0 => self.rng.random_range(0..80_000),
            1 => self.rng.random_range(16_000..17_000),
            _ => self.rng.random_range(0..300),
        }
    }

    pub(super) fn assert_heard(&self, closed: &[SessionId]) {
        for (session, expected) in &self.club.expected {
            if !closed.contains(session) {
                let heard = self.club.heard.get(session);
                assert_eq!(heard, Some(expected), "session {session}");
            }
        }
    }
}

const A: AudienceId = AudienceId(1);

#[test]
fn every_session_hears_audiences_and_answers_in_one_order_through_outages() {
    let mut merged = 0;
    for seed in 0..200 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        let sessions: Vec<_> = (1..=12).map(|n| pair.open(n)).collect();
        pair.steps(20);
        let audiences: Vec<_> = (0..4).map(AudienceId).collect();
        let mut sends = 0;
        let mut closed = Vec::new();
        for _ in 0..500 {
            let session = sessions[pair.rng.random_range(0..sessions.len())];
            let audience = audiences[pair.rng.random_range(0..audiences.len())];
            let length = pair.length();
            let known = pair.club.told.contains_key(&audience);
            let member = known && pair.club.told[&audience].contains(&session);
            match pair.rng.random_range(0..100) {
                0..2 if known => {
                    pair.origin.audience(audience, ToAudience::End);
                    pair.club.told.remove(&audience);
                    pair.club.stood.retain(|&(of, _)| of != audience);
                }
                0..15 if !known => pair.begin(audience),
                15..35 if known && !member && !closed.contains(&session) => {
                    pair.join(audience, session);
                }
                35..40 if member => pair.leave(audience, session),
                40..46 if member => pair.stand(audience, session),
                46..80 if known => {
                    let to = match pair.rng.random_range(0..3) {
                        0 => Recipients::All,
                        1 => Recipients::AllBut(session),
                        _ if member => Recipients::One(session),
                        _ => Recipients::All,
                    };
                    sends += u64::from(!matches!(to, Recipients::One(_)));
                    pair.send_all(audience, to, length);
                }
                80..96 if !closed.contains(&session) => pair.tell_numbered(session, length),
                96 if closed.len() < 3 && !closed.contains(&session) => {
                    pair.edge
                        .send(session, FromSession::Close(CloseReason::Client));
                    for members in pair.club.told.values_mut() {
                        members.retain(|&member| member != session);
                    }
                    pair.club.stood.retain(|&(_, of)| of != session);
                    closed.push(session);
                }
                97 => {
                    if pair.connected {
                        pair.disconnect();
                    } else {
                        pair.connect();
                    }
                }
                _ => pair.step(),
            }
        }
        if !pair.connected {
            pair.connect();
        }
        pair.steps(3000);
        pair.assert_heard(&closed);
        pair.assert_settled();
        let counts = pair.origin.take_audience_counts();
        assert_eq!(pair.club.frames, counts.messages);
        let crossed = counts.messages + counts.merged;
        assert_eq!(crossed, sends, "each crosses the link once");
        merged += counts.merged;
    }
    assert!(merged > 0, "some of them in another");
}

#[test]
fn a_message_to_ten_thousand_members_is_one_frame() {
    let mut pair = Pair::new(1, credit::PROCESS_BUDGET);
    let sessions: Vec<_> = (1..=10_000).map(|n| pair.open(n)).collect();
    pair.steps(300);
    pair.begin(A);
    for &session in &sessions {
        pair.join(A, session);
    }
    pair.steps(300);
    let before = pair.edge.received();
    pair.send_all(A, Recipients::All, 100);
    pair.send_all(A, Recipients::AllBut(sessions[7]), 100);
    pair.steps(30);
    assert_eq!(pair.edge.received() - before, 2, "frames");
    pair.assert_heard(&[]);
}

/// The members of the message are those at its first fragment; their later messages leave after its
/// last.
#[test]
fn a_long_message_holds_back_its_members_and_nobody_else() {
    let mut pair = Pair::new(2, credit::PROCESS_BUDGET);
    let (member, late, other) = (pair.open(1), pair.open(2), pair.open(3));
    pair.steps(20);
    pair.begin(A);
    pair.join(A, member);
    pair.steps(20);
    pair.send_all(A, Recipients::All, 1 << 20);
    pair.join(A, late);
    pair.tell_numbered(member, 10);
    pair.tell_numbered(late, 10);
    pair.tell_numbered(other, 10);
    pair.steps(8);
    assert_eq!(pair.club.heard.get(&other).map_or(0, Vec::len), 1);
    assert_eq!(
        pair.club.heard.get(&member),
        None,
        "a megabyte takes longer"
    );
    pair.steps(500);
    assert_eq!(pair.club.heard[&member].len(), 2);
    assert_eq!(pair.club.heard[&late].len(), 1, "it was no member yet");
    pair.assert_heard(&[]);
    pair.assert_settled();
}

/// A member that the group has stand aside receives messages for it alone, in order and once.
#[test]
fn a_member_that_stands_aside_hears_what_is_for_it_alone() {
    let (mut pair, [one, other]) = Pair::with_members(4);
    pair.send_all(A, Recipients::All, 10);
    pair.stand(A, one);
    // The rule also holds while it has a queue, into which copies would go.
    pair.send_all(A, Recipients::One(one), 1 << 18);
    for _ in 0..3 {
        pair.send_all(A, Recipients::All, 10);
    }
    pair.send_all(A, Recipients::One(one), 20);
    pair.steps(8);
    assert_eq!(pair.club.heard[&other].len(), 4);
    pair.stand(A, one);
    pair.send_all(A, Recipients::All, 10);
    pair.steps(500);
    assert_eq!(pair.club.heard[&one].len(), 1 + 2 + 1);
    pair.assert_heard(&[]);
    pair.assert_settled();
}

/// A member with a long answer under way gets copies, and rejoins the audience after it.
#[test]
fn a_member_in_bulk_stands_aside_and_comes_back() {
    let (mut pair, [bulk, other]) = Pair::with_members(3);
    pair.tell_numbered(bulk, 1 << 20);
    for _ in 0..3 {
        pair.send_all(A, Recipients::All, 100);
    }
    pair.steps(8);
    assert_eq!(
        pair.club.heard[&other].len(),
        3,
        "nobody waits for the bulk"
    );
    assert_eq!(pair.club.heard.get(&bulk), None);
    pair.steps(500);
    pair.assert_heard(&[]);
    assert_eq!(pair.origin.take_audience_counts().member_messages, 3);
    pair.send_all(A, Recipients::All, 100);
    pair.steps(20);
    pair.assert_heard(&[]);
    let counts = pair.origin.take_audience_counts();
    assert_eq!((counts.messages, counts.member_messages), (1, 0));
}

/// A new epoch of either end: audiences begin anew, under any number.
#[test]
fn a_restart_of_either_end_leaves_no_audience_behind() {
    for seed in 0..20 {
        let (mut pair, sessions) = Pair::with_members::<5>(seed);
        pair.tell_numbered(sessions[0], 1 << 20);
        pair.send_all(A, Recipients::All, 100_000);
        let before = pair.rng.random_range(1..60);
        pair.steps(before);
        pair.disconnect();
        pair.origin.end(CloseReason::OriginLost);
        // The lane ignores orders that the group still sends to it.
        pair.send_all(A, Recipients::All, 10);
        pair.leave(A, sessions[1]);
        pair.origin = OriginLane::new(1 << 24, pair.budget.clone());
        pair.edge = EdgeLane::default();
        pair.club = Club::default();
        pair.connect();
        let again: Vec<_> = (11..=15).map(|n| pair.open(n)).collect();
        pair.steps(20);
        pair.begin(A);
        for &session in &again {
            pair.join(A, session);
        }
        pair.send_all(A, Recipients::All, 100_000);
        pair.send_all(A, Recipients::AllBut(again[0]), 10);
        pair.steps(600);
        pair.assert_heard(&[]);
        pair.assert_settled();
    }
}

/// No message follows a close, also not to a member with copies in its queue.
#[test]
fn a_member_in_bulk_that_is_closed_is_gone_at_both_ends() {
    let (mut pair, [bulk, _]) = Pair::with_members(6);
    pair.tell_numbered(bulk, 1 << 20);
    pair.send_all(A, Recipients::All, 100);
    pair.origin
        .send(bulk, ToSession::Close(CloseReason::Application));
    pair.send_all(A, Recipients::All, 100);
    pair.club.expected.get_mut(&bulk).expect("a member").pop();
    pair.steps(800);
    pair.assert_heard(&[]);
    assert_eq!(pair.closed_at_edge, [bulk]);
    assert_eq!(pair.origin.session_count(), 1);
    pair.assert_settled();
}

/// Changes that were dropped before a member stood aside reach it when it returns.
#[test]
fn a_snapshot_that_passes_a_member_by_is_asked_for_again() {
    let (mut pair, [one, other]) = Pair::with_members(5);
    pair.steps(50);
    pair.disconnect();
    pair.club.slots = Some(u32::MAX);
    for _ in 0..400 {
        pair.send_all(A, Recipients::All, 50_000);
    }
    pair.stand(A, one);
    pair.connect();
    let mut last = BTreeMap::new();
    for aside in [true, false] {
        pair.steps(3_000);
        assert_eq!(std::mem::take(&mut pair.club.wanted), [A]);
        let (number, body) = pair.club.body(100);
        let encoding = None;
        pair.origin
            .audience(A, ToAudience::Snapshot { encoding, body });
        last.insert(other, number);
        if aside {
            pair.stand(A, one);
        } else {
            last.insert(one, number);
        }
    }
    pair.steps(300);
    assert!(pair.club.wanted.is_empty());
    for (session, number) in last {
        assert_eq!(pair.club.heard[&session].last(), Some(&number));
    }
}

/// A snapshot replaces frames towards the edge that no longer fit; no session is closed.
#[test]
fn what_an_outage_cannot_hold_comes_as_a_snapshot() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        let sessions: Vec<_> = (1..=5).map(|n| pair.open(n)).collect();
        pair.steps(20);
        let quiet = AudienceId(2);
        for audience in [A, quiet] {
            pair.begin(audience);
            for &session in &sessions {
                pair.join(audience, session);
            }
        }
        pair.steps(50);
        pair.disconnect();
        pair.club.slots = Some(u32::MAX);
        for _ in 0..400 {
            let length = pair.rng.random_range(30_000..100_000);
            pair.send_all(A, Recipients::AllBut(sessions[0]), length);
        }
        assert!(pair.origin.retained() <= RETENTION);
        pair.connect();
        for _ in 0..5000 {
            pair.step();
            for audience in std::mem::take(&mut pair.club.wanted) {
                let (number, body) = pair.club.body(50_000);
                for session in &sessions {
                    pair.club.expected.entry(*session).or_default().push(number);
                }
                let encoding = None;
                let snapshot = ToAudience::Snapshot { encoding, body };
                pair.origin.audience(audience, snapshot);
                assert_eq!(audience, A, "only what lapsed is asked for");
                pair.send_all(A, Recipients::All, 10);
            }
        }
        pair.send_all(quiet, Recipients::All, 10);
        pair.steps(300);
        assert!(pair.closed_at_origin.is_empty());
        assert_eq!(pair.origin.take_audience_counts().lapses, 1);
        assert_eq!(
            pair.club.heard[&sessions[0]],
            pair.club.expected[&sessions[0]]
        );
        for session in &sessions[1..] {
            let heard = &pair.club.heard[session];
            let expected = &pair.club.expected[session];
            // The messages have a gap in the middle and are complete from the snapshot on.
            let prefix = heard
                .iter()
                .zip(expected)
                .take_while(|(a, b)| a == b)
                .count();
            assert!(prefix < expected.len() - 3);
            assert_eq!(
                heard[prefix..],
                expected[expected.len() - 3..],
                "seed {seed}"
            );
        }
        pair.assert_settled();
    }
}

#[test]
fn an_answer_that_no_longer_fits_closes_its_session_alone() {
    let (mut pair, [loud, _]) = Pair::with_members(4);
    pair.disconnect();
    for _ in 0..20 {
        pair.send_all(A, Recipients::One(loud), 1 << 20);
    }
    pair.origin_events();
    assert_eq!(pair.closed_at_origin, [loud]);
    pair.connect();
    pair.send_all(A, Recipients::All, 10);
    pair.steps(2000);
    pair.assert_heard(&[loud]);
    pair.assert_settled();
}
