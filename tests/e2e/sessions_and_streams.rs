//! Status codes for clients, their order, and refused clients.

use std::{thread, time::Duration};

use crate::support::{
    clients::wired::{PATIENCE, Wired},
    cluster::Cluster,
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Amf, Message},
};

#[test]
fn a_play_before_the_publish_waits() {
    let cluster = Cluster::start(1, 2);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "later");
    assert!(
        viewer.wait(Duration::from_secs(1), is_media).is_err(),
        "nothing is published yet"
    );
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "later", Codec::Avc, 1000);
    viewer
        .wait(PATIENCE, is_media)
        .expect("media after the publish");
    publisher.finish();
    viewer.wait_code("NetStream.Play.UnpublishNotify");
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(1), "live", "later");
    viewer.wait_code("NetStream.Play.PublishNotify");
    let frame = Codec::Avc.frames(1, true, 500);
    for (kind, payload) in frame {
        publisher
            .media(stream, kind, 0, &payload)
            .expect("an open connection");
    }
    viewer
        .wait(PATIENCE, is_media)
        .expect("media of the second publish");
}

#[test]
fn a_play_begins_in_the_decided_order() {
    let cluster = Cluster::start(1, 2);
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(0), "live", "order");
    let metadata = Amf::encode_all(&[
        "@setDataFrame".into(),
        "onMetaData".into(),
        Amf::Object(vec![("width".into(), 320.0.into())]),
    ]);
    publisher
        .media(stream, wire::DATA_AMF0, 0, &metadata)
        .expect("an open connection");
    for header in Codec::Avc.headers() {
        publisher
            .media(stream, header.message_type(), 0, &header.payload)
            .expect("an open connection");
    }
    for number in 0..10 {
        for (kind, payload) in Codec::Avc.frames(number, number == 0, 500) {
            publisher
                .media(stream, kind, number * 33, &payload)
                .expect("an open connection");
        }
    }
    let (mut viewer, played) = Wired::viewer(cluster.rtmp(1), "live", "order");
    let mut seen = Vec::new();
    let found = viewer.wait(PATIENCE, |message| {
        seen.extend(describe(message, played));
        seen.last().is_some_and(|last| last == "video key")
    });
    assert!(found.is_ok(), "{seen:#?}");
    let expected = [
        "StreamBegin",
        "NetStream.Play.Reset",
        "NetStream.Play.Start",
        "|RtmpSampleAccess",
        "onMetaData",
        "video header",
        "audio header",
        "video key",
    ];
    let order: Vec<_> = expected
        .iter()
        .map(|step| seen.iter().position(|seen| seen == step))
        .collect();
    assert!(order.iter().all(Option::is_some), "{seen:#?}");
    // Headers may come in either order; the other messages have one order.
    let mut order = order;
    order[5..7].sort();
    assert!(order.is_sorted(), "{seen:#?}");
}

#[test]
fn who_is_refused_is_told_why() {
    let cluster = Cluster::start(1, 1);
    let server = cluster.rtmp(0);

    let mut stranger = Wired::open(server).expect("a handshake");
    let answer = stranger.connect("nothing-here/room");
    assert_eq!(answer.name().as_deref(), Some("_error"));
    assert_eq!(
        answer.code().as_deref(),
        Some("NetConnection.Connect.InvalidApp")
    );
    assert!(
        stranger.wait_closed(PATIENCE),
        "a refused connect is closed"
    );

    let mut caller = Wired::session(server, "live");
    let answer = caller.call("noSuchMethod", &[1.0.into()]);
    assert_eq!(answer.name().as_deref(), Some("_error"));
    assert_eq!(answer.code().as_deref(), Some("NetConnection.Call.Failed"));

    let (mut first, stream) = Wired::publisher(server, "live", "taken");
    let mut second = Wired::session(server, "live");
    let other = second.create_stream();
    assert_eq!(second.publish(other, "taken"), "NetStream.Publish.BadName");
    let (kind, payload) = Codec::Avc.frames(1, true, 500).remove(0);
    first
        .media(stream, kind, 0, &payload)
        .expect("the first one stays");
    let answer = first.call("stillThere", &[]);
    assert_eq!(
        answer.name().as_deref(),
        Some("_error"),
        "it is answered, so it is there"
    );
}

