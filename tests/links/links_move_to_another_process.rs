//! An edge's links stand still and go on, or move to another process of the edge, in the middle of
//! its sessions' work.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, JoinSet};
use tributary_edge::link::{MoveError, MovedLinks, OriginAddress, handle::FromOrigin};
use tributary_node::{config::Application as Settings, feed::FeedStream};
use tributary_origin::app::{
    Admission, Answer, Application, Applications, Call, ClientId, Context,
};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::Value,
    command::{Command, Connect},
    link::{CloseReason, Control, ToSession, feed::Feed},
    shared_object::Event,
};

use crate::{
    a_newer_link_fences_an_older::{greet, open_lane, opening, write},
    feeds_and_their_viewers::{play, publish},
    rig::{Ca, Client, Edge, Origin, PATIENCE, RawEdge},
    shared_objects_cross_once::{is_change, members},
    unread_publishes::send,
};

const SESSIONS: &str = "tributary_origin_sessions";

/// Sends a numbered call; its answer is awaited later.
fn count(client: &Client, number: u32) {
    let number = f64::from(number);
    let call = Command::new("count", TransactionId(number + 1.0)).with(number);
    client.send(0, &call, 0);
}

/// The answer to a numbered call is the next one.
async fn counted(client: &mut Client, number: u32) {
    let answer = client.command().await;
    assert_eq!(answer.name, "_result");
    assert_eq!(answer.transaction, TransactionId(f64::from(number) + 1.0));
    assert_eq!(answer.arguments, [Value::from(f64::from(number))]);
}

/// Every call of the client has come once, in order.
async fn assert_whole(client: &mut Client, calls: u32) {
    let report = client.call("report", Value::Null).await;
    let Value::Object(report) = report else {
        panic!("{report:?}");
    };
    for (name, expected) in [
        ("calls", calls),
        ("duplicates", 0),
        ("gaps", 0),
        ("late", 0),
    ] {
        let value = report.get(name).cloned();
        assert_eq!(value, Some(Value::from(f64::from(expected))), "{name}");
    }
}

async fn connect(edge: &Edge, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 0..count {
        clients.push(edge.connect(&format!("counter/g{}", n % 5)).await);
    }
    clients
}

#[tokio::test]
async fn freezes_that_end_in_a_thaw_lose_and_double_nothing() {
    const CALLS: u32 = 300;
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut callers = JoinSet::new();
    for mut client in connect(&edge, 20).await {
        callers.spawn(async move {
            for number in 1..=CALLS {
                count(&client, number);
                // Some calls are under way at each moment.
                if number > 8 {
                    counted(&mut client, number - 8).await;
                }
            }
            for number in CALLS - 7..=CALLS {
                counted(&mut client, number).await;
            }
            assert_whole(&mut client, CALLS).await;
            client
        });
    }
    let mut freezes = 0;
    let mut done = Vec::new();
    while !callers.is_empty() || freezes < 10 {
        edge.upstream.freeze().await;
        let moved = edge.upstream.export().await.expect("the links stand still");
        assert_eq!((moved.lanes.len(), moved.waiting.len()), (5, 0));
        edge.upstream.thaw();
        freezes += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        while let Some(caller) = callers.try_join_next() {
            done.push(caller.expect("its calls are answered"));
        }
    }
    assert_eq!(done.len(), 20);
    assert_eq!(origin.figure("tributary_origin_link_lost_total"), 0.0);
    assert_eq!(edge.upstream.export().await, Err(MoveError::Unsettled));
    // A session that opens meanwhile waits, and goes on.
    edge.upstream.freeze().await;
    let mut late = edge.open("counter/late", None);
    assert!(matches!(late.next().await, FromOrigin::Freeze));
    let moved = edge.upstream.export().await.expect("the links stand still");
    assert_eq!((moved.lanes.len(), moved.waiting.len()), (5, 1));
    edge.upstream.thaw();
    late.accepted().await;
}

