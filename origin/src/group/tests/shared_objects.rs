//! Shared objects between clients on several lanes and their application.

use std::{sync::mpsc, time::Duration};

use tributary_node::config;
use tributary_protocol::{
    amf::{ObjectEncoding, Value},
    link::{CloseReason, Recipients, ToAudience},
    shared_object::{Event, Flags},
};

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::{
    app::{
        Answer, Application, Applications, Call, ChangeKind, ClientId, Context, ObjectChange,
        ObjectError, ObjectId, SharedObjectMut,
    },
    session::Mail,
};

const TEMPORARY: Flags = Flags::TEMPORARY;

fn change(name: &str, value: impl Into<Value>) -> Event {
    Event::RequestChange {
        name: name.to_owned(),
        value: value.into(),
    }
}

fn say(handler: &str, value: impl Into<Value>) -> Event {
    Event::SendMessage {
        values: vec![handler.into(), value.into()],
    }
}

/// Calls are the acts of the application on its object `o`.
struct Room {
    object: Option<ObjectId>,
    seen: mpsc::SyncSender<String>,
}

impl Application for Room {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let argument = |at: usize| call.arguments.get(at).cloned().unwrap_or(Value::Null);
        let text = |at: usize| argument(at).as_str().unwrap_or_default().to_owned();
        let done = match call.name.as_str() {
            "open" => {
                let opened = context.open_object("o", false);
                self.object = opened.ok();
                opened.is_ok()
            }
            "access" => {
                let client = context.client_mut(call.responder.client).unwrap();
                client.set_read_access(&text(0));
                client.set_write_access(&text(1));
                true
            }
            "clearObjects" => context.clear_shared_objects(&text(0)),
            "fail" => {
                let id = self.object.unwrap();
                context.object_mut(id).unwrap().lock();
                context.release_locks() == 1
            }
            "names" => {
                let open = |(_, object): (_, crate::app::SharedObject<'_>)| {
                    format!("{}:{}", object.name(), object.members().count())
                };
                let mut names: Vec<_> = context.objects().map(open).collect();
                names.sort();
                return Answer::Result(names.join(" ").into());
            }
            name => {
                let object = context.object_mut(self.object.unwrap());
                return act(object.unwrap(), name, &text(0), &argument(1));
            }
        };
        Answer::Result(done.into())
    }

    fn shared_object_changed(
        &mut self,
        _: &mut Context<'_>,
        object: ObjectId,
        _: ClientId,
        changes: &[ObjectChange],
    ) {
        assert_eq!(Some(object), self.object);
        for change in changes {
            let old = change.old.as_ref().map(|old| old.value());
            let kind = match change.kind {
                ChangeKind::Changed => "change",
                ChangeKind::Removed => "delete",
                ChangeKind::Cleared => "clear",
            };
            let line = format!("{kind} {} {old:?}", change.name);
            self.seen.send(line).unwrap();
        }
    }

    fn shared_object_message(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        client: ClientId,
        handler: &str,
        arguments: &[Value],
    ) {
        assert!(context.client(client).is_some());
        let line = format!("{handler} {arguments:?}");
        self.seen.send(line).unwrap();
        if handler == "bounce" {
            let mut object = context.object_mut(object).unwrap();
            object.send("bounced", arguments).unwrap();
        }
    }
}

fn act(mut object: SharedObjectMut<'_>, name: &str, slot: &str, value: &Value) -> Answer {
    Answer::Result(match name {
        "set" => object.set(slot, value).is_ok().into(),
        "remove" => object.remove(slot).into(),
        "clear" => {
            object.clear();
            true.into()
        }
        "send" => object
            .send(slot, std::slice::from_ref(value))
            .is_ok()
            .into(),
        "lock" => object.lock().into(),
        "unlock" => object.unlock().into(),
        "flush" => object.flush().into(),
        "get" => object
            .as_ref()
            .unwrap()
            .get(slot)
            .unwrap_or(Value::Undefined),
        _ => return Answer::Unknown,
    })
}

fn settings() -> config::Application {
    config::Application {
        shared_objects: Some(config::SharedObjects::All),
        ..live_settings()
    }
}

