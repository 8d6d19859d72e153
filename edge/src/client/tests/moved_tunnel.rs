//! Sessions in requests of HTTP that move to another process, with the connections of their requests.

use tokio::time::timeout;
use tributary_protocol::{
    TransactionId, command::Command, link::CloseReason, session::ClientEvent,
};

use super::{
    pair::finish,
    support::{Edge, LONG, Peer, own_address},
    tunnel::{Http, Tunnelled, serving},
};

/// The next numbered command.
async fn answered(client: &mut Tunnelled, peer: &Peer, number: f64) {
    peer.command(&Command::new("count", TransactionId(number)));
    match client.event().await {
        ClientEvent::Command { command, .. } => assert_eq!(command.transaction.0, number),
        other => panic!("not a command: {other:?}"),
    }
}

async fn called(client: &mut Tunnelled, edge: &mut Edge, peer: &Peer) {
    client.rtmp.notify("count", Vec::new());
    client.turn().await;
    assert_eq!(edge.command(peer).await.0.name, "count");
}

#[tokio::test]
async fn a_session_in_requests_moves_with_its_connections() {
    for connections in [1, 3] {
        let (mut old, mut new) = (Edge::start_with(&serving()), Edge::start_with(&serving()));
        let from = own_address();
        let mut client = Tunnelled::open(&old, from, connections).await;
        let peer = client.connect(&mut old).await;
        for _ in 0..connections {
            called(&mut client, &mut old, &peer).await;
        }
        let mut peers = vec![peer];
        // A freeze that is given up, and one that is not.
        let standing = old.freeze(&[&peers[0]]).await;
        assert_eq!(standing.moved.len(), 1 + connections);
        old.thaw(standing).await;
        called(&mut client, &mut old, &peers[0]).await;
        answered(&mut client, &peers[0], 1.0).await;
        // A request that waits for output is answered by the freeze; one that comes later, afterwards.
        let path = format!("/idle/{}/{}", client.id, client.sequence);
        let next = client.sequence % connections;
        client.connections[next].send(&path, &[0]).await;
        client.sequence += 1;
        let standing = old.freeze(&[&peers[0]]).await;
        let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
        let answer = timeout(LONG, client.connections[next].answer()).await;
        let (status, body) = answer.expect("in time").expect("an answer");
        assert_eq!(status, 200);
        client
            .rtmp
            .handle_input(std::time::Instant::now(), &body[1..])
            .expect("sound bytes");
        for number in 2..5 {
            called(&mut client, &mut new, &peers[0]).await;
            answered(&mut client, &peers[0], f64::from(number)).await;
        }
        client.connections.push(Http::connect(&new, from).await);
        for _ in 0..=connections {
            called(&mut client, &mut new, &peers[0]).await;
        }
        let path = format!("/close/{}/{}", client.id, client.sequence);
        let answer = client.connections[0].ask(&path, &[0]).await;
        assert_eq!(answer, (200, vec![0]));
        assert_eq!(new.closed().await, CloseReason::Client);
    }
}
