//! Clients that come back in another session, with the token of the one before.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::{Command, Connect, ObjectEncoding},
    link::{Bandwidth, CloseReason},
    shared_object::{Event, Flags},
};

use super::stage::{Lane, Stage, pass, play, settle};
use crate::app::{
    Admission, Answer, Application, Call, ClientId, Context, Responder, StreamRequest,
};
use crate::app::{Decision, PublishGrant};

/// Notes everything that it hears.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    later: Vec<Responder>,
}

impl Witness {
    fn stage() -> (Stage, Self) {
        let witness = Self::default();
        let shared = witness.clone();
        (Stage::app(move || shared.clone()), witness)
    }

    fn note(&self, line: String) {
        self.0.lock().unwrap().lines.push(line);
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }
}

impl Application for Witness {
    fn connect(&mut self, _: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        self.note(format!("connect {client}"));
        Admission::Accept
    }

    fn disconnect(&mut self, _: &mut Context<'_>, client: ClientId, _: CloseReason) {
        self.note(format!("disconnect {client}"));
    }

    fn publish(&mut self, _: &mut Context<'_>, request: &StreamRequest) -> Decision<PublishGrant> {
        self.note(format!("publish {}", request.name));
        Decision::Accept(PublishGrant::default())
    }

    fn published(&mut self, _: &mut Context<'_>, client: ClientId, name: &str) {
        self.note(format!("published {client} {name}"));
    }

    fn unpublished(&mut self, _: &mut Context<'_>, client: ClientId, name: &str) {
        self.note(format!("unpublished {client} {name}"));
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let client = call.responder.client;
        match call.name.as_str() {
            "who" => Answer::Result(client.to_string().into()),
            "later" => {
                self.0.lock().unwrap().later.push(call.responder);
                Answer::Deferred
            }
            "now" => {
                for responder in std::mem::take(&mut self.0.lock().unwrap().later) {
                    context.respond(responder, Ok("late".into()));
                }
                Answer::Result(Value::Null)
            }
            "slowly" => {
                let bandwidth = Bandwidth {
                    to_client: Some(1_000),
                    from_client: None,
                };
                context.limit_bandwidth(client, bandwidth);
                Answer::Result(Value::Null)
            }
            "members" => {
                let board = context.find_object("board").unwrap();
                let members = context.object(board).unwrap();
                let members: Vec<_> = members.members().map(|it| it.to_string()).collect();
                Answer::Result(members.join(" ").into())
            }
            _ => Answer::Unknown,
        }
    }
}

fn connect(resume: impl Into<Value>) -> Object {
    Object::new()
        .with("app", "app")
        .with("resume", resume.into())
}

/// Connects a session, and returns `resumed` and the token of the answer.
async fn enter(lane: &mut Lane, session: u64, resume: impl Into<Value>) -> (bool, String) {
    enter_as(lane, session, resume, None).await
}

async fn enter_as(
    lane: &mut Lane,
    session: u64,
    resume: impl Into<Value>,
    user: Option<&str>,
) -> (bool, String) {
    lane.messages.clear();
    lane.open_of(session, connect(resume), user);
    let heard = lane.heard(session).await;
    assert!(heard.contains(&"Accept".to_owned()), "{heard:?}");
    let (_, answer) = lane.messages.first().expect("an answer");
    let answer = Command::decode(answer.kind, &answer.payload).unwrap();
    let Some(Value::Object(info)) = answer.arguments.first() else {
        panic!("{answer:?}");
    };
    let token = info.get("resume").and_then(Value::as_str);
    let token = token.expect("a token").to_owned();
    (info.get("resumed") == Some(&Value::Bool(true)), token)
}