fn stage_with(settings: config::Application) -> (Stage, mpsc::Receiver<String>) {
    let (seen, told) = mpsc::sync_channel(1_000);
    let mut applications = Applications::new();
    applications.add("app", settings, move |_| {
        let seen = seen.clone();
        Box::new(Room { object: None, seen })
    });
    (Stage::with(applications), told)
}

/// A group with these sessions of one lane, all in.
async fn lane_of(stage: &mut Stage, sessions: &[u64]) -> Lane {
    let mut lane = stage.lane("app");
    for &session in sessions {
        lane.member(session, ObjectEncoding::Amf0).await;
    }
    lane
}

async fn all_use(lane: &mut Lane, sessions: &[u64]) {
    for &session in sessions {
        lane.object(session, "o", 0, TEMPORARY, [Event::Use]);
    }
    lane.clear().await;
    lane.audiences.clear();
}

async fn ask(lane: &mut Lane, session: u64, name: &str, with: &[Value]) -> String {
    lane.call(session, 0, name, 9.0, with);
    let heard = lane.heard(session).await;
    let answer = heard.iter().find(|line| line.starts_with("_result 9"));
    answer
        .unwrap_or_else(|| panic!("{name}: {heard:?}"))
        .trim_start_matches("_result 9 ")
        .to_owned()
}

#[test]
fn a_change_is_one_frame_for_each_lane_whatever_the_members() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let here: Vec<u64> = (1..=50).collect();
        let mut one = lane_of(&mut stage, &here).await;
        let mut other = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut one, &here).await;
        all_use(&mut other, &[1, 2]).await;
        one.object(7, "o", 0, TEMPORARY, [change("a", 1.0)]);
        assert_eq!(one.heard(7).await, ["o v1 success a"]);
        for session in [1, 6, 8, 50] {
            assert_eq!(one.heard(session).await, ["o v1 a=1"]);
        }
        assert_eq!(other.heard(1).await, ["o v1 a=1"]);
        assert_eq!(other.heard(2).await, ["o v1 a=1"]);
        let frames = |lane: &Lane| -> Vec<_> {
            let sent = lane.audiences.iter().map(|(_, what)| match what {
                ToAudience::Send { to, .. } => *to,
                other => panic!("{other:?}"),
            });
            sent.collect()
        };
        let author = one.key(7).session;
        assert_eq!(
            frames(&one),
            [Recipients::AllBut(author), Recipients::One(author)]
        );
        assert_eq!(frames(&other), [Recipients::All]);
    });
}

#[test]
fn a_value_that_only_amf3_has_goes_out_once_for_each_encoding() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1]).await;
        lane.member(2, ObjectEncoding::Amf3).await;
        lane.member(3, ObjectEncoding::Amf3).await;
        all_use(&mut lane, &[1, 2, 3]).await;
        let bytes = Value::ByteArray(vec![1, 2].into());
        lane.object(2, "o", 0, TEMPORARY, [change("a", bytes)]);
        assert_eq!(
            lane.heard(1).await,
            ["o v1 a=StrictArray([Number(1.0), Number(2.0)])"]
        );
        assert_eq!(lane.heard(2).await, ["o v1 success a (16)"]);
        assert_eq!(
            lane.heard(3).await,
            ["o v1 a=ByteArray(b\"\\x01\\x02\") (16)"]
        );
        assert_eq!(lane.audiences.len(), 2 + 1);
        lane.audiences.clear();
        // A body that AMF0 can carry is one frame, in the AMF0 form for both.
        lane.object(2, "o", 1, TEMPORARY, [change("a", 5.0)]);
        assert_eq!(lane.heard(1).await, ["o v2 a=5"]);
        assert_eq!(lane.heard(3).await, ["o v2 a=5 (16)"]);
        assert_eq!(lane.audiences.len(), 1 + 1);
        // A member that joins later gets its own form too.
        lane.object(
            3,
            "o",
            2,
            TEMPORARY,
            [change("a", Value::ByteArray(vec![9].into()))],
        );
        lane.clear().await;
        for (session, encoding, answer) in [
            (
                4,
                ObjectEncoding::Amf0,
                "o v3 use, clear, a=StrictArray([Number(9.0)])",
            ),
            (
                5,
                ObjectEncoding::Amf3,
                "o v3 use, clear, a=ByteArray(b\"\\t\") (16)",
            ),
        ] {
            lane.member(session, encoding).await;
            lane.object(session, "o", 0, TEMPORARY, [Event::Use]);
            assert_eq!(lane.heard(session).await, [answer]);
        }
    });
}

