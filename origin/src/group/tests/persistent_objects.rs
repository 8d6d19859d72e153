//! Persistent shared objects of groups: messages that wait for the store, and stored data that a
//! group finds there.

use std::{sync::Arc, sync::mpsc, time::Duration};

use tributary_node::config::{self, Displace, Durability, SharedObjects, Size};
use tributary_protocol::{
    amf::{ObjectEncoding, Value},
    command::Status,
    link::CloseReason,
    shared_object::{Event, Flags},
};

use super::stage::{Lane, Stage, live_settings, pass, play, play_in_real_time, settle};
use crate::{
    app::{Answer, Application, Applications, Call, Context, ObjectId, StopReason},
    store::{Store, tests::Memory},
};

const PERSISTENT: Flags = Flags::PERSISTENT;

fn change(name: &str, value: impl Into<Value>) -> Event {
    Event::RequestChange {
        name: name.to_owned(),
        value: value.into(),
    }
}

/// Calls are the acts of the application on its object `o`.
struct Room {
    object: Option<ObjectId>,
    told: mpsc::SyncSender<String>,
}

impl Application for Room {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let text = |at: usize| call.arguments[at].as_str().unwrap_or_default().to_owned();
        if call.name == "open" {
            self.object = context.open_object("o", true).ok();
            return Answer::Result(self.object.is_some().into());
        }
        if call.name == "clearObjects" {
            return Answer::Result(context.clear_shared_objects(&text(0)).into());
        }
        let Some(mut object) = self.object.and_then(|id| context.object_mut(id)) else {
            return Answer::Unknown;
        };
        Answer::Result(match call.name.as_str() {
            "set" => object.set(&text(0), &call.arguments[1]).is_ok().into(),
            "flush" => object.flush().into(),
            "dirty" => object.as_ref().unwrap().is_dirty().into(),
            "autoCommit" => {
                object.set_auto_commit(call.arguments[0] == Value::Bool(true));
                object.as_ref().unwrap().auto_commit().into()
            }
            _ => return Answer::Unknown,
        })
    }

    fn shared_object_status(&mut self, _: &mut Context<'_>, object: ObjectId, status: Status) {
        assert_eq!(Some(object), self.object);
        self.told.send(status.code().to_owned()).unwrap();
    }

    fn stop(&mut self, context: &mut Context<'_>, reason: StopReason) -> bool {
        let dirty = context.objects().any(|(_, object)| object.is_dirty());
        self.told.send(format!("{reason:?} dirty {dirty}")).unwrap();
        true
    }
}

struct House {
    stage: Stage,
    lane: Lane,
    memory: Memory,
    store: Store,
    told: mpsc::Receiver<String>,
}

fn settings() -> config::Application {
    config::Application {
        shared_objects: Some(SharedObjects::All),
        ..live_settings()
    }
}

impl House {
    /// A group with these sessions in, on a store in memory.
    async fn new(memory: &Memory, settings: config::Application, sessions: &[u64]) -> Self {
        let store = Store::on(Arc::new(memory.clone())).unwrap();
        let (tell, told) = mpsc::sync_channel(1_000);
        let mut applications = Applications::new();
        applications.add("app", settings, move |_| {
            let told = tell.clone();
            Box::new(Room { object: None, told })
        });
        let mut stage = Stage::storing(applications, store.clone());
        let mut lane = stage.lane("app");
        for &session in sessions {
            lane.member(session, ObjectEncoding::Amf0).await;
        }
        Self {
            stage,
            lane,
            memory: memory.clone(),
            store,
            told,
        }
    }

    async fn all_use(&mut self, sessions: &[u64]) {
        for &session in sessions {
            self.ask(session, 0, [Event::Use]);
        }
        self.lane.clear().await;
    }

    fn ask(&mut self, session: u64, version: u32, events: impl Into<Vec<Event>>) {
        self.lane.object(session, "o", version, PERSISTENT, events);
    }

