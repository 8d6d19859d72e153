//! The application's methods and events.

use super::*;

fn list(values: &[Value]) -> Encoded {
    Encoded::list(values)
}

#[test]
fn the_applications_changes_go_to_all_and_it_does_not_hear_them() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.object.observe(true);
    room.set("a", 1.0);
    assert!(room.object.remove("a"));
    assert!(!room.object.remove("a"));
    room.object
        .send(list(&["hear".into(), 3.0.into()]))
        .unwrap();
    room.object.clear();
    room.settle();
    for member in [1, 2] {
        assert_eq!(
            room.heard(member),
            ["v1 a=1", "v2 remove a", "v2 send hear 3", "v3 clear"]
        );
    }
    assert_eq!(room.seen, []);
    assert_eq!(room.bodies, 4);
}

#[test]
fn the_application_hears_what_members_do_if_it_asked() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.ask(1, 0, [change("a", 0.0)]);
    assert_eq!(room.seen, []);
    room.object.observe(true);
    room.ask(
        1,
        1,
        [
            change("a", 1.0),
            send("hear", 2.0),
            remove("a"),
            Event::RequestClear,
        ],
    );
    let seen = std::mem::take(&mut room.seen);
    let [
        Seen::Changed { changes: first, .. },
        Seen::Message { member: 1, values },
        Seen::Changed { member: 1, changes },
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!(first[0].kind, ChangeKind::Changed);
    assert_eq!(first[0].old.as_ref().unwrap().value(), 0.0.into());
    assert_eq!(values.values(), ["hear".into(), 2.0.into()]);
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Removed, ChangeKind::Cleared]);
    assert_eq!(changes[0].old.as_ref().unwrap().value(), 1.0.into());
    // A refused change causes no event.
    room.ask_as(2, Access { write: false }, PLAYER, 9, [change("a", 1.0)]);
    assert_eq!(room.seen, []);
}

#[test]
fn what_is_done_under_a_lock_leaves_as_one_message() {
    let mut room = Room::temporary().of(&[1, 2]);
    assert_eq!(room.object.lock(), 1);
    assert_eq!(room.object.lock(), 2);
    room.set("a", 1.0);
    room.set("b", 1.0);
    room.object.send(list(&["hear".into()])).unwrap();
    room.set("a", 2.0);
    room.object.remove("b");
    assert_eq!(room.object.unlock(), 1);
    assert_eq!(room.heard(1), nothing());
    assert_eq!(room.value("a"), Some(2.0.into()), "it sees its own work");
    assert_eq!(room.object.unlock(), 0);
    assert_eq!(
        room.heard(1),
        ["v1 a=1, b=1, send hear, a=2, remove b"],
        "one version, delivered whole"
    );
    assert_eq!(room.bodies, 1);
    assert_eq!(room.object.unlock(), 0, "one too many is nothing");
}

#[test]
fn members_wait_for_the_lock_and_so_does_their_credit() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.object.lock();
    room.ask(1, 0, [change("a", 1.0)]);
    room.ask(3, 0, [Event::Use]);
    room.ask(2, 0, [change("a", 2.0)]);
    room.set("b", 5.0);
    assert_eq!(room.handled, []);
    assert_eq!((room.heard(1), room.heard(3)), (nothing(), nothing()));
    room.object.unlock();
    assert_eq!(room.heard(1), ["v1 b=5", "v2 success a"]);
    assert_eq!(room.heard(2), ["v1 b=5", "v2 a=1", "v2 a=1"]);
    assert_eq!(
        room.heard(3),
        ["v1 b=5", "v2 a=1", "v2 use, clear, a=1, b=5"]
            .into_iter()
            .skip(2)
            .collect::<Vec<_>>()
    );
    assert_eq!(room.handled, [(1, 10), (3, 10), (2, 10)]);
}

#[test]
fn a_member_that_leaves_while_it_waits_has_asked_before() {
    let mut room = Room::temporary().of(&[1, 2]);
    room.object.lock();
    room.ask(1, 0, [change("a", 1.0)]);
    room.object.handle_gone(1);
    room.object.handle_gone(2);
    assert!(!room.object.is_idle());
    assert_eq!(room.object.member_count(), 1);
    room.object.unlock();
    assert_eq!(room.value("a"), Some(1.0.into()));
    room.settle();
    assert!(room.object.is_idle());
}

#[test]
fn all_locks_can_be_taken_back_at_once() {
    let mut room = Room::temporary().of(&[1]);
    assert_eq!(room.object.unlock_all(), 0);
    for _ in 0..3 {
        room.object.lock();
    }
    room.set("a", 1.0);
    assert_eq!(room.object.unlock_all(), 3);
    assert_eq!(room.heard(1), ["v1 a=1"]);
    assert_eq!(room.object.lock_depth(), 0);
}

#[test]
fn purge_forgets_what_was_removed_before() {
    let mut room = Room::persistent(Durability::Lazy);
    for name in ["a", "b", "c"] {
        room.set(name, 1.0);
    }
    room.object.remove("a");
    room.object.remove("b");
    assert_eq!(
        (
            room.object.contents().version(),
            room.object.contents().tombstones()
        ),
        (5, 2)
    );
    room.object.purge(5);
    assert_eq!(
        (
            room.object.contents().horizon(),
            room.object.contents().tombstones()
        ),
        (5, 1)
    );
    room.ask(1, 4, [Event::Use]);
    assert_eq!(room.heard(1), ["v5 use, clear, c=1"]);
    room.ask(1, 5, [Event::Use]);
    assert_eq!(room.heard(1), ["v5 use"]);
    // A version beyond the last one is cut to it.
    room.object.purge(u32::MAX);
    assert_eq!(
        (
            room.object.contents().horizon(),
            room.object.contents().tombstones()
        ),
        (5, 0)
    );
}

#[test]
fn beyond_the_resync_depth_there_is_only_everything() {
    let mut room = Room::persistent(Durability::Lazy);
    room.set("a", 1.0);
    room.object.remove("a");
    for value in [1.0, 2.0, 3.0] {
        room.set("b", value);
    }
    assert_eq!(room.object.contents().version(), 5);
    room.ask(1, 1, [Event::Use]);
    assert_eq!(room.heard(1), ["v5 use, remove a, b=3"]);
    room.object.set_resync_depth(3);
    assert_eq!(
        room.object.contents().tombstones(),
        1,
        "5 - 2 is not beyond 3"
    );
    room.ask(1, 1, [Event::Use]);
    assert_eq!(room.heard(1), ["v5 use, clear, b=3"]);
    room.ask(1, 2, [Event::Use]);
    assert_eq!(room.heard(1), ["v5 use, b=3"]);
    room.set("b", 4.0);
    assert_eq!(room.object.contents().tombstones(), 0);
    assert_eq!(room.object.contents().horizon(), 3);
    // New slots are not in the list of removed ones: a change in flight is no conflict.
    room.object.set_resync_depth(0);
    room.forget();
    room.ask(1, 5, [change("new", 1.0)]);
    assert_eq!(room.heard(1), ["v7 success new"]);
}