#[test]
fn what_the_application_does_keeps_its_place_among_its_messages() {
    play(async {
        let (mut stage, told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        assert_eq!(ask(&mut lane, 1, "open", &[]).await, "true");
        all_use(&mut lane, &[1, 2]).await;
        lane.call(1, 0, "set", 3.0, &["a".into(), 1.0.into()]);
        assert_eq!(lane.heard(1).await, ["o v1 a=1", "_result 3 true"]);
        assert_eq!(lane.heard(2).await, ["o v1 a=1"]);
        lane.call(1, 0, "send", 3.0, &["hear".into(), 2.0.into()]);
        assert_eq!(lane.heard(1).await, ["o v1 send hear 2", "_result 3 true"]);
        assert_eq!(ask(&mut lane, 1, "get", &["a".into()]).await, "1");
        assert_eq!(ask(&mut lane, 1, "flush", &[]).await, "false");
        lane.clear().await;
        // Under a lock changes leave as one message, and requests of clients wait with their
        // credit.
        assert_eq!(ask(&mut lane, 1, "lock", &[]).await, "1");
        lane.consumed.clear();
        lane.call(1, 0, "set", 3.0, &["a".into(), 5.0.into()]);
        lane.call(1, 0, "set", 3.0, &["b".into(), 5.0.into()]);
        lane.object(2, "o", 1, TEMPORARY, [change("c", 7.0)]);
        assert_eq!(lane.heard(1).await, ["_result 3 true", "_result 3 true"]);
        assert_eq!(lane.consumed.get(&2), None);
        lane.call(1, 0, "unlock", 3.0, &[]);
        assert_eq!(
            lane.heard(1).await,
            ["o v2 a=5, b=5", "o v3 c=7", "_result 3 0"]
        );
        assert_eq!(lane.heard(2).await, ["o v2 a=5, b=5", "o v3 success c"]);
        assert!(lane.consumed[&2] > 0);
        assert_eq!(told.try_recv().unwrap(), "change c None");
        assert!(told.try_recv().is_err(), "its own changes are no news");
    });
}

#[test]
fn the_application_hears_what_clients_do_to_an_object_it_has_opened() {
    play(async {
        let (mut stage, told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        lane.object(1, "o", 0, TEMPORARY, [change("a", 1.0), say("hear", 1.0)]);
        lane.heard(1).await;
        assert!(told.try_recv().is_err(), "it has not opened it");
        assert_eq!(ask(&mut lane, 1, "open", &[]).await, "true");
        lane.clear().await;
        let remove = Event::RequestRemove { name: "a".into() };
        let all = [change("a", 2.0), say("bounce", 3.0), remove];
        lane.object(1, "o", 1, TEMPORARY, all);
        assert_eq!(
            lane.heard(2).await,
            ["o v2 a=2, send bounce 3, remove a", "o v2 send bounced 3"]
        );
        let seen: Vec<_> = told.try_iter().collect();
        assert_eq!(
            seen,
            [
                "change a Some(Number(1.0))",
                "bounce [Number(3.0)]",
                "delete a Some(Number(2.0))"
            ]
        );
    });
}

#[test]
fn a_temporary_object_ends_at_its_last_release_unless_it_is_open() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        lane.object(1, "o", 0, TEMPORARY, [change("a", 1.0), Event::Release]);
        assert_eq!(ask(&mut lane, 1, "names", &[]).await, "o:1");
        lane.closed(2, CloseReason::Client);
        assert_eq!(ask(&mut lane, 1, "names", &[]).await, "");
        assert!(matches!(lane.audiences.last(), Some((_, ToAudience::End))));
        lane.object(1, "o", 0, TEMPORARY, [Event::Use]);
        assert_eq!(lane.heard(1).await, ["o v0 use, clear"], "a new one");
        assert_eq!(ask(&mut lane, 1, "open", &[]).await, "true");
        lane.object(1, "o", 0, TEMPORARY, [change("a", 1.0), Event::Release]);
        assert_eq!(ask(&mut lane, 1, "names", &[]).await, "o:0");
        assert_eq!(ask(&mut lane, 1, "get", &["a".into()]).await, "1");
    });
}