#[test]
fn a_client_comes_back_as_the_same_with_all_that_it_had() {
    play(async {
        let (mut stage, witness) = Witness::stage();
        let mut other = stage.lane("app");
        other.client(1).await;
        let mut old = stage.lane("app");
        let (resumed, token) = enter(&mut old, 1, true).await;
        assert!(!resumed);
        for id in 2..=4 {
            old.call(1, 0, "createStream", f64::from(id), &[]);
        }
        old.publish(1, "mine?key=1", 1);
        other.publish(1, "theirs", 1);
        settle().await;
        old.call(1, 2, "play", 0.0, &["theirs".into()]);
        old.call(1, 2, "pause", 0.0, &[true.into(), 0.0.into()]);
        other.call(1, 0, "createStream", 3.0, &[]);
        other.call(1, 2, "play", 0.0, &["mine".into()]);
        old.object(1, "board", 0, Flags::default(), [Event::Use]);
        old.call(1, 0, "later", 7.0, &[]);
        old.call(1, 0, "slowly", 8.0, &[]);
        old.clear().await;
        other.clear().await;
        let header = Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(0),
            payload: Bytes::from_static(b"\x17\0\0\0\0header"),
        };
        let (live, writer) = &old.writers[&(1, 1)];
        live.push(*writer, header, Instant::now());
        let all = witness.told();
        assert!(all.contains(&"published 2.1 mine".to_owned()), "{all:?}");

        old.outage(true);
        let mut new = stage.lane("app");
        let (resumed, next) = enter(&mut new, 9, token.as_str()).await;
        assert!(resumed);
        assert_ne!(next, token);
        assert_eq!(old.heard(1).await, ["Close resumed_elsewhere"]);
        assert_eq!(
            new.to_repeat
                .iter()
                .map(|(_, it)| it.stream.0)
                .collect::<Vec<_>>(),
            [1, 2, 0]
        );
        new.pass_on(1);
        assert_eq!(
            new.heard(9).await,
            [
                "AcceptPublish 1 generation 1 writer 2",
                "StreamBegin 1",
                "1 NetStream.Publish.Start",
                "StreamBegin 2",
                "2 NetStream.Play.Start",
                "2 data |RtmpSampleAccess false",
                "Attach 2 live 2",
                "Filter 2 audio video paused",
                "board v0 use, clear",
            ]
        );
        assert_eq!(
            other.heard(1).await,
            Vec::<String>::new(),
            "no break is seen"
        );
        assert_eq!(witness.told(), Vec::<String>::new(), "nor heard of");
        let (live, _) = &new.writers[&(9, 1)];
        assert_eq!(
            live.ring().headers().count(),
            1,
            "it need not be sent again"
        );

        new.call(9, 0, "who", 2.0, &[]);
        new.call(9, 0, "now", 3.0, &[]);
        new.call(9, 0, "createStream", 4.0, &[]);
        new.call(9, 0, "members", 5.0, &[]);
        assert_eq!(
            new.heard(9).await,
            [
                "_result 2 2.1",
                "_result 3 null",
                "_result 4 4",
                "_result 5 2.1"
            ]
        );
        old.call(1, 0, "who", 9.0, &[]);
        old.closed(1, CloseReason::Transport);
        settle().await;
        assert_eq!(witness.told(), Vec::<String>::new(), "nobody listens there");

        new.closed(9, CloseReason::Client);
        settle().await;
        assert_eq!(witness.told(), ["unpublished 2.1 mine", "disconnect 2.1"]);
    });
}

/// It comes back more than once; a token that was used, or that nobody has given, makes a new client.
#[test]
fn a_token_is_good_once_and_for_its_user() {
    play(async {
        let (mut stage, witness) = Witness::stage();
        let mut lane = stage.lane("app");
        let (_, first) = enter_as(&mut lane, 1, true, Some("bob")).await;
        for (session, user) in [(2, None), (3, Some("eve"))] {
            let (resumed, _) = enter_as(&mut lane, session, first.as_str(), user).await;
            assert!(!resumed, "{user:?}");
        }
        let (resumed, _lost) = enter_as(&mut lane, 4, first.as_str(), Some("bob")).await;
        assert!(resumed);
        // The answer was lost on its way.
        let (resumed, second) = enter_as(&mut lane, 9, first.as_str(), Some("bob")).await;
        assert!(resumed);
        lane.call(9, 0, "who", 2.0, &[]);
        lane.clear().await;
        let (resumed, _) = enter_as(&mut lane, 5, first.as_str(), Some("bob")).await;
        assert!(!resumed, "it was used");
        let (resumed, third) = enter_as(&mut lane, 6, second.as_str(), Some("bob")).await;
        assert!(resumed);
        for text in ["", "0", &"0".repeat(32)] {
            let (resumed, _) = enter(&mut lane, 7, text).await;
            assert!(!resumed, "{text}");
            lane.closed(7, CloseReason::Client);
            settle().await;
        }
        witness.told();
        lane.call(6, 0, "who", 2.0, &[]);
        assert_eq!(lane.heard(6).await, ["_result 2 1.1"]);
        lane.closed(6, CloseReason::Client);
        let (resumed, _) = enter_as(&mut lane, 8, third.as_str(), Some("bob")).await;
        assert!(!resumed, "the client is gone");
        assert_eq!(witness.told(), ["disconnect 1.1", "connect 1.8"]);
    });
}

