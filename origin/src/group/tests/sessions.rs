//! Connect, NetConnection commands, and the times at which a client may send each message.

use std::time::Duration;

use bytes::Bytes;
use tributary_node::config;
use tributary_protocol::{
    MessageType, TransactionId,
    amf::{Object, Value},
    command::{Command, Connect, ObjectEncoding, Status},
    link::{CloseReason, OpenSession},
};

use super::stage::{Stage, connect_body, live_settings, pass, play, settings};
use crate::{
    app::{
        Admission, Answer, Application, Applications, Call, CallToken, ClientId, Context, Event,
        Poster, Rejection, Responder,
    },
    group::{Groups, OpenRefused, refusal},
    session::LaneKey,
};

#[test]
fn connection_commands_get_their_exact_answers() {
    let name = || Value::from("cam?key=1");
    let cases: &[(&str, f64, &[Value], &[&str])] = &[
        ("createStream", 3.0, &[], &["_result 3 2"]),
        ("createStream", 0.0, &[], &[]),
        ("createStream", f64::NAN, &[], &[]),
        ("createStream", f64::INFINITY, &[], &[]),
        ("createStream", -7.5, &[], &["_result -7.5 2"]),
        ("releaseStream", 4.0, &[name()], &["_result 4 undefined"]),
        (
            "FCPublish",
            5.0,
            &[name()],
            &["onFCPublish NetStream.Publish.Start", "_result 5 undefined"],
        ),
        (
            "FCPublish",
            0.0,
            &[name()],
            &["onFCPublish NetStream.Publish.Start"],
        ),
        (
            "FCPublish",
            5.0,
            &[],
            &["_error 5 NetStream.Publish.BadName"],
        ),
        (
            "FCUnpublish",
            6.0,
            &[name()],
            &[
                "onFCUnpublish NetStream.Unpublish.Success",
                "_result 6 undefined",
            ],
        ),
        (
            "FCSubscribe",
            7.0,
            &[name()],
            &["onFCSubscribe NetStream.Play.Start", "_result 7 undefined"],
        ),
        ("getStreamLength", 8.0, &[name()], &["_result 8 0"]),
        ("_checkbw", 9.0, &[], &["onBWDone", "_result 9 undefined"]),
        ("_checkbw", 10.0, &[], &["_result 10 undefined"]),
        ("setBufferLength", 0.0, &[1.0.into(), 3000.0.into()], &[]),
        (
            "nonsense",
            11.0,
            &[1.0.into()],
            &["_error 11 NetConnection.Call.Failed"],
        ),
        ("nonsense", 0.0, &[], &["0 NetConnection.Call.Failed"]),
        (
            "constructor",
            12.0,
            &[],
            &["_error 12 NetConnection.Call.Failed"],
        ),
        (
            "deleteStream",
            0.0,
            &[f64::NAN.into()],
            &["0 NetConnection.Call.Failed"],
        ),
        ("deleteStream", 0.0, &[77.0.into()], &[]),
        ("closeStream", 0.0, &[], &[]),
        ("_result", 99.0, &[], &[]),
        (
            "connect",
            13.0,
            &[],
            &["_error 13 NetConnection.Call.Failed"],
        ),
    ];
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        for (name, id, with, expected) in cases {
            lane.call(1, 0, name, *id, with);
            assert_eq!(lane.heard(1).await, *expected, "{name} {id} {with:?}");
            if *name == "createStream" {
                lane.call(1, 0, "deleteStream", 0.0, &[2.0.into()]);
                assert!(lane.heard(1).await.is_empty());
            }
        }
    });
}

#[test]
fn an_unknown_method_without_a_transaction_is_named() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.clear().await;
        lane.call(1, 0, "doIt", 0.0, &[]);
        assert_eq!(lane.heard(1).await, ["0 NetConnection.Call.Failed"]);
        let command = Command::decode(MessageType::COMMAND_AMF0, &lane.messages[0].1.payload);
        let command = command.unwrap();
        assert_eq!(
            (command.name.as_str(), command.transaction),
            ("onStatus", TransactionId(0.0))
        );
        let description = command.arguments[0]
            .get("description")
            .and_then(Value::as_str);
        assert!(description.unwrap().contains("doIt"));
    });
}

