//! Fan-out in steady state: no allocation for a message and a viewer.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use support::{Edge, read_exactly};
use tributary_edge::fanout::{LiveStream, StreamKey};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    link::{Source, ToSession},
    ring::RingLimits,
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const VIEWERS: usize = 40;
const MESSAGES: u32 = 1000;
const GROUP: u32 = 50;
const LENGTH: usize = 4000;

#[test]
fn a_message_to_a_viewer_costs_no_allocation() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut edge = Edge::start();
    let limits = RingLimits {
        messages: 256,
        ..RingLimits::default()
    };
    let live = LiveStream::new(StreamKey::default(), limits);
    let mut sessions: Vec<_> = (0..VIEWERS).map(|_| edge.session()).collect();
    for session in &sessions {
        let stream = MessageStreamId(1);
        let attach = ToSession::Attach {
            stream,
            source: Source {
                live: Arc::clone(&live),
                publication: 0,
                name: None,
            },
        };
        session
            .inbox
            .push_final(attach.into())
            .expect("the session is there");
    }
    edge.until("all watch", |metrics| {
        metrics.viewers.get() == VIEWERS as i64
    });

    let payloads = [b"\x17\x01\x00\x00\x00", b"\x27\x01\x00\x00\x00"]
        .map(|head| Bytes::from([&head[..], &[0; LENGTH - 5]].concat()));
    let mut number = 0;
    let mut round = |messages: u32| {
        for _ in 0..messages {
            let is_key = number % u64::from(GROUP) == 0;
            let message = Message {
                kind: MessageType::VIDEO,
                stream: MessageStreamId::CONNECTION,
                timestamp: RtmpTimestamp(number as u32 * 40),
                payload: payloads[usize::from(!is_key)].clone(),
            };
            live.push(Some(number), message);
            number += 1;
            // One by one: each message is a pass of its own.
            for session in &mut sessions {
                read_exactly(&mut session.socket, 12 + LENGTH);
            }
        }
    };
    round(2 * 256);
    let before = dhat::HeapStats::get().total_blocks;
    round(MESSAGES);
    let after = dhat::HeapStats::get().total_blocks;
    let allocations = after - before;
    println!("{allocations} allocations for {MESSAGES} messages to {VIEWERS} viewers");
    // A key frame has its own set of headers; no other message allocates.
    let most = u64::from(MESSAGES / GROUP) * 4 + 10;
    assert!(
        allocations <= most,
        "{allocations} allocations for {MESSAGES} messages"
    );
}
