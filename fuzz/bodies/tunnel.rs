//! A fuzz body for the order of RTMPT's requests. It is an ordinary function, which the tests run
//! too.

#[allow(clippy::duplicate_mod, reason = "a test may include several bodies")]
#[path = "moving.rs"]
mod moving;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tributary_protocol::tunnel::{CLOSED, Reception, Tunnel, TunnelFault, TunnelKind};

use moving::moved;

/// Spreads a client's requests over connections that break and proxies that repeat, or, by the first
/// byte, gives a tunnel any requests at all. The tunnel moves from process to process meanwhile.
pub(crate) fn tunnel_requests(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let decisions = Decisions(data);
    match first % 4 {
        0 => hostile(decisions),
        _ => Spread::new(decisions).run(),
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a simulation needs some instant to start from"
)]
fn start() -> Instant {
    Instant::now()
}

/// Decisions, read from a fuzzer's input; zeros when it is used up.
struct Decisions<'a>(&'a [u8]);

impl Decisions<'_> {
    fn byte(&mut self) -> u8 {
        let first = self.0.split_off_first();
        first.copied().unwrap_or_default()
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// The longest answer.
const ANSWER: usize = 100;

/// Any requests, bodies and answers in any order: the bounds hold, and a tunnel that moves does what
/// one that stays does.
fn hostile(mut decisions: Decisions<'_>) {
    let mut now = start();
    let mut tunnel = Tunnel::new(now);
    let mut stays = Tunnel::new(now);
    while !decisions.is_over() {
        let (operation, value) = (decisions.byte(), decisions.byte());
        let (sequence, small) = (u64::from(value >> 2), u32::from(value & 3));
        match operation % 8 {
            0..=2 => {
                let kind = match operation & 8 {
                    0 => TunnelKind::Send,
                    _ => TunnelKind::Idle,
                };
                let received = tunnel.handle_request(kind, sequence, small, now);
                assert_eq!(received, stays.handle_request(kind, sequence, small, now));
                if let Err(fault) = received {
                    assert!(fault.reason().starts_with("tunnel_"));
                    assert!(fault.is_limit() == (fault == TunnelFault::Repeats));
                    return;
                }
            }
            3 | 4 => {
                let bytes = &[7; 5][..usize::from(operation >> 6)];
                let new = tunnel.take_body(sequence, small, bytes);
                assert_eq!(new, stays.take_body(sequence, small, bytes));
                assert!(new.len() <= 3);
            }
            5 => {
                let (empty, full) = (tunnel.answer_at(false), tunnel.answer_at(true));
                assert!(full <= empty && full.is_some() == empty.is_some());
                if full.is_some() {
                    let body = BytesMut::from(&[0; 3][..usize::from(value & 3)]);
                    let answer = tunnel.answer(body.clone());
                    assert_eq!(answer, stays.answer(body));
                    assert!((1..=3).contains(&answer.len()));
                    assert_eq!(tunnel.answer_at(true), None);
                }
            }
            6 => now += Duration::from_millis(u64::from(value) * 4),
            _ if value == 0xff => {
                tunnel.close();
                stays.close();
            }
            _ => assert!(tunnel.ends_at() > now - Duration::from_secs(10_000)),
        }
        assert!(tunnel.polling_byte() <= 0x21);
        assert_eq!(tunnel.polling_byte(), stays.polling_byte());
        assert_eq!(tunnel.ends_at(), stays.ends_at());
        assert_eq!(tunnel.answer_at(false), stays.answer_at(false));
        tunnel = moved(&tunnel, now, ANSWER);
    }
}

/// A client with one request under way, and a network that cuts, repeats and delays.
struct Spread<'a> {
    decisions: Decisions<'a>,
    tunnel: Tunnel,
    now: Instant,
    /// Bytes of RTMP that the client has sent, and that the server has got.
    sent: Vec<u8>,
    received: Vec<u8>,
    /// Bytes of RTMP that the server has sent, and that the client has got.
    output: Vec<u8>,
    read: Vec<u8>,
    /// The kind and body of each request.
    requests: Vec<(TunnelKind, Vec<u8>)>,
}

