//! Weeks and hours of a connection, on a virtual clock.

use super::*;
use crate::{
    media::{Class, Kind as MediaKind},
    ring::{Ring, RingLimits, Start},
};

/// A day, in milliseconds.
const DAY: u64 = 24 * 60 * 60 * 1000;

/// Sends a frame at `time` through the connection and a ring, and checks both.
fn pass(pair: &mut Pair, ring: &mut Ring<Message>, cursor: &mut crate::ring::Cursor, time: u64) {
    let frame = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(1),
        // The wire's clock wraps every 49.7 days.
        timestamp: RtmpTimestamp(time as u32),
        payload: Bytes::from_static(b"\x17\x01\0\0\0k"),
    };
    pair.send(&frame).expect("no time is an error");
    let Some(ServerEvent::Message(read)) = pair.server.poll_event() else {
        panic!("a frame at {time} is lost");
    };
    assert_eq!(read, frame);
    ring.push(Class::of(MediaKind::VideoKey), read.timestamp, read);
    let delivery = ring.next(cursor, Duration::from_secs(4));
    let delivery = delivery.unwrap_or_else(|| panic!("a viewer loses the frame at {time}"));
    assert_eq!(delivery.timestamp, frame.timestamp);
    assert_eq!(cursor.take_dropped().total(), 0, "at {time}");
}

#[test]
fn sixty_days_pass_at_a_thousand_times_their_speed() {
    let mut pair = Pair::connected(ConnectionLimits {
        chunks_per_second: u32::MAX,
        ..ConnectionLimits::default()
    });
    let mut ring = Ring::new(RingLimits::default());
    let mut cursor = ring.join(Start::Live);
    // One in a thousand of 25 frames a second, and all of them near a wrap.
    let wrap = u64::from(u32::MAX) + 1;
    let edges = [0xff_ffff, wrap / 2, wrap, wrap + 0xff_ffff];
    let mut time = 0;
    let mut frames = 0;
    while time < 60 * DAY {
        pass(&mut pair, &mut ring, &mut cursor, time);
        let near = edges.iter().any(|edge| time.abs_diff(*edge) < 100_000);
        time += if near { 40 } else { 40_000 };
        frames += 1;
    }
    assert!(frames > 129_000, "{frames}");
}

#[test]
fn a_player_acknowledges_every_kibibyte_for_eight_hours() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    pair.server
        .begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
    pair.receive();
    let mut sequence = 0_u32;
    for second in 0..8 * 60 * 60 {
        pair.now += Duration::from_secs(1);
        // 1 Mbit/s past this connection, as media is sent.
        pair.server.note_written_shared(125_000);
        let mut bytes = BytesMut::new();
        for _ in 0..122 {
            sequence = sequence.wrapping_add(1024);
            let acknowledgement = ControlMessage::Acknowledgement(sequence).to_message();
            bytes.unsplit(pair.encode(&acknowledgement));
        }
        pair.server
            .handle_input(pair.now, &bytes)
            .expect("it is read whatever it acknowledges");
        assert_eq!(pair.server.throttled_until(), None, "after {second} s");
        assert_eq!(pair.server.poll_event(), None);
        pair.server.handle_timeout(pair.now).expect("it lives");
        // A few acknowledgements of its bytes in an hour.
        let answers = pair.receive();
        assert!(answers.len() <= 1, "{answers:?}");
    }
    assert_eq!(pair.server.peer_acknowledged(), Some(sequence));
}
