//! Sessions that move to another process while they are at work.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tributary_protocol::{
    TransactionId,
    amf::{Object, Value},
    command::Command,
    link::{CloseReason, FromSession},
    session::ClientEvent,
};

use super::{
    pair::{finish, replace},
    support::{Client, Edge, Peer, own_address},
};
use crate::moving::{Moved, MovedClient};

/// Sends numbered calls.
async fn call(client: &mut Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let number = Value::from(f64::from(number));
        client.connection.notify("count", vec![number]);
    }
    client.send().await;
}

/// The numbers of the calls that have come.
async fn called(edge: &mut Edge, peer: &Peer, count: usize) -> Vec<u32> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let (command, _) = edge.command(peer).await;
        assert_eq!(command.name, "count");
        let Some(Value::Number(number)) = command.arguments.first() else {
            panic!("{command:?}")
        };
        numbers.push(*number as u32);
    }
    numbers
}

fn answer(peer: &Peer, number: u32) {
    peer.command(&Command::new("count", TransactionId(f64::from(number))));
}

/// The next commands of a client, which have these numbers.
async fn answered(client: &mut Client, numbers: std::ops::Range<u32>) {
    for number in numbers {
        match client.event().await {
            ClientEvent::Command { command, .. } => {
                assert_eq!(command.transaction.0, f64::from(number));
            }
            other => panic!("not a command: {other:?}"),
        }
    }
}

/// That nothing is heard of an edge's end of a session.
async fn is_silent(edge: &mut Edge) {
    let told = edge.told_soon().await;
    assert!(told.is_none(), "{told:?}");
}

#[tokio::test]
async fn calls_around_a_move_come_once_and_in_order() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut client, peer) = old.session().await;
    call(&mut client, 0..50).await;
    (0..30).for_each(|number| answer(&peer, number));
    let mut peers = vec![peer];
    // The last one has come in half.
    client.connection.notify(
        "count",
        vec![50.0.into(), "x".repeat(5_000).as_str().into()],
    );
    let long = client.connection.take_output();
    client.socket.write_all(&long[..3_000]).await.expect("read");
    let mut numbers = called(&mut old, &peers[0], 20).await;
    let standing = old.freeze(&[&peers[0]]).await;
    client.socket.write_all(&long[3_000..]).await.expect("room");
    call(&mut client, 51..90).await;
    let rest = old.links.kept.len();
    numbers.extend(called(&mut old, &peers[0], rest).await);
    let replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    let peer = &peers[0];
    (30..40).for_each(|number| answer(peer, number));
    call(&mut client, 90..120).await;
    numbers.extend(called(&mut new, peer, 120 - numbers.len()).await);
    assert_eq!(numbers, (0..120).collect::<Vec<_>>());
    answered(&mut client, 0..40).await;
    is_silent(&mut new).await;
    assert_eq!(old.metrics.sessions.get(), 0);
    assert_eq!(new.metrics.sessions.get(), 1);
    assert_eq!(new.running.admission().connections(), 1);
    old.until("its place is free", |_| {
        old.running.admission().connections() == 0
    })
    .await;
    drop(client);
    assert_eq!(new.closed().await, CloseReason::Client);
    drop(replaced);
}

#[tokio::test]
async fn a_session_moves_many_times() {
    let mut edges: Vec<_> = (0..4).map(|_| Edge::start()).collect();
    let (mut client, peer) = edges[0].session().await;
    let mut peers = vec![peer];
    let mut replaced = Vec::new();
    for n in 0..3_u32 {
        call(&mut client, n * 2..n * 2 + 1).await;
        let [old, new] = &mut edges[n as usize..][..2] else {
            unreachable!()
        };
        let numbers = called(old, &peers[0], 1).await;
        assert_eq!(numbers, [n * 2]);
        replaced.push(replace(old, new, &mut peers).await);
        call(&mut client, n * 2 + 1..n * 2 + 2).await;
        assert_eq!(called(new, &peers[0], 1).await, [n * 2 + 1]);
        answer(&peers[0], n);
        answered(&mut client, n..n + 1).await;
    }
}

#[tokio::test]
async fn a_session_that_waits_for_its_origin_is_accepted_or_refused_afterwards() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut clients = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..2 {
        let mut client = old.client().await;
        client
            .connection
            .connect(Object::new().with("app", "live/room"), Vec::new());
        client.connection.notify("count", vec![7.0.into()]);
        client.send().await;
        let peer = old.opened().await;
        assert_eq!(called(&mut old, &peer, 1).await, [7]);
        clients.push(client);
        peers.push(peer);
    }
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    peers[0].accept();
    let event = clients[0].event().await;
    assert!(matches!(event, ClientEvent::Accepted(_)), "{event:?}");
    call(&mut clients[0], 8..9).await;
    assert_eq!(called(&mut new, &peers[0], 1).await, [8]);
    peers[1].say(crate::link::handle::FromOrigin::NoOrigin);
    let events = clients[1].rest().await;
    assert!(matches!(events[..], [ClientEvent::Rejected(_), ..]));
}

