//! Readers that move to a ring of another process.

use std::time::Instant;

use super::*;
use crate::parcel::{pack, unpack};

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]
fn now() -> Instant {
    Instant::now()
}

fn moved(cursor: &Cursor) -> Cursor {
    let parcel = pack(cursor, now()).expect("it can move");
    let again: Cursor = unpack(&parcel, now(), (), 1000).expect("it fits");
    assert_eq!(pack(&again, now()).as_ref(), Ok(&parcel));
    assert_eq!(again.position(), cursor.position());
    again
}

/// Another process' ring of the same stream, whose feed begins at this number.
fn successor(script: &Script, from: u64) -> Script {
    let mut next = Script::roomy();
    next.ring.restart();
    let mut cursor = script.ring.join(Start::Gop);
    while let Some(delivery) = script.ring.next(&mut cursor, PATIENT) {
        let (class, at) = (delivery.class, delivery.timestamp);
        let item = delivery.item.into_owned();
        match delivery.seq {
            Some(seq) if seq >= from => next.ring.push_at(seq, class, at, item),
            Some(_) => false,
            None => next.ring.push_header(class, at, item),
        };
    }
    next.time = script.time;
    next
}

#[test]
fn a_reader_that_moves_continues_at_its_number_or_jumps() {
    for (name, pushed, from, then, expected) in [
        (
            "nothing is lost, nothing repeated",
            "mhx kapa",
            0,
            "pa kp",
            "p7 a8 k9 p10",
        ),
        ("the feed is behind it at first", "mhx kapa", 0, "", ""),
        (
            "two groups of pictures",
            "mhx kapa kapa",
            0,
            "pd",
            "p11 d12",
        ),
        ("a new header", "mhx kapa", 0, "x kp", "x7 k8 p9"),
        // The feed has only what is behind a gap.
        ("a gap", "mhx kapa", 9, "pd kp", "!m* h* x* k9 p10"),
        (
            "a gap, and a key frame much later",
            "mhx kapa",
            8,
            "d pp a k",
            "!m* h* x* k11",
        ),
    ] {
        let mut script = Script::roomy();
        script.push(pushed);
        let mut cursor = script.ring.join(Start::KeyFrame);
        assert!(!script.read(&mut cursor).is_empty(), "{name}");
        let mut cursor = moved(&cursor);
        let early = Script::roomy();
        assert_eq!(early.read(&mut cursor), "", "{name}: no feed yet");
        script.push(then);
        let next = successor(&script, from);
        assert_eq!(next.read(&mut cursor), expected, "{name}");
    }
}

#[test]
fn a_pause_outlasts_a_move() {
    let mut script = Script::roomy();
    script.push("mhx kapa");
    let mut cursor = script.ring.join(Start::KeyFrame);
    script.read(&mut cursor);
    let paused = Filter {
        paused: true,
        ..Filter::default()
    };
    cursor.set_filter(paused);
    assert_eq!(script.read(&mut cursor), "");
    let mut one = moved(&cursor);
    let mut other = moved(&cursor);
    script.push("kapa pa");
    let next = successor(&script, 0);
    // The pause ends after the ring has reached the reader, or before.
    assert_eq!(next.read(&mut one), "");
    one.set_filter(Filter::default());
    other.set_filter(Filter::default());
    for mut cursor in [one, other] {
        assert_eq!(next.read(&mut cursor), "!m* h* x* k7 a8 p9 a10 p11 a12");
    }
}

#[test]
fn a_wait_for_a_publication_outlasts_a_move() {
    let mut script = Script::roomy();
    script.push("kp");
    let cursor = script.ring.join_publication(Start::KeyFrame, 2);
    let mut cursor = moved(&cursor);
    let mut next = successor(&script, 0);
    assert_eq!(next.read(&mut cursor), "");
    next.ring.begin_publication();
    next.push("kp");
    assert_eq!(next.read(&mut cursor), "!k2 p3");
}

#[test]
fn numbers_go_on_in_a_ring_that_takes_the_place_of_another() {
    let mut script = Script::roomy();
    script.ring.continue_at(7);
    assert_eq!(script.ring.head(), 7);
    script.push("k");
    let mut cursor = script.ring.join(Start::KeyFrame);
    assert_eq!(script.read(&mut cursor), "!k7");
    script.ring.continue_at(3);
    assert_eq!(script.ring.head(), 8);
}
