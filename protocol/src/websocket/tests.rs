use proptest::prelude::*;

use super::*;
use crate::http::{FieldList, HttpRequest, Upgrade};

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame: its first byte, and its payload in the shortest form, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = ServerFrameHead::binary(payload.len()).as_ref().to_vec();
    bytes[0] = first;
    bytes[1] |= 0x80;
    bytes.extend(KEY);
    let keys = KEY.iter().cycle();
    bytes.extend(payload.iter().zip(keys).map(|(byte, key)| byte ^ key));
    bytes
}

/// An event that owns its bytes; payloads that follow each other are one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Payload(Vec<u8>),
    Ping(Vec<u8>),
    Close(Option<u16>),
}

type Outcome = (Vec<Seen>, Result<(), WebSocketFault>);

/// Reads pieces of these lengths in turn, then the rest.
fn read(bytes: &[u8], steps: &[usize]) -> Outcome {
    let mut reader = WebSocketReader::default();
    let mut seen = Vec::new();
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    let mut steps = steps.iter().cycle();
    while !rest.is_empty() {
        let step = steps.next().copied().unwrap_or(usize::MAX).min(rest.len());
        let (mut piece, behind) = rest.split_at_mut(step);
        rest = behind;
        loop {
            match reader.read(&mut piece) {
                Ok(Some(event)) => note(&mut seen, event),
                Ok(None) => break,
                Err(fault) => return (seen, Err(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (seen, Ok(()))
}

fn note(seen: &mut Vec<Seen>, event: WebSocketEvent<'_>) {
    match event {
        WebSocketEvent::Payload(bytes) => {
            assert!(!bytes.is_empty());
            match seen.last_mut() {
                Some(Seen::Payload(before)) => before.extend_from_slice(bytes),
                _ => seen.push(Seen::Payload(bytes.to_vec())),
            }
        }
        WebSocketEvent::Ping(payload) => seen.push(Seen::Ping(payload.as_ref().to_vec())),
        WebSocketEvent::Close(code) => seen.push(Seen::Close(code.map(|code| code.0))),
    }
}

/// The outcome, which is the same whole and in pieces of every size.
fn outcome(name: &str, bytes: &[u8]) -> Outcome {
    let whole = read(bytes, &[]);
    for step in 1..bytes.len().min(40) {
        assert_eq!(read(bytes, &[step]), whole, "{name}, {step} at a time");
    }
    whole
}

#[test]
fn frames_are_read_and_their_bounds_forgotten() {
    let payload = |text: &str| Seen::Payload(text.as_bytes().to_vec());
    let long: Vec<u8> = (0..70_000_u32).map(|n| n as u8).collect();
    let frames = |frames: &[(u8, &[u8])]| {
        let each = frames.iter().map(|(first, payload)| frame(*first, payload));
        each.collect::<Vec<_>>().concat()
    };
    let whole = |length: usize| {
        let bytes = frame(0x82, &long[..length]);
        (bytes, vec![Seen::Payload(long[..length].to_vec())])
    };
    let table = [
        // RFC 6455, section 5.7: a masked "Hello", here in a binary message.
        (
            b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58".to_vec(),
            vec![payload("Hello")],
        ),
        (frames(&[(0x82, b"")]), vec![]),
        (
            frames(&[(0x82, b"ab"), (0x82, b"cde")]),
            vec![payload("abcde")],
        ),
        (
            frames(&[
                (0x02, b"a"),
                (0x00, b""),
                (0x00, b"bcdef"),
                (0x80, b"g"),
                (0x82, b"h"),
            ]),
            vec![payload("abcdefgh")],
        ),
        (
            frames(&[(0x02, b"a"), (0x89, b"x"), (0x80, b"b")]),
            vec![payload("a"), Seen::Ping(b"x".to_vec()), payload("b")],
        ),
        (frames(&[(0x89, b"")]), vec![Seen::Ping(vec![])]),
        (
            frames(&[(0x89, &[7; MAX_CONTROL])]),
            vec![Seen::Ping(vec![7; MAX_CONTROL])],
        ),
        (
            frames(&[(0x8a, b""), (0x8a, b"abc"), (0x82, b"d")]),
            vec![payload("d")],
        ),
        whole(125),
        whole(126),
        whole(65_535),
        whole(65_536),
        whole(70_000),
        (
            [
                frames(&[(0x88, b"\x03\xe8bye"), (0x82, b"x")]),
                vec![0xff; 9],
            ]
            .concat(),
            vec![Seen::Close(Some(1000))],
        ),
        (frames(&[(0x88, b"")]), vec![Seen::Close(None)]),
    ];
    for (n, (bytes, expected)) in table.into_iter().enumerate() {
        let name = format!("row {n}");
        assert_eq!(outcome(&name, &bytes), (expected, Ok(())), "{name}");
    }
}

#[test]
fn frames_that_break_the_protocol_are_refused() {
    use WebSocketFault::*;
    let raw = |bytes: &[u8]| [bytes, &[0; 8], &KEY].concat();
    let opcode = |opcode| Opcode { opcode };
    let table = [
        ("no mask", raw(&[0x82, 0x05]), Unmasked, 1002),
        ("no mask, empty", raw(&[0x82, 0x00]), Unmasked, 1002),
        ("RSV1, compression", frame(0xc2, b"a"), ReservedBits, 1002),
        ("RSV2", frame(0xa2, b"a"), ReservedBits, 1002),
        ("RSV3", frame(0x92, b"a"), ReservedBits, 1002),
        ("text", frame(0x81, b"hi"), Text, 1003),
        ("text in fragments", frame(0x01, b"hi"), Text, 1003),
        ("opcode 3", frame(0x83, b"a"), opcode(3), 1002),
        ("opcode 7", frame(0x87, b"a"), opcode(7), 1002),
        ("opcode 11", frame(0x8b, b"a"), opcode(11), 1002),
        ("opcode 15", frame(0x8f, b"a"), opcode(15), 1002),
        ("ping in fragments", frame(0x09, b"a"), Control, 1002),
        ("close in fragments", frame(0x08, b""), Control, 1002),
        ("a long ping", frame(0x89, &[0; 126]), Control, 1002),
        ("a long close", raw(&[0x88, 0xff]), Control, 1002),
        ("no beginning", frame(0x80, b"a"), Fragment, 1002),
        ("no beginning, more", frame(0x00, b"a"), Fragment, 1002),
        (
            "two beginnings",
            [frame(0x02, b""), frame(0x82, b"")].concat(),
            Fragment,
            1002,
        ),
        (
            "one beginning too few",
            [frame(0x02, b""), frame(0x80, b""), frame(0x80, b"")].concat(),
            Fragment,
            1002,
        ),
        ("125 in two bytes", raw(&[0x82, 0xfe, 0, 125]), Length, 1002),
        (
            "65,535 in eight bytes",
            raw(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff]),
            Length,
            1002,
        ),
        (
            "the top bit",
            raw(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0]),
            Length,
            1002,
        ),
        ("half a code", frame(0x88, b"\x03"), CloseCode, 1002),
        ("reserved", frame(0x88, b"\x03\xed"), CloseCode, 1002),
        ("no text", frame(0x88, b"\x03\xe8\xff"), CloseReason, 1007),
    ];
    for (name, bytes, fault, code) in table {
        let (seen, result) = outcome(name, &bytes);
        assert_eq!((seen, result), (vec![], Err(fault)), "{name}");
        assert_eq!(fault.close(), WebSocketClose(code), "{name}");
        assert!(fault.reason().starts_with("websocket_"));
        assert!(fault.to_string().contains("WebSocket"));
    }
}

#[test]
fn the_longest_frame_takes_no_memory() {
    let mut head = [&[0x82, 0xff, 0x7f][..], &[0xff; 7], &KEY].concat();
    let mut reader = WebSocketReader::default();
    assert_eq!(reader.read(&mut &mut head[..]), Ok(None));
    for round in 0..5_u8 {
        let mut bytes = [round; 1000];
        let keys = KEY.iter().cycle();
        let expected: Vec<u8> = bytes.iter().zip(keys).map(|(a, b)| a ^ b).collect();
        let event = reader.read(&mut &mut bytes[..]);
        assert_eq!(event, Ok(Some(WebSocketEvent::Payload(&expected))));
    }
    assert!(size_of::<WebSocketReader>() <= 32);
}

#[test]
fn codes_that_may_be_sent() {
    for code in [1000, 1003, 1007, 1011, 1014, 3000, 4999] {
        assert!(WebSocketClose(code).may_be_sent(), "{code}");
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert!(!WebSocketClose(code).may_be_sent(), "{code}");
    }
}

#[test]
fn heads_of_the_server_have_the_shortest_form() {
    let table: [(usize, &[u8]); 7] = [
        (0, &[0x82, 0]),
        (1, &[0x82, 1]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (16_777_215, &[0x82, 127, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff]),
    ];
    for (length, bytes) in table {
        assert_eq!(ServerFrameHead::binary(length).as_ref(), bytes);
    }
}

#[test]
fn pongs_and_closes_are_whole_frames() {
    let mut out = Vec::new();
    write_pong(b"", &mut out);
    write_pong(b"ab", &mut out);
    write_close(None, &mut out);
    write_close(Some(WebSocketClose::UNSUPPORTED), &mut out);
    assert_eq!(out, b"\x8a\0\x8a\x02ab\x88\0\x88\x02\x03\xeb");
    out.clear();
    write_pong(&[1; 200], &mut out);
    assert_eq!(out[..2], [0x8a, MAX_CONTROL as u8]);
    assert_eq!(out.len(), 2 + MAX_CONTROL);
}

/// The offered subprotocols, read from these lines of a request.
fn with_offers(lines: &[&str], check: impl FnOnce(&Upgrade<'_>)) {
    let lines: String = lines
        .iter()
        .map(|line| format!("Sec-WebSocket-Protocol: {line}\r\n"))
        .collect();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{lines}\r\n"
    );
    let read = HttpRequest::read(head.as_bytes());
    let (request, _) = read.expect("a request").expect("all of it");
    check(&request.upgrade.expect("a WebSocket"));
}

#[test]
fn a_known_subprotocol_is_echoed() {
    let table: [(&[&str], Option<&str>); 8] = [
        (&[], None),
        (&["binary"], Some("binary")),
        (&["binary, rtmp"], Some("rtmp")),
        (&["binary", "rtmp"], Some("rtmp")),
        (&["base64, binary"], Some("binary")),
        (&["base64"], None),
        (&["RTMP"], None),
        (&["rtmps, xrtmp"], None),
    ];
    for (lines, expected) in table {
        with_offers(lines, |upgrade| {
            assert_eq!(
                choose_subprotocol(&upgrade.protocols),
                expected,
                "{lines:?}"
            );
        });
    }
    assert_eq!(choose_subprotocol(&FieldList::default()), None);
}

#[test]
fn the_answer_to_a_request_is_that_of_the_specification() {
    // RFC 6455, section 1.3.
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (lines, end) in [
        (&[][..], "\r\n"),
        (&["binary"], "Sec-WebSocket-Protocol: binary\r\n\r\n"),
    ] {
        with_offers(lines, |upgrade| {
            let mut out = Vec::new();
            write_accept(upgrade, &mut out);
            let text = String::from_utf8(out).expect("text");
            assert_eq!(text, format!("{head}{end}"));
            assert!(text.len() <= MAX_ACCEPT);
        });
    }
}

/// A client's frames that mean something, with the events that they lead to.
fn any_frames() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let control = prop::collection::vec(any::<u8>(), 0..=MAX_CONTROL);
    let frame = prop_oneof![
        3 => payload.prop_map(|bytes| (0x02, bytes)),
        1 => control.clone().prop_map(|bytes| (0x89, bytes)),
        1 => control.prop_map(|bytes| (0x8a, bytes)),
    ];
    prop::collection::vec(frame, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_any_frames_gives_the_same(
        frames in any_frames(),
        ends in any::<u32>(),
        steps in prop::collection::vec(1_usize..50, 1..5),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let mut in_message = false;
        for (n, (first, payload)) in frames.iter().enumerate() {
            let mut first = *first;
            if first == 0x02 {
                let is_last = ends >> n & 1 != 0;
                first = if in_message { 0x00 } else { 0x02 } | if is_last { 0x80 } else { 0 };
                in_message = !is_last;
                if !payload.is_empty() {
                    note(&mut expected, WebSocketEvent::Payload(payload));
                }
            } else if first == 0x89 {
                expected.push(Seen::Ping(payload.clone()));
            }
            bytes.extend(frame(first, payload));
        }
        prop_assert_eq!(read(&bytes, &steps), (expected, Ok(())));
    }

    #[test]
    fn any_bytes_end_alike_in_any_split(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        steps in prop::collection::vec(1_usize..20, 1..5),
    ) {
        prop_assert_eq!(read(&bytes, &steps), read(&bytes, &[]));
    }
}