#[test]
fn message_streams_are_capped_and_their_numbers_used_again() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.open(1);
        lane.clear().await;
        for id in 1..=64 {
            lane.call(1, 0, "createStream", f64::from(id), &[]);
        }
        assert_eq!(lane.heard(1).await.last().unwrap(), "_result 64 64");
        for _ in 0..1_000 {
            lane.call(1, 0, "createStream", 65.0, &[]);
        }
        let refused = lane.heard(1).await;
        assert_eq!(refused.len(), 1_000);
        assert!(
            refused
                .iter()
                .all(|line| line == "_error 65 NetConnection.Call.Failed")
        );
        lane.call(1, 0, "deleteStream", 0.0, &[5.0.into()]);
        lane.call(1, 0, "createStream", 66.0, &[]);
        assert_eq!(lane.heard(1).await, ["_result 66 5"]);
    });
}

#[test]
fn an_amf3_session_hears_type_17_after_its_connect() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.open_from(1, "127.0.0.1:1", ObjectEncoding::Amf3);
        lane.call(1, 0, "createStream", 2.0, &[]);
        lane.play(1, "cam");
        assert_eq!(
            lane.heard(1).await,
            [
                "Accept",
                "_result 1 NetConnection.Connect.Success",
                "_result 2 1 (17)",
                "StreamBegin 1",
                "1 NetStream.Play.Reset (17)",
                "1 NetStream.Play.Start (17)",
            ]
        );
        let connect = &lane.messages[0].1;
        let result = Command::decode(connect.kind, &connect.payload).unwrap();
        let encoding = result.arguments[0]
            .get("objectEncoding")
            .and_then(Value::as_number);
        assert_eq!(encoding, Some(3.0));
    });
}

#[test]
fn garbage_closes_its_own_session_and_credit_comes_back() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        let before = lane.consumed[&2];
        lane.message(
            1,
            0,
            MessageType::COMMAND_AMF0,
            Bytes::from_static(b"\xff\xff"),
            0,
        );
        lane.message(
            2,
            0,
            MessageType::DATA_AMF0,
            Bytes::from_static(b"\xff\xff"),
            0,
        );
        lane.message(2, 0, MessageType(99), Bytes::from_static(b"12345"), 0);
        assert_eq!(lane.heard(1).await, ["close", "Close protocol_error"]);
        assert!(lane.heard(2).await.is_empty());
        assert_eq!(lane.consumed[&2], before + 7);
        lane.call(1, 0, "createStream", 9.0, &[]);
        assert!(
            lane.heard(1).await.is_empty(),
            "nothing reaches a session that ended"
        );
    });
}

#[test]
fn refusals_carry_the_connects_transaction() {
    let open = |body: Bytes| OpenSession {
        peer: "192.0.2.1:1".parse().unwrap(),
        protocol: "rtmp".to_owned(),
        connect: body,
        claims: None,
    };
    for (refused, code) in [
        (OpenRefused::InvalidApp, "NetConnection.Connect.InvalidApp"),
        (OpenRefused::NoVersion, "NetConnection.Connect.InvalidApp"),
        (
            OpenRefused::DoesNotStart,
            "NetConnection.Connect.AppShutdown",
        ),
        (OpenRefused::Limit, "NetConnection.Connect.Failed"),
        (OpenRefused::Shutdown, "NetConnection.Connect.AppShutdown"),
    ] {
        for body in [
            connect_body(ObjectEncoding::Amf3),
            Bytes::from_static(b"\x05"),
        ] {
            let messages = refusal(&open(body), refused);
            let [error, close] = &messages[..] else {
                panic!("{messages:?}")
            };
            let error = Command::decode(MessageType::COMMAND_AMF0, &error.payload).unwrap();
            assert_eq!((error.name.as_str(), error.transaction.0), ("_error", 1.0));
            assert_eq!(
                error.arguments[0].get("code").and_then(Value::as_str),
                Some(code)
            );
            let text = error.arguments[0].get("description");
            let is_there = matches!(refused, OpenRefused::NoVersion | OpenRefused::DoesNotStart);
            assert_eq!(
                text.and_then(Value::as_str)
                    == Some("The application is there, but it does not start."),
                is_there,
                "{refused:?}: {text:?}"
            );
            let close = Command::decode(MessageType::COMMAND_AMF0, &close.payload).unwrap();
            let expected = Command::new("close", TransactionId(0.0));
            assert_eq!(close, expected);
        }
    }
    play(async {
        let groups = Groups::local(settings(), Applications::new());
        let refused = groups
            .open(&"nothing".parse().unwrap(), LaneKey(1))
            .unwrap_err();
        assert_eq!(refused, OpenRefused::InvalidApp);
        assert_eq!(groups.count(), 0);
    });
}

