//! The order of a session's requests.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::polling::{CLOSED, Polling};

mod parcel;

/// The time for which an idle request waits for bytes. A client that wants to send waits for the
/// answer first, so that a longer hold would delay its commands; librtmp asks again at once, so that
/// without a hold it would use all of a processor.
const HOLD: Duration = Duration::from_millis(100);

/// The time between answers to idle requests, on average. librtmp asks again as soon as it has an
/// answer, and a live stream has bytes for it 70 times a second.
const IDLE_INTERVAL: Duration = Duration::from_millis(40);

/// Idle requests that are answered at once after a rest.
const IDLE_BURST: u32 = 10;

/// Silence after which a session ends; also the time for one request and its body.
const SILENCE: Duration = Duration::from_secs(60);

/// Requests with numbers that were there before, since the last new one. A proxy repeats a request
/// once or twice; each repetition brings the whole answer again.
const MAX_REPEATS: u32 = 8;

/// The kind of a numbered request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    Send,
    Idle,
}

/// The use of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reception {
    /// The next request: its body counts, and it gets the next answer.
    New,
    /// As [`Self::New`]; the request before it is still under way and gets [`Tunnel::polling_byte`]
    /// alone, at once.
    Overtaking,
    /// The request under way, from another connection: the answer goes to this one, the other is
    /// closed. Its body counts from the place to which the other came.
    Again,
    /// The last request, which has been answered: it gets this answer once more. Its body does not
    /// count.
    Answered(Bytes),
    /// An older request: it gets [`Tunnel::polling_byte`] alone. Its body does not count.
    Old,
    /// The session has ended: the request gets [`CLOSED`] alone. Its body does not count.
    Closed,
}

/// The reason for which a session ends by its client's fault: bytes of RTMP are missing, or the
/// client does not count. The answer has status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelFault {
    /// A number that is not the next one.
    Gap { expected: u64, sequence: u64 },
    /// The next request, before all of a `send` was there.
    Incomplete { sequence: u64 },
    /// A number that stood for another request before.
    Changed { sequence: u64 },
    /// Too many requests with numbers that were there before.
    Repeats,
}

impl TunnelFault {
    /// Whether the client exceeded a limit; otherwise it broke the protocol.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::Repeats)
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Repeats => "tunnel_repeats",
            _ => "tunnel_sequence",
        }
    }
}

impl fmt::Display for TunnelFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gap { expected, sequence } => {
                write!(f, "tunnel request {sequence} where {expected} is due")
            }
            Self::Incomplete { sequence } => write!(f, "tunnel request {sequence} was cut off"),
            Self::Changed { sequence } => {
                write!(f, "tunnel request {sequence} came again as another")
            }
            Self::Repeats => f.write_str("tunnel requests repeated too often"),
        }
    }
}

impl std::error::Error for TunnelFault {}

/// One session of RTMPT: which requests count, when each is answered, and which answer a repeated
/// one gets.
///
/// ```text
///            handle_request               take_body, all of it           answer
/// Waiting ───────New──────► Receiving ────────────────────────► Held ─────────► Waiting
///                               ▲──Again (another connection)───┘
/// any ──close──► Closed
/// ```
///
/// It holds the answer to the last request until the next one comes.
#[derive(Debug)]
pub struct Tunnel {
    /// The number of the next request; `None` before the first.
    next: Option<u64>,
    current: Option<Current>,
    /// The answer to the last request.
    kept: Bytes,
    polling: Polling,
    /// Old and repeated requests since the last new one.
    repeats: u32,
    /// The time up to which idle requests have used their share.
    idle_used: Instant,
    /// The time of the last new request.
    heard: Instant,
    is_closed: bool,
}

/// The request under way.
#[derive(Debug)]
struct Current {
    kind: TunnelKind,
    sequence: u64,
    /// The length of its body, and the bytes of it that have come.
    length: u32,
    taken: u32,
    /// The time before which it is not answered.
    not_before: Instant,
    /// The time until which it waits for output.
    until: Instant,
}