    /// The next messages to a session: the store answers on its own thread, in its own time.
    async fn hears(&mut self, session: u64) -> Vec<String> {
        for _ in 0..5_000 {
            let heard = self.lane.heard(session).await;
            if !heard.is_empty() {
                return heard;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("session {session} hears nothing");
    }

    async fn call(&mut self, session: u64, name: &str, with: &[Value]) -> String {
        self.lane.call(session, 0, name, 9.0, with);
        let heard = self.lane.heard(session).await;
        heard
            .iter()
            .find_map(|line| line.strip_prefix("_result 9 "))
            .unwrap_or_else(|| panic!("{name}: {heard:?}"))
            .to_owned()
    }

    /// Waits for a line of the application.
    async fn told(&self) -> String {
        for _ in 0..5_000 {
            settle().await;
            if let Ok(line) = self.told.try_recv() {
                return line;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the application is told nothing");
    }
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn success_waits_for_the_disk_and_nobody_else_does() {
    play(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1, 2, 3]).await;
        house.all_use(&[1, 2, 3]).await;
        house.memory.hold();
        house.ask(1, 0, [change("a", 1.0)]);
        assert_eq!(house.lane.heard(2).await, ["o v1 a=1"]);
        // Another writes the same slot meanwhile.
        house.ask(2, 1, [change("a", 2.0)]);
        assert_eq!(house.lane.heard(3).await, ["o v1 a=1", "o v2 a=2"]);
        assert_eq!(house.lane.heard(1).await, nothing());
        assert_eq!(house.lane.heard(2).await, nothing());
        // Messages without relation to the object do not wait.
        house.lane.call(1, 0, "createStream", 4.0, &[]);
        assert_eq!(house.lane.heard(1).await, ["_result 4 1"]);
        house.memory.release();
        assert_eq!(house.hears(1).await, ["o v2 success a, a=2"]);
        assert_eq!(house.hears(2).await, ["o v2 success a"]);
        // They are in the audience again.
        house.ask(3, 2, [change("b", 3.0)]);
        assert_eq!(house.hears(1).await, ["o v3 b=3"]);
    });
}

#[test]
fn durability_is_a_setting() {
    for (durability, others, author) in [
        (Durability::Author, true, false),
        (Durability::Strict, false, false),
        (Durability::Lazy, true, true),
    ] {
        play(async {
            let settings = config::Application {
                durability,
                ..settings()
            };
            let mut house = House::new(&Memory::default(), settings, &[1, 2]).await;
            house.all_use(&[1, 2]).await;
            house.memory.hold();
            house.ask(1, 0, [change("a", 1.0)]);
            assert_eq!(house.lane.heard(2).await.is_empty(), !others);
            assert_eq!(house.lane.heard(1).await.is_empty(), !author);
            house.memory.release();
            if !author {
                assert_eq!(house.hears(1).await, ["o v1 success a"]);
            }
            if !others {
                assert_eq!(house.hears(2).await, ["o v1 a=1"]);
            }
        });
    }
}

#[test]
fn an_object_outlives_its_members_its_group_and_its_process() {
    play(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1]).await;
        house.all_use(&[1]).await;
        house.ask(1, 0, [change("a", 1.0), change("b", 2.0)]);
        house.hears(1).await;
        house.ask(1, 1, [Event::RequestRemove { name: "a".into() }]);
        assert_eq!(house.hears(1).await, ["o v2 remove a"]);
        house.ask(1, 2, [Event::Release]);
        house.lane.clear().await;
        assert_eq!(house.stage.groups.process().metrics.shared_objects.get(), 0);
        // The difference since a version, or the whole object.
        house.ask(1, 1, [Event::Use]);
        assert_eq!(house.hears(1).await, ["o v2 use, remove a"]);
        house.lane.closed(1, CloseReason::Client);
        settle().await;
        house.stage.groups.shutdown().await;
        house.store.close();
        let mut again = House::new(&memory, settings(), &[5]).await;
        again.ask(5, 0, [Event::Use]);
        assert_eq!(again.hears(5).await, ["o v2 use, clear, b=2"]);
        // Without a record of the process's end, versions go on beyond all that were sent.
        let mut crashed = House::new(&memory, settings(), &[7]).await;
        crashed.ask(7, 2, [Event::Use]);
        assert_eq!(crashed.hears(7).await, ["o v4099 use, clear, b=2"]);
    });
}

#[test]
fn without_auto_commit_nothing_is_stored_before_a_flush_or_the_last_release() {
    play(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1]).await;
        assert_eq!(house.call(1, "open", &[]).await, "true");
        assert_eq!(house.call(1, "autoCommit", &[false.into()]).await, "false");
        house.all_use(&[1]).await;
        let before = memory.commits();
        house.ask(1, 0, [change("a", 1.0)]);
        assert_eq!(house.lane.heard(1).await, ["o v1 success a"], "at once");
        assert_eq!(house.call(1, "dirty", &[]).await, "true");
        assert_eq!(memory.commits(), before);
        assert_eq!(house.call(1, "flush", &[]).await, "true");
        while house.call(1, "dirty", &[]).await == "true" {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(memory.commits(), before + 1);
        house.ask(1, 1, [change("a", 2.0), Event::Release]);
        house.lane.clear().await;
        while house.call(1, "dirty", &[]).await == "true" {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(memory.commits(), before + 2);
    });
}

#[test]
fn a_sync_that_fails_is_told_to_the_author_and_the_application() {
    play(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1, 2]).await;
        assert_eq!(house.call(1, "open", &[]).await, "true");
        house.all_use(&[1, 2]).await;
        memory.fail(true);
        house.ask(1, 0, [change("a", 1.0)]);
        assert_eq!(house.hears(1).await, ["o v1 Flush.Failed"]);
        assert_eq!(house.lane.heard(2).await, ["o v1 a=1"]);
        assert_eq!(house.told().await, "SharedObject.Flush.Failed");
        memory.fail(false);
        house.ask(1, 1, [change("a", 2.0)]);
        let heard = house.hears(1).await;
        assert!(heard == ["o v2 success a"] || heard == ["o v2 Flush.Failed"]);
    });
}