/// Decides as the connect's `flashVer` asks for, by the peer's port, or by events.
#[derive(Default)]
struct Doorman {
    waiting: Vec<ClientId>,
    answers: Vec<String>,
    poster: Option<Poster>,
}

enum Order {
    Accept,
    Reject,
}

impl Application for Doorman {
    fn connect(&mut self, context: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        self.poster = Some(context.poster());
        match context.client(client).unwrap().peer().port() {
            1 => Admission::Accept,
            2 => Admission::Reject(Rejection {
                description: Some("go away".to_owned()),
                application: Some(Value::from("why")),
            }),
            3 => Admission::Redirect {
                uri: "rtmp://other/app".to_owned(),
            },
            4 => {
                context.accept(client);
                context.call(client, "welcome", &[], None);
                Admission::Pending
            }
            _ => {
                context.call(client, "early", &[Value::from(1.0)], Some(CallToken(7)));
                self.waiting.push(client);
                let poster = context.poster();
                assert!(poster.post(Event(Box::new("seen"))).is_ok());
                Admission::Pending
            }
        }
    }

    fn event(&mut self, context: &mut Context<'_>, event: Event) {
        let Some(order) = event.0.downcast_ref::<Order>() else {
            return;
        };
        for client in std::mem::take(&mut self.waiting) {
            match order {
                Order::Accept => context.accept(client),
                Order::Reject => context.reject(client, Rejection::default()),
            }
        }
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let responder: Responder = call.responder;
        match call.name.as_str() {
            "accept" => self.event(context, Event(Box::new(Order::Accept))),
            "reject" => self.event(context, Event(Box::new(Order::Reject))),
            "later" => {
                context.respond(responder, Ok(Value::from("now")));
                return Answer::Deferred;
            }
            "fail" => return Answer::Error(Value::from("no")),
            "all" => context.broadcast("news", &[Value::from("x")]),
            "kick" => context.disconnect(responder.client),
            "answers" => return Answer::Result(Value::from(self.answers.join(","))),
            "FCPublish" => return Answer::Result(Value::from("mine")),
            _ => return Answer::Unknown,
        }
        Answer::Result(Value::Null)
    }

    fn answered(
        &mut self,
        _: &mut Context<'_>,
        _: ClientId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let text = match answer {
            Ok(value) => format!("ok {value:?}"),
            Err(info) => info
                .get("code")
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned(),
        };
        self.answers.push(format!("{}: {text}", token.0));
    }
}

#[test]
fn connects_are_accepted_rejected_and_redirected() {
    play(async {
        let mut stage = Stage::app(Doorman::default);
        let mut lane = stage.lane("app");
        for (session, port) in [(1, 1), (2, 2), (3, 3), (4, 4)] {
            lane.open_from(session, &format!("10.0.0.1:{port}"), ObjectEncoding::Amf0);
        }
        let success = "_result 1 NetConnection.Connect.Success";
        let rejected = "_error 1 NetConnection.Connect.Rejected";
        assert_eq!(lane.heard(1).await, ["Accept", success]);
        assert_eq!(lane.heard(2).await, [rejected, "close", "Close rejected"]);
        assert_eq!(lane.heard(3).await, [rejected, "close", "Close rejected"]);
        assert_eq!(lane.heard(4).await, ["Accept", success, "welcome"]);
        let info = |session| {
            let of = lane.messages.iter().find(|(of, _)| *of == session).unwrap();
            Command::decode(of.1.kind, &of.1.payload)
                .unwrap()
                .arguments
                .remove(0)
        };
        assert_eq!(info(2).get("application"), Some(&Value::from("why")));
        assert_eq!(info(2).get("description"), Some(&Value::from("go away")));
        let ex = info(3).get("ex").cloned().unwrap();
        assert_eq!(ex.get("code"), Some(&Value::Number(302.0)));
        assert_eq!(ex.get("redirect"), Some(&Value::from("rtmp://other/app")));
    });
}