impl<'a> Spread<'a> {
    fn new(decisions: Decisions<'a>) -> Self {
        let now = start();
        Self {
            decisions,
            tunnel: Tunnel::new(now),
            now,
            sent: Vec::new(),
            received: Vec::new(),
            output: Vec::new(),
            read: Vec::new(),
            requests: Vec::new(),
        }
    }

    fn run(&mut self) {
        while !self.decisions.is_over() {
            self.exchange();
            assert_eq!(self.received, self.sent);
            assert_eq!(self.read, self.output);
        }
    }

    /// One request, until the client has its answer.
    fn exchange(&mut self) {
        let length = usize::from(self.decisions.byte() % 12);
        let kind = match self.decisions.byte() % 2 {
            0 => TunnelKind::Send,
            _ => TunnelKind::Idle,
        };
        let body: Vec<u8> = (0..length).map(|_| self.decisions.byte()).collect();
        if kind == TunnelKind::Send {
            self.sent.extend_from_slice(&body);
        }
        self.requests.push((kind, body));
        for attempt in 0..4 {
            self.repeat_older();
            let is_last = attempt == 3;
            if self.attempt(is_last) {
                return;
            }
        }
        unreachable!("the last attempt succeeds");
    }

    /// A proxy repeats a request from before the one under way: it changes nothing.
    fn repeat_older(&mut self) {
        let back = usize::from(self.decisions.byte() % 6);
        let Some(sequence) = (self.requests.len() - 1).checked_sub(back) else {
            return;
        };
        if sequence + 1 >= self.requests.len() || back > 3 {
            return;
        }
        let (kind, body) = &self.requests[sequence];
        let number = sequence as u64;
        let received = self
            .tunnel
            .handle_request(*kind, number, body.len() as u32, self.now);
        assert!(matches!(
            received,
            Ok(Reception::Old | Reception::Answered(_))
        ));
        assert_eq!(self.tunnel.take_body(number, 0, body), b"");
    }

    /// One attempt on a connection of its own; whether the client has got the answer.
    fn attempt(&mut self, is_last: bool) -> bool {
        self.tunnel = moved(&self.tunnel, self.now, ANSWER);
        let (kind, body) = self.requests.last().expect("a request is under way");
        let number = self.requests.len() as u64 - 1;
        let head = self
            .tunnel
            .handle_request(*kind, number, body.len() as u32, self.now);
        if let Ok(Reception::Answered(answer)) = head {
            self.read.extend_from_slice(&answer[1..]);
            return true;
        }
        assert!(matches!(head, Ok(Reception::New | Reception::Again)));
        let mut offset = 0;
        while offset < body.len() {
            let step = usize::from(self.decisions.byte());
            if step == 0 && !is_last {
                return false;
            }
            let end = (offset + step % 5 + 1).min(body.len());
            let piece = &body[offset..end];
            let new = self.tunnel.take_body(number, offset as u32, piece);
            self.received.extend_from_slice(new);
            offset = end;
        }
        let waits = self.decisions.byte();
        if waits == 0 && !is_last {
            return false;
        }
        self.answer(usize::from(waits % 4));
        let is_lost = self.decisions.byte() % 4 == 1 && !is_last;
        if !is_lost {
            let at = self.output.len() - usize::from(waits % 4);
            self.read.extend_from_slice(&self.output[at..]);
        }
        !is_lost
    }

    /// Answers the request under way with so many bytes, at its time.
    fn answer(&mut self, count: usize) {
        let at = self.tunnel.answer_at(count > 0).expect("all of it came");
        assert!(at <= self.now + Duration::from_millis(1000));
        self.now = self.now.max(at);
        let from = self.output.len();
        for n in 0..count {
            self.output.push((from + n) as u8);
        }
        let body = [&[0xff], &self.output[from..]].concat();
        let answer = self.tunnel.answer(BytesMut::from(&body[..]));
        assert_ne!(answer[0], CLOSED);
        assert_eq!(answer[1..], self.output[from..]);
    }
}
