//! Connections of an application to an instance of the same process.

use std::time::Duration;

use bytes::Bytes;
use tributary_node::config;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::{Connect, stream::PublishKind},
    link::CloseReason,
};

use super::{
    super::connections::{MAX_CONNECTIONS, MAX_NET_STREAMS},
    stage::{Lane, Stage, live_settings, pass, play, settle},
};
use crate::app::{
    Admission, Answer, Application, Applications, Call, CallToken, ClientId, ConnectTo,
    ConnectionCall, ConnectionId, Context, NetStreamId, PlayRequest, Rejection, StreamId,
    StreamStatus,
};

/// Connects where its clients ask it to, and calls them with the reports.
#[derive(Default)]
struct Near {
    connection: Option<ConnectionId>,
    net_stream: Option<NetStreamId>,
}

impl Near {
    fn act(&mut self, context: &mut Context<'_>, call: &Call) -> Option<Value> {
        let text = |at: usize| call.arguments.get(at).and_then(Value::as_str);
        if call.name == "connect" {
            let mut to = ConnectTo::uri(text(0)?);
            to.arguments = call.arguments[1..].to_vec();
            to.properties = Object::new().with("pageUrl", "http://page");
            self.connection = context.open_connection(to).ok();
            return Some(self.connection.is_some().into());
        }
        if call.name == "mix" {
            let remote = self.connection?;
            let mix = context.open_stream(text(0)?).ok()?;
            let request = PlayRequest::live(text(1)?).over(remote);
            return Some(context.stream(mix)?.play(&request).into());
        }
        if let Some(id) = self.net_stream
            && let Some(mut stream) = context.net_stream(id)
        {
            match call.name.as_str() {
                "attach" => return Some(stream.attach(text(0)).into()),
                "publishTo" => {
                    return Some(stream.publish(text(0)?, PublishKind::Live).into());
                }
                "unpublish" => {
                    stream.unpublish();
                    return Some(true.into());
                }
                "sendStream" => return Some(stream.send(text(0)?, &[1.0.into()]).into()),
                _ => {}
            }
        }
        let mut connection = context.connection(self.connection?)?;
        Some(match call.name.as_str() {
            "call" => {
                let token = Some(CallToken(call.arguments.len() as u64));
                connection
                    .call(text(0)?, &call.arguments[1..], token)
                    .into()
            }
            "notify" => connection.call(text(0)?, &[], None).into(),
            "connected" => connection.is_connected().into(),
            "uri" => connection.uri().into(),
            "open" => {
                self.net_stream = connection.open_stream().ok();
                self.net_stream.is_some().into()
            }
            "close" => {
                connection.close();
                true.into()
            }
            _ => return None,
        })
    }
}

fn code(info: &Value) -> &str {
    let code = info.get("code").and_then(Value::as_str);
    code.map_or("?", |code| {
        code.trim_start_matches("NetConnection.")
            .trim_start_matches("NetStream.")
    })
}

impl Application for Near {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        Answer::Result(self.act(context, call).unwrap_or(Value::Null))
    }

    fn connection_status(&mut self, context: &mut Context<'_>, _: ConnectionId, info: &Value) {
        context.broadcast("nc", &[code(info).into()]);
    }

    fn connection_answered(
        &mut self,
        context: &mut Context<'_>,
        _: ConnectionId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let text = match answer {
            Ok(value) => format!("{} {}", token.0, value.as_number().unwrap_or_default()),
            Err(info) => format!("{} {}", token.0, code(&info)),
        };
        context.broadcast("answered", &[text.into()]);
    }

    fn connection_call(
        &mut self,
        context: &mut Context<'_>,
        _: ConnectionId,
        call: &ConnectionCall,
    ) -> Answer {
        context.broadcast("called", &[call.name.as_str().into()]);
        match call.name.as_str() {
            "twice" => Answer::Result(
                call.arguments[0]
                    .as_number()
                    .map_or(Value::Null, |n| (2.0 * n).into()),
            ),
            _ => Answer::Unknown,
        }
    }

    fn net_stream_status(&mut self, context: &mut Context<'_>, _: NetStreamId, info: &Value) {
        context.broadcast("ns", &[code(info).into()]);
    }

    fn stream_status(&mut self, context: &mut Context<'_>, _: StreamId, status: &StreamStatus) {
        let text = format!("{} {}", status.status.code(), status.details);
        context.broadcast("status", &[text.replace("NetStream.", "").into()]);
    }
}

/// The application at the other end.
struct Far;

