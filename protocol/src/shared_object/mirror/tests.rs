use std::sync::Arc;

use super::*;
use crate::{
    MessageType,
    amf::Value,
    shared_object::{Body, Event, SharedObjectMessage, Told},
};

fn change(name: &str, value: impl Into<Value>) -> Told {
    Told::Change {
        name: Arc::from(name),
        value: Encoded::new(&value.into()),
    }
}

fn remove(name: &str) -> Told {
    Told::Remove {
        name: Arc::from(name),
    }
}

fn body(version: u32, events: Vec<Told>) -> Bytes {
    Body { version, events }.encode("o", ObjectEncoding::Amf3)
}

fn slots(mirror: &Mirror) -> Vec<(String, u32, Value)> {
    mirror
        .slots()
        .map(|(name, version, value)| {
            let value = Encoded::from_full(value.clone()).unwrap().value();
            (name.to_owned(), version, value)
        })
        .collect()
}

fn events(body: &[u8]) -> (u32, Vec<Event>) {
    let message = SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, body).unwrap();
    (message.version, message.events)
}

#[test]
fn a_mirror_follows_the_bodies_that_pass() {
    let mut mirror = Mirror::new();
    assert!(!mirror.is_complete());
    let answer = vec![Told::UseSuccess, Told::Clear, change("a", 1.0)];
    mirror.apply(&body(3, answer)).unwrap();
    assert!(mirror.is_complete());
    assert_eq!(mirror.version(), 3);
    mirror.apply(&body(4, vec![change("b", "two")])).unwrap();
    mirror
        .apply(&body(5, vec![change("a", 5.0), remove("b")]))
        .unwrap();
    assert_eq!(slots(&mirror), [("a".to_owned(), 5, 5.0.into())]);
    assert_eq!(mirror.bytes(), 1 + 9);
    // The author's answers change nothing; a server-style one repeats the value.
    let name: Arc<str> = Arc::from("a");
    let success = Told::Success { name: name.clone() };
    mirror.apply(&body(5, vec![success])).unwrap();
    let value = Encoded::new(&7.0.into());
    mirror
        .apply(&body(6, vec![Told::Accepted { name, value }]))
        .unwrap();
    assert_eq!(slots(&mirror), [("a".to_owned(), 6, 7.0.into())]);
    mirror.apply(&body(7, vec![Told::Clear])).unwrap();
    assert!(mirror.is_empty());
    assert_eq!((mirror.version(), mirror.bytes()), (7, 0));
}

#[test]
fn an_older_body_changes_nothing() {
    let mut mirror = Mirror::new();
    mirror
        .apply(&body(9, vec![Told::Clear, change("a", 9.0)]))
        .unwrap();
    mirror.apply(&body(8, vec![change("a", 8.0)])).unwrap();
    assert_eq!(slots(&mirror), [("a".to_owned(), 9, 9.0.into())]);
    assert_eq!(mirror.version(), 9);
}

#[test]
fn what_another_member_is_told_at_its_use_changes_a_complete_mirror_in_nothing() {
    let mut mirror = Mirror::new();
    // The changes for a returning member are not the whole object.
    mirror
        .apply(&body(9, vec![Told::UseSuccess, change("b", 1.0)]))
        .unwrap();
    assert!(!mirror.is_complete());
    mirror
        .apply(&body(
            9,
            vec![Told::Clear, change("a", 0.0), change("b", 1.0)],
        ))
        .unwrap();
    mirror
        .apply(&body(9, vec![Told::UseSuccess, change("b", 1.0)]))
        .unwrap();
    assert!(mirror.is_complete());
    assert_eq!(mirror.len(), 2);
}

#[test]
fn a_member_that_fell_behind_gets_the_latest_of_what_it_missed() {
    let mut mirror = Mirror::new();
    let bytes = Value::ByteArray(Bytes::from_static(&[1]));
    let all = vec![Told::Clear, change("a", 1.0), change("b", bytes.clone())];
    mirror.apply(&body(4, all)).unwrap();
    let behind = mirror.catch_up("o", ["b", "gone"], 3, ObjectEncoding::Amf3);
    let removed = Event::Remove {
        name: "gone".to_owned(),
    };
    let expected = vec![
        Event::Change(vec![("b".to_owned(), bytes)]),
        removed.clone(),
    ];
    assert_eq!(events(&behind), (3, expected));
    let behind = mirror.catch_up("o", ["b", "gone"], 3, ObjectEncoding::Amf0);
    let nearest = Value::StrictArray(vec![1.0.into()]);
    let expected = vec![Event::Change(vec![("b".to_owned(), nearest)]), removed];
    assert_eq!(events(&behind), (3, expected));

    let mut copy = Mirror::new();
    copy.apply(&mirror.snapshot("o", ObjectEncoding::Amf3))
        .unwrap();
    assert_eq!(slots(&copy).len(), 2);
    assert_eq!(copy.version(), 4);
    assert!(copy.is_complete());
}

#[test]
fn a_body_cut_short_is_an_error_and_no_more() {
    let whole = body(4, vec![Told::Clear, change("a", 1.0), remove("b")]);
    for length in 0..whole.len() {
        let mut mirror = Mirror::new();
        // A body cut at the end of an event has fewer events.
        let _ = mirror.apply(&whole[..length]);
        assert!(mirror.len() <= 1);
    }
}
