//! Requests of members and the messages that follow.

use super::*;

#[test]
fn a_use_is_answered_in_one_message_with_everything() {
    let mut room = Room::temporary();
    room.ask(1, 0, [Event::Use]);
    // The clear comes without any slot too: clients wait for it.
    assert_eq!(room.heard(1), ["v0 use, clear"]);
    room.set("a", 1.0);
    room.set("b", "two");
    room.object.remove("a");
    // A temporary object is sent whole, at any version that the client claims.
    for version in [0, 2, 3, 99] {
        room.ask(2, version, [Event::Use]);
        assert_eq!(room.heard(2), ["v3 use, clear, b=two"]);
    }
}

#[test]
fn a_change_goes_to_the_others_and_its_success_to_the_author() {
    let mut room = Room::temporary().of(&[1, 2, 3]);
    room.ask(1, 0, [change("a", 5.0)]);
    assert_eq!(room.heard(1), ["v1 success a"]);
    for other in [2, 3] {
        assert_eq!(room.heard(other), ["v1 a=5"]);
    }
    assert_eq!(room.bodies, 2, "whatever the number of members");
    assert_eq!(room.handled, [(1, 10)]);
}

#[test]
fn a_server_style_member_gets_its_change_back_and_may_clear() {
    let mut room = Room::temporary().of(&[2]);
    let access = Access { write: true };
    room.ask_as(1, access, SERVER_STYLE, 0, [Event::Use]);
    room.ask_as(1, access, SERVER_STYLE, 0, [change("a", 5.0)]);
    assert_eq!(room.heard(1), ["v0 use, clear", "v1 accepted a=5"]);
    room.ask_as(1, access, SERVER_STYLE, 1, [Event::RequestClear]);
    assert_eq!(room.heard(1), ["v2 clear"]);
    assert_eq!(room.heard(2), ["v1 a=5", "v2 clear"]);
    assert!(room.object.contents().is_empty());
}

#[test]
fn a_removal_goes_to_all_in_one_body() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.set("a", 1.0);
    room.forget();
    room.ask(1, 1, [remove("a")]);
    assert_eq!(room.heard(1), ["v2 remove a"]);
    assert_eq!(room.heard(2), ["v2 remove a"]);
    assert_eq!(room.bodies, 1);
    // Only the requester receives the removal of a slot that is gone.
    room.ask(2, 2, [remove("a")]);
    room.ask(2, 2, [remove("never")]);
    assert_eq!(room.heard(2), ["v2 remove a", "v2 remove never"]);
    assert_eq!(room.heard(1), nothing());
}

#[test]
fn a_later_change_of_another_refuses_and_shows_what_is_there() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.forget();
    // The request was sent before version 1 arrived.
    room.ask(2, 0, [change("a", 2.0)]);
    assert_eq!(room.heard(2), ["v1 a=1"]);
    assert_eq!(room.heard(1), nothing());
    room.ask(2, 0, [remove("a")]);
    assert_eq!(room.heard(2), ["v1 a=1"]);
    room.ask(2, 1, [change("a", 2.0)]);
    assert_eq!(room.heard(2), ["v2 success a"]);
    assert_eq!(room.heard(1), ["v2 a=2"]);
    // A tombstone counts like a slot.
    room.ask(2, 2, [remove("a")]);
    room.forget();
    room.ask(1, 2, [change("a", 9.0)]);
    assert_eq!(room.heard(1), ["v3 remove a"]);
    assert_eq!(room.value("a"), None);
    // A change by the application counts as well.
    room.set("b", 1.0);
    room.forget();
    room.ask(1, 3, [change("b", 2.0)]);
    assert_eq!(room.heard(1), ["v4 b=1"]);
}

#[test]
fn an_authors_own_changes_in_flight_never_conflict() {
    let mut room = Room::temporary().of(&[1, 2]);
    for value in [1.0, 2.0, 3.0] {
        room.ask(1, 0, [change("a", value)]);
    }
    room.ask(1, 0, [remove("a")]);
    room.ask(1, 0, [change("a", 4.0)]);
    assert_eq!(room.value("a"), Some(4.0.into()));
    assert_eq!(
        room.heard(1),
        [
            "v1 success a",
            "v2 success a",
            "v3 success a",
            "v4 remove a",
            "v5 success a"
        ]
    );
}

#[test]
fn what_was_cleared_does_not_come_back_by_a_change_in_flight() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.object.clear();
    room.forget();
    room.ask(2, 1, [change("a", 2.0)]);
    assert_eq!(room.heard(2), ["v2 remove a"]);
    assert!(room.object.contents().is_empty());
    // A member that knows no version restores no slot.
    room.ask(3, 0, [Event::Use, change("a", 3.0)]);
    assert_eq!(room.heard(3), ["v2 use, clear", "v3 success a"]);
}

#[test]
fn null_is_a_value() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [change("a", Value::Null)]);
    assert_eq!(room.heard(2), ["v1 a=null"]);
    assert_eq!(room.value("a"), Some(Value::Null));
}