#[test]
fn access_is_by_folder_and_refusals_have_their_status() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        lane.object(2, "pub/a", 0, TEMPORARY, [Event::Use]);
        lane.object(2, "pub/a", 0, TEMPORARY, [change("a", 1.0)]);
        lane.object(2, "priv/a", 0, TEMPORARY, [Event::Use]);
        let with = ["/pub;/own".into(), "/own".into()];
        assert_eq!(ask(&mut lane, 1, "access", &with).await, "true");
        for (name, events, answer) in [
            ("priv/a", vec![Event::Use], vec!["priv/a v0 NoReadAccess"]),
            (
                "pub/new",
                vec![Event::Use],
                vec!["pub/new v0 ObjectCreationFailed"],
            ),
            ("pub/a", vec![Event::Use], vec!["pub/a v1 use, clear, a=1"]),
            (
                "pub/a",
                vec![change("a", 2.0)],
                vec!["pub/a v1 NoWriteAccess, a=1"],
            ),
            (
                "pub/a",
                vec![change("b", 2.0)],
                vec!["pub/a v1 NoWriteAccess, remove b"],
            ),
            (
                "pub/a",
                vec![say("hear", 2.0)],
                vec!["pub/a v1 NoWriteAccess"],
            ),
            (
                "own/a",
                vec![Event::Use, change("a", 2.0)],
                vec!["own/a v0 use, clear", "own/a v1 success a"],
            ),
            (
                "nowhere",
                vec![change("a", 2.0)],
                vec!["nowhere v0 NoObjectFound"],
            ),
            ("nowhere", vec![Event::Release], vec![]),
            (
                "own/../pub",
                vec![Event::Use],
                vec!["own/../pub v0 ObjectCreationFailed"],
            ),
        ] {
            lane.object(1, name, 1, TEMPORARY, events);
            assert_eq!(lane.heard(1).await, answer, "{name}");
        }
        // Another persistence than the living object's.
        lane.object(1, "own/a", 0, Flags::PERSISTENT, [Event::Use]);
        assert_eq!(
            lane.heard(1).await,
            ["own/a v1 use, clear, a=2"],
            "it uses it"
        );
        lane.object(2, "own/a", 0, Flags::PERSISTENT, [Event::Use]);
        assert_eq!(
            lane.heard(2).await.last().unwrap(),
            "own/a v0 BadPersistence"
        );
        // The process has no store.
        lane.object(1, "own/b", 0, Flags::PERSISTENT, [Event::Use]);
        assert_eq!(lane.heard(1).await, ["own/b v0 ObjectCreationFailed"]);
    });
}

#[test]
fn access_holds_for_streams_too() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = stage.lane("app");
        lane.client(1).await;
        let with = ["/pub".into(), "/own".into()];
        assert_eq!(ask(&mut lane, 1, "access", &with).await, "true");
        for (command, name, answer) in [
            ("play", "own/cam", "1 NetStream.Play.Failed"),
            ("play", "cam", "1 NetStream.Play.Failed"),
            ("publish", "pub/cam", "1 NetStream.Publish.BadName"),
        ] {
            lane.call(1, 1, command, 0.0, &[name.into(), "live".into()]);
            let heard = lane.heard(1).await;
            assert_eq!(heard.last().unwrap(), answer, "{command} {name}");
        }
        lane.publish(1, "own/cam", 1);
        let heard = lane.heard(1).await;
        assert_eq!(heard.last().unwrap(), "1 NetStream.Publish.Start");
    });
}

#[test]
fn a_lock_that_lasts_or_whose_call_failed_is_taken_back() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        assert_eq!(ask(&mut lane, 1, "open", &[]).await, "true");
        all_use(&mut lane, &[1, 2]).await;
        assert_eq!(ask(&mut lane, 1, "fail", &[]).await, "true");
        lane.object(2, "o", 0, TEMPORARY, [change("a", 1.0)]);
        assert_eq!(lane.heard(2).await, ["o v1 success a"]);
        assert_eq!(ask(&mut lane, 1, "lock", &[]).await, "1");
        lane.object(2, "o", 1, TEMPORARY, [change("a", 2.0)]);
        pass(Duration::from_secs(29)).await;
        assert_eq!(lane.heard(2).await, Vec::<String>::new());
        pass(Duration::from_secs(2)).await;
        assert_eq!(lane.heard(2).await, ["o v2 success a"]);
        assert_eq!(ask(&mut lane, 1, "unlock", &[]).await, "0");
    });
}