#[test]
fn the_version_clients_are_told_is_the_one_that_is_set() {
    play(async {
        let mut applications = Applications::new();
        applications.add_builtin("live", live_settings());
        let settings = crate::group::Settings {
            fms_version: "FMS/4,5,6,1".to_owned(),
            ..settings()
        };
        let mut stage = Stage::of(Groups::local(settings, applications));
        let mut lane = stage.lane("live");
        lane.open(1);
        lane.heard(1).await;
        let (_, answer) = &lane.messages[0];
        let answer = Command::decode(answer.kind, &answer.payload).unwrap();
        let told = answer.object.get("fmsVer");
        assert_eq!(told, Some(&Value::from("FMS/4,5,6,1")));
    });
}

#[test]
fn a_pending_client_is_held_in_order_until_the_decision() {
    play(async {
        let mut stage = Stage::app(Doorman::default);
        let mut lane = stage.lane("app");
        lane.open_from(1, "10.0.0.1:1", ObjectEncoding::Amf0);
        lane.clear().await;
        lane.open_from(9, "10.0.0.1:9", ObjectEncoding::Amf0);
        lane.call(9, 0, "createStream", 2.0, &[]);
        lane.call(9, 0, "later", 3.0, &[]);
        assert!(lane.heard(9).await.is_empty());
        assert_eq!(
            lane.consumed.get(&9),
            None,
            "held messages keep their credit"
        );
        lane.call(1, 0, "accept", 5.0, &[]);
        assert_eq!(
            lane.heard(9).await,
            [
                "Accept",
                "_result 1 NetConnection.Connect.Success",
                "early 1",
                "_result 2 1",
                "_result 3 now"
            ]
        );
        assert!(lane.consumed[&9] > 0);
        lane.call(9, 0, "_result", 16_777_217.0, &["hello".into()]);
        lane.call(9, 0, "_result", 16_777_217.0, &["again".into()]);
        lane.call(1, 0, "answers", 6.0, &[]);
        assert_eq!(
            lane.heard(1).await.last().unwrap(),
            "_result 6 7: ok String(\"hello\")"
        );
    });
}

#[test]
fn a_rejected_client_loses_what_it_sent_and_its_calls_fail() {
    play(async {
        let mut stage = Stage::app(Doorman::default);
        let mut lane = stage.lane("app");
        lane.open_from(1, "10.0.0.1:1", ObjectEncoding::Amf0);
        lane.open_from(9, "10.0.0.1:9", ObjectEncoding::Amf0);
        lane.call(9, 0, "createStream", 2.0, &[]);
        lane.call(1, 0, "reject", 5.0, &[]);
        let rejected = "_error 1 NetConnection.Connect.Rejected";
        assert_eq!(lane.heard(9).await, [rejected, "close", "Close rejected"]);
        lane.call(1, 0, "answers", 6.0, &[]);
        assert_eq!(
            lane.heard(1).await.last().unwrap(),
            "_result 6 7: NetConnection.Call.Failed"
        );
    });
}

#[test]
fn an_undecided_connect_is_rejected_after_its_time_and_others_go_on() {
    play(async {
        let mut stage = Stage::app(Doorman::default);
        let mut lane = stage.lane("app");
        lane.open_from(9, "10.0.0.1:9", ObjectEncoding::Amf0);
        lane.open_from(1, "10.0.0.1:1", ObjectEncoding::Amf0);
        assert_eq!(
            lane.heard(1).await.len(),
            2,
            "a pending client holds nobody back"
        );
        pass(Duration::from_secs(59)).await;
        assert!(lane.heard(9).await.is_empty());
        pass(Duration::from_secs(1)).await;
        let rejected = "_error 1 NetConnection.Connect.Rejected";
        assert_eq!(lane.heard(9).await, [rejected, "close", "Close rejected"]);
    });
}

