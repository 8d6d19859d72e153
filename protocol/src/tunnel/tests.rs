use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::http::HttpRequest;

const ID: TunnelId = TunnelId {
    worker: 0x0a1b,
    secret: 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
};
const TEXT: &str = "0a1b0123456789abcdeffedcba9876543210";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The meaning of a POST to this path.
fn request(path: &str) -> Option<TunnelRequest> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    let read = HttpRequest::read(head.as_bytes()).expect("a request");
    TunnelRequest::read(&read.expect("all of it").0)
}

#[test]
fn paths_are_requests() {
    let place = |sequence| TunnelPlace { id: ID, sequence };
    let table = [
        ("/fcs/ident2".to_owned(), TunnelRequest::Ident),
        ("/open/1".to_owned(), TunnelRequest::Open),
        ("/open/1?x=y".to_owned(), TunnelRequest::Open),
        (format!("/send/{TEXT}/0"), TunnelRequest::Send(place(0))),
        (format!("/idle/{TEXT}/17"), TunnelRequest::Idle(place(17))),
        (
            format!("/close/{TEXT}/18446744073709551615"),
            TunnelRequest::Close(place(u64::MAX)),
        ),
    ];
    for (path, expected) in table {
        assert_eq!(request(&path), Some(expected), "{path}");
    }
}

#[test]
fn other_paths_are_not_found() {
    let upper = TEXT.to_ascii_uppercase();
    for path in [
        "/",
        "/open",
        "/open/",
        "/open/2",
        "/open/1/",
        "//open/1",
        "/fcs/ident",
        "/fcs/ident2/1",
        "/send/1/2",
        "/Send/0a1b0123456789abcdeffedcba9876543210/1",
        "/send/0a1b0123456789abcdeffedcba9876543210",
        "/send/0a1b0123456789abcdeffedcba9876543210/",
        "/send/0a1b0123456789abcdeffedcba9876543210/-1",
        "/send/0a1b0123456789abcdeffedcba9876543210/+1",
        "/send/0a1b0123456789abcdeffedcba9876543210/1/2",
        "/send/0a1b0123456789abcdeffedcba9876543210/18446744073709551616",
        "/send/0a1b0123456789abcdeffedcba987654321/1",
        "/send/0a1b0123456789abcdeffedcba98765432100/1",
        "/send/+a1b0123456789abcdeffedcba9876543210/1",
        &format!("/send/{upper}/1"),
    ] {
        assert_eq!(request(path), None, "{path}");
    }
    let get = "GET /open/1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let (get, _) = HttpRequest::read(get.as_bytes()).unwrap().unwrap();
    assert_eq!(TunnelRequest::read(&get), None);
}

#[test]
fn the_answer_to_open_is_the_id() {
    assert_eq!(ID.open_answer()[..], *format!("{TEXT}\n").as_bytes());
    assert_eq!(TunnelId::parse(TEXT), Some(ID));
    let least = TunnelId {
        worker: 0,
        secret: 1,
    };
    let text = least.open_answer();
    let text = str::from_utf8(&text).expect("text").trim_end();
    assert_eq!(TunnelId::parse(text), Some(least));
    assert_eq!(format!("{least:?}"), "TunnelId { worker: 0, .. }");
}

/// An answer's body without and with output.
fn body(output: &[u8]) -> BytesMut {
    BytesMut::from(&[&[0xff], output].concat()[..])
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]
fn start() -> Instant {
    Instant::now()
}

/// A tunnel and its clock.
struct Session {
    tunnel: Tunnel,
    now: Instant,
}

impl Session {
    fn new() -> Self {
        let now = start();
        Self {
            tunnel: Tunnel::new(now),
            now,
        }
    }

    fn request(&mut self, kind: TunnelKind, sequence: u64, length: u32) -> Reception {
        let now = self.now;
        let received = self.tunnel.handle_request(kind, sequence, length, now);
        received.expect("a request in order")
    }

    /// Brings an idle request with its byte.
    fn idle(&mut self, sequence: u64) {
        let received = self.request(TunnelKind::Idle, sequence, 1);
        assert_eq!(received, Reception::New, "{sequence}");
        assert_eq!(self.tunnel.take_body(sequence, 0, b"\0"), b"");
    }

    /// The time from now until the request under way is answered.
    fn wait(&self, has_output: bool) -> Option<Duration> {
        let at = self.tunnel.answer_at(has_output)?;
        Some(at.saturating_duration_since(self.now))
    }

    fn answer(&mut self, output: &[u8]) -> Bytes {
        self.tunnel.answer(body(output))
    }
}