#[test]
fn a_storm_is_put_together_by_slot_and_every_change_is_answered() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        lane.consumed.clear();
        lane.handled.clear();
        for value in 0..2_000 {
            lane.object(1, "o", 0, TEMPORARY, [change("a", f64::from(value))]);
        }
        lane.object(1, "o", 0, TEMPORARY, [say("hear", 1.0)]);
        lane.object(1, "o", 0, TEMPORARY, [change("a", 9_999.0)]);
        let at_once = lane.heard(2).await;
        assert!(at_once.len() < 1_100, "{}", at_once.len());
        let (before, spent) = (lane.heard(1).await.len(), lane.consumed[&1]);
        pass(Duration::from_millis(60)).await;
        let late = lane.heard(2).await;
        assert_eq!(late.len(), 1, "{late:?}");
        assert!(
            late[0].ends_with(" a=1999, send hear 1, a=9999"),
            "the message stays behind what preceded it: {}",
            late[0]
        );
        let answers = lane.heard(1).await.join(" ");
        assert_eq!(before + answers.matches("success a").count(), 2_001);
        assert!(lane.consumed[&1] > spent, "its credit comes back");
        assert_eq!(lane.handled[&1], 2_002, "of every message");
    });
}

#[test]
fn ten_times_the_rate_closes_the_session_and_nobody_else() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        for value in 0..11_000 {
            lane.object(1, "o", 0, TEMPORARY, [change("a", f64::from(value))]);
        }
        while !lane
            .heard(1)
            .await
            .contains(&"Close limit_exceeded".to_owned())
        {}
        lane.object(2, "o", 99_999, TEMPORARY, [change("b", 1.0)]);
        assert!(lane.heard(2).await.last().unwrap().ends_with("success b"));
        let metrics = &stage.groups.process().metrics;
        assert_eq!(metrics.shared_object_floods.get(), 1);
    });
}

#[test]
fn sessions_and_groups_have_so_many_objects_and_no_more() {
    play(async {
        let (mut stage, _told) = stage_with(config::Application {
            shared_object_rate: 100_000,
            ..settings()
        });
        let mut lane = lane_of(&mut stage, &[1]).await;
        for number in 0..300 {
            let name = format!("o{number}");
            lane.object(1, &name, 0, TEMPORARY, [Event::Use]);
        }
        let heard = lane.heard(1).await;
        let failed = |line: &&String| line.ends_with("ObjectCreationFailed");
        assert_eq!(heard.iter().filter(failed).count(), 300 - 256);
        // All of it goes with the session.
        lane.closed(1, CloseReason::Client);
        lane.clear().await;
        lane.member(2, ObjectEncoding::Amf0).await;
        assert_eq!(ask(&mut lane, 2, "names", &[]).await, "");
        assert_eq!(stage.groups.process().metrics.shared_objects.get(), 0);
    });
}

#[test]
fn what_cannot_be_read_is_counted_and_harms_nobody() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        lane.consumed.clear();
        let kind = tributary_protocol::MessageType::SHARED_OBJECT_AMF0;
        for payload in [
            &b""[..],
            b"\0\x01o",
            b"\0\x01o\0\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\xff\xff",
        ] {
            lane.message(1, 0, kind, payload.into(), 0);
        }
        assert_eq!(lane.heard(1).await, Vec::<String>::new());
        assert_eq!(
            stage
                .groups
                .process()
                .metrics
                .shared_object_unreadable
                .get(),
            3
        );
        assert!(lane.consumed[&1] > 0);
        lane.object(1, "o", 0, TEMPORARY, [change("a", 1.0)]);
        assert_eq!(lane.heard(2).await, ["o v1 a=1"]);
    });
}