#[tokio::test]
async fn sessions_go_on_in_one_process_after_another() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 40).await;
    let long = "x".repeat(1 << 20);
    let (mut said, mut answered) = (0, 0);
    for step in 0..4_u64 {
        for _ in 0..30 {
            said += 1;
            clients.iter().for_each(|client| count(client, said));
        }
        // A call and an answer of 1 MB cross in pieces, as far as credit reaches.
        let echo = Command::new("echo", TransactionId(1e6)).with(&*long);
        clients[0].send(0, &echo, 0);
        if step < 3 {
            tokio::time::sleep(Duration::from_millis(step * 4)).await;
            let mut all: Vec<_> = clients.iter_mut().collect();
            edge = edge.replace(&mut all).await;
        }
        for client in &mut clients {
            for number in answered + 1..=said {
                counted(client, number).await;
            }
        }
        answered = said;
        let answer = clients[0].command().await;
        assert_eq!(answer.transaction, TransactionId(1e6));
        assert_eq!(answer.arguments, [Value::from(&*long)]);
    }
    for client in &mut clients {
        assert_whole(client, said).await;
    }
    assert_eq!(origin.figure(SESSIONS), 40.0);
    assert_eq!(edge.figure("tributary_edge_link_sessions"), 40.0);
    // New sessions join, and closes arrive.
    let mut new = connect(&edge, 5).await;
    new[0].call("echo", Value::Null).await;
    drop(clients);
    origin.until(SESSIONS, 5.0).await;
    assert_eq!(origin.figure("tributary_origin_link_up"), 1.0);
}

/// A session that no driver of the new process adopts is closed in its lane, and one that the old
/// process has lost is closed at once.
#[tokio::test]
async fn sessions_that_do_not_come_are_closed() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 10).await;
    let late = clients.split_off(4);
    let gone = clients.remove(0).link;
    let number = gone.id();
    gone.close(CloseReason::Client);
    origin.until(SESSIONS, 9.0).await;
    let mut all: Vec<_> = clients.iter_mut().collect();
    let edge = edge.replace(&mut all).await;
    drop(late);
    origin.until(SESSIONS, 3.0).await;
    let mut stranger = edge.upstream.adopt(number);
    let lost = FromOrigin::Order(ToSession::Close(CloseReason::OriginLost));
    let item = stranger.next().await;
    assert_eq!(format!("{item:?}"), format!("{:?}", Some(lost)));
    for client in &mut clients {
        client.call("echo", Value::Null).await;
    }
}

#[tokio::test]
async fn links_that_are_refused_go_on_where_they_are() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 5).await;
    let mut all: Vec<_> = clients.iter_mut().collect();
    edge.freeze(&mut all).await;
    let moved = edge.upstream.export().await.expect("the links stand still");
    let other = OriginAddress {
        name: Some("other".to_owned()),
        address: origin.address.to_string(),
    };
    let refused = edge.successor(&moved, vec![other.clone()]).err();
    assert!(
        matches!(refused, Some(MoveError::UnknownOrigin { .. })),
        "{refused:?}"
    );
    let cut = MovedLinks {
        head: moved.head[..8].to_vec(),
        ..moved
    };
    let refused = edge.successor(&cut, vec![other]).err();
    assert!(
        matches!(refused, Some(MoveError::Parcel { .. })),
        "{refused:?}"
    );
    edge.upstream.thaw();
    for client in &mut clients {
        client.call("echo", Value::Null).await;
    }
    assert_eq!(origin.figure("tributary_origin_link_lost_total"), 0.0);
}

/// Lets its first client wait for its answer until another one calls `admit`; `hold` blocks the
/// group until the test sends.
#[derive(Default)]
struct Reluctant {
    pending: Vec<ClientId>,
    has_one: bool,
    go: Option<Receiver<()>>,
}

impl Application for Reluctant {
    fn connect(&mut self, _: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        if std::mem::replace(&mut self.has_one, true) {
            return Admission::Accept;
        }
        self.pending.push(client);
        Admission::Pending
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        match &*call.name {
            "admit" => self
                .pending
                .drain(..)
                .for_each(|client| context.accept(client)),
            "hold" => {
                let go = self.go.as_ref().expect("a test that holds");
                go.recv().expect("the test sends");
            }
            _ => {}
        }
        Answer::Result(call.arguments.first().cloned().unwrap_or(Value::Null))
    }
}

/// An application of which one group is made, with this end of a channel.
fn reluctant() -> (Applications, SyncSender<()>) {
    let (tell, go) = sync_channel(1);
    let go = Mutex::new(Some(go));
    let mut own = Applications::new();
    own.add("slow", Settings::default(), move |_| {
        let go = go.lock().expect("no panic holds it").take();
        Box::new(Reluctant {
            go,
            ..Reluctant::default()
        })
    });
    (own, tell)
}