impl Application for Far {
    fn connect(&mut self, context: &mut Context<'_>, id: ClientId, connect: &Connect) -> Admission {
        let client = context.client(id).unwrap();
        let property = |name| connect.properties.get(name).and_then(Value::as_str);
        assert!(client.peer().ip().is_some_and(|ip| ip.is_loopback()));
        assert!(property("flashVer").unwrap().starts_with("FlashCom/"));
        assert_eq!(property("pageUrl"), Some("http://page"));
        assert!(property("tcUrl").unwrap().starts_with("rtmp:"));
        match connect.arguments.first().and_then(Value::as_str) {
            Some("no") => Admission::Reject(Rejection::default()),
            Some("wait") => Admission::Pending,
            _ => Admission::Accept,
        }
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let numbers = call.arguments.iter().filter_map(Value::as_number);
        match call.name.as_str() {
            "sum" => Answer::Result(numbers.sum::<f64>().into()),
            "callMe" => {
                let client = call.responder.client;
                context.call(client, "twice", &[4.0.into()], Some(CallToken(1)));
                context.call(client, "unknown", &[], Some(CallToken(2)));
                context.call(client, "unheard", &[], None);
                Answer::Result(Value::Null)
            }
            "goAway" => {
                context.disconnect(call.responder.client);
                Answer::Deferred
            }
            _ => Answer::Unknown,
        }
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        _: ClientId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let text = match answer {
            Ok(value) => format!("{} {}", token.0, value.as_number().unwrap_or_default()),
            Err(info) => format!("{} {}", token.0, code(&info)),
        };
        context.broadcast("answered", &[text.into()]);
    }

    fn disconnect(&mut self, context: &mut Context<'_>, _: ClientId, reason: CloseReason) {
        context.broadcast("left", &[reason.label().into()]);
    }
}

/// A stage with both, a lane to `near` with session 1, and one to `far` with sessions 1 and 2.
async fn stage() -> (Stage, Lane, Lane) {
    let mut applications = Applications::new();
    applications.add("near", live_settings(), |_| Box::new(Near::default()));
    applications.add("far", live_settings(), |_| Box::new(Far));
    let mut stage = Stage::with(applications);
    let mut near = stage.lane("near");
    near.client(1).await;
    near.client(2).await;
    let far = stage.lane("far/room");
    (stage, near, far)
}

/// As an application of the same origin would connect.
fn page(lane: &Lane, session: u64) {
    let properties = Object::new()
        .with("app", "far/room")
        .with("flashVer", "FlashCom/1")
        .with("tcUrl", "rtmp://x")
        .with("pageUrl", "http://page");
    lane.open_with(session, properties);
}

impl Lane {
    /// Steers `near`; returns the messages of session 1.
    async fn order(&mut self, name: &str, with: &[Value]) -> Vec<String> {
        self.call(1, 0, name, 9.0, with);
        let heard = self.heard(1).await;
        self.heard(2).await;
        heard
    }

    async fn far_client(&mut self, session: u64) {
        page(self, session);
        self.call(session, 0, "createStream", 2.0, &[]);
        settle().await;
        self.clear().await;
    }

    fn video(&self, session: u64, at: u32, body: &'static [u8]) {
        let (live, writer) = &self.writers[&(session, 1)];
        let message = Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(at),
            payload: Bytes::from_static(body),
        };
        live.push(*writer, message, tokio::time::Instant::now().into_std());
    }

    /// The times of the messages in a player's ring.
    fn times(&self, session: u64) -> Vec<u32> {
        let ring = self.attached[&(session, 1)].ring();
        let mut cursor = ring.join(tributary_protocol::ring::Start::Gop);
        std::iter::from_fn(|| {
            ring.next(&mut cursor, Duration::from_secs(9))
                .map(|delivery| delivery.timestamp.0)
        })
        .collect()
    }
}

const HERE: &str = "rtmp://localhost/far/room";
const KEY: &[u8] = b"\x17\x01\0\0\0K";

#[test]
fn calls_go_both_ways() {
    play(async {
        let (_stage, mut near, mut far) = stage().await;
        far.far_client(1).await;
        assert_eq!(
            near.order("connect", &[HERE.into()]).await,
            ["_result 9 true", "nc Connect.Success"]
        );
        assert_eq!(near.order("connected", &[]).await, ["_result 9 true"]);
        let uri = near.order("uri", &[]).await;
        assert_eq!(uri, [format!("_result 9 {HERE}")]);
        let sum = ["sum".into(), 1.0.into(), 2.5.into()];
        assert_eq!(
            near.order("call", &sum).await,
            ["_result 9 true", "answered 3 3.5"]
        );
        assert_eq!(
            near.order("call", &["nothing".into()]).await,
            ["_result 9 true", "answered 1 Call.Failed"]
        );
        assert_eq!(
            near.order("notify", &["callMe".into()]).await,
            [
                "_result 9 true",
                "called twice",
                "called unknown",
                "called unheard",
                "called answered",
                "called answered"
            ]
        );
        assert_eq!(
            far.heard(1).await,
            ["answered 1 8", "answered 2 Call.Failed"]
        );
        assert_eq!(
            near.order("close", &[]).await,
            ["_result 9 true", "nc Connect.Closed"]
        );
        assert_eq!(far.heard(1).await, ["left client_closed"]);
        assert_eq!(near.order("connected", &[]).await, ["_result 9 null"]);
    });
}