#[test]
fn the_application_stops_when_everything_is_stored() {
    play_in_real_time(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1]).await;
        assert_eq!(house.call(1, "open", &[]).await, "true");
        assert_eq!(house.call(1, "autoCommit", &[false.into()]).await, "false");
        assert_eq!(
            house.call(1, "set", &["a".into(), 1.0.into()]).await,
            "true"
        );
        let Lane { handle, .. } = house.lane;
        drop(handle);
        house.stage.groups.shutdown().await;
        assert_eq!(house.told.try_recv().unwrap(), "Shutdown dirty false");
        house.store.close();
        let mut again = House::new(&memory, settings(), &[5]).await;
        again.ask(5, 0, [Event::Use]);
        assert_eq!(again.hears(5).await, ["o v1 use, clear, a=1"]);
    });
}

#[test]
fn an_idle_group_ends_when_everything_is_stored() {
    play(async {
        let memory = Memory::default();
        let settings = config::Application {
            idle_time: Some(config::Duration::from_secs(1)),
            ..settings()
        };
        let mut house = House::new(&memory, settings.clone(), &[1]).await;
        assert_eq!(house.call(1, "open", &[]).await, "true");
        assert_eq!(house.call(1, "autoCommit", &[false.into()]).await, "false");
        assert_eq!(
            house.call(1, "set", &["a".into(), 1.0.into()]).await,
            "true"
        );
        house.lane.closed(1, CloseReason::Client);
        let House {
            stage, lane, told, ..
        } = house;
        drop(lane);
        for _ in 0..2_000 {
            pass(Duration::from_millis(100)).await;
            std::thread::sleep(Duration::from_millis(1));
            if stage.groups.count() == 0 {
                break;
            }
        }
        assert_eq!(told.try_recv().unwrap(), "Idle dirty false");
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn stored_objects_are_cleared_by_path_and_not_created_by_reading() {
    play(async {
        let memory = Memory::default();
        let mut house = House::new(&memory, settings(), &[1]).await;
        for name in ["a/x", "a/y", "b"] {
            let events = [Event::Use, change("s", 1.0), Event::Release];
            house.lane.object(1, name, 0, PERSISTENT, events);
            while house.store.used("app") == 0 {
                settle().await;
            }
        }
        house.lane.clear().await;
        assert_eq!(
            house.call(1, "clearObjects", &["/a/*".into()]).await,
            "true"
        );
        for (name, answer) in [("a/x", "a/x v2 use, clear"), ("b", "b v1 use, clear, s=1")] {
            house.lane.object(1, name, 0, PERSISTENT, [Event::Use]);
            assert_eq!(house.hears(1).await, [answer]);
        }
    });
}

#[test]
fn groups_with_stored_data_are_named_unless_they_may_start_elsewhere() {
    for (displace, named) in [(Displace::WithoutData, 1), (Displace::Always, 0)] {
        play(async {
            let settings = config::Application {
                displace,
                ..settings()
            };
            let mut house = House::new(&Memory::default(), settings, &[1]).await;
            assert_eq!(house.stage.groups.kept_since(0), []);
            house.all_use(&[1]).await;
            assert_eq!(
                house.stage.groups.kept_since(0),
                [],
                "nothing is stored yet"
            );
            house.ask(1, 0, [change("a", 1.0)]);
            house.hears(1).await;
            assert_eq!(house.stage.groups.kept_since(0).len(), named);
        });
    }
}

#[test]
fn an_application_stores_so_much_and_no_more() {
    play(async {
        let settings = config::Application {
            object_storage: Size::from_kib(4),
            ..settings()
        };
        let mut house = House::new(&Memory::default(), settings, &[1]).await;
        house.all_use(&[1]).await;
        let long = "v".repeat(5_000);
        house.ask(1, 0, [change("a", &*long)]);
        assert_eq!(house.hears(1).await, ["o v1 success a"]);
        house.ask(1, 1, [change("b", 1.0)]);
        assert_eq!(house.hears(1).await, ["o v1 NoWriteAccess, remove b"]);
        house.lane.object(1, "p", 0, PERSISTENT, [Event::Use]);
        assert_eq!(house.hears(1).await, ["p v0 ObjectCreationFailed"]);
        // Temporary ones are not stored.
        house.lane.object(1, "t", 0, Flags::TEMPORARY, [Event::Use]);
        assert_eq!(house.hears(1).await, ["t v0 use, clear"]);
    });
}

#[test]
fn only_what_the_setting_permits_is_created() {
    for (permitted, temporary, persistent) in [
        (SharedObjects::None, false, false),
        (SharedObjects::Temporary, true, false),
        (SharedObjects::All, true, true),
    ] {
        play(async {
            let settings = config::Application {
                shared_objects: Some(permitted),
                ..settings()
            };
            let mut house = House::new(&Memory::default(), settings, &[1]).await;
            for (flags, allowed) in [(Flags::TEMPORARY, temporary), (PERSISTENT, persistent)] {
                let name = format!("{}", flags.0[0]);
                house.lane.object(1, &name, 0, flags, [Event::Use]);
                let expected = if allowed {
                    format!("{name} v0 use, clear")
                } else {
                    format!("{name} v0 ObjectCreationFailed")
                };
                assert_eq!(house.hears(1).await, [expected]);
            }
        });
    }
}