#[test]
fn applications_answer_calls_and_override_the_defaults() {
    play(async {
        let mut stage = Stage::app(Doorman::default);
        let mut lane = stage.lane("app");
        lane.open_from(1, "10.0.0.1:1", ObjectEncoding::Amf0);
        lane.open_from(2, "10.0.0.1:1", ObjectEncoding::Amf3);
        lane.clear().await;
        for (name, id, expected) in [
            ("later", 2.0, &["_result 2 now"][..]),
            ("fail", 3.0, &["_error 3 no"]),
            ("fail", 0.0, &["0 NetConnection.Call.Failed"]),
            ("FCPublish", 4.0, &["_result 4 mine"]),
            ("all", 0.0, &["news x"]),
            ("kick", 5.0, &["close", "Close disconnected_by_application"]),
        ] {
            lane.call(1, 0, name, id, &["cam".into()]);
            assert_eq!(lane.heard(1).await, expected, "{name}");
        }
        assert_eq!(lane.heard(2).await, ["news x (17)"]);
        lane.closed(1, CloseReason::Client);
        lane.call(2, 0, "later", 2.0, &[]);
        assert_eq!(lane.heard(2).await, ["_result 2 now (17)"]);
    });
}

#[test]
fn calls_to_a_pending_client_are_bounded() {
    struct Chatty;
    impl Application for Chatty {
        fn connect(&mut self, context: &mut Context<'_>, id: ClientId, _: &Connect) -> Admission {
            let kilobyte = [Value::from("x".repeat(1_000))];
            let sent = (0..200)
                .filter(|_| context.call(id, "much", &kilobyte, None))
                .count();
            assert!((60..=65).contains(&sent), "{sent}");
            Admission::Accept
        }
    }
    play(async {
        let mut stage = Stage::app(|| Chatty);
        let mut lane = stage.lane("app");
        lane.open(1);
        let heard = lane.heard(1).await;
        assert_eq!(heard[1], "_result 1 NetConnection.Connect.Success");
        assert!(heard.len() > 60);
    });
}

#[test]
fn the_counter_shows_a_call_executed_twice() {
    play(async {
        let mut applications = Applications::new();
        let settings = config::Application {
            builtin: config::Builtin::Counter,
            ..live_settings()
        };
        applications.add_builtin("count", settings);
        let mut stage = Stage::with(applications);
        let mut lane = stage.lane("count");
        lane.open(1);
        lane.clear().await;
        lane.call(1, 0, "echo", 2.0, &["a".into()]);
        for number in [1.0, 2.0, 2.0, 4.0] {
            lane.call(1, 0, "count", 3.0, &[number.into()]);
        }
        assert_eq!(
            lane.heard(1).await,
            [
                "_result 2 a",
                "_result 3 1",
                "_result 3 2",
                "_result 3 2",
                "_result 3 4"
            ]
        );
        lane.clear().await;
        lane.call(1, 0, "report", 4.0, &[]);
        lane.heard(1).await;
        let report = Command::decode(MessageType::COMMAND_AMF0, &lane.messages[0].1.payload);
        let report = report.unwrap().arguments.remove(0);
        let counts = |object: Object| {
            object
                .with("calls", 4.0)
                .with("duplicates", 1.0)
                .with("gaps", 1.0)
                .with("late", 0.0)
        };
        let group = counts(Object::new().with("clients", 1.0));
        assert_eq!(
            report,
            Value::Object(counts(Object::new()).with("group", group))
        );
    });
}