#[test]
fn a_connect_fails_later_and_says_why() {
    play(async {
        let (_stage, mut near, _far) = stage().await;
        for (uri, argument, expected) in [
            ("http://localhost/far", "", "Connect.Failed"),
            ("rtmp://localhost", "", "Connect.Failed"),
            ("rtmp://localhost/nowhere", "", "Connect.InvalidApp"),
            ("rtmp://other.example.com/far", "", "Connect.Failed"),
            ("rtmp://localhost:1936/far", "", "Connect.Failed"),
            (HERE, "no", "Connect.Rejected"),
        ] {
            assert_eq!(
                near.order("connect", &[uri.into(), argument.into()]).await,
                ["_result 9 true", &format!("nc {expected}")],
                "{uri}"
            );
        }
        // Orders before the decision wait for it.
        near.order("connect", &[HERE.into(), "wait".into()]).await;
        assert_eq!(
            near.order("call", &["sum".into()]).await,
            ["_result 9 true"]
        );
        assert_eq!(
            near.order("close", &[]).await,
            [
                "_result 9 true",
                "answered 1 Call.Failed",
                "nc Connect.Closed"
            ]
        );
        near.order("connect", &[HERE.into(), "wait".into()]).await;
        pass(Duration::from_secs(61)).await;
        assert_eq!(near.heard(1).await, ["nc Connect.Rejected"]);
    });
}

#[test]
fn being_sent_away_ends_the_connection() {
    play(async {
        let (_stage, mut near, _far) = stage().await;
        near.order("connect", &[HERE.into()]).await;
        assert_eq!(
            near.order("call", &["goAway".into()]).await,
            [
                "_result 9 true",
                "answered 1 Call.Failed",
                "nc Connect.Closed"
            ]
        );
        assert_eq!(
            near.order("notify", &["sum".into()]).await,
            ["_result 9 null"]
        );
    });
}

#[test]
fn a_stream_of_another_instance_is_played_into_one_of_ours() {
    play(async {
        let (_stage, mut near, mut far) = stage().await;
        far.far_client(1).await;
        far.publish(1, "cam", 1);
        far.clear().await;
        near.order("connect", &[HERE.into()]).await;
        near.play(2, "mix");
        near.clear().await;
        assert_eq!(
            near.order("mix", &["mix".into(), "cam?key=1".into()]).await,
            [
                "_result 9 true",
                "status Play.Reset cam",
                "status Play.Start cam"
            ]
        );
        far.video(1, 5_000, KEY);
        pass(Duration::from_millis(40)).await;
        far.video(1, 5_040, KEY);
        settle().await;
        assert_eq!(near.times(2), [5_000, 5_040]);
        // It ends and returns; the mix waits.
        far.call(1, 1, "closeStream", 0.0, &[]);
        assert_eq!(near.heard(1).await, ["status Play.UnpublishNotify cam"]);
        pass(Duration::from_secs(1)).await;
        far.publish(1, "cam", 2);
        far.clear().await;
        far.video(1, 0, KEY);
        assert_eq!(near.heard(1).await, ["status Play.PublishNotify cam"]);
        // A viewer that joins now gets the new publication alone, at the mix's time.
        assert_eq!(near.times(2), [6_040]);
        // Without its connection it is over.
        near.clear().await;
        assert_eq!(
            near.order("close", &[]).await,
            [
                "_result 9 true",
                "status Play.Stop cam",
                "nc Connect.Closed"
            ]
        );
        near.play(2, "mix");
        assert_eq!(
            near.heard(2).await.last().unwrap(),
            "1 NetStream.Play.Start",
            "nobody publishes it"
        );
    });
}