#[tokio::test]
async fn a_session_that_waits_for_its_answer_moves_and_one_half_way_in_its_credit() {
    let ca = Ca::new();
    let (own, tell) = reluctant();
    let origin = Origin::with_applications(&ca, "origin", 15, own);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut pending = edge.open("slow/room", None);
    origin.until(SESSIONS, 1.0).await;
    // Its messages wait at the origin meanwhile.
    pending.send(
        0,
        &Command::new("echo", TransactionId(2.0)).with("early"),
        0,
    );
    let mut other = edge.connect("slow/room").await;
    other.send(0, &Command::new("hold", TransactionId(2.0)), 0);
    let long = "y".repeat(1 << 20);
    other.send(0, &Command::new("echo", TransactionId(3.0)).with(&*long), 0);
    let second = Command::new("echo", TransactionId(4.0))
        .with(Value::Null)
        .with(&*long);
    other.send(0, &second, 0);
    other.send(0, &Command::new("admit", TransactionId(5.0)), 0);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        edge = edge.replace(&mut [&mut pending, &mut other]).await;
        // The second message is longer than the credit: its rest waits in the lane, and is counted.
        assert!(other.link.is_full());
    }
    tell.send(()).expect("the application waits");
    for (number, argument) in [
        (2.0, Value::Null),
        (3.0, (&*long).into()),
        (4.0, Value::Null),
        (5.0, Value::Null),
    ] {
        let answer = other.command().await;
        assert_eq!(answer.transaction, TransactionId(number));
        assert_eq!(answer.arguments, [argument]);
    }
    assert!(!other.link.is_full());
    pending.accepted().await;
    let answer = pending.command().await;
    assert_eq!(answer.arguments, [Value::from("early")]);
    pending.call("echo", Value::Null).await;
}

