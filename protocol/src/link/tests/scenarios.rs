//! Failures that a lane survives.

use super::*;
use crate::link::{CloseReason, FrameError, RESERVATION_IDLE, credit};

#[test]
fn calls_survive_any_number_of_outages_exactly_once_and_in_order() {
    for seed in 0..60 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        let sessions: Vec<_> = (1..=20).map(|n| pair.open(n)).collect();
        for _ in 0..400 {
            for &session in &sessions {
                if pair.rng.random_bool(0.1) {
                    let length = match pair.rng.random_range(0..20) {
                        0 => pair.rng.random_range(0..60_000),
                        _ => pair.rng.random_range(0..200),
                    };
                    pair.send(session, length);
                }
            }
            if pair.rng.random_bool(0.02) {
                if pair.connected {
                    pair.disconnect();
                } else {
                    pair.connect();
                }
            }
            pair.delay = Duration::from_millis(pair.rng.random_range(1..30));
            pair.step();
        }
        if !pair.connected {
            pair.connect();
        }
        pair.steps(2000);
        pair.assert_exact();
        pair.assert_settled();
        assert!(pair.closed_at_origin.is_empty());
    }
}

#[test]
fn between_two_fragments_of_one_session_every_waiting_session_gets_its_turn() {
    let mut pair = Pair::new(1, credit::PROCESS_BUDGET);
    let bulk = pair.open(1);
    let others: Vec<_> = (2..=100).map(|n| pair.open(n)).collect();
    pair.steps(50);
    for _ in 0..3 {
        pair.send(bulk, 1 << 20);
    }
    // The first fragment asks for the credit, which arrives a round trip later.
    pair.steps(20);
    let mut rounds = 0;
    while pair.received.get(&bulk).map_or(0, Vec::len) < 3 {
        for &session in &others {
            pair.send(session, 100);
        }
        pair.steps(30);
        rounds += 1;
        for &session in &others {
            let answered = pair.answered.get(&session).map_or(0, Vec::len);
            assert_eq!(answered, rounds, "session {session} waits behind the bulk");
        }
        assert!(rounds < 2000, "the bulk makes no progress");
    }
    pair.steps(500);
    pair.assert_exact();
}

#[test]
fn a_fragment_of_the_bulk_is_followed_by_one_of_everybody() {
    let mut edge = EdgeLane::default();
    let mut pair = Pair::new(1, credit::PROCESS_BUDGET);
    edge.connected(0).unwrap();
    let message = |length: usize| Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        payload: vec![0; length].into(),
    };
    for n in 1..=100 {
        let id = pair.open(n);
        let open = OpenSession {
            peer: "192.0.2.1:1".parse().unwrap(),
            protocol: "rtmp".into(),
            connect: Bytes::new(),
            claims: None,
        };
        edge.send(id, FromSession::Open(open));
        let event = FromSession::Message {
            generation: Generation(0),
            message: message(if n == 1 { 1 << 20 } else { 10 }),
        };
        edge.send(id, event);
    }
    let mut grant = Vec::new();
    crate::link::lane_frame::ToEdge::Credit {
        session: SessionId(1),
        offset: 2 << 20,
    }
    .encode(&mut grant);
    edge.handle_bytes(pair.now, &grant).unwrap();
    let mut reader = crate::link::frame::FrameReader::new(crate::link::frame::MAX_BODY);
    while let Some(bytes) = edge.poll_transmit(pair.now) {
        reader.push(&bytes);
    }
    let mut turns = Vec::new();
    while let Some(frame) = reader.poll_frame().unwrap() {
        use crate::link::lane_frame::ToOrigin;
        if let Ok(ToOrigin::Fragment { session, .. }) = ToOrigin::decode(&frame) {
            turns.push(session.0);
        }
    }
    let bulk: Vec<_> = turns
        .iter()
        .enumerate()
        .filter(|(_, id)| **id == 1)
        .collect();
    assert_eq!(
        bulk[1].0 - bulk[0].0,
        100,
        "all 99 others lie between the first two fragments"
    );
}

#[test]
fn a_message_of_64_times_the_base_passes() {
    let mut pair = Pair::new(3, credit::PROCESS_BUDGET);
    let session = pair.open(1);
    pair.send(session, 64 * credit::BASE as usize);
    pair.send(session, 10);
    pair.steps(500);
    pair.assert_exact();
    pair.assert_settled();
}

