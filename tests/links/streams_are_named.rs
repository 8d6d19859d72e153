//! The edge of a viewer gets the name of the live stream that it plays.

use tributary_node::link::greet;
use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::Command,
    link::{Hello, ToSession, features, lane_frame::ToEdge},
};

use crate::{
    a_newer_link_fences_an_older::{open_lane, opening, write},
    rig::{Ca, Origin, RawEdge},
    unread_publishes::{Orders, send},
};

#[tokio::test]
async fn an_edge_with_the_feature_gets_the_name_of_a_stream_without_its_query() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    for (node, features, expected) in [("new", features::NAMED, Some("cam")), ("old", 0, None)] {
        let edge = RawEdge::new(&ca, node, &origin);
        let link = edge.dial().await;
        let hello = Hello {
            features,
            ..edge.hello(1, 1)
        };
        let _control = greet(&link, hello).await.expect("the origin's hello");
        let (mut lane, recv, _) = open_lane(&link, 1, None).await;
        let mut orders = Orders::new(recv);
        write(&mut lane, &[opening(1)]).await;
        for (stream, name) in [(1, "publish"), (2, "play")] {
            let create = Command::new("createStream", TransactionId(2.0)).with(Value::Null);
            send(&mut lane, 0, create).await;
            let command = Command::new(name, TransactionId(0.0)).with("/cam?key=1");
            send(&mut lane, stream, command).await;
        }
        let name = loop {
            if let ToEdge::Session {
                order: ToSession::Attach { source, .. },
                ..
            } = orders.next().await
            {
                break source.name;
            }
        };
        assert_eq!(name.as_deref(), expected, "{node}");
    }
}
