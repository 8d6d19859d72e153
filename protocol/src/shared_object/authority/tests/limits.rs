//! Requests beyond a limit.

use super::*;

fn small() -> Room {
    Room::with(Authority::temporary(
        1,
        Limits {
            slots: 3,
            bytes: 1_000,
            value: 300,
            tombstones: 2,
        },
    ))
}

#[test]
fn what_exceeds_a_limit_is_refused_like_a_write_without_access() {
    let long = "n".repeat(Limits::MAX_SLOT_NAME + 1);
    for (name, value, refused) in [
        ("", Value::Null, Refused::Name),
        (&*long, Value::Null, Refused::Name),
        ("a", "v".repeat(300).into(), Refused::Value),
        ("d", Value::Null, Refused::Slots),
        ("a", "v".repeat(290).into(), Refused::Bytes),
    ] {
        let mut room = small().of(&[1, 2]);
        for name in ["a", "b", "c"] {
            room.set(name, "v".repeat(if name == "a" { 1 } else { 280 }));
        }
        room.forget();
        let before = room.object.contents().bytes();
        assert_eq!(
            room.object.set(name, Encoded::new(&value)),
            Err(refused),
            "{refused:?}"
        );
        room.ask(1, 9, [change(name, value)]);
        let now = match room.value(name) {
            Some(value) => format!("{name}={}", value.as_str().unwrap()),
            None => format!("remove {name}"),
        };
        assert_eq!(room.heard(1), [format!("v3 NoWriteAccess, {now}")]);
        assert_eq!(room.heard(2), nothing());
        assert_eq!(room.object.refused_by_limit(), 1);
        assert_eq!(room.object.contents().bytes(), before);
    }
}

#[test]
fn a_message_has_the_size_of_a_value() {
    let mut room = small().of(&[1, 2]);
    let long = "v".repeat(300);
    room.ask(1, 0, [send("hear", &*long)]);
    assert_eq!(room.heard(1), ["v0 NoWriteAccess"]);
    assert_eq!(room.heard(2), nothing());
    let values = Encoded::list(&["hear".into(), long.into()]);
    assert_eq!(room.object.send(values), Err(Refused::Value));
}

#[test]
fn the_oldest_tombstones_go_first_and_raise_the_horizon() {
    let mut room = small().of(&[1]);
    for name in ["a", "b", "c"] {
        room.set(name, 1.0);
        room.object.remove(name);
    }
    assert_eq!(room.object.contents().tombstones(), 2);
    assert_eq!(room.object.contents().slot_version("a"), None);
    assert_eq!(room.object.contents().horizon(), 2);
    // Tombstones give way to slots with values.
    for name in ["x", "y", "z"] {
        room.set(name, "v".repeat(250));
    }
    assert!(room.object.contents().bytes() <= 1_000);
    assert_eq!(room.object.contents().len(), 3);
    assert!(room.object.contents().tombstones() < 2);
}

#[test]
fn refusals_of_one_slot_in_one_message_show_it_once() {
    let mut room = small().of(&[1, 2]);
    room.set("a", "v".repeat(250));
    room.forget();
    let storm: Vec<_> = (0..1_000)
        .map(|value| change("a", f64::from(value)))
        .collect();
    room.ask(1, 0, storm);
    let heard = room.heard(1);
    assert_eq!(heard.len(), 1);
    assert!(heard[0].len() < 300, "{}", heard[0]);
}

#[test]
fn a_long_list_of_words_on_few_slots_stays_short() {
    let mut room = small().of(&[1]);
    room.object.lock();
    for round in 0..10_000 {
        room.set(["a", "b"][round % 2], round as f64);
    }
    room.object.unlock();
    assert_eq!(room.heard(1), ["v1 a=9998, b=9999"]);
}