#[test]
fn a_hundred_sessions_in_mid_message_share_a_budget_for_two() {
    const LENGTH: usize = 512 * 1024;
    for seed in 0..5 {
        let mut pair = Pair::new(seed, 2 * LENGTH as u64);
        let sessions: Vec<_> = (1..=100).map(|n| pair.open(n)).collect();
        for &session in &sessions {
            pair.send(session, LENGTH);
        }
        for _ in 0..40_000 {
            assert!(pair.budget.used() <= 2 * LENGTH as u64);
            pair.step();
            if pair.answered.values().map(Vec::len).sum::<usize>() == 100 {
                break;
            }
        }
        pair.steps(300);
        pair.assert_exact();
        pair.assert_settled();
        assert!(pair.closed_at_origin.is_empty());
    }
}

#[test]
fn a_holder_that_sends_nothing_for_ten_seconds_is_closed_and_makes_room() {
    const LENGTH: usize = 512 * 1024;
    let mut pair = Pair::new(4, LENGTH as u64);
    let stuck = pair.open(1);
    pair.steps(20);
    // A hostile edge sends the first fragment of a long message, and then nothing.
    pair.disconnect();
    pair.connect();
    let mut frame = Vec::new();
    use crate::link::lane_frame::{Fragment, Head, ToOrigin};
    let head = Head {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        length: LENGTH as u32,
        generation: Generation(0),
        after: None,
        member: None,
    };
    let fragment = Fragment {
        head: Some(head),
        data: Bytes::from_static(&[0; 100]),
    };
    ToOrigin::Fragment {
        session: stuck,
        fragment,
    }
    .encode(&mut frame);
    pair.origin.handle_bytes(pair.now, &frame).unwrap();
    assert!(pair.budget.used() > 0);
    let due = pair.origin.poll_timeout().unwrap();
    assert!(due <= pair.now + RESERVATION_IDLE);
    pair.now += RESERVATION_IDLE;
    pair.origin.handle_timeout(pair.now);
    assert_eq!(
        pair.origin.poll_event(),
        Some(OriginEvent::Session {
            session: stuck,
            event: FromSession::Close(CloseReason::Limit)
        })
    );
    assert_eq!(pair.budget.used(), 0);
}

#[test]
fn a_slow_application_holds_back_its_clients_not_its_memory() {
    let mut pair = Pair::new(5, credit::PROCESS_BUDGET);
    pair.speed = 1;
    let sessions: Vec<_> = (1..=10).map(|n| pair.open(n)).collect();
    for _ in 0..200 {
        for &session in &sessions {
            pair.send(session, 1000);
        }
        pair.step();
        let held: usize = pair
            .mail
            .iter()
            .map(|(_, message)| message.payload.len())
            .sum();
        assert!(
            held as u64 <= 10 * credit::BASE,
            "{held} bytes wait at the origin"
        );
    }
    pair.steps(2500);
    pair.assert_exact();
}

#[test]
fn a_session_whose_answers_no_longer_fit_an_outage_is_closed_alone() {
    let mut pair = Pair::new(6, credit::PROCESS_BUDGET);
    let (loud, quiet) = (pair.open(1), pair.open(2));
    pair.steps(30);
    pair.disconnect();
    let big = Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        payload: vec![0; 1 << 20].into(),
    };
    for _ in 0..40 {
        pair.origin.send(
            loud,
            ToSession::Message {
                message: big.clone(),
                after: None,
            },
        );
    }
    assert!(pair.origin.retained() <= crate::link::RETENTION + (1 << 20));
    pair.origin_events();
    assert_eq!(pair.closed_at_origin, [loud]);
    pair.connect();
    pair.send(quiet, 10);
    pair.steps(2000);
    assert_eq!(pair.closed_at_edge, [loud]);
    pair.assert_exact();
}

#[test]
fn closes_of_both_ends_may_cross() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        let sessions: Vec<_> = (1..=30).map(|n| pair.open(n)).collect();
        pair.steps(20);
        for &session in &sessions {
            let length = pair.rng.random_range(0..100_000);
            pair.send(session, length);
            if pair.rng.random_bool(0.5) {
                pair.edge
                    .send(session, FromSession::Close(CloseReason::Client));
            }
            if pair.rng.random_bool(0.5) {
                pair.origin
                    .send(session, ToSession::Close(CloseReason::Application));
            }
            if pair.rng.random_bool(0.1) {
                pair.step();
            }
        }
        pair.steps(500);
        for &session in &sessions {
            pair.edge
                .send(session, FromSession::Close(CloseReason::Client));
        }
        pair.steps(500);
        assert_eq!(pair.edge.session_count(), 0);
        assert_eq!(pair.origin.session_count(), 0);
        pair.assert_settled();
    }
}

