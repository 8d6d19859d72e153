//! A group whose application takes its time: messages of publishers in their feeds do not fill its
//! mailbox.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, sync_channel},
    },
    time::Duration,
};

use tributary_node::config::{Application as Settings, PublishFrom};
use tributary_origin::app::{Answer, Application, Applications, Call, Context};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::Value,
    command::{Command, DataMessage, ObjectEncoding},
};

use crate::{
    feeds_and_their_viewers::publish,
    rig::{Ca, Edge, Origin},
};

/// Answers `echo`; `wait` blocks until the test sends.
struct Busy {
    go: Arc<Mutex<Receiver<()>>>,
}

impl Application for Busy {
    fn call(&mut self, _: &mut Context<'_>, call: &Call) -> Answer {
        if call.name == "wait" {
            let go = self.go.lock().expect("no panic holds it");
            go.recv().expect("the test sends");
        }
        Answer::Result(call.arguments.first().cloned().unwrap_or(Value::Null))
    }
}

/// More than a mailbox holds.
const DATA: f64 = 80.0 * 1024.0 * 1024.0;

#[tokio::test]
async fn data_in_a_feed_leaves_the_mailbox_to_those_who_call() {
    let ca = Ca::new();
    let (tell, go) = sync_channel(1);
    let go = Arc::new(Mutex::new(go));
    let mut own = Applications::new();
    let settings = Settings {
        publish_from: PublishFrom::Anywhere,
        ..Settings::default()
    };
    own.add("busy", settings, move |_| {
        let go = Arc::clone(&go);
        Box::new(Busy { go })
    });
    let origin = Origin::with_applications(&ca, "origin", 15, own);
    let (one, two) = (Edge::of(&ca, "one", &origin), Edge::of(&ca, "two", &origin));
    let mut caller = two.connect("busy/room").await;
    let blocker = two.connect("busy/room").await;
    let mut publisher = one.connect("busy/room").await;
    let feed = publish(&mut publisher, "cam").await;
    blocker.send(0, &Command::new("wait", TransactionId(2.0)), 0);
    let payload = DataMessage::new("cue")
        .with("x".repeat(60_000))
        .encode(ObjectEncoding::Amf0)
        .1;
    let mut time = 0;
    while origin.figure("tributary_origin_link_in_bytes_total") < DATA {
        time += 1;
        feed.push(Message {
            kind: MessageType::DATA_AMF0,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(time),
            payload: payload.clone(),
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let echo = Command::new("echo", TransactionId(9.0)).with("still there");
    caller.send(0, &echo, 0);
    tell.send(()).expect("the application waits");
    let answer = caller.command().await;
    assert_eq!(answer.name, "_result");
    assert_eq!(answer.arguments, [Value::from("still there")]);
}
