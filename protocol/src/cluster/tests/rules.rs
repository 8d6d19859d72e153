//! Single rules of one origin, with facts that the test states.

use std::{
    cell::RefCell,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::start;
use crate::{
    GroupName, LaneId,
    cluster::{
        Act, Admission, ClusterStart, Finished, Here, LaneFacts, LaneNumber, MoveError, Note,
        OriginStanding, Ownership,
    },
    link::{Control, MAX_STATE_PIECE, MoveFrame, MoveStep, lane_frame::OpenLane},
};

/// The lanes of one group, and edges that are all linked.
#[derive(Default)]
struct Lanes(RefCell<Vec<LaneFacts>>);

impl Here for Lanes {
    fn lanes(&self, _: &GroupName) -> Vec<LaneFacts> {
        self.0.borrow().clone()
    }

    fn has_data(&self, _: &GroupName) -> bool {
        false
    }

    fn closes_clients(&self, _: &GroupName) -> bool {
        false
    }

    fn refusal(&self, _: &GroupName, _: usize) -> Option<String> {
        None
    }

    fn brings(&self, _: &str) -> bool {
        true
    }

    fn edges(&self) -> Vec<(Arc<str>, u64)> {
        vec![(edge(), 1)]
    }
}

impl Lanes {
    /// One lane of one session.
    fn one(number: u64) -> Self {
        let lanes = Self::default();
        lanes.0.borrow_mut().push(LaneFacts {
            number: LaneNumber(number),
            edge: edge(),
            sessions: 1,
            follows: true,
            has_group: true,
            is_brought: false,
        });
        lanes
    }
}

fn edge() -> Arc<str> {
    "edge".into()
}

fn group() -> GroupName {
    GroupName::from_app("app/x").unwrap()
}

/// An origin in a cluster with another one, which is linked and has no groups.
fn origin(name: &str, other: &str, now: Instant) -> Ownership {
    let others = vec![other.to_owned()];
    let mut origin = Ownership::in_cluster(name, others, ClusterStart::default(), now);
    origin.origin_linked(other, 1, 1, now);
    origin.origin_has((other, 1), true, Vec::new(), &[], now, &Lanes::default());
    origin.take_news();
    assert_eq!(acts(&mut origin), []);
    origin
}

fn acts(origin: &mut Ownership) -> Vec<Act> {
    std::iter::from_fn(|| origin.poll_act()).collect()
}

/// The frames about moves among the acts.
fn told(acts: &[Act]) -> Vec<MoveFrame> {
    let frames = acts.iter().filter_map(|act| match act {
        Act::Tell { frame, .. } => Some(frame.clone()),
        _ => None,
    });
    frames.collect()
}

fn open(home: &str) -> OpenLane {
    OpenLane {
        lane: LaneId(1),
        group: group(),
        home: home.to_owned(),
        resume: None,
        only_if_living: false,
        restore: false,
    }
}

/// An origin with one session of the group, which has stopped for a move to `b`, with its move's number and state.
fn leaving(now: Instant) -> (Ownership, Lanes, u64, Bytes) {
    let (mut a, here) = (origin("a", "b", now), Lanes::one(1));
    let state = Bytes::from(vec![7; MAX_STATE_PIECE + 1]);
    a.lane_joined(&group(), "a", "a");
    a.move_group(5, &group(), "b", now, &here);
    let step = MoveStep::Answer { refused: None };
    a.handle_move("b", MoveFrame { id: 5, step }, now, &here);
    a.has_stopped(&group(), &state);
    (a, here, 5, state)
}

#[test]
fn a_commit_that_is_lost_with_its_link_comes_over_the_next_one_whole() {
    let now = start();
    let (mut a, _, id, state) = leaving(now);
    let first = told(&acts(&mut a));
    let [_offer, piece, ..] = &first[..] else {
        panic!("{first:?}");
    };
    // The other origin has the offer and a piece of the state; then the link is gone.
    let (mut b, there) = (origin("b", "a", now), Lanes::default());
    for frame in &first[..2] {
        b.handle_move("a", frame.clone(), now, &there);
    }
    assert!(matches!(&piece.step, MoveStep::State(piece) if piece.len() == MAX_STATE_PIECE));
    a.origin_lost("b", 1, now);
    assert_eq!(acts(&mut a), [], "there is no link to send it");
    a.origin_linked("b", 2, 1, now);
    for frame in told(&acts(&mut a)) {
        b.handle_move("a", frame, now, &there);
    }
    acts(&mut b);
    let there = Lanes::one(9);
    b.is_restored(&group());
    b.lane_joined(&group(), "a", "b");
    b.has_brought(&edge(), &group(), LaneNumber(9), now, &there);
    let acts_of_b = acts(&mut b);
    let whole = Act::Release {
        group: group(),
        lanes: vec![LaneNumber(9)],
        state: Some(state),
    };
    assert_eq!(acts_of_b[0], whole);
    // The answer is lost as well, and is asked for.
    a.origin_linked("b", 3, 1, now);
    let again = told(&acts(&mut a));
    b.handle_move("a", again[0].clone(), now, &there);
    let answer = told(&acts(&mut b));
    assert_eq!(
        answer,
        [MoveFrame {
            id,
            step: MoveStep::Arrived { sessions: 1 }
        }]
    );
    a.handle_move("b", answer[0].clone(), now, &Lanes::default());
    a.has_gone(&group(), now);
    let outcome = Ok(Finished {
        sessions: 1,
        frozen: Duration::ZERO,
    });
    assert_eq!(acts(&mut a).last(), Some(&Act::Finish { id, outcome }));
}

#[test]
fn another_process_of_the_other_origin_gets_no_commit_of_the_one_before() {
    let now = start();
    let (mut a, ..) = leaving(now);
    acts(&mut a);
    a.origin_lost("b", 1, now);
    a.origin_linked("b", 2, 2, now);
    assert_eq!(acts(&mut a), []);
}

#[test]
fn a_move_ends_that_is_not_answered_or_does_not_arrive() {
    let now = start();
    let (mut a, here) = (origin("a", "b", now), Lanes::one(1));
    a.lane_joined(&group(), "a", "a");
    a.move_group(1, &group(), "b", now, &here);
    acts(&mut a);
    a.tick(now + Duration::from_secs(2), &here);
    let withdrawn = MoveFrame {
        id: 1,
        step: MoveStep::Withdraw,
    };
    let no_answer = MoveError::NoAnswer { by: "b".into() };
    let late = acts(&mut a);
    assert_eq!(told(&late), [withdrawn]);
    assert!(late.contains(&Act::Finish {
        id: 1,
        outcome: Err(no_answer)
    }));
    let (mut a, here, id, _) = leaving(now);
    a.has_gone(&group(), now);
    acts(&mut a);
    a.tick(now + Duration::from_secs(6), &here);
    let outcome = Err(MoveError::NotArrived { at: "b".into() });
    assert_eq!(acts(&mut a), [Act::Finish { id, outcome }]);
    assert!(!a.has_moves());
}

#[test]
fn edges_that_have_changed_end_an_offer() {
    let now = start();
    for sessions in [0, 1] {
        let (mut a, here) = (origin("a", "b", now), Lanes::one(1));
        a.lane_joined(&group(), "a", "a");
        a.move_group(1, &group(), "b", now, &here);
        acts(&mut a);
        // Another edge has come, whose sessions the other origin would not wait for; or one has none any more, for
        // which it would wait in vain.
        let mut more = here.0.borrow()[0].clone();
        more.edge = "another".into();
        here.0.borrow_mut().push(more);
        here.0.borrow_mut()[0].sessions = sessions;
        let step = MoveStep::Answer { refused: None };
        a.handle_move("b", MoveFrame { id: 1, step }, now, &here);
        let outcome = Err(MoveError::Changed);
        assert!(acts(&mut a).contains(&Act::Finish { id: 1, outcome }));
    }
}

#[test]
fn a_group_of_an_origin_that_is_lost_is_not_started_for_a_while() {
    let now = start();
    let (mut a, here) = (origin("a", "b", now), Lanes::default());
    assert_eq!(a.admit(&open("a"), now, &here), Admission::Open);
    a.origin_has(("b", 1), false, vec![group()], &[], now, &here);
    assert_eq!(a.admit(&open("a"), now, &here), Admission::Wait);
    a.origin_lost("b", 1, now);
    a.tick(now + Duration::from_secs(14), &here);
    assert_eq!(a.admit(&open("a"), now, &here), Admission::Wait);
    a.tick(now + Duration::from_secs(15), &here);
    assert_eq!(a.admit(&open("a"), now, &here), Admission::Open);
    // The same process says what it has; another one hears of its groups from edges.
    for (process, waits) in [(1, 0), (2, 5)] {
        let (mut a, here) = (origin("a", "b", now), Lanes::default());
        a.origin_has(("b", 1), false, vec![group()], &[], now, &here);
        a.origin_lost("b", 1, now);
        a.origin_linked("b", 2, process, now);
        a.origin_has(("b", 2), true, Vec::new(), &[], now, &here);
        let until = now + Duration::from_secs(waits);
        if waits > 0 {
            a.tick(until - Duration::from_millis(1), &here);
            assert_eq!(a.admit(&open("a"), now, &here), Admission::Wait);
        }
        a.tick(until, &here);
        assert_eq!(a.admit(&open("a"), now, &here), Admission::Open);
    }
}

#[test]
fn groups_wait_while_edges_bring_some_to_this_origin_or_another() {
    let now = start();
    let start = ClusterStart {
        edges: vec!["edge".into()],
        ..ClusterStart::default()
    };
    let here = Lanes::default();
    let mut b = Ownership::in_cluster("b", vec!["a".into()], start, now);
    b.origin_linked("a", 1, 1, now);
    let mut a = origin("a", "b", now);
    let tell = |a: &mut Ownership, frames: Vec<Control>| {
        for frame in frames {
            match frame {
                Control::Living { .. } => a.origin_gathers("b", 1, true),
                Control::LivingEnd { .. } => a.origin_gathers("b", 1, false),
                _ => {}
            }
        }
    };
    tell(&mut a, b.told_to_origin());
    assert_eq!(a.admit(&open("a"), now, &here), Admission::Wait);
    assert_eq!(b.admit(&open("b"), now, &here), Admission::Wait);
    assert!(!b.has_news());
    b.origin_has(("a", 1), true, Vec::new(), &[], now, &here);
    b.edge_linked((&edge(), 1), true, now, &here);
    b.edge_brings(&edge(), Vec::new(), true, now, &here);
    assert!(b.has_news());
    let (_, for_origins) = b.take_news();
    tell(&mut a, for_origins);
    for origin in [&a, &b] {
        assert_eq!(origin.admit(&open("a"), now, &here), Admission::Open);
    }
}

#[test]
fn of_two_origins_with_a_group_one_lets_its_clients_go_on_at_the_other() {
    let now = start();
    let stop = |to: &str| Act::Stop {
        group: group(),
        lanes: vec![LaneNumber(1)],
        to: to.to_owned(),
    };
    for (name, other, waits) in [("b", "a", 0), ("a", "b", 2)] {
        let (mut it, here) = (origin(name, other, now), Lanes::one(1));
        it.lane_joined(&group(), name, name);
        it.origin_has((other, 1), false, vec![group()], &[], now, &here);
        it.tick(now, &here);
        let at_once = acts(&mut it);
        it.tick(now + Duration::from_secs(2), &here);
        let later = acts(&mut it);
        let (done, none) = match waits {
            0 => (at_once, later),
            _ => (later, at_once),
        };
        assert!(done.contains(&stop(other)), "{name}: {done:?}");
        assert_eq!(none, []);
    }
    // The group stays if another origin has given it.
    let (mut b, here) = (origin("b", "a", now), Lanes::default());
    let offer = MoveStep::Offer {
        group: group(),
        sessions: 1,
        edges: vec!["edge".into()],
    };
    b.handle_move("a", MoveFrame { id: 1, step: offer }, now, &here);
    let commit = MoveStep::Commit { state: 0 };
    b.handle_move(
        "a",
        MoveFrame {
            id: 1,
            step: commit,
        },
        now,
        &here,
    );
    let here = Lanes::one(1);
    b.is_restored(&group());
    b.lane_joined(&group(), "a", "b");
    b.has_brought(&edge(), &group(), LaneNumber(1), now, &here);
    acts(&mut b);
    b.origin_has(("a", 1), false, vec![group()], &[], now, &here);
    b.tick(now + Duration::from_secs(5), &here);
    assert_eq!(acts(&mut b), []);
    assert_eq!(b.are_at_home("a", vec![group()], now, &here), []);
    assert_eq!(acts(&mut b), []);
}

#[test]
fn clients_of_a_copy_go_home_in_a_cluster_and_are_closed_without_one() {
    let now = start();
    let here = Lanes::one(1);
    let mut alone = Ownership::alone("a", now);
    alone.lane_joined(&group(), "b", "a");
    assert_eq!(alone.are_at_home("b", vec![group()], now, &here), [group()]);
    let mut a = origin("a", "b", now);
    a.lane_joined(&group(), "b", "a");
    assert_eq!(a.are_at_home("b", vec![group()], now, &here), []);
    let note = Note::PassedOn {
        group: group(),
        to: "b".into(),
    };
    assert_eq!(acts(&mut a)[0], Act::Note(note));
}

#[test]
fn an_origin_that_is_drained_or_stops_takes_nothing() {
    let now = start();
    for standing in [OriginStanding::Draining, OriginStanding::Stopping] {
        let (mut b, here) = (origin("b", "a", now), Lanes::default());
        b.stand(standing);
        let step = MoveStep::Offer {
            group: group(),
            sessions: 1,
            edges: Vec::new(),
        };
        b.handle_move("a", MoveFrame { id: 1, step }, now, &here);
        let answer = told(&acts(&mut b));
        let is_refused = matches!(
            &answer[0].step,
            MoveStep::Answer { refused: Some(why) } if why.contains("drained")
        );
        assert!(is_refused, "{answer:?}");
        assert!(!b.has_moves());
    }
}
