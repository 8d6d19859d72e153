//! Objects that are written, read, and written again.

use std::{sync::mpsc, time::Duration};

use tributary_protocol::{
    GroupName,
    amf::Value,
    shared_object::{
        Authority, Encoded, Limits,
        authority::{Durability, Ticket},
    },
};

use super::*;
use crate::store::{Extent, Store, StoredObject, objects, redb::RedbStorage};

/// An object with its store, as a group has it.
struct Held {
    object: Authority<u32>,
    stored: StoredObject,
    told: mpsc::Receiver<(Ticket, bool)>,
}

fn group() -> GroupName {
    "app/room".parse().unwrap()
}

fn load(store: &Store, name: &str) -> Held {
    let (tell, told) = mpsc::sync_channel(1_000);
    let told_of = move |ticket, stored| tell.send((ticket, stored)).unwrap_or_default();
    let (stored, found) = store.load(&group(), name, told_of).unwrap();
    let object = Authority::persistent(7, Limits::default(), Durability::Author, found);
    Held {
        object,
        stored,
        told,
    }
}

impl Held {
    fn set(&mut self, slot: &str, value: impl Into<Value>) {
        let value = Encoded::new(&value.into());
        self.object.set(slot, value).unwrap();
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(write) = self.object.poll_write() {
            self.stored.write(write);
        }
    }

    fn wait(&mut self) -> bool {
        let (ticket, stored) = self.told.recv_timeout(Duration::from_secs(5)).unwrap();
        self.object.handle_stored(ticket, stored);
        stored
    }

    fn slots(&self) -> Vec<(String, Value)> {
        let slots = self.object.contents().slots();
        slots
            .map(|(name, _, value)| (name.to_owned(), value.value()))
            .collect()
    }
}

fn on(memory: &Memory) -> Store {
    Store::on(std::sync::Arc::new(memory.clone())).unwrap()
}

#[test]
fn what_is_written_is_read_at_once_and_after_a_restart() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut first = load(&store, "o");
    memory.hold();
    first.set("a", 1.0);
    first.set("b", Value::ByteArray(vec![1].into()));
    first.object.remove("a");
    first.settle();
    // The disk does not have it yet.
    let again = load(&store, "o");
    let expected = [("b".to_owned(), Value::ByteArray(vec![1].into()))];
    assert_eq!(again.slots(), expected);
    assert_eq!(
        (
            again.object.contents().version(),
            again.object.contents().tombstones()
        ),
        (3, 1)
    );
    assert_eq!(store.names(&group()).unwrap(), ["o"]);
    memory.release();
    while first.object.is_dirty() {
        assert!(first.wait());
    }
    store.close();
    let store = on(&memory);
    let again = load(&store, "o");
    assert_eq!(again.slots(), expected);
    assert_eq!(
        again.object.contents().version(),
        3,
        "it was closed in order"
    );
    assert_eq!(again.object.contents().incarnation(), 7);
    assert_eq!(load(&store, "other").slots(), []);
}

#[test]
fn writes_gather_while_the_disk_is_busy() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut objects: Vec<_> = (0..50)
        .map(|number| load(&store, &format!("o{number}")))
        .collect();
    let before = memory.commits();
    memory.hold();
    for value in 0..20 {
        for object in &mut objects {
            object.set("a", f64::from(value));
        }
    }
    memory.release();
    for object in &mut objects {
        while object.object.is_dirty() {
            object.wait();
        }
    }
    let commits = memory.commits() - before;
    assert!(commits <= 2, "{commits} commits for a thousand writes");
}

#[test]
fn a_clear_is_written_before_what_follows_it() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut object = load(&store, "o");
    object.set("a", 1.0);
    object.wait();
    memory.hold();
    object.set("b", 1.0);
    object.object.clear();
    object.settle();
    object.set("c", 1.0);
    for _ in 0..2 {
        assert_eq!(load(&store, "o").slots(), [("c".to_owned(), 1.0.into())]);
        memory.release();
        while object.object.is_dirty() {
            object.wait();
        }
    }
}

#[test]
fn names_that_begin_alike_are_apart() {
    let store = on(&Memory::default());
    for (name, slot) in [("a", "b/x"), ("a/b", "x"), ("ab", "x")] {
        load(&store, name).set(slot, name);
    }
    assert_eq!(load(&store, "a").slots(), [("b/x".to_owned(), "a".into())]);
    assert_eq!(load(&store, "ab").slots(), [("x".to_owned(), "ab".into())]);
    let mut other = store.names(&"app/roo".parse().unwrap()).unwrap();
    assert!(other.is_empty());
    other = store.names(&group()).unwrap();
    assert_eq!(other, ["a", "a/b", "ab"]);
}

#[test]
fn a_write_that_fails_is_told_and_tried_again() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut object = load(&store, "o");
    memory.fail(true);
    object.set("a", 1.0);
    assert!(!object.wait());
    memory.fail(false);
    object.set("b", 2.0);
    while !object.wait() {}
    let again = load(&on(&memory), "o");
    assert_eq!(again.slots().len(), 2, "both are there now");
}

#[test]
fn a_process_that_ends_without_a_word_has_crashed() {
    let memory = Memory::default();
    assert_eq!(objects::begin(&memory).unwrap(), 0);
    assert_eq!(objects::begin(&memory).unwrap(), 1);
    assert_eq!(objects::begin(&memory).unwrap(), 2);
    let store = on(&memory);
    let mut object = load(&store, "o");
    object.set("a", 1.0);
    object.wait();
    let version = object.object.contents().version();
    store.close();
    // The version was 3 when this process began, and the one before ended in order.
    assert_eq!(load(&on(&memory), "o").object.contents().version(), version);
}

