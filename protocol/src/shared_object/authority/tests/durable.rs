//! Persistent objects: the time of each write, and the members that wait for it.

use super::*;

/// A store in memory, which may lose writes.
#[derive(Clone, Default)]
struct Disk {
    header: Option<Header>,
    slots: BTreeMap<Arc<str>, StoredSlot>,
}

impl Disk {
    fn write(&mut self, write: &Write) {
        if write.clear {
            self.slots.clear();
        }
        for (name, slot) in &write.slots {
            match slot {
                Some(slot) => self.slots.insert(name.clone(), slot.clone()),
                None => self.slots.remove(name),
            };
        }
        self.header = Some(write.header);
    }

    fn load(&self, crashes: u32) -> Authority<u8> {
        let stored = Stored {
            header: self.header,
            slots: self.slots.clone(),
            crashes,
            floor: 0,
        };
        Authority::persistent(2, Limits::default(), Durability::Author, stored)
    }
}

fn disk(room: &Room, writes: usize) -> Disk {
    let mut disk = Disk::default();
    room.writes[..writes]
        .iter()
        .for_each(|write| disk.write(write));
    disk
}

#[test]
fn the_authors_success_leaves_after_the_write_and_the_change_at_once() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    assert_eq!(room.heard(2), ["v1 a=1"]);
    assert_eq!(room.heard(1), nothing());
    room.stored(true);
    assert_eq!(room.heard(1), ["v1 success a"]);
    // The rule covers the answer to a server-style author, and a removal.
    room.ask(1, 1, [remove("a")]);
    assert_eq!(room.heard(2), ["v2 remove a"]);
    assert_eq!(room.heard(1), nothing());
    room.stored(true);
    assert_eq!(room.heard(1), ["v2 remove a"]);
    let access = Access { write: true };
    room.ask_as(3, access, SERVER_STYLE, 0, [Event::Use, change("b", 1.0)]);
    assert_eq!(room.heard(3), ["v2 use, clear"]);
    room.stored(true);
    assert_eq!(room.heard(3), ["v3 accepted b=1"]);
}

#[test]
fn a_member_that_waits_never_sees_versions_go_back() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2, 3]);
    // Two members write one slot while the store is slow.
    room.ask(1, 0, [change("a", 1.0)]);
    room.ask(2, 1, [change("a", 2.0)]);
    room.ask(3, 0, [send("hear", 7.0)]);
    room.set("b", 3.0);
    assert_eq!(
        room.heard(3),
        ["v1 a=1", "v2 a=2", "v2 send hear 7", "v3 b=3"]
    );
    // Member 2 had received the first change before it wrote.
    assert_eq!(room.heard(2), ["v1 a=1"]);
    assert_eq!(room.heard(1), nothing());
    let first = room.writes[0].ticket;
    room.object.handle_stored(first, true);
    assert_eq!(
        room.heard(1),
        ["v3 success a, a=2, send hear 7, b=3"],
        "in order, behind its success"
    );
    assert_eq!(room.heard(2), nothing());
    room.stored(true);
    assert_eq!(room.heard(2), ["v3 success a, send hear 7, b=3"]);
    assert_eq!(room.heard(1), nothing());
}

#[test]
fn successes_to_one_author_keep_their_order() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.ask(1, 0, [change("b", 1.0)]);
    room.ask(1, 0, [change("c", 1.0)]);
    let second = room.writes[1].ticket;
    room.object.handle_stored(second, true);
    assert_eq!(room.heard(1), ["v2 success a, success b"]);
    room.stored(true);
    assert_eq!(room.heard(1), ["v3 success c"]);
    assert_eq!(room.bodies, 3 + 2);
}

#[test]
fn strict_holds_everything_and_lazy_nothing() {
    let mut room = Room::persistent(Durability::Strict).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.ask(2, 0, [send("hear", 1.0)]);
    room.ask(3, 0, [Event::Use]);
    assert_eq!((room.heard(1), room.heard(2)), (nothing(), nothing()));
    assert_eq!(room.heard(3), nothing());
    room.stored(true);
    assert_eq!(room.heard(1), ["v1 success a", "v1 send hear 1"]);
    assert_eq!(room.heard(2), ["v1 a=1", "v1 send hear 1"]);
    room.ask(2, 1, [send("hear", 2.0)]);
    assert_eq!(room.heard(1), ["v1 send hear 2"], "nothing is on its way");

    let mut room = Room::persistent(Durability::Lazy).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    assert_eq!(room.heard(1), ["v1 success a"]);
    assert_eq!(room.writes.len(), 1);
}

