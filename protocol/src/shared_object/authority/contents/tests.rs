//! The slots, their versions and their writes, without members.

use super::*;
use crate::amf::Value;

const SMALL: Limits = Limits {
    slots: 3,
    bytes: 1_000,
    value: 300,
    tombstones: 2,
};

fn stored() -> Contents<u8> {
    Contents::from_store(1, SMALL, Stored::default())
}

fn put(contents: &mut Contents<u8>, author: u8, name: &str, value: Option<f64>) {
    contents.take_version();
    let value = value.map(|value| Encoded::new(&Value::Number(value)));
    let name = contents.shared_name(name);
    contents.put(&name, Some(author), value);
}

fn since(contents: &Contents<u8>, known: u32) -> Vec<String> {
    let mut events = Vec::new();
    contents.push_since(known, &mut events);
    let describe = |event: &Told| match event {
        Told::Clear => "clear".to_owned(),
        Told::Change { name, .. } => format!("+{name}"),
        Told::Remove { name } => format!("-{name}"),
        other => panic!("{other:?}"),
    };
    events.iter().map(describe).collect()
}

#[test]
fn a_member_gets_the_changes_since_its_version_or_everything() {
    let mut contents = stored();
    put(&mut contents, 1, "a", Some(1.0));
    put(&mut contents, 1, "b", Some(1.0));
    put(&mut contents, 1, "a", None);
    assert_eq!(contents.version(), 3);
    assert_eq!(since(&contents, 2), ["-a"]);
    assert_eq!(since(&contents, 1), ["-a", "+b"]);
    for known in [0, 4] {
        assert_eq!(since(&contents, known), ["clear", "+b"], "{known}");
    }
    contents.purge(3);
    assert_eq!(since(&contents, 2), ["clear", "+b"]);
    assert_eq!(contents.horizon(), 3);
}

#[test]
fn a_temporary_object_is_always_sent_whole() {
    let mut contents = Contents::new(1, SMALL);
    put(&mut contents, 1, "a", Some(1.0));
    assert_eq!(since(&contents, 1), ["clear", "+a"]);
    assert!(!contents.has_unstored());
}

#[test]
fn the_author_of_a_change_is_not_behind_it() {
    let mut contents = stored();
    put(&mut contents, 1, "a", Some(1.0));
    assert!(!contents.has_later(1, 0, "a"));
    assert!(contents.has_later(2, 0, "a"));
    assert!(!contents.has_later(2, 1, "a"));
    assert!(!contents.has_later(2, 0, "unknown"));
}

#[test]
fn the_oldest_tombstones_are_forgotten_and_with_them_the_versions_before() {
    let mut contents = stored();
    for name in ["a", "b", "c"] {
        put(&mut contents, 1, name, Some(1.0));
        put(&mut contents, 1, name, None);
    }
    assert_eq!((contents.tombstones(), contents.horizon()), (2, 2));
    assert!(contents.has_later(1, 1, "a"), "the member may restore it");
    assert!(!contents.has_later(1, 2, "a"));
    contents.set_resync_depth(1);
    assert_eq!((contents.tombstones(), contents.horizon()), (1, 5));
}

#[test]
fn a_write_has_the_slots_that_changed_since_the_last() {
    let names = |write: &Write| -> Vec<_> {
        let slots = write.slots.iter();
        slots
            .map(|(name, slot)| (name.to_string(), slot.is_some()))
            .collect()
    };
    let mut contents = stored();
    put(&mut contents, 1, "a", Some(1.0));
    put(&mut contents, 1, "b", Some(1.0));
    let version = contents.version_write(Ticket(1));
    assert_eq!((version.header.version, version.header.reserve), (1, 2));
    assert!(contents.has_unstored(), "no slot is stored yet");
    let write = contents.take_write(Ticket(2));
    assert_eq!(
        names(&write),
        [("a".to_owned(), true), ("b".to_owned(), true)]
    );
    assert!(!contents.has_unstored());
    contents.take_version();
    contents.clear();
    put(&mut contents, 1, "b", None);
    let write = contents.take_write(Ticket(3));
    assert!(write.clear);
    assert_eq!(names(&write), [("b".to_owned(), true)], "a tombstone");
    contents.note_header();
    assert!(contents.has_unstored());
    assert_eq!(names(&contents.take_write(Ticket(4))), []);
}

#[test]
fn an_object_begins_beyond_the_versions_that_a_crash_may_have_lost() {
    let header = Header {
        incarnation: 9,
        version: 5,
        reserve: 8,
        ..Header::default()
    };
    let stored = |crashes| Stored {
        header: Some(header),
        crashes,
        ..Stored::default()
    };
    let clean = Contents::<u8>::from_store(1, SMALL, stored(0));
    assert_eq!((clean.incarnation(), clean.version()), (9, 8));
    assert_eq!(clean.horizon(), 8);
    let crashed = Contents::<u8>::from_store(1, SMALL, stored(2));
    assert_eq!(crashed.version(), 8 + 2 * (VERSION_WINDOW + 1));
    assert_eq!(crashed.horizon(), crashed.version());
}