#[test]
fn events_are_judged_alone_and_those_accepted_share_a_version() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [change("taken", 1.0)]);
    room.forget();
    let all = [
        change("a", 1.0),
        change("taken", 2.0),
        change("b", 2.0),
        remove("never"),
        change("a", 3.0),
    ];
    room.ask(2, 0, all);
    assert_eq!(
        room.heard(2),
        ["v2 success a, taken=1, success b, remove never, success a"]
    );
    assert_eq!(room.heard(1), ["v2 b=2, a=3"], "only the last value counts");
    assert_eq!(room.object.contents().version(), 2);
    // A message that is refused as a whole makes no version.
    room.ask(2, 0, [change("taken", 2.0)]);
    assert_eq!(room.object.contents().version(), 2);
    assert_eq!(room.heard(1), nothing());
}

#[test]
fn messages_go_to_all_in_their_place_among_changes() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [send("hear", 1.0)]);
    assert_eq!(room.heard(1), ["v0 send hear 1"]);
    assert_eq!(room.heard(2), ["v0 send hear 1"]);
    assert_eq!(room.bodies, 1);
    let all = [change("a", 1.0), send("hear", 2.0), change("a", 2.0)];
    room.ask(1, 0, all);
    assert_eq!(room.heard(1), ["v1 success a, send hear 2, success a"]);
    assert_eq!(
        room.heard(2),
        ["v1 a=1, send hear 2, a=2"],
        "a message is never moved before a change that preceded it"
    );
}

#[test]
fn several_messages_of_one_member_become_one_batch() {
    let mut room = Room::temporary().of(&[1, 2]);
    let message = |value: f64| SharedObjectMessage {
        name: "o".to_owned(),
        version: 0,
        flags: PLAYER,
        events: vec![change("a", value)],
    };
    let storm = (0..100).map(|value| message(value.into())).collect();
    room.object
        .handle_messages(1, Access { write: true }, storm, 4_000);
    assert_eq!(room.heard(2), ["v1 a=99"]);
    let answers = room.heard(1);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].matches("success a").count(), 100);
    assert_eq!(room.handled, [(1, 4_000)]);
}

#[test]
fn whoever_may_not_write_is_told_and_shown_what_is_there() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.set("a", 1.0);
    room.forget();
    let access = Access { write: false };
    for (event, answer) in [
        (change("a", 2.0), "v1 NoWriteAccess, a=1"),
        (change("b", 2.0), "v1 NoWriteAccess, remove b"),
        (remove("a"), "v1 NoWriteAccess, a=1"),
        (Event::RequestClear, "v1 NoWriteAccess"),
        (send("hear", 1.0), "v1 NoWriteAccess"),
    ] {
        room.ask_as(1, access, PLAYER, 1, [event]);
        assert_eq!(room.heard(1), [answer]);
    }
    assert_eq!(room.heard(2), nothing());
    assert!(room.object.is_member(1), "it stays");
}

#[test]
fn who_does_not_use_the_object_is_told_so_once() {
    let mut room = Room::temporary().of(&[1]);
    room.ask(2, 0, [change("a", 1.0), remove("a"), send("hear", 1.0)]);
    assert_eq!(room.heard(2), ["v0 NoObjectFound"]);
    room.ask(2, 0, [Event::Release]);
    assert_eq!(room.heard(2), nothing());
    room.ask(1, 0, [change("a", 1.0), Event::Release, change("b", 1.0)]);
    assert_eq!(room.heard(1), ["v1 success a", "v1 NoObjectFound"]);
    assert_eq!(room.object.member_count(), 0);
}

#[test]
fn who_has_left_hears_nothing_more() {
    let mut room = Room::temporary().of(&[1, 2, 3]);
    room.ask(2, 0, [Event::Release]);
    room.object.handle_gone(3);
    room.ask(1, 0, [change("a", 1.0)]);
    assert_eq!((room.heard(2), room.heard(3)), (nothing(), nothing()));
    assert!(!room.object.is_idle());
    room.object.handle_gone(1);
    room.settle();
    assert!(room.object.is_idle());
}

#[test]
fn events_that_are_no_requests_are_nothing() {
    let mut room = Room::temporary().of(&[1, 2]);
    let name = || "a".to_owned();
    let odd = [
        Event::Change(vec![(name(), 1.0.into())]),
        Event::Success { name: name() },
        Event::Clear,
        Event::Remove { name: name() },
        Event::UseSuccess,
        Event::SlotVersion {
            name: name(),
            version: 7,
        },
        Event::Unknown {
            kind: 99,
            data: bytes::Bytes::new(),
        },
    ];
    room.ask(1, 0, odd);
    assert_eq!((room.heard(1), room.heard(2)), (nothing(), nothing()));
    assert_eq!(room.object.contents().version(), 0);
}

#[test]
fn versions_that_run_out_tell_everybody_everything() {
    let stored = Stored {
        header: Some(Header {
            version: u32::MAX - 1,
            reserve: u32::MAX - 1,
            ..Header::default()
        }),
        ..Stored::default()
    };
    let durability = Durability::Lazy;
    let object = Authority::persistent(1, Limits::default(), durability, stored);
    let mut room = Room::with(object).of(&[1]);
    room.set("a", 1.0);
    room.set("a", 2.0);
    assert_eq!(room.object.contents().version(), u32::MAX);
    room.ask(2, u32::MAX, [Event::Use]);
    assert_eq!(room.heard(2), [format!("v{} use, clear, a=2", u32::MAX)]);
}