/// A client that asks for no token gets none, and one whose new edge cannot pass its streams on is new.
#[test]
fn old_clients_and_old_edges_are_served_as_before() {
    play(async {
        let (mut stage, witness) = Witness::stage();
        let mut lane = stage.lane("app");
        lane.open_with(1, Object::new().with("app", "app"));
        lane.heard(1).await;
        let (_, answer) = &lane.messages[0];
        let answer = Command::decode(answer.kind, &answer.payload).unwrap();
        let Some(Value::Object(info)) = answer.arguments.first() else {
            panic!("{answer:?}");
        };
        assert_eq!((info.get("resume"), info.get("resumed")), (None, None));
        let (_, token) = enter(&mut lane, 2, true).await;
        let mut old_edge = stage.lane("app");
        old_edge.repeats = false;
        let (resumed, _) = enter(&mut old_edge, 1, token.as_str()).await;
        assert!(!resumed);
        assert_eq!(
            witness.told(),
            ["connect 1.1", "connect 1.2", "connect 2.1"]
        );
        let (resumed, _) = enter(&mut lane, 3, token.as_str()).await;
        assert!(resumed, "the token was not used");
    });
}

/// A publish that the client ends before its edge has passed it on is over.
#[test]
fn a_stream_that_is_not_passed_on_ends_by_a_command() {
    play(async {
        let (mut stage, witness) = Witness::stage();
        let mut old = stage.lane("app");
        let (_, token) = enter(&mut old, 1, true).await;
        old.call(1, 0, "createStream", 2.0, &[]);
        old.publish(1, "mine", 1);
        old.clear().await;
        witness.told();
        let mut new = stage.lane("app");
        enter(&mut new, 1, token.as_str()).await;
        new.to_repeat.clear();
        new.call(1, 1, "closeStream", 0.0, &[]);
        let heard = new.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Unpublish.Success".to_owned()),
            "{heard:?}"
        );
        new.publish(1, "other", 1);
        settle().await;
        assert_eq!(
            witness.told(),
            [
                "unpublished 1.1 mine",
                "publish other",
                "published 1.1 other"
            ]
        );
    });
}

/// The members of a temporary object change it while one of them is on its way.
#[test]
fn an_object_lives_while_its_only_member_is_on_its_way() {
    play(async {
        let (mut stage, _witness) = Witness::stage();
        let mut old = stage.lane("app");
        let (_, token) = enter(&mut old, 1, true).await;
        let flags = Flags::default();
        old.object(1, "score", 0, flags, [Event::Use]);
        let set = |name: &str, value: f64| Event::RequestChange {
            name: name.to_owned(),
            value: value.into(),
        };
        old.object(1, "score", 0, flags, [set("a", 1.0)]);
        old.clear().await;
        let mut new = stage.lane("app");
        let (resumed, _) = enter(&mut new, 5, token.as_str()).await;
        assert!(resumed);
        settle().await;
        let mut third = stage.lane("app");
        third.member(1, ObjectEncoding::Amf0).await;
        third.object(1, "score", 0, flags, [Event::Use]);
        third.object(1, "score", 1, flags, [set("a", 2.0)]);
        third.clear().await;
        new.clear().await;
        new.pass_on(1);
        assert_eq!(new.heard(5).await, ["score v2 use, clear, a=2"]);
        third.object(1, "score", 2, flags, [set("a", 3.0)]);
        assert_eq!(new.heard(5).await, ["score v3 a=3"]);
        assert_eq!(old.heard(1).await, ["Close resumed_elsewhere"]);
    });
}