#[test]
fn what_applications_store_is_added_up() {
    let memory = Memory::default();
    let store = on(&memory);
    assert_eq!(store.used("app"), 0);
    let mut object = load(&store, "o");
    object.set("a", "v".repeat(1_000));
    let used = store.used("app");
    assert!((1_000..1_200).contains(&used), "{used}");
    object.wait();
    store.close();
    let store = on(&memory);
    assert_eq!(store.used("app"), used);
    let mut object = load(&store, "o");
    object.object.clear();
    object.settle();
    assert_eq!(store.used("app"), 0);
    assert_eq!(store.used("other"), 0);
}

#[test]
fn a_scratch_store_reads_its_base_and_keeps_its_own() {
    let store = on(&Memory::default());
    load(&store, "o").set("a", 1.0);
    let scratch = store.scratch().unwrap();
    let mut tried = load(&scratch, "o");
    tried.set("b", 2.0);
    assert!(tried.wait());
    assert_eq!(load(&scratch, "o").slots().len(), 2);
    assert_eq!(load(&store, "o").slots().len(), 1);
}

#[test]
fn a_file_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("data")).unwrap();
    let mut object = load(&store, "o");
    for value in 0..100 {
        object.set(&format!("s{value}"), f64::from(value));
    }
    object.object.clear();
    object.set("last", "one");
    while object.object.is_dirty() {
        assert!(object.wait());
    }
    store.close();
    drop((object, store));
    let file = folder.path().join("data").join(crate::store::FILE);
    let storage = RedbStorage::open(&file).unwrap();
    let store = Store::on(std::sync::Arc::new(storage)).unwrap();
    let object = load(&store, "o");
    assert_eq!(object.slots(), [("last".to_owned(), "one".into())]);
    assert_eq!(object.object.contents().version(), 102);
}

#[test]
fn groups_with_something_stored_are_known_from_then_on() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut changed = store.kept().changed();
    let mut object = load(&store, "o");
    let extent = |edition, count| Extent { edition, count };
    assert_eq!(*changed.borrow_and_update(), extent(0, 0));
    object.set("a", 1.0);
    load(&store, "p").set("a", 1.0);
    assert_eq!(*changed.borrow_and_update(), extent(0, 1));
    assert_eq!(store.kept().since(0), [group()]);
    assert_eq!(store.kept().since(1), []);
    assert_eq!(store.kept().since(9), []);
    object.wait();
    store.close();
    let store = on(&memory);
    assert_eq!(store.kept().since(0), [group()]);
    let mut changed = store.kept().changed();
    store.purge("other").unwrap();
    assert!(!changed.has_changed().unwrap());
    store.purge("app").unwrap();
    assert_eq!(*changed.borrow_and_update(), extent(1, 0));
    assert_eq!(store.kept().since(0), []);
    load(&store, "o").set("a", 1.0);
    assert_eq!(store.kept().since(0), [group()]);
}

#[test]
fn a_purge_takes_all_of_one_application_and_nothing_else() {
    let memory = Memory::default();
    let store = on(&memory);
    let names: [GroupName; 4] =
        ["app/room", "app/a/b", "app2/room", "ap/room"].map(|name| name.parse().unwrap());
    let load = |store: &Store, group: &GroupName| {
        let (stored, found) = store.load(group, "o", |_, _| {}).unwrap();
        let object = Authority::<u32>::persistent(7, Limits::default(), Durability::Author, found);
        (stored, object)
    };
    for name in &names {
        let (mut stored, mut object) = load(&store, name);
        object.set("a", Encoded::new(&1.0.into())).unwrap();
        while let Some(write) = object.poll_write() {
            stored.write(write);
        }
    }
    assert!(store.used("app") > 0);
    store.purge("app").unwrap();
    assert_eq!(store.used("app"), 0);
    store.close();
    let store = on(&memory);
    let left = names.map(|name| load(&store, &name).1.contents().slots().count());
    assert_eq!(left, [0, 0, 1, 1]);
    assert_eq!(store.used("app"), 0);
    assert!(store.used("app2") > 0);
}

#[test]
fn what_is_written_to_a_scratch_counts_there_alone() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut object = load(&store, "o");
    object.set("a", 1.0);
    let used = store.used("app");
    let scratch = store.scratch().unwrap();
    let mut tried = load(&scratch, "o");
    tried.set("b", "x".repeat(1_000));
    assert!(scratch.used("app") > used + 1_000);
    assert_eq!(store.used("app"), used);
    assert_eq!(load(&store, "o").slots().len(), 1);
}

#[test]
fn versions_of_what_was_purged_are_not_used_again() {
    let memory = Memory::default();
    let store = on(&memory);
    let mut object = load(&store, "o");
    for value in 0..5 {
        object.set("a", f64::from(value));
    }
    object.wait();
    store.purge("app").unwrap();
    assert_eq!(store.names(&group()).unwrap(), Vec::<String>::new());
    let again = load(&store, "o");
    assert_eq!(again.slots().len(), 0);
    let floor = again.object.contents().version();
    assert!(floor > 5);
    assert_eq!(again.object.contents().horizon(), floor);
    drop((object, again));
    store.purge("app").unwrap();
    store.close();
    let store = on(&memory);
    assert_eq!(load(&store, "o").object.contents().version(), floor);
    assert_eq!(load(&store, "p").object.contents().version(), floor);
    // The second purge counts from where the first one has led.
    let mut object = load(&store, "o");
    object.set("a", 1.0);
    assert_eq!(object.object.contents().version(), floor + 1);
    store.purge("app").unwrap();
    assert!(load(&store, "o").object.contents().version() > floor + 1);
}
