//! The fuzz bodies of the front door, over seeds, mutations of them and noise.

#[path = "../../fuzz/bodies/door.rs"]
mod door;
#[path = "../../fuzz/bodies/tunnel.rs"]
mod tunnel;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// Runs a body over seeds and what chance makes of them; the failing input is printed.
fn run(body: fn(&[u8]), seeds: &[&[u8]], rounds: usize) {
    let mut random = StdRng::seed_from_u64(0x646f_6f72);
    for n in 0..seeds.len() + rounds {
        let mut input = seeds[n % seeds.len()].to_vec();
        if n >= seeds.len() {
            mutate(&mut input, seeds, &mut random);
        }
        let held = std::panic::catch_unwind(|| body(&input));
        assert!(held.is_ok(), "input {n}: {input:02x?}");
    }
}

fn mutate(input: &mut Vec<u8>, seeds: &[&[u8]], random: &mut StdRng) {
    for _ in 0..random.random_range(1..5) {
        let place = random.random_range(0..=input.len());
        match random.random_range(0..5) {
            0 => input.truncate(place),
            1 => input.insert(place, random.random()),
            2 if place < input.len() => input[place] = random.random(),
            3 if place < input.len() => input[place] ^= 1 << random.random_range(0..8),
            _ => {
                let other = seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                input.splice(place..place, other[from..].iter().copied());
            }
        }
    }
}

const PROXY: &[&[u8]] = &[
    b"PROXY TCP4 127.0.0.1 127.0.0.1 42038 54021\r\n\x03C1",
    b"PROXY TCP6 2001:db8::7 ::ffff:192.0.2.1 50000 1935\r\n",
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nGET / HTTP/1.1\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\xb1\x94\xd3\x06\x03C1",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x40\x7f\0\0\x01\x7f\0\0\x01\xb1\x94\xd3\x06\
      \x02\0\x09edge.test\x05\0\x0c7F000001B194\x20\0\x0f\x01\0\0\0\0\x21\0\x07TLSv1.3\x04\0\x01x",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x29\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01\
      \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xb1\x94\xd3\x06\x03\0\x04\0\0",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x00\0\x08\x20\0\x05\x01\0\0\0\0",
];

const REQUESTS: &[&[u8]] = &[
    b"POST /open/1 HTTP/1.1\r\nHost: a\r\nContent-type: application/x-fcs\r\n\
      Connection: Keep-Alive\r\nContent-Length: 1\r\n\r\n\0",
    b"POST /send/0a1b0123456789abcdeffedcba9876543210/7 HTTP/1.0\r\nContent-Length: 1537\r\n\
      X-Forwarded-For: 192.0.2.7, [::1]:5\r\nX-Forwarded-Proto: https\r\n\r\n",
    b"\r\nPOST http://edge.test/idle/0a1b0123456789abcdeffedcba9876543210/18 HTTP/1.1\r\n\
      Host: a\r\nContent-Length: 1\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /live?x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
      Origin: http://page.test\r\nSec-WebSocket-Version: 13\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
      Sec-WebSocket-Extensions: permessage-deflate\r\n\
      Sec-WebSocket-Protocol: rtmp, binary\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
];

const FRAMES: &[&[u8]] = &[
    b"\x01\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
    b"\x02\x02\x81\0\0\0\0a\x89\x80\x01\x02\x03\x04\x00\x80\0\0\0\0\x80\x82\x09\x08\x07\x06ab",
    b"\x00\x89\x83\x01\x02\x03\x04abc\x8a\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8\x82\x81",
    b"\x04\x88\x80\0\0\0\0",
    b"\x04\x82\xfe\0\x7e\x01\x02\x03\x04abcdefgh",
    b"\x04\x82\xff\0\0\0\0\0\x01\0\0\x01\x02\x03\x04abcdefgh",
    b"\x04\x81\x81\0\0\0\0a",
];

#[test]
fn proxy_headers_hold() {
    run(door::proxy_header, PROXY, 20_000);
}

#[test]
fn http_requests_hold() {
    run(door::http_request, REQUESTS, 5_000);
}

#[test]
fn websocket_frames_hold() {
    run(door::websocket_frames, FRAMES, 20_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Requests over connections that break: each byte arrives once, in both directions.
    #[test]
    fn a_tunnel_loses_and_doubles_nothing(decisions in prop::collection::vec(any::<u8>(), 0..300)) {
        tunnel::tunnel_requests(&decisions);
    }
}