#[test]
fn a_lane_that_could_not_keep_up_gets_everything_anew() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        all_use(&mut lane, &[1, 2]).await;
        lane.object(1, "o", 0, TEMPORARY, [change("a", 1.0), change("b", 2.0)]);
        lane.clear().await;
        let (audience, _) = lane.audiences[0];
        lane.handle.send(Mail::SnapshotWanted { audience });
        for session in [1, 2] {
            assert_eq!(lane.heard(session).await, ["o v1 clear, a=1, b=2"]);
        }
        assert!(matches!(
            lane.audiences.last(),
            Some((_, ToAudience::Snapshot { .. }))
        ));
    });
}

#[test]
fn objects_are_cleared_by_path() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1]).await;
        for name in ["a/x", "a/y", "b"] {
            lane.object(1, name, 0, TEMPORARY, [Event::Use, change("s", 1.0)]);
        }
        lane.clear().await;
        lane.call(1, 0, "clearObjects", 3.0, &["/a/*".into()]);
        assert_eq!(
            lane.heard(1).await,
            ["a/x v2 clear", "a/y v2 clear", "_result 3 true"]
        );
        lane.call(1, 0, "clearObjects", 3.0, &["/".into()]);
        assert_eq!(lane.heard(1).await.len(), 4);
    });
}

#[test]
fn an_application_gets_no_object_under_a_wrong_name_or_persistence() {
    struct Opener;
    impl Application for Opener {
        fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
            let name = call.arguments[0].as_str().unwrap_or_default();
            let opened = context.open_object(name, call.name == "persistent");
            let text = match opened {
                Ok(_) => "ok",
                Err(ObjectError::Name) => "name",
                Err(ObjectError::BadPersistence) => "persistence",
                Err(ObjectError::NoStore) => "store",
                Err(_) => "other",
            };
            Answer::Result(text.into())
        }
    }
    play(async {
        let mut stage = Stage::app(|| Opener);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        for (call, name, answer) in [
            ("temporary", "", "name"),
            ("temporary", "a//b", "name"),
            ("temporary", "../a", "name"),
            ("temporary", "a/b", "ok"),
            ("temporary", "a/b", "ok"),
            ("persistent", "a/b", "persistence"),
            ("persistent", "c", "store"),
        ] {
            assert_eq!(
                ask(&mut lane, 1, call, &[name.into()]).await,
                answer,
                "{name}"
            );
        }
    });
}

#[test]
fn a_failed_application_takes_its_objects_with_it() {
    struct Fails;
    impl Application for Fails {
        fn call(&mut self, context: &mut Context<'_>, _: &Call) -> Answer {
            let id = context.open_object("o", false).unwrap();
            context.object_mut(id).unwrap().lock();
            panic!("with an object open and locked");
        }
    }
    play(async {
        let mut stage = Stage::app(|| Fails);
        let mut lane = stage.lane("app");
        lane.member(1, ObjectEncoding::Amf0).await;
        lane.object(1, "o", 0, TEMPORARY, [Event::Use]);
        lane.call(1, 0, "fail", 2.0, &[]);
        lane.clear().await;
        assert_eq!(stage.groups.process().metrics.shared_objects.get(), 0);
        lane.member(2, ObjectEncoding::Amf0).await;
        lane.object(2, "o", 0, TEMPORARY, [Event::Use]);
        assert_eq!(lane.heard(2).await, ["o v0 use, clear"]);
    });
}

/// `/board` and `board` are one object, for clients and the application.
#[test]
fn leading_slashes_of_names_are_cut() {
    play(async {
        let (mut stage, _told) = stage_with(settings());
        let mut lane = lane_of(&mut stage, &[1, 2]).await;
        lane.object(1, "/board", 0, TEMPORARY, [Event::Use]);
        lane.object(2, "board", 0, TEMPORARY, [Event::Use]);
        lane.clear().await;
        lane.object(1, "//board", 0, TEMPORARY, [change("a", 1.0)]);
        let heard = lane.heard(2).await;
        assert!(heard[0].starts_with("board v1"), "{heard:?}");
        for hostile in ["/", "/../board", "a//b"] {
            lane.object(1, hostile, 0, TEMPORARY, [Event::Use]);
            let heard = lane.heard(1).await;
            let refused = heard
                .iter()
                .any(|line| line.contains("ObjectCreationFailed"));
            assert!(refused, "{hostile}: {heard:?}");
        }
    });
}