#[test]
fn a_batch_is_stored_whole() {
    let mut room = Room::persistent(Durability::Author);
    room.object.lock();
    room.set("a", 1.0);
    room.set("b", 2.0);
    assert_eq!(room.writes, []);
    room.object.unlock();
    room.settle();
    assert_eq!(room.writes.len(), 1);
    assert_eq!(room.writes[0].slots.len(), 2);
    assert_eq!(room.writes[0].header.version, 1);
}

#[test]
fn without_auto_commit_nothing_is_stored_before_its_time() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.object.set_auto_commit(false);
    room.ask(1, 0, [change("a", 1.0)]);
    assert_eq!(room.heard(1), ["v1 success a"], "it does not wait");
    assert_eq!(room.writes, []);
    assert!(room.object.is_dirty());
    assert!(room.object.flush());
    room.settle();
    assert_eq!(room.writes.len(), 1);
    assert!(room.object.is_dirty(), "until the store says so");
    room.stored(true);
    assert!(!room.object.is_dirty());
    // The last release stores the object too.
    room.ask(1, 1, [change("a", 2.0)]);
    room.ask(1, 1, [Event::Release]);
    assert_eq!(room.writes.len(), 1);
    room.object.handle_gone(2);
    room.settle();
    assert_eq!(room.writes.len(), 2);
    assert!(!room.object.is_idle());
    room.stored(true);
    assert!(room.object.is_idle());
    // A temporary object has nothing to store.
    assert!(!Room::temporary().object.flush());
}

#[test]
fn a_write_that_failed_is_told_to_the_author_and_the_application() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.stored(false);
    assert_eq!(room.heard(1), ["v1 Flush.Failed"]);
    assert_eq!(room.heard(2), ["v1 a=1"]);
    assert_eq!(room.seen, [Seen::FlushFailed]);
    room.ask(1, 1, [change("a", 2.0)]);
    room.stored(true);
    assert_eq!(room.heard(1), ["v2 success a"]);

    let mut room = Room::persistent(Durability::Strict).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.stored(false);
    assert_eq!(room.heard(1), ["v1 Flush.Failed"]);
    assert_eq!(room.heard(2), ["v1 a=1"]);
}

#[test]
fn a_returning_member_gets_what_has_changed_since() {
    let mut room = Room::persistent(Durability::Lazy).of(&[1]);
    room.set("a", 1.0);
    room.set("b", 1.0);
    room.set("c", 1.0);
    room.object.remove("b");
    for (version, answer) in [
        (0, "v4 use, clear, a=1, c=1"),
        (1, "v4 use, remove b, c=1"),
        (3, "v4 use, remove b"),
        (4, "v4 use"),
        (5, "v4 use, clear, a=1, c=1"),
    ] {
        room.ask(2, version, [Event::Use]);
        assert_eq!(room.heard(2), [answer], "{version}");
    }
}

#[test]
fn what_was_stored_is_there_after_a_restart() {
    let mut room = Room::persistent(Durability::Author).of(&[1]);
    let bytes = Value::ByteArray(bytes::Bytes::from_static(b"x"));
    room.ask(1, 0, [change("a", 1.0), change("b", bytes.clone())]);
    room.ask(1, 1, [remove("a")]);
    let again = disk(&room, 2).load(0);
    let contents = again.contents();
    assert_eq!((contents.version(), contents.incarnation()), (2, 1));
    assert_eq!(again.contents().slot("b").unwrap().value(), bytes);
    let mut again = Room::with(again);
    again.ask(1, 1, [Event::Use]);
    assert_eq!(again.heard(1), ["v2 use, remove a"]);
    again.ask(1, 2, [change("a", 5.0)]);
    assert_eq!(again.object.contents().version(), 3);
}

