//! Rows 8 to 14: the messages in the chunks.

use super::*;

/// AMF0 values that no decoder may follow to their end.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("row 8: nested objects", [3, 0, 1, b'a'].repeat(50_000)),
        ("row 8: nested arrays", [10, 0, 0, 0, 1].repeat(40_000)),
        (
            "row 8: four billion elements",
            vec![10, 0xff, 0xff, 0xff, 0xff, 5],
        ),
        (
            "row 8: four billion properties",
            vec![8, 0xff, 0xff, 0xff, 0xff, 0, 1, b'a', 5],
        ),
        ("row 8: a string beyond the end", vec![2, 0xff, 0xff, b'a']),
        (
            "row 8: a long string of four billion",
            vec![12, 0xff, 0xff, 0xff, 0xff, b'a'],
        ),
        ("row 9: a reference to nothing", vec![7, 0x12, 0x34]),
        (
            "row 8: an AMF3 integer of five bytes",
            vec![0x11, 4, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "row 9: AMF3 traits that are not there",
            vec![0x11, 0x0a, 0x05],
        ),
    ]
}

/// An object of about a kilobyte, and references to it, each a value of its own.
fn repeated(references: usize) -> Vec<u8> {
    let text = "y".repeat(1000);
    let object = Amf::Object(vec![("a".into(), text.as_str().into())]);
    let mut bytes = Amf::encode_all(&[object]);
    bytes.extend([7, 0, 0].repeat(references));
    bytes
}

#[test]
fn bombs_in_a_connect() {
    let neighbours = Neighbours::start();
    let connect = Amf::encode_all(&["connect".into(), 1.0.into()]);
    for (what, bomb) in bombs() {
        let begun = Instant::now();
        neighbours.closes_for(what, "connect_malformed", |server| {
            let mut client = Wired::open(server).expect("a handshake");
            let payload = [connect.as_slice(), &bomb].concat();
            client
                .send(&message(3, wire::COMMAND_AMF0, 0, &payload))
                .expect("an open connection");
            assert!(client.wait_closed(PATIENCE), "{what}");
        });
        println!("{what}: {:?}", begun.elapsed());
    }
    neighbours.unharmed();
}

#[test]
fn bombs_in_a_call() {
    let neighbours = Neighbours::start();
    let call = Amf::encode_all(&["echo".into(), 7.0.into(), Amf::Null]);
    // The edge passes commands on undecoded: the origin counts and logs these.
    let closed = || {
        let origin = &neighbours.cluster.origins[0];
        let metrics = neighbours.cluster.origin_metrics(0);
        let counted = metrics.with("tributary_origin_sessions_ended_total", PROTOCOL_ERROR);
        let log = origin.log();
        let lines = log.lines().filter(|line| line.contains(PROTOCOL_ERROR));
        (counted, lines.count())
    };
    let mut expected = closed();
    let too_many = ("row 9: five megabytes of references", repeated(5000));
    for (what, bomb) in bombs().into_iter().chain([too_many]) {
        let mut client = Wired::session(neighbours.server(), "counter/bombs");
        let payload = [call.as_slice(), &bomb].concat();
        client
            .send(&message(3, wire::COMMAND_AMF0, 0, &payload))
            .expect("an open connection");
        assert!(client.wait_closed(PATIENCE), "{what}");
        expected = (expected.0 + 1.0, expected.1 + 1);
        wait::until(&format!("{what} is counted and logged"), PATIENCE, || {
            let now = closed();
            now.0 >= expected.0 && now.1 >= expected.1
        });
        assert_eq!(closed(), expected, "{what} is counted and logged once");
    }
    // References that decode to less than a mebibyte are accepted.
    let mut client = Wired::session(neighbours.server(), "counter/bombs");
    let payload = [call.as_slice(), &repeated(500)].concat();
    client
        .send(&message(3, wire::COMMAND_AMF0, 0, &payload))
        .expect("an open connection");
    let answer = client.wait(PATIENCE, |message| answers(message) == Some(7.0));
    let answer = answer.expect("row 9: half a megabyte of references is answered");
    assert_eq!(answer.name().as_deref(), Some("_result"));
    assert!(answer.payload.len() < 1 << 20, "{}", answer.payload.len());
    drop(client);
    neighbours.unharmed();
}