#[test]
fn an_explicit_proxy_url_reaches_configured_origins_only() {
    let cluster = Cluster::start(2, 1);
    let mut client = Wired::open(cluster.rtmp(0)).expect("a handshake");
    let answer = client.connect("?rtmp://origin1/counter/proxied");
    assert_eq!(
        answer.code().as_deref(),
        Some("NetConnection.Connect.Success")
    );
    let mut other = Wired::session(cluster.rtmp(0), "counter/proxied");
    let members = |client: &mut Wired| {
        let values = client.call("report", &[]).values();
        let group = values
            .get(3)
            .and_then(|report| report.field("group"))
            .cloned();
        group.and_then(|group| group.field("clients").and_then(Amf::number))
    };
    let seen = (members(&mut client), members(&mut other));
    assert_eq!(seen, (Some(2.0), Some(2.0)), "it is the same group");
    for foreign in [
        "?rtmp://example.com/counter/x",
        "?rtmp://127.0.0.1:1935/counter/x",
    ] {
        let mut client = Wired::open(cluster.rtmp(0)).expect("a handshake");
        let answer = client.connect(foreign);
        let code = answer.code();
        assert_eq!(
            code.as_deref(),
            Some("NetConnection.Connect.Rejected"),
            "{foreign}"
        );
    }
}

#[test]
fn a_session_is_logged_when_it_begins_and_ends() {
    let cluster = Cluster::start(1, 1);
    let client = Wired::session(cluster.rtmp(0), "counter/logged-instance");
    let address = client.local_address().to_string();
    drop(client);
    let lines = || {
        let log = cluster.edges[0].log();
        let lines = log.lines().filter(|line| line.contains("logged-instance"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    wait::until("begin and end are logged", PATIENCE, || lines().len() >= 2);
    let lines = lines();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in &lines {
        assert!(
            line.contains("counter") && line.contains(&address),
            "{line}"
        );
    }
    assert!(lines[1].contains("reason"), "{}", lines[1]);
}

#[test]
fn a_client_that_sends_byte_by_byte_is_served() {
    let cluster = Cluster::start(1, 1);
    let mut client = Wired::open_slowly(cluster.rtmp(0));
    let answer = client.connect("counter/slow");
    assert_eq!(
        answer.code().as_deref(),
        Some("NetConnection.Connect.Success")
    );
}

#[test]
fn many_that_connect_at_once_are_all_answered() {
    let cluster = Cluster::start(1, 1);
    let server = cluster.rtmp(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let sessions = (0..150).map(|_| Wired::session(server, "counter/crowd"));
                assert_eq!(sessions.collect::<Vec<_>>().len(), 150);
            });
        }
    });
    let metrics = cluster.edge_metrics(0);
    assert_eq!(
        metrics.sum("tributary_edge_link_lost_total"),
        0.0,
        "{}",
        metrics.text()
    );
}

#[test]
fn a_call_without_transaction_is_not_answered() {
    let cluster = Cluster::start(1, 1);
    let mut client = Wired::session(cluster.rtmp(0), "counter/quiet");
    client
        .command(0, &["count".into(), 0.0.into(), Amf::Null, 1.0.into()])
        .expect("an open connection");
    let answer = client
        .send_call("count", &[2.0.into()])
        .expect("an open connection");
    let message = client
        .wait(PATIENCE, |message| {
            matches!(message.name().as_deref(), Some("_result" | "_error"))
        })
        .expect("the second call is answered");
    assert_eq!(message.values().get(1).and_then(Amf::number), Some(answer));
    client
        .command(0, &["unknownMethod".into(), 0.0.into(), Amf::Null])
        .expect("an open connection");
    let status = client.wait_code("NetConnection.Call.Failed");
    assert_eq!(status.name().as_deref(), Some("onStatus"));
}

#[test]
fn data_of_a_publisher_reaches_its_viewers_in_order() {
    let cluster = Cluster::start(1, 2);
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(0), "live", "cues");
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "cues");
    for (kind, payload) in Codec::Avc.frames(0, true, 300) {
        publisher
            .media(stream, kind, 0, &payload)
            .expect("an open connection");
    }
    viewer.wait(PATIENCE, is_media).expect("the stream");
    for number in 0..50 {
        let cue = Amf::encode_all(&["onCuePoint".into(), f64::from(number).into()]);
        publisher
            .media(stream, wire::DATA_AMF0, 33 * number, &cue)
            .expect("an open connection");
    }
    for expected in 0..50 {
        let cue = viewer
            .wait(PATIENCE, |message| {
                message.name().as_deref() == Some("onCuePoint")
            })
            .expect("every cue point");
        assert_eq!(cue.values()[1].number(), Some(f64::from(expected)));
    }
}

fn is_media(message: &Message) -> bool {
    matches!(message.header.kind, wire::AUDIO | wire::VIDEO)
}

/// A short name of a message for a player.
fn describe(message: &Message, stream: u32) -> Option<String> {
    let payload = &message.payload;
    let text = match message.header.kind {
        wire::USER_CONTROL if payload[..2] == [0, 0] && payload[2..] == stream.to_be_bytes() => {
            "StreamBegin"
        }
        wire::VIDEO if payload.get(1) == Some(&0) => "video header",
        wire::VIDEO if payload[0] >> 4 == 1 => "video key",
        wire::AUDIO if payload.get(1) == Some(&0) => "audio header",
        _ => return message.code().or_else(|| message.name()),
    };
    Some(text.to_owned())
}