#[test]
fn the_polling_byte_grows_with_empty_answers() {
    let mut session = Session::new();
    let mut bytes = Vec::new();
    for sequence in 0..70 {
        session.now += ms(500);
        session.idle(sequence);
        let answer = session.answer(b"");
        assert_eq!(answer.len(), 1);
        bytes.push(answer[0]);
    }
    for (n, byte) in bytes.into_iter().enumerate() {
        assert_eq!(byte, [1, 3, 5, 9, 0x11, 0x21, 0x21][n / 10], "answer {n}");
    }
    session.idle(70);
    assert_eq!(session.answer(b"x")[..], *b"\x01x");
    session.idle(71);
    assert_eq!(session.answer(b"")[..], [1]);
    assert_eq!(session.tunnel.polling_byte(), 1);
}

#[test]
fn a_send_is_answered_at_once_and_an_idle_is_held() {
    let mut session = Session::new();
    assert_eq!(session.wait(true), None);
    assert_eq!(session.request(TunnelKind::Send, 0, 4), Reception::New);
    assert_eq!(session.wait(true), None);
    assert_eq!(session.tunnel.take_body(0, 0, b"ab"), b"ab");
    assert_eq!(session.wait(true), None);
    assert_eq!(session.tunnel.take_body(0, 2, b"cdmore"), b"cd");
    assert_eq!(session.wait(false), Some(ms(0)));
    assert_eq!(session.answer(b"")[..], [1]);

    session.idle(1);
    assert_eq!(session.wait(false), Some(ms(100)));
    assert_eq!(session.wait(true), Some(ms(0)));
    session.now += ms(60);
    assert_eq!(session.wait(false), Some(ms(40)));
    session.tunnel.close();
    assert_eq!(session.wait(false), Some(ms(0)));
    assert_eq!(session.answer(b"")[..], [CLOSED]);
}

#[test]
fn an_empty_body_is_complete() {
    let mut session = Session::new();
    assert_eq!(session.request(TunnelKind::Send, 0, 0), Reception::New);
    assert_eq!(session.wait(false), Some(ms(0)));
    session.answer(b"");
    assert_eq!(session.request(TunnelKind::Idle, 1, 0), Reception::New);
    assert_eq!(session.wait(false), Some(ms(100)));
}

#[test]
fn a_client_that_asks_without_pause_is_slowed_down() {
    let mut session = Session::new();
    let start = session.now;
    let mut answered = Vec::new();
    for sequence in 0..200 {
        session.idle(sequence);
        session.now += session.wait(true).expect("complete");
        session.answer(b"x");
        answered.push(session.now - start);
    }
    assert_eq!(answered[9], ms(0));
    assert_eq!(answered[10], ms(40));
    assert_eq!(answered[199], ms(190 * 40));
    // A rest gives the share back.
    session.now += ms(1000);
    let rested = session.now;
    for sequence in 200..210 {
        session.idle(sequence);
        session.now += session.wait(true).expect("complete");
        session.answer(b"x");
    }
    assert_eq!(session.now, rested);
    // Bytes of the client are never held.
    for sequence in 210..400 {
        let received = session.request(TunnelKind::Send, sequence, 0);
        assert_eq!(received, Reception::New);
        assert_eq!(session.wait(false), Some(ms(0)));
        session.answer(b"");
    }
}

#[test]
fn a_repeated_request_gets_its_answer_again() {
    let mut session = Session::new();
    session.request(TunnelKind::Send, 0, 3);
    session.tunnel.take_body(0, 0, b"abc");
    let answer = session.answer(b"out");
    let again = session.request(TunnelKind::Send, 0, 3);
    assert_eq!(again, Reception::Answered(answer.clone()));
    assert_eq!(session.tunnel.take_body(0, 0, b"abc"), b"");
    assert_eq!(session.wait(true), None);
    assert_eq!(
        session.request(TunnelKind::Send, 0, 3),
        Reception::Answered(answer)
    );
    session.idle(1);
    assert_eq!(session.request(TunnelKind::Send, 0, 3), Reception::Old);
    assert_eq!(session.tunnel.take_body(0, 0, b"abc"), b"");
    assert_eq!(session.wait(true), Some(ms(0)));
}