#[test]
fn a_stream_of_ours_is_published_to_another_instance() {
    play(async {
        let (_stage, mut near, mut far) = stage().await;
        far.far_client(2).await;
        far.play(2, "copy");
        far.clear().await;
        near.order("connect", &[HERE.into()]).await;
        assert_eq!(near.order("open", &[]).await, ["_result 9 true"]);
        near.order("attach", &["cam".into()]).await;
        assert_eq!(
            near.order("publishTo", &["copy?key=1".into()]).await,
            ["_result 9 true", "ns Publish.Start"]
        );
        assert_eq!(far.heard(2).await[0], "1 NetStream.Play.PublishNotify");
        near.publish(2, "cam", 1);
        near.clear().await;
        near.video(2, 700, KEY);
        settle().await;
        assert_eq!(far.times(2), [700]);
        near.order("sendStream", &["cue".into()]).await;
        assert_eq!(far.times(2).len(), 2);
        // Another stream goes on where the first one stood.
        near.order("attach", &["other".into()]).await;
        near.call(2, 1, "closeStream", 0.0, &[]);
        near.publish(2, "other", 3);
        near.clear().await;
        pass(Duration::from_millis(100)).await;
        near.video(2, 0, KEY);
        settle().await;
        assert_eq!(*far.times(2).last().unwrap(), 800);
        assert_eq!(near.order("unpublish", &[]).await[0], "_result 9 true");
        let heard = far.heard(2).await;
        assert!(
            heard[0].starts_with("1 NetStream.Play.UnpublishNotify"),
            "{heard:?}"
        );
        // It can publish again; a name that is taken is refused.
        far.far_client(1).await;
        far.publish(1, "copy", 1);
        far.clear().await;
        assert_eq!(
            near.order("publishTo", &["copy".into()]).await,
            ["_result 9 true", "ns Publish.BadName"]
        );
    });
}

#[test]
fn a_group_that_fails_takes_its_connections_along() {
    struct Doomed;
    impl Application for Doomed {
        fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
            assert!(call.name != "fail", "as asked");
            let mut to = ConnectTo::uri(HERE);
            to.properties = Object::new().with("pageUrl", "http://page");
            context.open_connection(to).unwrap();
            Answer::Result(Value::Null)
        }
    }
    play(async {
        let mut applications = Applications::new();
        applications.add("doomed", live_settings(), |_| Box::new(Doomed));
        applications.add("far", live_settings(), |_| Box::new(Far));
        let mut stage = Stage::with(applications);
        let mut far = stage.lane("far/room");
        far.far_client(1).await;
        let mut doomed = stage.lane("doomed");
        doomed.client(1).await;
        doomed.call(1, 0, "connect", 3.0, &[]);
        assert_eq!(doomed.heard(1).await, ["_result 3 null"]);
        doomed.call(1, 0, "fail", 3.0, &[]);
        settle().await;
        assert_eq!(far.heard(1).await, ["left client_closed"]);
    });
}

#[test]
fn their_number_is_bounded() {
    struct Greedy;
    impl Application for Greedy {
        fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
            if call.name != "go" {
                return Answer::Unknown;
            }
            let mut last = None;
            for _ in 0..MAX_CONNECTIONS {
                last = context
                    .open_connection(ConnectTo::uri("rtmp://localhost/app"))
                    .ok();
            }
            assert!(
                context
                    .open_connection(ConnectTo::uri("rtmp:/app"))
                    .is_err()
            );
            let mut connection = context.connection(last.unwrap()).unwrap();
            for _ in 0..MAX_NET_STREAMS {
                connection.open_stream().unwrap();
            }
            assert!(connection.open_stream().is_err());
            let orders =
                (0..).take_while(|_| connection.call("x", &["y".repeat(1_000).into()], None));
            let orders = orders.count();
            assert!((500..2_000).contains(&orders), "{orders}");
            Answer::Result(true.into())
        }
    }
    play(async {
        let mut stage = Stage::app(|| Greedy);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "go", 3.0, &[]);
        assert_eq!(lane.heard(1).await, ["_result 3 true"]);
    });
}

#[test]
fn a_target_that_is_not_named_leaves_a_line() {
    play(async {
        let mut applications = Applications::new();
        let settings = config::Application {
            outgoing: vec!["media.example.com".parse().unwrap()],
            ..live_settings()
        };
        applications.add("near", settings, |_| Box::new(Near::default()));
        let log = applications.log("near").unwrap();
        let mut stage = Stage::with(applications);
        let mut near = stage.lane("near");
        near.client(1).await;
        let uri = "rtmp://evil.example.com:1935/x?secret";
        assert_eq!(
            near.order("connect", &[uri.into()]).await,
            ["_result 9 true", "nc Connect.Failed"]
        );
        let lines = log.after(0, 100);
        let text = &lines.last().unwrap().text;
        assert!(text.contains("evil.example.com:1935"), "{text}");
        assert!(text.contains("applications.near.outgoing"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    });
}