impl Tunnel {
    /// A session that begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self {
            next: None,
            current: None,
            kept: Bytes::new(),
            polling: Polling::default(),
            repeats: 0,
            idle_used: now,
            heard: now,
            is_closed: false,
        }
    }

    /// Handles the head of a request with this number, and a body of `length` bytes.
    pub fn handle_request(
        &mut self,
        kind: TunnelKind,
        sequence: u64,
        length: u32,
        now: Instant,
    ) -> Result<Reception, TunnelFault> {
        if self.is_closed {
            return Ok(Reception::Closed);
        }
        // The first number is 0; a client that begins at 1 loses nothing.
        let expected = self.next.unwrap_or_else(|| sequence.min(1));
        if sequence > expected {
            return Err(TunnelFault::Gap { expected, sequence });
        }
        if sequence < expected {
            return self.handle_known(kind, sequence, length);
        }
        let overtaken = self.current.take();
        let is_cut = overtaken.as_ref().filter(|it| it.is_cut());
        if let Some(&Current { sequence, .. }) = is_cut {
            return Err(TunnelFault::Incomplete { sequence });
        }
        self.begin(kind, sequence, length, now);
        Ok(match overtaken {
            None => Reception::New,
            Some(_) => Reception::Overtaking,
        })
    }

    /// A number that was there before.
    fn handle_known(
        &mut self,
        kind: TunnelKind,
        sequence: u64,
        length: u32,
    ) -> Result<Reception, TunnelFault> {
        self.repeats += 1;
        if self.repeats > MAX_REPEATS {
            return Err(TunnelFault::Repeats);
        }
        if self.next != Some(sequence + 1) {
            return Ok(Reception::Old);
        }
        match &self.current {
            Some(current) if (current.kind, current.length) == (kind, length) => {
                Ok(Reception::Again)
            }
            Some(_) => Err(TunnelFault::Changed { sequence }),
            None => Ok(Reception::Answered(self.kept.clone())),
        }
    }

    fn begin(&mut self, kind: TunnelKind, sequence: u64, length: u32, now: Instant) {
        let not_before = match kind {
            TunnelKind::Send => now,
            TunnelKind::Idle => self.share(now),
        };
        self.current = Some(Current {
            kind,
            sequence,
            length,
            taken: 0,
            not_before,
            until: match kind {
                TunnelKind::Send => now,
                TunnelKind::Idle => not_before.max(now + HOLD),
            },
        });
        self.next = Some(sequence + 1);
        self.kept = Bytes::new();
        self.repeats = 0;
        self.heard = now;
    }

    /// Takes the share of one idle request: the time before which it is not answered.
    fn share(&mut self, now: Instant) -> Instant {
        self.idle_used = self.idle_used.max(now) + IDLE_INTERVAL;
        let lead = self.idle_used - now;
        now + lead.saturating_sub(IDLE_INTERVAL * IDLE_BURST)
    }

    /// Takes bytes of the body of the request with this number, `offset` bytes behind its start;
    /// returns those of them that are bytes of RTMP and have not come before.
    pub fn take_body<'b>(&mut self, sequence: u64, offset: u32, bytes: &'b [u8]) -> &'b [u8] {
        let current = self.current.as_mut().filter(|it| it.sequence == sequence);
        let Some(current) = current.filter(|it| it.taken >= offset) else {
            return &[];
        };
        let room = (current.length - current.taken) as usize;
        let known = (current.taken - offset) as usize;
        let new = bytes.get(known..).unwrap_or_default();
        let new = &new[..new.len().min(room)];
        current.taken += new.len() as u32;
        match current.kind {
            TunnelKind::Send => new,
            TunnelKind::Idle => &[],
        }
    }

    /// Whether a request is under way.
    pub fn is_busy(&self) -> bool {
        self.current.is_some()
    }

    /// The time at which the request under way is to be answered, with output for the client or
    /// without; `None` as long as there is none, or its body is not complete.
    pub fn answer_at(&self, has_output: bool) -> Option<Instant> {
        let current = self.current.as_ref().filter(|it| it.is_complete())?;
        Some(match has_output {
            _ if self.is_closed => self.heard,
            true => current.not_before,
            false => current.until,
        })
    }

    /// Answers the request under way. `body` has one byte of any value, then the bytes of RTMP for
    /// the client; the polling byte replaces the first. The tunnel keeps the answer for a request
    /// that comes again.
    pub fn answer(&mut self, mut body: BytesMut) -> Bytes {
        let byte = match self.is_closed {
            true => CLOSED,
            false => self.polling.next(body.len() > 1),
        };
        match body.first_mut() {
            Some(first) => *first = byte,
            None => body.extend_from_slice(&[byte]),
        }
        self.current = None;
        self.kept = body.freeze();
        self.kept.clone()
    }

    /// The polling byte of the last answer, for requests whose answer has nothing else.
    pub fn polling_byte(&self) -> u8 {
        match self.is_closed {
            true => CLOSED,
            false => self.polling.byte(),
        }
    }

    /// Ends the session: the request under way is to be answered at once, and each answer from now on
    /// begins with [`CLOSED`].
    pub fn close(&mut self) {
        self.is_closed = true;
    }

    /// The time at which the session ends if no new request comes.
    pub fn ends_at(&self) -> Instant {
        self.heard + SILENCE
    }
}

impl Current {
    fn is_complete(&self) -> bool {
        self.taken == self.length
    }

    /// Whether bytes of RTMP are missing.
    fn is_cut(&self) -> bool {
        self.kind == TunnelKind::Send && !self.is_complete()
    }
}