#[test]
fn no_version_is_used_twice_after_a_crash() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.ask(1, 0, [change("a", 1.0)]);
    room.stored(true);
    room.ask(1, 1, [change("a", 2.0)]);
    room.ask(1, 1, [change("b", 2.0)]);
    // Member 2 has received version 3, which is lost.
    assert_eq!(room.heard(2).last().unwrap(), "v3 b=2");
    for crashes in 1..4 {
        let again = disk(&room, 1).load(crashes);
        assert!(again.contents().version() > 3 + VERSION_WINDOW - 3);
        let mut again = Room::with(again);
        again.ask(2, 3, [Event::Use]);
        let version = again.object.contents().version();
        assert_eq!(again.heard(2), [format!("v{version} use, clear, a=1")]);
        again.ask(2, version, [change("a", 3.0)]);
        assert_eq!(again.object.contents().version(), version + 1);
    }
    // The rule also holds for an object that was never stored.
    assert!(Disk::default().load(1).contents().version() > 3);
    let once = disk(&room, 1).load(1).contents().version();
    let twice = disk(&room, 1).load(2).contents().version();
    assert!(twice > once + VERSION_WINDOW, "{once} {twice}");
}

#[test]
fn an_object_that_follows_one_that_is_gone_begins_behind_it() {
    let stored = Stored {
        floor: 70,
        ..Stored::default()
    };
    let object = Authority::persistent(2, Limits::default(), Durability::Lazy, stored);
    let mut room = Room::with(object);
    room.set("a", 1.0);
    for version in [3, 69] {
        room.ask(1, version, [Event::Use]);
        assert_eq!(room.heard(1), ["v71 use, clear, a=1"]);
    }
}

#[test]
fn so_many_versions_ahead_of_the_store_everything_waits() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    for value in 0..=VERSION_WINDOW {
        room.set("a", f64::from(value));
    }
    // All messages but the last left at once.
    assert_eq!(room.heard(2).len(), VERSION_WINDOW as usize);
    room.ask(1, 0, [change("b", 1.0)]);
    assert_eq!(room.handled, []);
    room.stored(true);
    assert_eq!(room.heard(2).len(), 2, "the last, and what had waited");
    assert_eq!(room.handled, [(1, 10)]);
}

#[test]
fn versions_are_reserved_also_while_nothing_is_committed() {
    let mut room = Room::persistent(Durability::Author).of(&[1]);
    room.object.set_auto_commit(false);
    for value in 0..2 * VERSION_WINDOW {
        room.set("a", f64::from(value));
        room.stored(true);
    }
    assert_eq!(room.heard(1).len(), 2 * VERSION_WINDOW as usize);
    assert!(room.writes.len() < 10);
    assert!(room.writes.iter().all(|write| write.slots.is_empty()));
    let seen = room.object.contents().version();
    let again = disk(&room, room.writes.len()).load(1);
    assert!(again.contents().is_empty());
    assert!(again.contents().version() > seen);
    assert_eq!(again.contents().horizon(), again.contents().version());
}

#[test]
fn a_store_that_fails_for_long_stops_members_and_lets_them_go_on() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    for value in 0..=VERSION_WINDOW {
        room.set("a", f64::from(value));
    }
    room.stored(false);
    room.forget();
    room.ask(1, VERSION_WINDOW, [change("b", 1.0)]);
    assert_eq!(room.handled, [], "it waits, it is not refused");
    // A write of the object's own reports success.
    room.stored(true);
    assert_eq!(room.handled, [(1, 10)]);
    room.stored(true);
    assert_eq!(
        room.heard(1),
        [format!("v{} success b", VERSION_WINDOW + 2)]
    );
}

#[test]
fn a_clear_goes_before_what_follows_it() {
    let mut room = Room::persistent(Durability::Author);
    room.set("a", 1.0);
    room.set("b", 1.0);
    room.object.lock();
    room.object.clear();
    room.set("c", 1.0);
    room.object.unlock();
    room.settle();
    let again = disk(&room, room.writes.len()).load(0);
    let slots: Vec<_> = again
        .contents()
        .slots()
        .map(|(name, ..)| name.to_owned())
        .collect();
    assert_eq!(slots, ["c"]);
    assert_eq!(
        (again.contents().version(), again.contents().horizon()),
        (3, 3)
    );
}

#[test]
fn who_waits_does_not_make_others_wait_without_bound() {
    let mut room = Room::persistent(Durability::Author).of(&[1, 2]);
    room.ask(1, 0, [change("mine", 1.0)]);
    let long = "v".repeat(400_000);
    let mut sent = 0;
    while room.handled.len() > sent {
        sent = room.handled.len();
        room.ask(2, 9, [send("hear", &*long)]);
    }
    assert!((8..16).contains(&sent), "{sent}");
    room.stored(true);
    assert_eq!(room.handled.len(), sent + 1);
}