#[test]
fn an_edge_that_breaks_the_rules_is_an_error() {
    use crate::link::lane_frame::{Fragment, Head, ToOrigin};
    let head = |length| Head {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        length,
        generation: Generation(0),
        after: None,
        member: None,
    };
    let fragment = |session, head, size: usize| ToOrigin::Fragment {
        session: SessionId(session),
        fragment: Fragment {
            head,
            data: vec![0; size].into(),
        },
    };
    let open = OpenSession {
        peer: "192.0.2.1:1".parse().unwrap(),
        protocol: "rtmp".into(),
        connect: Bytes::new(),
        claims: None,
    };
    let again = ToOrigin::Session {
        session: SessionId(1),
        event: FromSession::Open(open.clone()),
    };
    let cases = [
        (vec![fragment(9, Some(head(1)), 1)], FrameError::Session(9)),
        (
            vec![ToOrigin::Session {
                session: SessionId(9),
                event: FromSession::Close(CloseReason::Client),
            }],
            FrameError::Session(9),
        ),
        (vec![fragment(1, None, 1)], FrameError::Value),
        (vec![fragment(1, Some(head(1)), 2)], FrameError::Value),
        (
            vec![fragment(1, Some(head(9)), 2), fragment(1, Some(head(9)), 2)],
            FrameError::Value,
        ),
        (
            vec![
                fragment(1, Some(head(90_000)), 16_000),
                fragment(1, None, 16_000),
            ],
            FrameError::Credit(1),
        ),
        (vec![ToOrigin::Ack(99)], FrameError::Number),
        (vec![again], FrameError::Session(1)),
    ];
    for (frames, error) in cases {
        // Another lane has spent the budget: no credit beyond the base arrives.
        let budget = CreditBudget::new(1);
        assert!(budget.reserve(1));
        let mut origin = OriginLane::new(1 << 24, budget);
        let now = start();
        let mut wire = Vec::new();
        ToOrigin::Session {
            session: SessionId(1),
            event: FromSession::Open(open.clone()),
        }
        .encode(&mut wire);
        origin.handle_bytes(now, &wire).unwrap();
        wire.clear();
        for frame in &frames {
            frame.encode(&mut wire);
        }
        assert_eq!(origin.handle_bytes(now, &wire), Err(error), "{frames:?}");
    }
}

#[test]
fn a_flood_of_empty_messages_uses_up_the_credit() {
    let mut pair = Pair::new(8, credit::PROCESS_BUDGET);
    pair.speed = 0;
    let session = pair.open(1);
    for _ in 0..10_000 {
        pair.send(session, 0);
    }
    pair.steps(200);
    assert!(pair.mail.len() as u64 <= credit::BASE / credit::MESSAGE_COST);
    pair.speed = usize::MAX;
    pair.steps(3000);
    pair.assert_exact();
}

#[test]
fn sessions_come_to_a_lane_in_any_order() {
    let mut pair = Pair::new(10, credit::PROCESS_BUDGET);
    let younger = pair.open(7);
    let older = pair.open(4);
    for size in 1..20 {
        pair.send(older, size);
        pair.send(younger, size);
    }
    pair.steps(200);
    assert_eq!(pair.origin.session_count(), 2);
    pair.assert_exact();
}

#[test]
fn a_session_that_never_left_the_edge_leaves_no_trace() {
    let mut pair = Pair::new(9, credit::PROCESS_BUDGET);
    pair.disconnect();
    let session = pair.open(1);
    pair.send(session, 100);
    pair.edge
        .send(session, FromSession::Close(CloseReason::Client));
    assert_eq!(pair.edge.session_count(), 0);
    assert!(!pair.edge.has_history());
    pair.connect();
    pair.steps(100);
    assert_eq!(pair.origin.session_count(), 0);
}

#[test]
fn a_session_beyond_its_rate_waits_alone_and_loses_nothing() {
    let mut pair = Pair::new(9, credit::PROCESS_BUDGET);
    let (fast, other) = (pair.open(1), pair.open(2));
    pair.steps(20);
    // 5 MiB: the burst passes at once, the fifth takes 4 s of 2 Mbit/s.
    const PIECE: usize = 64 * 1024;
    for _ in 0..80 {
        pair.send(fast, PIECE);
    }
    pair.steps(1500);
    let received = |pair: &Pair| pair.received.get(&fast).map_or(0, Vec::len);
    let burst = received(&pair);
    assert!((64..72).contains(&burst), "{burst} of 80 at once");
    for n in 1..=20 {
        pair.send(other, 1000);
        pair.steps(30);
        assert_eq!(pair.answered[&other].len(), n, "nobody else waits");
    }
    pair.steps(1000);
    let later = received(&pair);
    let expected = 250_000 * 1600 / 1000 / PIECE;
    assert!(
        later.abs_diff(burst + expected) <= 2,
        "{later} after 1.6 s, {burst} before"
    );
    pair.steps(4000);
    pair.assert_exact();
    pair.assert_settled();
}