#[test]
fn more_streams_than_anybody_needs() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/streams");
    let mut made = 0;
    for _ in 0..200 {
        let answer = client.call("createStream", &[]);
        match answer.name().as_deref() {
            Some("_result") => made += 1,
            _ => {
                let code = answer.code();
                assert_eq!(code.as_deref(), Some("NetConnection.Call.Failed"));
            }
        }
    }
    assert_eq!(made, 64, "row 10: message streams of a connection");
    let served = client.call("count", &[1.0.into()]);
    assert_eq!(
        served.name().as_deref(),
        Some("_result"),
        "and it is served"
    );
    drop(client);
    for transaction in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
        let mut client = Wired::session(neighbours.server(), "counter/numbers");
        for (name, argument) in [("createStream", Amf::Null), ("deleteStream", 1e300.into())] {
            let call = [name.into(), transaction.into(), Amf::Null, argument];
            client.command(0, &call).expect("an open connection");
        }
        let play = ["play".into(), transaction.into(), Amf::Null, "x".into()];
        let play = [&play[..], &[f64::NAN.into(), transaction.into()]].concat();
        client.command(1, &play).expect("an open connection");
        let served = client.call("count", &[1.0.into()]);
        let name = served.name();
        assert_eq!(name.as_deref(), Some("_result"), "row 10: {transaction}");
    }
    neighbours.closes_for("row 10: 65 publishes", "too_many_publishes", |server| {
        let mut client = Wired::session(server, "live");
        for stream in 1..=65 {
            let publish = ["publish".into(), 0.0.into(), Amf::Null, "x".into()];
            client
                .command(stream, &publish)
                .expect("an open connection");
        }
        assert!(client.wait_closed(PATIENCE), "row 10: 65 publishes");
    });
    neighbours.unharmed();
}

#[test]
fn names_that_lead_astray() {
    let neighbours = Neighbours::start();
    let (long, longer) = ("n".repeat(600), "n".repeat(65_000));
    for (app, fault) in [
        ("../live", "app_traversal"),
        ("live/../../etc", "app_traversal"),
        ("live/..", "app_traversal"),
        ("live/\u{0}room", "app_control_character"),
        ("live\u{7}", "app_control_character"),
        ("", "app_empty"),
        ("/", "app_empty"),
        (&long, "app_too_long"),
        (&longer, "app_too_long"),
    ] {
        neighbours.closes_for(&format!("row 11: {app:.20?}"), fault, |server| {
            let mut client = Wired::open(server).expect("a handshake");
            let values = wire::connect(app, "rtmp://x/y");
            client.command(0, &values).expect("an open connection");
            client.wait_code("NetConnection.Connect.InvalidApp");
            assert!(client.wait_closed(PATIENCE), "row 11: {app:.20?}");
        });
    }
    // Names of applications are case-sensitive: the connect is refused and no fault is counted.
    let mut client = Wired::open(neighbours.server()).expect("a handshake");
    let values = wire::connect("LIVE", "rtmp://x/y");
    client.command(0, &values).expect("an open connection");
    client.wait_code("NetConnection.Connect.InvalidApp");
    assert!(client.wait_closed(PATIENCE), "row 11: LIVE");
    let names = ["../../etc/passwd", "a\u{0}b", "", &longer];
    let mut client = Wired::session(neighbours.server(), "live");
    let stream = client.create_stream();
    for name in names {
        let code = client.publish(stream, name);
        assert_eq!(code, "NetStream.Publish.BadName", "row 11: {name:.20?}");
        client.play(stream, name);
        client.wait_code("NetStream.Play.Failed");
    }
    drop(client);
    neighbours.unharmed();
}