/// The stream of a client that has come back and is lost again ends with the return time after its last lane is.
#[test]
fn the_stream_of_a_client_that_is_lost_again_ends() {
    play(async {
        let (mut stage, witness) = Witness::stage();
        let mut viewer = stage.lane("app");
        viewer.client(1).await;
        viewer.play(1, "mine");
        let mut old = stage.lane("app");
        let (_, token) = enter(&mut old, 1, true).await;
        old.call(1, 0, "createStream", 2.0, &[]);
        old.publish(1, "mine", 1);
        old.clear().await;
        let mut new = stage.lane("app");
        new.client(7).await;
        enter(&mut new, 1, token.as_str()).await;
        new.pass_on(1);
        viewer.clear().await;
        new.outage(true);
        new.closed(1, CloseReason::OriginLost);
        settle().await;
        new.outage(false);
        pass(Duration::from_secs(10)).await;
        let heard = viewer.heard(1).await;
        assert_eq!(
            heard.first().map(String::as_str),
            Some("1 NetStream.Play.UnpublishNotify"),
            "{heard:?}"
        );
        witness.told();
    });
}

/// Another has taken the bare name of a client that was on its way: it hears of that.
#[test]
fn a_client_hears_of_the_name_that_it_has_lost_on_its_way() {
    play(async {
        let (mut stage, _witness) = Witness::stage();
        let mut old = stage.lane("app");
        let (_, token) = enter(&mut old, 1, true).await;
        old.call(1, 0, "createStream", 2.0, &[]);
        old.publish(1, "mine", 1);
        settle().await;
        let mut thief = stage.lane("app");
        thief.client(1).await;
        old.outage(true);
        thief.publish(1, "mine", 1);
        let heard = thief.heard(1).await;
        let taken = "1 NetStream.Publish.BadName".to_owned();
        assert!(heard.contains(&taken), "an outage frees no bare name");
        old.silent(true);
        thief.publish(1, "mine", 2);
        let heard = thief.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Publish.Start".to_owned()),
            "{heard:?}"
        );
        let mut new = stage.lane("app");
        new.open_with(1, connect(token.as_str()));
        let heard = new.heard(1).await;
        assert!(heard.contains(&taken), "{heard:?}");
        assert!(new.to_repeat.is_empty());
    });
}

/// Two edges bring one client to the next process: the one to which it has come back has it.
#[test]
fn a_client_that_two_edges_bring_is_where_it_came_back_last() {
    play(async {
        const SECRET: &[u8] = b"0123456789abcdef";
        let (mut stage, _witness) = Witness::stage();
        let mut old = stage.lane("app").remembering("app", SECRET);
        let (_, token) = enter(&mut old, 1, true).await;
        let mut new = stage.lane("app").remembering("app", SECRET);
        let (resumed, _) = enter(&mut new, 1, token.as_str()).await;
        assert!(resumed);
        old.clear().await;
        let brought = [&old, &new].map(|lane| lane.salvage(1));
        for order in [[0, 1], [1, 0]] {
            let (mut stage, witness) = Witness::stage();
            let mut lanes = [(); 2].map(|()| stage.lane("app").remembering("app", SECRET));
            for at in order {
                lanes[at].bring(1, brought[at].clone());
                lanes[at].gathered();
                settle().await;
            }
            let mut heard = Vec::new();
            for lane in &mut lanes {
                let all = lane.heard(1).await;
                heard.push(all.into_iter().find(|it| !it.starts_with("Remember")));
            }
            assert_eq!(heard[1].as_deref(), Some("Restored"), "{order:?}");
            assert_eq!(lanes[0].heard(1).await, Vec::<String>::new());
            lanes[1].call(1, 0, "who", 2.0, &[]);
            let answer = lanes[1].heard(1).await;
            assert!(answer.contains(&"_result 2 2.1".to_owned()), "{answer:?}");
            witness.told();
        }
    });
}
