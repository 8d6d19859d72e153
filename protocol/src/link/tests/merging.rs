//! Messages to all while the edge does not take them.

use super::*;
use crate::link::{AudienceId, CloseReason, RETENTION, Recipients, outbox::WINDOW};

const A: AudienceId = AudienceId(1);
const B: AudienceId = AudienceId(2);

/// An audience of two sessions, and an edge that is away.
fn away(seed: u64) -> (Pair, [SessionId; 2]) {
    let (mut pair, members) = Pair::with_members(seed);
    pair.steps(50);
    pair.disconnect();
    (pair, members)
}

#[test]
fn a_storm_that_an_edge_does_not_take_is_put_together_by_slot() {
    let (mut pair, members) = away(1);
    let storm = |pair: &mut Pair| {
        pair.club.slots = Some(10);
        let mut last = 0;
        for _ in 0..50_000 {
            last = pair.send_all(A, Recipients::All, 4);
        }
        last
    };
    let before = storm(&mut pair);
    pair.club.slots = None;
    let message = pair.send_all(A, Recipients::All, 4);
    let after = storm(&mut pair);
    assert!(pair.origin.retained() < 2 * WINDOW, "it is bounded");
    pair.connect();
    pair.steps(1_000);
    for session in members {
        let heard = &pair.club.heard[&session];
        assert!(heard.len() < 10_000, "{}", heard.len());
        let at = heard.iter().position(|&number| number == message).unwrap();
        let last_of = |from: &[u32]| {
            let mut numbers = from[from.len() - 10..].to_vec();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(
            last_of(&heard[..at]),
            (before - 9..=before).collect::<Vec<_>>()
        );
        assert_eq!(last_of(heard), (after - 9..=after).collect::<Vec<_>>());
        assert_eq!(heard.len(), at + 11, "nothing else follows the message");
    }
    assert!(pair.closed_at_origin.is_empty());
    pair.assert_settled();
}

#[test]
fn an_edge_that_takes_everything_is_told_everything() {
    let (mut pair, members) = away(2);
    pair.connect();
    pair.club.slots = Some(1);
    for _ in 0..2_000 {
        pair.send_all(A, Recipients::All, 4);
        pair.steps(1);
    }
    pair.steps(100);
    assert_eq!(pair.club.heard[&members[0]].len(), 2_000);
    assert_eq!(pair.origin.take_audience_counts().merged, 0);
}

/// Messages of objects without common members are merged side by side, and an answer keeps its
/// order.
#[test]
fn objects_without_common_members_do_not_hold_each_other_up() {
    let (mut pair, [one, other]) = away(3);
    pair.connect();
    let third = pair.open(3);
    pair.steps(20);
    pair.begin(B);
    pair.join(B, third);
    pair.steps(20);
    pair.disconnect();
    pair.club.slots = Some(5);
    for _ in 0..20_000 {
        pair.send_all(A, Recipients::All, 4);
        pair.send_all(B, Recipients::All, 4);
    }
    let merged = pair.origin.take_audience_counts().merged;
    assert!(merged > 30_000, "{merged}");
    pair.tell_numbered(other, 10);
    let answer = *pair.club.last_expected(other);
    pair.send_all(A, Recipients::All, 4);
    pair.connect();
    pair.steps(500);
    let heard = &pair.club.heard;
    let place = heard[&other].iter().position(|&number| number == answer);
    assert_eq!(place, Some(heard[&other].len() - 2), "where it was said");
    assert_eq!(heard[&one].len() + 1, heard[&other].len());
    assert_eq!(
        heard[&third].iter().max(),
        Some(&(answer - 1)),
        "it was the last to them"
    );
}

#[test]
fn who_would_miss_a_message_that_cannot_be_kept_is_closed() {
    let (mut pair, members) = away(4);
    pair.connect();
    let stranger = pair.open(9);
    pair.steps(50);
    pair.disconnect();
    for _ in 0..2_000 {
        pair.send_all(A, Recipients::All, 10_000);
    }
    assert!(pair.origin.retained() <= RETENTION);
    pair.connect();
    pair.steps(5_000);
    let mut closed = pair.closed_at_edge.clone();
    closed.sort_unstable();
    assert_eq!(closed, members);
    pair.edge
        .send(stranger, FromSession::Close(CloseReason::Client));
    pair.steps(300);
    pair.assert_settled();
}

/// While a join stands in the line, the messages for its session are not known.
#[test]
fn nothing_is_put_together_for_whom_another_audience_waits() {
    let (mut pair, [one, _]) = away(5);
    pair.connect();
    let stranger = pair.open(9);
    pair.steps(20);
    pair.begin(B);
    pair.join(B, stranger);
    pair.disconnect();
    for _ in 0..1_000 {
        pair.send_all(A, Recipients::All, 200);
    }
    pair.send_all(B, Recipients::All, 50_000);
    pair.join(B, one);
    pair.send_all(A, Recipients::All, 4);
    pair.send_all(B, Recipients::All, 4);
    pair.send_all(A, Recipients::All, 4);
    assert!(pair.origin.take_audience_counts().merged > 0);
    pair.connect();
    pair.steps(1_000);
    pair.assert_heard(&[]);
    pair.assert_settled();
}
