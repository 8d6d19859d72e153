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

use tokio::task::JoinSet;
use tributary_edge::link::{MoveError, MovedLinks, handle::FromOrigin};
use tributary_node::config::Application as Settings;
use tributary_node::link::OriginAddress;
use tributary_origin::app::{
    Admission, Answer, Application, Applications, Call, ClientId, Context,
};
use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::{Command, Connect},
    link::{CloseReason, ToSession},
    shared_object::Event,
};

use crate::{
    feeds_and_their_viewers::publish,
    publishes_move_to_another_process::audio,
    rig::{Ca, Client, Edge, Origin},
    shared_objects_cross_once::{is_change, members},
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
    assert!(matches!(late.next().await, FromOrigin::Freeze(_)));
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
            // The mark of a freeze that was given up is not that of the next one.
            edge.upstream.freeze().await;
            edge.upstream.thaw();
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
            // The inboxes of members that do not read have room for some hundred changes.
            tokio::time::sleep(Duration::from_millis(5)).await;
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

/// The process that leaves says nothing of the sessions and publishes that it drops, and keeps its
/// links until their origins fence them.
#[tokio::test]
async fn an_origin_notices_nothing_until_the_next_process_dials() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut clients = connect(&edge, 3).await;
    clients[0].feed = Some(publish(&mut clients[0], "cam").await);
    let feed = clients[0].feed.as_ref().expect("it publishes");
    feed.push(audio(0));
    origin.until("tributary_origin_link_feeds_in", 1.0).await;
    let mut all: Vec<_> = clients.iter_mut().collect();
    edge.freeze(&mut all).await;
    let moved = edge.upstream.export().await.expect("the links stand still");
    let next = edge
        .successor(&moved, edge.origins())
        .expect("the links are taken");
    edge.upstream.leave().await;
    for client in all {
        client.move_to(&next.upstream);
    }
    let mut late = edge.open("counter/g0", None);
    assert!(matches!(late.next().await, FromOrigin::NoOrigin));
    drop((late, edge));
    // Longer than a stop of the links takes. The grace time bounds the way of a lane.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (figure, expected) in [
        (SESSIONS, 3.0),
        ("tributary_origin_link_feeds_in", 1.0),
        ("tributary_origin_link_up", 1.0),
        ("tributary_origin_link_lost_total", 0.0),
    ] {
        assert_eq!(origin.figure(figure), expected, "{figure}");
    }
    next.upstream.adopted();
    for client in &mut clients {
        client.call("echo", Value::Null).await;
    }
    assert_eq!(origin.figure("tributary_origin_link_lost_total"), 1.0);
}

/// The time of each step, for many sessions and lanes.
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_thousand_sessions_in_a_thousand_lanes() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut clients = Vec::new();
    for n in 0..10_000 {
        clients.push(edge.open(&format!("counter/g{}", n % 1_000), None));
    }
    for client in &mut clients {
        client.accepted().await;
    }
    let mut all: Vec<_> = clients.iter_mut().collect();
    let begun = Instant::now();
    let step = |what: &str| println!("{what}: {:?}", begun.elapsed());
    edge.upstream.freeze().await;
    step("frozen");
    edge.freeze(&mut all).await;
    step("settled");
    let moved = edge.upstream.export().await.expect("the links stand still");
    let bytes: usize = moved.lanes.iter().map(Vec::len).sum();
    step(&format!("exported, {bytes} bytes"));
    let next = edge
        .successor(&moved, edge.origins())
        .expect("the links are taken");
    step("taken");
    edge.upstream.leave().await;
    for client in all {
        client.move_to(&next.upstream);
    }
    next.upstream.adopted();
    step("adopted");
    for client in &mut clients {
        while !matches!(client.next().await, FromOrigin::LinkBack) {}
    }
    step("linked");
    for client in &mut clients {
        count(client, 1);
    }
    for client in &mut clients {
        counted(client, 1).await;
    }
    step("called");
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