#[test]
fn acknowledgements_of_every_kind() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/acks");
    for size in [0_u32, 1, 2, u32::MAX] {
        client
            .send(&control(5, &size.to_be_bytes()))
            .expect("an open connection");
        let bandwidth = [&size.to_be_bytes()[..], &[2]].concat();
        client
            .send(&control(6, &bandwidth))
            .expect("an open connection");
    }
    let mut storm = Vec::new();
    for count in 0..20_000_u32 {
        let position = if count % 2 == 0 { count * 1000 } else { 5 };
        storm.extend(control(wire::ACKNOWLEDGEMENT, &position.to_be_bytes()));
    }
    client.send(&storm).expect("row 12: the storm is read");
    let answer = client.call("count", &[1.0.into()]);
    assert_eq!(
        answer.name().as_deref(),
        Some("_result"),
        "row 12: and the client is served"
    );
    drop(client);
    neighbours.unharmed();
}

/// A client that states a small window and sends no more than that before it is acknowledged.
#[test]
fn a_client_that_waits_for_each_acknowledgement() {
    let neighbours = Neighbours::start();
    for window in [5_000_u32, 12_000, 30_000] {
        let mut client = Wired::session(neighbours.server(), "counter/waits");
        client
            .send(&control(5, &window.to_be_bytes()))
            .expect("an open connection");
        // Data messages on message stream 0, which the application ignores. Every 128 bytes have a
        // header of one byte.
        let payload = vec![5; window as usize / 129 * 128 - 12];
        let data = message(3, wire::DATA_AMF0, 0, &payload);
        assert!(data.len() <= window as usize);
        for _ in 0..10 {
            client.send(&data).expect("an open connection");
            let is_acknowledgement =
                |message: &wire::Message| message.header.kind == wire::ACKNOWLEDGEMENT;
            client
                .wait(PATIENCE, is_acknowledgement)
                .expect("the window is acknowledged");
        }
    }
    neighbours.unharmed();
}

#[test]
fn times_that_jump_and_media_that_is_none() {
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let (mut viewer, _) = Wired::viewer(server, "live", "odd");
    let (mut publisher, stream) = Wired::publisher(server, "live", "odd");
    let mut number = 0;
    let mut put = |publisher: &mut Wired, timestamp: u32| {
        number += 1;
        let (kind, payload) = Codec::Avc.frames(number, true, 300).remove(0);
        publisher
            .media(stream, kind, timestamp, &payload)
            .expect("row 13: it stays");
    };
    let times = [
        0,
        40,
        0xff_fffe,
        0xff_ffff,
        0x100_0000,
        0x100_0001,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        8,
        3_600_000,
        40,
    ];
    for time in times {
        put(&mut publisher, time);
        viewer
            .wait(PATIENCE, |message| message.header.kind == wire::VIDEO)
            .unwrap_or_else(|nothing| panic!("row 13: no frame at {time:#x}: {nothing:?}"));
    }
    let odd: [(u8, &[u8]); 9] = [
        (wire::AUDIO, &[]),
        (wire::VIDEO, &[]),
        (wire::VIDEO, &[0x17]),
        (wire::DATA_AMF0, &[]),
        (wire::DATA_AMF0, &[2, 0xff]),
        (wire::VIDEO, &[0x96, 0xff, 0xff]),
        (wire::AUDIO, &[0x97, 0xff, 0xff, 0xff]),
        (99, b"what is this"),
        (0, &[]),
    ];
    for (kind, payload) in odd {
        publisher
            .media(stream, kind, 80, payload)
            .expect("row 14: it stays");
    }
    put(&mut publisher, 120);
    viewer
        .wait(PATIENCE, |message| {
            message.header.kind == wire::VIDEO && message.payload.len() == 300
        })
        .expect("row 14: the stream goes on");
    let aggregate = [9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
    // The edge may close the publisher for false sizes or skip them; the server lives on either
    // way.
    let _ = publisher.media(stream, AGGREGATE, 160, &aggregate);
    drop((publisher, viewer));
    neighbours.unharmed();
}

const PROTOCOL_ERROR: &str = "reason=\"protocol_error\"";
