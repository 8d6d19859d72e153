use bytes::Bytes;
use tributary_protocol::{MessageStreamId, MessageType, RtmpTimestamp};

use super::*;

fn media(kind: MessageType, at: u32, payload: &'static [u8]) -> Message {
    Message {
        kind,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(at),
        payload: Bytes::from_static(payload),
    }
}

fn key(at: u32) -> Message {
    media(MessageType::VIDEO, at, b"\x17\x01\x00\x00\x00key")
}

fn inter(at: u32) -> Message {
    media(MessageType::VIDEO, at, b"\x27\x01\x00\x00\x00inter")
}

#[test]
fn only_the_newest_writer_writes() {
    let live = LiveStream::new(LiveId(1));
    let now = Instant::now();
    assert_eq!(live.push(WriterId(0), key(0), now), None, "nobody began");
    assert_eq!(live.place(), None);
    let first = live.begin_writer();
    let number = live.push(first, key(0), now).unwrap();
    let second = live.begin_writer();
    assert_eq!(live.push(first, inter(40), now), None);
    live.end_writer(first);
    assert!(
        live.is_writer(second),
        "an old writer's end changes nothing"
    );
    assert!(live.push(second, key(0), now).unwrap() > number);
    live.end_writer(second);
    assert_eq!(live.push(second, inter(40), now), None);
    assert_eq!(live.counts().messages, 2);
    assert_eq!(live.counts().stale, 3);
}

#[tokio::test]
async fn many_waiters_wake_and_miss_nothing() {
    let live = LiveStream::new(LiveId(1));
    let writer = live.begin_writer();
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let live = Arc::clone(&live);
            tokio::spawn(async move {
                loop {
                    let changed = live.changed();
                    if live.place().is_some() {
                        return;
                    }
                    changed.await;
                }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let live = Arc::clone(&live);
    std::thread::spawn(move || live.push(writer, key(0), Instant::now()))
        .join()
        .unwrap();
    for waiter in waiters {
        waiter.await.unwrap();
    }
}