#[tokio::test]
async fn after_an_abort_everything_goes_on_and_a_second_freeze_works() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut sessions = Vec::new();
    let mut peers = Vec::new();
    for _ in 0..5 {
        let (client, peer) = old.session().await;
        sessions.push(client);
        peers.push(peer);
    }
    for round in 0..3_u32 {
        let standing = old.freeze(&peers.iter().collect::<Vec<_>>()).await;
        assert_eq!(standing.moved.len(), 5);
        for client in &mut sessions {
            call(client, round..round + 1).await;
        }
        is_silent(&mut old).await;
        old.thaw(standing).await;
        for (client, peer) in sessions.iter_mut().zip(&peers) {
            answer(peer, round);
            answered(client, round..round + 1).await;
        }
        let mut told = 0;
        while told < 5 {
            match old.told().await {
                (_, FromSession::Message { .. }) => told += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(old.links.thaws, 3);
    // In another process they go on as well.
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    for (client, peer) in sessions.iter_mut().zip(&peers) {
        call(client, 9..10).await;
        assert_eq!(called(&mut new, peer, 1).await, [9]);
    }
}

#[tokio::test]
async fn a_session_that_is_refused_is_closed_and_nobody_else_notices() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut first, one) = old.session().await;
    let (mut second, other) = old.session().await;
    let mut standing = old.freeze(&[&one, &other]).await;
    let peers = [one, other];
    let number = peers[0].session;
    // Sessions come in any order: the first is the one of its number.
    let at = |session: u64| [0, 1, 0, 0, 0, 1, session as u8];
    for moved in &mut standing.moved {
        if let Moved::Client(MovedClient { parcel, .. }) = moved
            && parcel[2..].starts_with(&at(number.0))
        {
            *parcel = parcel.slice(..parcel.len() - 1);
        }
    }
    let (taking, taken, peers) = new.take(standing.moved, &peers).await;
    assert_eq!((taken.clients, taken.refused), (1, 1));
    let _following = old.leave(standing.frozen).await;
    let _taking = new.serve(taking).await;
    assert_eq!(first.rest().await, []);
    let closes = new.links.closes();
    let is_closed = new.links.orphans == [number] || closes == [(number, CloseReason::Transport)];
    assert!(is_closed, "{closes:?}");
    new.links.kept.clear();
    call(&mut second, 0..3).await;
    assert_eq!(called(&mut new, &peers[1], 3).await, [0, 1, 2]);
    assert_eq!(new.running.admission().connections(), 1);
}

#[tokio::test]
async fn a_client_in_its_handshake_follows_before_its_connect() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut early = Client::begin(old.address(), own_address()).await;
    let hello = early.connection.take_output();
    early.socket.write_all(&hello[..500]).await.expect("read");
    old.until("it is there", |metrics| metrics.connections.get() == 1)
        .await;
    let standing = old.freeze(&[]).await;
    assert!(standing.moved.is_empty());
    let mut replaced = finish(&mut old, &mut new, standing, &mut Vec::new()).await;
    early.socket.write_all(&hello[500..]).await.expect("read");
    assert_eq!(early.event().await, ClientEvent::Connected);
    let moved = tokio::time::timeout(super::support::LONG, replaced.following.recv()).await;
    let moved = moved.expect("in time").expect("it follows");
    assert!(matches!(moved, Moved::Client(_)));
    let _taking = new.follow(replaced.taking, moved).await;
    early
        .connection
        .connect(Object::new().with("app", "live/room"), Vec::new());
    early.send().await;
    let peer = new.opened().await;
    peer.accept();
    assert!(matches!(early.event().await, ClientEvent::Accepted(_)));
    call(&mut early, 0..3).await;
    assert_eq!(called(&mut new, &peer, 3).await, [0, 1, 2]);
}

/// SIGTERM during a freeze: the clients leave once it is over, here or in the other process.
#[tokio::test]
async fn a_drain_during_a_freeze_waits_for_its_end() {
    for goes in [false, true] {
        let (mut old, mut new) = (Edge::start(), Edge::start());
        let (mut client, peer) = old.session().await;
        let mut peers = vec![peer];
        let standing = old.freeze(&[&peers[0]]).await;
        old.drain.begin();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(old.links.closes(), []);
        if goes {
            let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
            call(&mut client, 0..2).await;
            assert_eq!(called(&mut new, &peers[0], 2).await, [0, 1]);
        } else {
            old.thaw(standing).await;
            assert_eq!(old.closed().await, CloseReason::Shutdown);
            client.rest().await;
        }
        let ended = tokio::time::timeout(super::support::LONG, old.running.finished());
        ended.await.expect("the threads end");
    }
}
