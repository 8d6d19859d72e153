//! Settings that change while clients are served.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener as StdTcpListener},
    sync::Arc,
};

use tributary_gate::Access;
use tributary_node::config::Application;
use tributary_protocol::{amf::Object, session::ClientEvent};

use super::support::{Client, Edge, config, own_address};
use crate::{
    Config, Reloader,
    config::{Listen, Protocol},
    tls::Certificates,
};

/// An address with a port that was free a moment ago.
fn free() -> SocketAddr {
    let socket = StdTcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("the address of a socket")
}

fn reloader(edge: &Edge) -> Reloader {
    Reloader {
        clients: Arc::clone(edge.running.controls()),
        certificates: Certificates::none(),
    }
}

fn reload(
    edge: &Edge,
    config: &Config,
    applications: &[(&str, Application)],
) -> Result<(), String> {
    let applications: BTreeMap<_, _> = (applications.iter())
        .map(|(name, settings)| ((*name).to_owned(), settings.clone()))
        .collect();
    let reloaded = reloader(edge).reload(config, &BTreeMap::new(), &applications);
    reloaded.map_err(|mistakes| mistakes.to_string())
}

#[tokio::test]
async fn listeners_come_and_go_and_clients_stay() {
    let (first, second) = (free(), free());
    let listening = |listen: Vec<Listen>| Config {
        rtmp: None,
        listen,
        ..config()
    };
    let one = listening(vec![Listen::rtmp(first)]);
    let mut edge = Edge::start_with(&one);
    let (mut client, peer) = edge.session().await;

    // The same again, and one more.
    reload(&edge, &one, &[]).unwrap();
    let two = listening(vec![Listen::rtmp(first), Listen::rtmp(second)]);
    reload(&edge, &two, &[]).unwrap();
    let both = vec![(Protocol::Rtmp, first), (Protocol::Rtmp, second)];
    assert_eq!(edge.running.listening(), both);
    for address in [first, second] {
        Client::connect(address, own_address()).await;
    }

    // An address that another program has: nothing changes.
    let other = StdTcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("the address of a socket");
    let wrong = listening(vec![Listen::rtmp(taken), Listen::rtmp(second)]);
    let why = reload(&edge, &wrong, &[]).unwrap_err();
    assert!(why.contains("edge.listen: cannot listen on"), "{why}");
    assert_eq!(edge.running.listening(), both);

    // The first one goes; its client stays.
    reload(&edge, &listening(vec![Listen::rtmp(second)]), &[]).unwrap();
    edge.until("the listener is closed", |_| {
        std::net::TcpStream::connect(first).is_err()
    })
    .await;
    Client::connect(second, own_address()).await;
    client.connection.call("echo", Vec::new());
    client.send().await;
    let (command, _) = edge.command(&peer).await;
    assert_eq!(command.name, "echo");
}

#[tokio::test]
async fn the_next_session_has_the_new_policies() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let denied = Application {
        access: Access {
            deny: ["127.0.0.0/8".parse().expect("a network")]
                .into_iter()
                .collect(),
            ..Access::default()
        },
        ..Application::default()
    };
    reload(&edge, &config(), &[("live", denied)]).unwrap();
    let mut refused = edge.client().await;
    let properties = Object::new().with("app", "live/room");
    refused.connection.connect(properties, Vec::new());
    refused.send().await;
    let events = refused.rest().await;
    let is_rejected = |event: &ClientEvent| matches!(event, ClientEvent::Rejected(_));
    assert!(events.iter().any(is_rejected), "{events:?}");
    client.connection.call("echo", Vec::new());
    client.send().await;
    assert_eq!(edge.command(&peer).await.0.name, "echo");
}