#[test]
fn a_request_that_was_cut_off_goes_on_where_it_stopped() {
    let mut session = Session::new();
    session.request(TunnelKind::Send, 0, 6);
    assert_eq!(session.tunnel.take_body(0, 0, b"abcd"), b"abcd");
    assert_eq!(session.request(TunnelKind::Send, 0, 6), Reception::Again);
    assert_eq!(session.tunnel.take_body(0, 0, b"ab"), b"");
    assert_eq!(session.tunnel.take_body(0, 2, b"cde"), b"e");
    // The first connection brings its rest after all.
    assert_eq!(session.tunnel.take_body(0, 4, b"ef"), b"f");
    assert_eq!(session.tunnel.take_body(0, 5, b"f"), b"");
    assert_eq!(session.wait(false), Some(ms(0)));
    // A gap within a body cannot be: the offset is that of the same request.
    session.answer(b"");
    session.request(TunnelKind::Send, 1, 6);
    assert_eq!(session.tunnel.take_body(1, 3, b"def"), b"");
    assert_eq!(session.wait(false), None);
}

#[test]
fn a_held_request_makes_way_for_the_next_one() {
    let mut session = Session::new();
    session.idle(0);
    let received = session.request(TunnelKind::Send, 1, 1);
    assert_eq!(received, Reception::Overtaking);
    assert_eq!(session.tunnel.polling_byte(), 1);
    assert_eq!(session.tunnel.take_body(1, 0, b"a"), b"a");
    assert_eq!(session.answer(b"x")[..], *b"\x01x");
    // An idle request whose byte is missing lacks nothing.
    assert_eq!(session.request(TunnelKind::Idle, 2, 1), Reception::New);
    let received = session.request(TunnelKind::Send, 3, 1);
    assert_eq!(received, Reception::Overtaking);
}

#[test]
fn numbers_out_of_order_end_the_session() {
    let start = start();
    let send = TunnelKind::Send;
    let mut tunnel = Tunnel::new(start);
    let mut handle = |kind, sequence, length| tunnel.handle_request(kind, sequence, length, start);
    let gap = |expected, sequence| Err(TunnelFault::Gap { expected, sequence });
    assert_eq!(handle(send, 2, 0), gap(1, 2));
    assert_eq!(handle(send, u64::MAX, 0), gap(1, u64::MAX));
    assert_eq!(handle(send, 0, 0), Ok(Reception::New));
    assert_eq!(handle(send, 2, 0), gap(1, 2));
    assert_eq!(handle(send, 1, 5), Ok(Reception::Overtaking));
    let changed = Err(TunnelFault::Changed { sequence: 1 });
    assert_eq!(handle(send, 1, 6), changed);
    assert_eq!(handle(TunnelKind::Idle, 1, 5), changed);
    let incomplete = Err(TunnelFault::Incomplete { sequence: 1 });
    assert_eq!(handle(send, 2, 0), incomplete);

    let mut from_one = Tunnel::new(start);
    let first = from_one.handle_request(send, 1, 0, start);
    assert_eq!(first, Ok(Reception::New));
    let older = from_one.handle_request(send, 0, 0, start);
    assert_eq!(older, Ok(Reception::Old));
}

#[test]
fn repetitions_are_bounded() {
    let mut session = Session::new();
    session.idle(0);
    session.answer(b"long");
    session.idle(1);
    session.answer(b"long");
    let now = session.now;
    let mut handle = |sequence| {
        let tunnel = &mut session.tunnel;
        tunnel.handle_request(TunnelKind::Idle, sequence, 1, now)
    };
    for n in 0..8 {
        assert!(handle(n % 2).is_ok(), "{n}");
    }
    let fault = TunnelFault::Repeats;
    assert_eq!(handle(1), Err(fault));
    assert_eq!(handle(0), Err(fault));
    assert!(fault.is_limit());
    assert_eq!(fault.reason(), "tunnel_repeats");
    // A new request clears the count.
    assert_eq!(handle(2), Ok(Reception::New));
    assert_eq!(handle(2), Ok(Reception::Again));
}

#[test]
fn a_session_ends_with_silence_or_by_its_end() {
    let mut session = Session::new();
    let start = session.now;
    assert_eq!(session.tunnel.ends_at(), start + ms(60_000));
    session.now += ms(50_000);
    session.idle(0);
    session.answer(b"");
    let heard = session.now;
    session.now += ms(5_000);
    session.request(TunnelKind::Idle, 0, 1);
    assert_eq!(session.tunnel.ends_at(), heard + ms(60_000));
    session.tunnel.close();
    for sequence in [0, 1, 7] {
        let received = session.request(TunnelKind::Send, sequence, 9);
        assert_eq!(received, Reception::Closed);
        assert_eq!(session.tunnel.take_body(sequence, 0, b"a"), b"");
    }
    assert_eq!(session.tunnel.polling_byte(), CLOSED);
}