#[test]
fn live_stores_no_shared_objects_and_the_client_stays() {
    use tributary_protocol::shared_object::{Event, Flags, SharedObjectMessage};

    let failed = |status| Some(vec![Event::status(status)]);
    let change = || Event::RequestChange {
        name: "slot".into(),
        value: Value::from(1.0),
    };
    let cases = [
        (vec![Event::Use], failed(Status::SharedObjectCreationFailed)),
        (
            vec![Event::Use, change()],
            failed(Status::SharedObjectCreationFailed),
        ),
        (vec![change()], failed(Status::SharedObjectNoObjectFound)),
        (
            vec![Event::RequestClear; 1000],
            failed(Status::SharedObjectNoObjectFound),
        ),
        (vec![Event::Release], None),
    ];
    for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
        for (events, expected) in &cases {
            play(async {
                let mut stage = Stage::live(live_settings());
                let mut lane = stage.lane("live");
                lane.open_from(1, "127.0.0.1:1", encoding);
                lane.clear().await;
                let asked = SharedObjectMessage {
                    name: "room".into(),
                    version: 3,
                    flags: Flags::PERSISTENT,
                    events: events.clone(),
                };
                let (kind, payload) = asked.encode(encoding);
                lane.message(1, 0, kind, payload, 0);
                lane.heard(1).await;
                let answer = lane.messages.pop().map(|(_, message)| {
                    assert_eq!(message.kind, kind);
                    let answer = SharedObjectMessage::decode(message.kind, &message.payload);
                    answer.unwrap()
                });
                let answer = answer.map(|answer| (answer.name, answer.version, answer.events));
                let expected = expected.clone().map(|events| ("room".into(), 0, events));
                assert_eq!(answer, expected);
                lane.call(1, 0, "createStream", 2.0, &[]);
                assert_eq!(lane.heard(1).await.len(), 1, "it stays");
            });
        }
    }
}

#[test]
fn a_value_that_only_amf3_has_reaches_each_session_in_its_own_form() {
    struct Sender;
    impl Application for Sender {
        fn call(&mut self, context: &mut Context<'_>, _: &Call) -> Answer {
            let bytes = Value::ByteArray(vec![1, 2].into());
            context.broadcast("take", &[bytes.clone(), Value::from(5.0)]);
            Answer::Result(bytes)
        }
    }
    play(async {
        let mut stage = Stage::app(|| Sender);
        let mut lane = stage.lane("app");
        lane.open_from(1, "127.0.0.1:1", ObjectEncoding::Amf0);
        lane.open_from(2, "127.0.0.1:2", ObjectEncoding::Amf3);
        lane.clear().await;
        lane.call(1, 0, "any", 7.0, &[]);
        lane.call(2, 0, "any", 8.0, &[]);
        lane.heard(1).await;
        assert_eq!(lane.messages.len(), 6);
        for (session, message) in &lane.messages {
            let command = Command::decode(message.kind, &message.payload).unwrap();
            let number = |n: f64| Value::Number(n);
            if *session == 1 {
                assert_eq!(message.kind, MessageType::COMMAND_AMF0);
                let numbers = Value::StrictArray(vec![number(1.0), number(2.0)]);
                assert_eq!(command.arguments[0], numbers);
            } else {
                assert_eq!(message.kind, MessageType::COMMAND_AMF3);
                let bytes = Value::ByteArray(vec![1, 2].into());
                assert_eq!(command.arguments[0], bytes);
                // AMF0 values where AMF0 can carry them, behind a leading 0.
                let payload = &message.payload;
                assert_eq!(payload[..2], [0, 2], "format, marker of the name");
                let switches = payload.iter().filter(|byte| **byte == 0x11).count();
                assert_eq!(switches, 1, "one switch to AMF3");
                if command.name == "take" {
                    let tail = [&[0_u8][..], &5_f64.to_be_bytes()].concat();
                    assert!(payload.ends_with(&tail), "the number is AMF0");
                }
            }
        }
    });
}

#[test]
fn an_answer_that_no_message_can_hold_is_an_error() {
    play(async {
        let counter = config::Application {
            builtin: config::Builtin::Counter,
            ..live_settings()
        };
        let mut applications = Applications::new();
        applications.add_builtin("counter", counter);
        let mut stage = Stage::with(applications);
        let mut lane = stage.lane("counter");
        lane.client(1).await;
        let echo = |length: usize| Value::from("x".repeat(length));
        // `_result` is three bytes longer than `echo`.
        let fits = tributary_protocol::chunk::MAX_MESSAGE_LENGTH as usize - 25;
        lane.call(1, 0, "echo", 3.0, &[echo(fits)]);
        lane.heard(1).await;
        let (_, answer) = lane.messages.pop().unwrap();
        assert_eq!(answer.payload.len(), fits + 25);
        lane.call(1, 0, "echo", 4.0, &[echo(fits + 1)]);
        assert_eq!(lane.heard(1).await, ["_error 4 NetConnection.Call.Failed"]);
    });
}