#[test]
fn a_session_that_closes_while_it_is_throttled_closes_at_once() {
    let mut pair = Pair::new(10, credit::PROCESS_BUDGET);
    let fast = pair.open(1);
    pair.steps(20);
    for _ in 0..100 {
        pair.send(fast, 64 * 1024);
    }
    pair.steps(1000);
    pair.edge
        .send(fast, FromSession::Close(CloseReason::Client));
    pair.steps(50);
    assert_eq!(pair.closed_at_origin, [fast]);
    pair.steps(300);
    pair.assert_settled();
}

#[test]
fn an_outage_in_mid_message_closes_nobody() {
    let mut pair = Pair::new(10, credit::PROCESS_BUDGET);
    let session = pair.open(1);
    pair.send(session, 1 << 20);
    pair.steps(40);
    assert!(pair.budget.used() > 0, "it is under way");
    pair.disconnect();
    // Longer than a holder may be silent on a connected link.
    pair.now += RESERVATION_IDLE + Duration::from_secs(4);
    pair.origin.handle_timeout(pair.now);
    pair.connect();
    pair.steps(1000);
    assert!(pair.closed_at_origin.is_empty());
    pair.assert_exact();
    pair.assert_settled();
}

#[test]
fn a_process_that_was_stopped_excuses_those_in_mid_message() {
    let mut pair = Pair::new(11, credit::PROCESS_BUDGET);
    let session = pair.open(1);
    pair.send(session, 1 << 20);
    pair.steps(40);
    pair.now += RESERVATION_IDLE + Duration::from_secs(1);
    pair.origin.excuse(pair.now);
    pair.steps(1000);
    assert!(pair.closed_at_origin.is_empty());
    pair.assert_exact();
}

/// A new epoch of either end resumes nothing and leaves nothing of the old lane.
#[test]
fn a_restart_of_either_end_leaves_nothing_behind() {
    for seed in 0..40 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        for n in 1..=10 {
            let session = pair.open(n);
            let length = pair.rng.random_range(0..200_000);
            pair.send(session, length);
        }
        let before = pair.rng.random_range(1..60);
        pair.steps(before);
        let known = pair.origin.session_count();
        pair.disconnect();
        pair.closed_at_origin.clear();
        if seed % 2 == 0 {
            // The edge is another process: the origin ends the lane after the grace time.
            pair.origin.end(CloseReason::OriginLost);
            pair.origin_events();
            assert_eq!(pair.closed_at_origin.len(), known, "each is told once");
        }
        let received = pair.edge.received();
        pair.origin = OriginLane::new(1 << 24, pair.budget.clone());
        assert_eq!(pair.budget.used(), 0, "seed {seed}");
        // An origin that never had the lane refuses to resume it.
        if received > 0 {
            assert_eq!(
                pair.origin.connected(pair.now, received),
                Err(FrameError::Number)
            );
            pair.origin = OriginLane::new(1 << 24, pair.budget.clone());
        }
        pair.edge = EdgeLane::default();
        pair.mail.clear();
        for map in [&mut pair.received, &mut pair.answered] {
            map.clear();
        }
        pair.sent.clear();
        pair.connect();
        for n in 20..=30 {
            let session = pair.open(n);
            pair.send(session, 20_000);
        }
        pair.steps(400);
        pair.assert_exact();
        pair.assert_settled();
    }
}

/// The queue of a slow client overflows at the edge: the client is closed, the lane goes on.
#[test]
fn a_client_that_does_not_read_is_closed_and_slows_nobody() {
    for seed in 0..20 {
        let mut pair = Pair::new(seed, credit::PROCESS_BUDGET);
        let slow = pair.open(1);
        let others: Vec<_> = (2..=20).map(|n| pair.open(n)).collect();
        pair.steps(20);
        for round in 1..=50 {
            pair.send(slow, 10_000);
            for &session in &others {
                pair.send(session, 100);
            }
            pair.steps(25);
            let unread = pair.answered.get(&slow).map_or(0, Vec::len) * 10_000;
            if unread > 64 * 1024 {
                pair.edge
                    .send(slow, FromSession::Close(CloseReason::SlowReader));
            }
            for session in &others {
                assert_eq!(pair.answered.get(session).map_or(0, Vec::len), round);
            }
        }
        assert_eq!(pair.closed_at_origin, [slow]);
        pair.sent.remove(&slow);
        pair.steps(200);
        pair.assert_exact();
        pair.assert_settled();
    }
}