/// Members stay members, and get what others change meanwhile.
#[tokio::test]
async fn members_of_an_object_get_each_change_over_all_moves() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let other = Edge::of(&ca, "other", &origin);
    let mut clients = members(&edge, 3).await;
    let author = members(&other, 1).await.remove(0);
    let change = |author: &Client, number: u32| {
        let (name, value) = (format!("slot{number}"), Value::from(f64::from(number)));
        author.say(0, vec![Event::RequestChange { name, value }]);
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let changes = tokio::spawn(async move {
        let mut number = 0;
        while !stopped.load(Ordering::Relaxed) {
            change(&author, number);
            number += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        (author, number)
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut all: Vec<_> = clients.iter_mut().collect();
        edge = edge.replace(&mut all).await;
    }
    stop.store(true, Ordering::Relaxed);
    let (_author, changes) = changes.await.expect("it says what it is to");
    for client in &mut clients {
        for number in 0..changes {
            client.until(is_change(&format!("slot{number}"))).await;
        }
    }
    let objects = edge.upstream.list_objects().await;
    assert_eq!((&*objects[0].name, objects[0].members), ("board", 3));
    assert_eq!(edge.figure("tributary_edge_link_audiences"), 1.0);
    // One leaves, and the object ends with the last one.
    clients.pop();
    clients[0].say(0, vec![Event::Release]);
    drop(clients);
    edge.until("tributary_edge_link_audiences", 0.0).await;
}

/// The feed of a stream comes to the process that has its viewers.
#[tokio::test]
async fn the_feed_of_a_viewer_follows_it() {
    const FEEDS: &str = "tributary_edge_link_feeds_in";
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("live/room").await;
    publisher.feed = Some(publish(&mut publisher, "cam").await);
    let mut viewer = edge.connect("live/room").await;
    play(&mut viewer, "cam").await;
    for number in 0..3 {
        if number > 0 {
            edge = edge.replace(&mut [&mut publisher, &mut viewer]).await;
        }
        let feed = publisher.feed.as_ref().expect("it publishes");
        feed.push(audio(number));
        edge.until(FEEDS, 1.0).await;
    }
    assert_eq!(origin.figure("tributary_origin_link_feeds_out"), 1.0);
    drop(viewer);
    edge.until(FEEDS, 0.0).await;
}

/// An origin that goes while the links stand still, and stays away: its sessions end with the grace
/// time, in whatever process they are.
#[tokio::test]
async fn the_grace_time_of_a_lost_origin_goes_on_in_the_next_process() {
    const GRACE: u64 = 2;
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", GRACE);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 3).await;
    let mut all: Vec<_> = clients.iter_mut().collect();
    edge.freeze(&mut all).await;
    drop(origin);
    edge.until("tributary_edge_link_up", 0.0).await;
    edge.upstream.thaw();
    let lost = Instant::now();
    for _ in 0..2 {
        let mut all: Vec<_> = clients.iter_mut().collect();
        edge = edge.replace(&mut all).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for client in &mut clients {
        while !matches!(
            client.next().await,
            FromOrigin::Order(ToSession::Close(CloseReason::OriginLost))
        ) {}
    }
    let took = lost.elapsed();
    // The edge waits for 4 s longer than an origin that notices the loss late.
    let (least, most) = (Duration::from_secs(GRACE), Duration::from_secs(GRACE + 6));
    assert!(least < took && took < most, "{took:?}");
    edge.until("tributary_edge_link_sessions", 0.0).await;
}

/// An address at which nothing listens.
fn free_address() -> std::net::SocketAddr {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.local_addr().expect("an address")
}

#[tokio::test]
async fn a_session_without_an_origin_waits_for_one_in_the_next_process() {
    let ca = Ca::new();
    let address = free_address();
    let edge = Edge::start(&ca, "edge", &[("origin", address)]);
    let mut waiting = edge.open("counter/late", None);
    count(&waiting, 1);
    let mut gone = edge.open("counter/late", None);
    let edge = edge.replace(&mut [&mut waiting, &mut gone]).await;
    count(&waiting, 2);
    drop(gone);
    let origin = Origin::at(address, &ca, "origin", 15, Applications::new()).expect("an origin");
    waiting.accepted().await;
    counted(&mut waiting, 1).await;
    counted(&mut waiting, 2).await;
    assert_eq!(origin.figure(SESSIONS), 1.0);
    assert!(edge.readiness.is_ready());
}

#[tokio::test]
async fn an_origin_that_restarts_after_the_moves_ends_its_sessions_and_takes_new_ones() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 3).await;
    for _ in 0..3 {
        let mut all: Vec<_> = clients.iter_mut().collect();
        edge = edge.replace(&mut all).await;
    }
    clients[0].call("echo", Value::Null).await;
    let origin = origin.restart(&ca, 15).await;
    for client in &mut clients {
        while !matches!(client.next().await, FromOrigin::Order(ToSession::Close(_))) {}
    }
    edge.until("tributary_edge_link_up", 1.0).await;
    let mut new = edge.connect("counter/g0").await;
    new.call("echo", Value::Null).await;
    assert_eq!(origin.figure(SESSIONS), 1.0);
}

fn media(kind: MessageType, head: [u8; 2], number: u32) -> Message {
    Message {
        kind,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(number * 20),
        payload: [&head[..], &[0, 0, 0], &number.to_be_bytes()]
            .concat()
            .into(),
    }
}

fn audio(number: u32) -> Message {
    media(MessageType::AUDIO, [0xaf, 1], number)
}

/// A viewer at another edge, which shows the payloads that its feed brings.
struct Viewer {
    seen: Arc<Mutex<Vec<bytes::Bytes>>>,
    _tasks: [JoinHandle<()>; 2],
    _lane: (
        tributary_node::transport::SendStream,
        tributary_node::transport::RecvStream,
    ),
}

impl Viewer {
    async fn play(ca: &Ca, name: &str, origin: &Origin) -> Self {
        let edge = RawEdge::new(ca, name, origin);
        let (link, mut control, _recv) = greet(&edge, 7, 1).await;
        let beat = tokio::spawn(async move {
            // The endpoint lives as long as the link.
            let _endpoint = edge;
            let _recv = _recv;
            let load = Control::Heartbeat {
                sessions: 1,
                groups: 1,
            };
            while control_write(&mut control, &load).await {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let (mut lane, orders, _) = open_lane(&link, 1, None).await;
        write(&mut lane, &[opening(1)]).await;
        let create = Command::new("createStream", TransactionId(2.0)).with(Value::Null);
        send(&mut lane, 0, create).await;
        let play = Command::new("play", TransactionId(0.0)).with("cam");
        send(&mut lane, 1, play).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        let reads = tokio::spawn(async move {
            while let Ok(recv) = link.accept_feed().await {
                let mut feed = FeedStream::new(recv, 1 << 20);
                while let Ok(Some(frame)) = feed.next().await {
                    if let Feed::Message(message) = frame {
                        sees.lock().expect("no panic").push(message.message.payload);
                    }
                }
            }
        });
        Self {
            seen,
            _tasks: [beat, reads],
            _lane: (lane, orders),
        }
    }

    fn seen(&self) -> Vec<bytes::Bytes> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits for a message.
    async fn until(&self, payload: &[u8]) {
        let begun = Instant::now();
        while !self.seen().iter().any(|seen| seen == payload) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.seen().last());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The numbers of the media messages with this head.
    fn numbers(&self, head: [u8; 2]) -> Vec<u32> {
        let seen = self.seen();
        let of_head = seen.iter().filter(|seen| seen.starts_with(&head));
        let number = |seen: &bytes::Bytes| u32::from_be_bytes(*seen.last_chunk().expect("4 bytes"));
        of_head.map(number).collect()
    }
}

async fn control_write(
    control: &mut impl tributary_node::link::ControlSink,
    frame: &Control,
) -> bool {
    control.write(frame).await.is_ok()
}

/// A publisher that is older than its ring, of audio alone: each message arrives once.
#[tokio::test]
async fn a_publish_goes_on_with_its_numbers_move_after_move() {
    const HEAD: [u8; 2] = [0xaf, 1];
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("counter/raw").await;
    publisher.feed = Some(publish(&mut publisher, "cam").await);
    let viewer = Viewer::play(&ca, "viewer", &origin).await;
    let mut number = 0;
    let mut say = |publisher: &Client, count| {
        let feed = publisher.feed.as_ref().expect("it publishes");
        for _ in 0..count {
            feed.push(audio(number));
            number += 1;
        }
        number - 1
    };
    let last = say(&publisher, 1);
    viewer.until(&audio(last).payload).await;
    for _ in 0..50 {
        // More than a ring of 4,096 messages holds, and no more at once than it holds of 10 s.
        let last = say(&publisher, 100);
        viewer.until(&audio(last).payload).await;
    }
    let mut last = 0;
    for _ in 0..3 {
        say(&publisher, 10);
        edge = edge.replace(&mut [&mut publisher]).await;
        last = say(&publisher, 10);
        viewer.until(&audio(last).payload).await;
    }
    assert_eq!(viewer.numbers(HEAD), (0..=last).collect::<Vec<_>>());
    assert_eq!(origin.figure("tributary_origin_link_feeds_in"), 1.0);
    // Its end is its end.
    publisher.feed = None;
    origin.until("tributary_origin_link_feeds_in", 0.0).await;
    edge.until("tributary_edge_link_feeds_out", 0.0).await;
}

/// Headers are in force for viewers that join after the moves.
#[tokio::test]
async fn a_viewer_that_joins_after_a_move_gets_the_headers_from_before() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("counter/raw").await;
    let feed = publish(&mut publisher, "cam").await;
    let header = Message {
        payload: b"\x17\0\0\0\0header".to_vec().into(),
        ..media(MessageType::VIDEO, [0x17, 0], 0)
    };
    let (key, inter) = ([0x17, 1], [0x27, 1]);
    feed.push(header.clone());
    feed.push(media(MessageType::VIDEO, key, 1));
    feed.push(media(MessageType::VIDEO, inter, 2));
    publisher.feed = Some(feed);
    let first = Viewer::play(&ca, "first", &origin).await;
    first
        .until(&media(MessageType::VIDEO, inter, 2).payload)
        .await;
    for _ in 0..2 {
        edge = edge.replace(&mut [&mut publisher]).await;
    }
    let feed = publisher.feed.as_ref().expect("it publishes");
    feed.push(media(MessageType::VIDEO, inter, 3));
    feed.push(media(MessageType::VIDEO, key, 4));
    feed.push(media(MessageType::VIDEO, inter, 5));
    first
        .until(&media(MessageType::VIDEO, inter, 5).payload)
        .await;
    let second = Viewer::play(&ca, "second", &origin).await;
    second
        .until(&media(MessageType::VIDEO, inter, 5).payload)
        .await;
    assert_eq!(second.seen()[0], header.payload);
    // Two groups of pictures, as every feed begins.
    assert_eq!(second.numbers(key), [1, 4]);
    // For a viewer that was there before, video has gone on at once.
    assert_eq!(first.numbers(key), [1, 4]);
    assert_eq!(first.numbers(inter), [2, 3, 5]);
    drop(edge);
}
