//! Rows 8 to 14: what the chunks carry.

use super::*;

#[test]
fn bombs_in_amf() {
    let neighbours = Neighbours::start();
    let connect = Amf::encode_all(&["connect".into(), 1.0.into()]);
    let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(100_000);
    let strict: Vec<u8> = [10, 0, 0, 0, 1].repeat(100_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("row 8: nested objects", deep),
        ("row 8: nested arrays", strict),
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
    ];
    for (what, bomb) in cases {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        let payload = [connect.as_slice(), &bomb].concat();
        let begun = Instant::now();
        client
            .send(&message(3, wire::COMMAND_AMF0, 0, &payload))
            .expect("an open connection");
        // A close, or an answer that is not a yes: which one is the connect's own affair.
        let answer = client.wait(PATIENCE, |message| message.code().is_some());
        if let Ok(answer) = answer {
            let code = answer.code().unwrap_or_default();
            assert_ne!(code, "NetConnection.Connect.Success", "{what}");
        }
        println!("{what}: {:?}", begun.elapsed());
    }
    neighbours.unharmed();
}

#[test]
fn more_streams_than_anybody_needs() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/streams");
    let mut refused = 0;
    for _ in 0..200 {
        // Either it says no, or it closes; both end the flood.
        let Ok(transaction) = client.send_call("createStream", &[]) else {
            break;
        };
        let answer = client.wait(PATIENCE, |message| {
            matches!(message.name().as_deref(), Some("_result" | "_error"))
        });
        match answer {
            Ok(answer) => {
                assert_eq!(answer.values()[1].number(), Some(transaction));
                refused += u32::from(answer.name().as_deref() == Some("_error"));
            }
            Err(_) => {
                refused += 1;
                break;
            }
        }
    }
    assert!(refused > 0, "row 10: 200 message streams are too many");
    for transaction in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
        let mut client = Wired::session(neighbours.server(), "counter/numbers");
        let call = ["createStream".into(), transaction.into(), Amf::Null];
        client.command(0, &call).expect("an open connection");
        let play = [
            "play".into(),
            transaction.into(),
            Amf::Null,
            "x".into(),
            f64::NAN.into(),
        ];
        client.command(0, &play).expect("an open connection");
        // Whatever the answer is, the next connection is served.
        let _ = client.next(Duration::from_millis(300));
    }
    neighbours.unharmed();
}

#[test]
fn names_that_lead_astray() {
    let neighbours = Neighbours::start();
    let apps = [
        "../live",
        "live/../../etc",
        "live/\u{0}room",
        "live\u{7}",
        "",
        "/",
        "LIVE",
        "live/..",
    ];
    for app in apps {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        let values = wire::connect(app, "rtmp://x/y");
        client.command(0, &values).expect("an open connection");
        let answer = client.wait(PATIENCE, |message| message.code().is_some());
        let code = answer
            .ok()
            .and_then(|answer| answer.code())
            .unwrap_or_default();
        assert_ne!(code, "NetConnection.Connect.Success", "row 11: {app:?}");
    }
    let long = "n".repeat(60_000);
    for name in ["../../etc/passwd", "a\u{0}b", "", long.as_str()] {
        let client = Wired::session(neighbours.server(), "live");
        let code = client.publish_refused(name);
        assert_ne!(code, "NetStream.Publish.Start", "row 11: {:.20?}", name);
    }
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
    // Sizes that lie end the publisher or are passed over; the server lives on either way.
    let _ = publisher.media(stream, AGGREGATE, 160, &aggregate);
    neighbours.unharmed();
}
