use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::*;
use crate::{cert, tls::Role};

/// Two endpoints, which keep the link between them: the edge's, the origin's, the link's two ends.
pub(crate) async fn pair() -> (Endpoint, Endpoint, Link, Link) {
    let identities = cert::temporary().unwrap();
    let origin = Endpoint::accepting(
        "127.0.0.1:0".parse().unwrap(),
        &identities.origin,
        &[Role::Edge],
    )
    .unwrap();
    let edge = Endpoint::dialling(&identities.edge, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = origin.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(edge.connect(address), async {
        origin.accept().await.unwrap().handshake().await
    });
    (edge, origin, dialled.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn both_ends_know_each_other_and_exchange_bytes() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    assert_eq!(dialled.peer().name, "origin");
    assert_eq!(accepted.peer().name, "edge");
    let (mut send, _recv) = dialled.open_lane(StreamKind::Lane).await.unwrap();
    send.write(&mut [Bytes::from_static(b"he"), Bytes::from_static(b"llo")])
        .await
        .unwrap();
    send.finish();
    let (_send, mut recv) = accepted.accept_lane(StreamKind::Lane).await.unwrap();
    let mut pieces = Vec::new();
    while recv.read(&mut pieces).await.unwrap() {}
    assert_eq!(pieces.concat(), b"hello");
}

#[tokio::test]
async fn more_lanes_than_the_untrusted_limit_open_once_the_peer_is_known() {
    let (_edge, _origin, dialled, _accepted) = pair().await;
    let mut lanes = Vec::new();
    for _ in 0..1000 {
        let lane = timeout(Duration::from_secs(5), dialled.open_lane(StreamKind::Lane)).await;
        lanes.push(lane.expect("the limit was raised").unwrap());
    }
}

#[tokio::test]
async fn an_edge_is_refused_where_an_origin_is_wanted() {
    let identities = cert::temporary().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    // An accepting endpoint with an edge's certificate.
    let impostor = Endpoint::accepting(any, &identities.edge, &[Role::Edge]).unwrap();
    let edge = Endpoint::dialling(&identities.edge, any).unwrap();
    let address = impostor.local_addr().unwrap();
    let accept = tokio::spawn(async move { impostor.accept().await.unwrap().handshake().await });
    let refused = edge.connect(address).await.unwrap_err();
    assert!(
        matches!(&refused, LinkError::Refused(why) if why.contains("no origin")),
        "{refused}"
    );
    accept.abort();
}

#[tokio::test]
async fn a_stranger_to_the_ca_gets_no_link() {
    let (ours, theirs) = (cert::temporary().unwrap(), cert::temporary().unwrap());
    let any = "127.0.0.1:0".parse().unwrap();
    let origin = Endpoint::accepting(any, &ours.origin, &[Role::Edge]).unwrap();
    let edge = Endpoint::dialling(&theirs.edge, any).unwrap();
    let address = origin.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(edge.connect(address), async {
        origin.accept().await.unwrap().handshake().await
    });
    assert!(dialled.is_err());
    assert!(accepted.is_err());
}

#[tokio::test]
async fn closing_tells_the_peer_why() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    accepted.close(CloseCode::Fenced);
    assert_eq!(dialled.closed().await, LinkError::Closed(3));
    assert_eq!(accepted.closed().await, LinkError::Local);
}

#[tokio::test]
async fn a_flood_of_dials_is_held_to_a_number_of_handshakes() {
    let identities = cert::temporary().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let origin = Endpoint::accepting(any, &identities.origin, &[Role::Edge]).unwrap();
    let address = origin.local_addr().unwrap();
    let edge = Arc::new(Endpoint::dialling(&identities.edge, any).unwrap());
    let dials: Vec<_> = (0..2 * settings::HANDSHAKES)
        .map(|_| {
            let edge = Arc::clone(&edge);
            tokio::spawn(async move { edge.connect(address).await })
        })
        .collect();
    let mut held = Vec::new();
    while let Ok(Some(incoming)) = timeout(Duration::from_secs(1), origin.accept()).await {
        held.push(incoming);
    }
    assert_eq!(held.len(), settings::HANDSHAKES);
    // The dropped handshakes make room again.
    drop(held);
    let again = timeout(Duration::from_secs(5), origin.accept()).await;
    assert!(again.is_ok());
    for dial in dials {
        dial.abort();
    }
}

#[tokio::test]
async fn a_peer_that_says_nothing_more_is_given_up_in_five_seconds() {
    let identities = cert::temporary().unwrap();
    let edge = Endpoint::dialling(&identities.edge, "127.0.0.1:0".parse().unwrap()).unwrap();
    // A socket that receives and never answers.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let start = std::time::Instant::now();
    let refused = edge.connect(silent.local_addr().unwrap()).await;
    assert_eq!(refused.unwrap_err(), LinkError::TimedOut);
    assert!(start.elapsed() <= settings::HANDSHAKE + Duration::from_secs(1));
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_with_the_remedy() {
    let (ours, theirs) = (cert::temporary().unwrap(), cert::temporary().unwrap());
    let any = "127.0.0.1:0".parse().unwrap();
    let origin = Endpoint::accepting(any, &ours.origin, &[Role::Edge]).unwrap();
    let stranger = Endpoint::dialling(&theirs.edge, any).unwrap();
    let address = origin.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(stranger.connect(address), async {
        origin.accept().await.unwrap().handshake().await
    });
    for refused in [dialled.unwrap_err(), accepted.unwrap_err()] {
        let told = refused.to_string();
        assert!(told.contains("must come from one CA"), "{told}");
    }
}

#[tokio::test]
async fn a_stop_is_orderly_at_both_ends() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    dialled.close(CloseCode::Shutdown);
    for ended in [dialled.closed().await, accepted.closed().await] {
        assert!(ended.is_orderly(), "{ended}");
    }
    let (_edge, _origin, dialled, accepted) = pair().await;
    dialled.close(CloseCode::Protocol);
    assert!(!accepted.closed().await.is_orderly());
}
