//! The edge of a publisher is notified whether anything reads its stream.

use bytes::Bytes;
use tokio::time::timeout;
use tributary_edge::link::handle::FromOrigin;
use tributary_node::{
    link::greet,
    transport::{RecvStream, SendStream},
};
use tributary_protocol::{
    MessageStreamId, MessageType, RtmpTimestamp, SessionId, TransactionId,
    amf::{ObjectEncoding, Value},
    command::Command,
    link::{
        Generation, Hello, ToSession, features,
        frame::{FrameReader, MAX_BODY},
        lane_frame::{Fragment, Head, ToEdge, ToOrigin},
    },
};

use crate::{
    a_newer_link_fences_an_older::{open_lane, opening, write},
    feeds_and_their_viewers::{play, publish},
    rig::{Ca, Client, Edge, Origin, PATIENCE, RawEdge},
};

/// The next report of whether the client's stream has readers.
async fn report(client: &mut Client) -> bool {
    loop {
        if let FromOrigin::Order(ToSession::PublishRead {
            stream: MessageStreamId(1),
            generation: Generation(1),
            read,
        }) = client.next().await
        {
            return read;
        }
    }
}

#[tokio::test]
async fn the_first_reader_and_the_end_of_the_last_are_reported() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let (one, two) = (Edge::of(&ca, "one", &origin), Edge::of(&ca, "two", &origin));
    let mut publisher = one.connect("live/room").await;
    let _feed = publish(&mut publisher, "cam").await;
    assert!(!report(&mut publisher).await);
    let mut viewers = Vec::new();
    for edge in [&one, &two, &two] {
        let mut viewer = edge.connect("live/room").await;
        play(&mut viewer, "cam").await;
        viewers.push(viewer);
    }
    assert!(report(&mut publisher).await);
    drop(viewers);
    assert!(!report(&mut publisher).await);
}

/// Orders and commands of a lane until the answer to this call, or a report.
pub(crate) struct Orders {
    recv: RecvStream,
    reader: FrameReader,
}

impl Orders {
    pub(crate) fn new(recv: RecvStream) -> Self {
        Self {
            recv,
            reader: FrameReader::new(MAX_BODY),
        }
    }

    pub(crate) async fn next(&mut self) -> ToEdge {
        let mut pieces: Vec<Bytes> = Vec::new();
        loop {
            if let Some(frame) = self.reader.poll_frame().unwrap() {
                return ToEdge::decode(&frame).unwrap();
            }
            let read = timeout(PATIENCE, self.recv.read(&mut pieces)).await;
            assert!(read.expect("an order in time").unwrap(), "the lane ended");
            for piece in pieces.drain(..) {
                self.reader.push(&piece);
            }
        }
    }

    /// The reports before the answer to this call.
    async fn until_answer(&mut self, transaction: f64) -> Vec<bool> {
        let mut reports = Vec::new();
        loop {
            match self.next().await {
                ToEdge::Session {
                    order: ToSession::PublishRead { read, .. },
                    ..
                } => reports.push(read),
                ToEdge::Fragment { fragment, .. } => {
                    let kind = MessageType::COMMAND_AMF0;
                    let command = Command::decode(kind, &fragment.data);
                    if command.is_ok_and(|command| command.transaction.0 == transaction) {
                        return reports;
                    }
                }
                _ => {}
            }
        }
    }
}

pub(crate) async fn send(lane: &mut SendStream, stream: u32, command: Command) {
    let (kind, data) = command.encode(ObjectEncoding::Amf0);
    let head = Head {
        kind,
        stream: MessageStreamId(stream),
        timestamp: RtmpTimestamp(0),
        length: data.len() as u32,
        generation: Generation(stream),
        after: None,
        member: None,
    };
    let fragment = ToOrigin::Fragment {
        session: SessionId(1),
        fragment: Fragment {
            head: Some(head),
            data,
        },
    };
    write(lane, &[fragment]).await;
}

#[tokio::test]
async fn an_edge_without_the_feature_gets_no_report() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    for (name, features, expected) in [
        ("new", features::UNREAD, [false].as_slice()),
        ("old", 0, &[]),
    ] {
        let edge = RawEdge::new(&ca, name, &origin);
        let link = edge.dial().await;
        let hello = Hello {
            features,
            ..edge.hello(1, 1)
        };
        let _control = greet(&link, hello).await.expect("the origin's hello");
        let (mut lane, recv, _) = open_lane(&link, 1, None).await;
        let mut orders = Orders::new(recv);
        let call = |transaction| {
            Command::new("createStream", TransactionId(transaction)).with(Value::Null)
        };
        write(&mut lane, &[opening(1)]).await;
        send(&mut lane, 0, call(2.0)).await;
        assert!(orders.until_answer(2.0).await.is_empty());
        let publish = Command::new("publish", TransactionId(0.0));
        send(&mut lane, 1, publish.with(name).with("live")).await;
        // The order that accepts the publish comes with its status, the report a moment later.
        send(&mut lane, 0, call(3.0)).await;
        let mut reports = orders.until_answer(3.0).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        send(&mut lane, 0, call(4.0)).await;
        reports.extend(orders.until_answer(4.0).await);
        assert_eq!(reports, expected, "{name}");
    }
}
