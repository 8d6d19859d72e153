//! Messages through a lane: from the edge's end, through its frames, to the origin's, and the
//! acknowledgements and the credit back.

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    link::{
        EdgeLane, FromSession, Generation, OpenSession, OriginEvent, OriginLane, Rate,
        credit::{CreditBudget, PROCESS_BUDGET},
    },
};

/// Two ends of a lane, with this many sessions.
struct Pair {
    edge: EdgeLane,
    origin: OriginLane,
    now: Instant,
}

impl Pair {
    fn new(sessions: u64) -> Self {
        let rate = Rate {
            bytes_per_second: 1 << 40,
            burst: 1 << 40,
        };
        let mut pair = Self {
            edge: EdgeLane::new(rate),
            origin: OriginLane::new(1 << 24, CreditBudget::new(PROCESS_BUDGET)),
            now: Instant::now(),
        };
        pair.edge.connected(0).expect("a new lane");
        pair.origin.connected(pair.now, 0).expect("a new lane");
        for session in 0..sessions {
            let open = OpenSession {
                peer: std::net::SocketAddr::from(([192, 0, 2, 1], 1)).into(),
                protocol: "rtmp".into(),
                connect: Bytes::from_static(b"connect"),
                claims: None,
            };
            pair.edge.send(SessionId(session), FromSession::Open(open));
        }
        pair.pump();
        pair
    }

    /// Moves bytes until both ends are settled; returns the number of messages that came.
    fn pump(&mut self) -> usize {
        let mut messages = 0;
        loop {
            let mut moved = false;
            while let Some(bytes) = self.edge.poll_transmit(self.now) {
                self.origin.handle_bytes(self.now, &bytes).expect("frames");
                moved = true;
            }
            while let Some(event) = self.origin.poll_event() {
                if let OriginEvent::Session {
                    session,
                    event: FromSession::Message { message, .. },
                } = event
                {
                    let length = black_box(message).payload.len();
                    self.origin.consumed(self.now, session, length);
                    messages += 1;
                }
            }
            while let Some(bytes) = self.origin.poll_transmit(self.now) {
                self.edge.handle_bytes(self.now, &bytes).expect("frames");
                moved = true;
            }
            while let Some(event) = self.edge.poll_event() {
                black_box(event);
            }
            if !moved {
                return messages;
            }
        }
    }
}

fn lane(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lane");
    for (length, sessions) in [(100, 1), (100, 100), (64 * 1024, 1), (64 * 1024, 100)] {
        let message = Message {
            kind: MessageType::COMMAND_AMF0,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(0),
            payload: vec![7; length].into(),
        };
        const MESSAGES: u64 = 100;
        group.throughput(Throughput::Bytes(MESSAGES * length as u64));
        let name = format!("{sessions} sessions");
        group.bench_function(BenchmarkId::new(name, length), |bencher| {
            let mut pair = Pair::new(sessions);
            bencher.iter(|| {
                for n in 0..MESSAGES {
                    let session = SessionId(n % sessions);
                    let event = FromSession::Message {
                        generation: Generation(0),
                        message: message.clone(),
                    };
                    pair.edge.send(session, event);
                }
                assert_eq!(pair.pump() as u64, MESSAGES);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lane);
criterion_main!(benches);
