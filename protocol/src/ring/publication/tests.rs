//! Tables: the messages of publishers, and the deliveries to a reader that joins after them.
//!
//! One letter is one message of [`MESSAGES`], 40 ms apart. `|` is a fresh publication, `>` another
//! writer of the same, `~` a new epoch, `1` a second without messages.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{Message, MessageStreamId, MessageType, RtmpTimestamp, media, ring::RingLimits};

const AUDIO: MessageType = MessageType::AUDIO;
const VIDEO: MessageType = MessageType::VIDEO;

const MESSAGES: &[(char, MessageType, &[u8])] = &[
    ('m', MessageType::DATA_AMF0, b"\x02\0\x0aonMetaData\x05"),
    ('d', MessageType::DATA_AMF0, b"\x02\0\x03cue\x05"),
    // AAC: header and frame, then the same in the Enhanced RTMP form.
    ('h', AUDIO, b"\xaf\0\x12\x10"),
    ('a', AUDIO, b"\xaf\x01\x21"),
    ('b', AUDIO, b"\x91mp4a\x21"),
    // Speex, MP3, and audio without a codec.
    ('s', AUDIO, b"\xb6\x01\x02"),
    ('u', AUDIO, b"\x2f\xff\xfb"),
    ('_', AUDIO, b""),
    // Opus: header, frame, speaker layout, end.
    ('o', AUDIO, b"\x90OpusOpusHead"),
    ('O', AUDIO, b"\x91Opusx"),
    ('L', AUDIO, b"\x94Opus\x01\x02"),
    ('z', AUDIO, b"\x92Opus"),
    // AVC: header, key frame, inter frame, end.
    ('x', VIDEO, b"\x17\0\0\0\0\x01"),
    ('k', VIDEO, b"\x17\x01\0\0\0k"),
    ('p', VIDEO, b"\x27\x01\0\0\0p"),
    ('e', VIDEO, b"\x17\x02\0\0\0"),
    // Sorenson's key frame, and a command.
    ('v', VIDEO, b"\x12\0\0\x84"),
    ('!', VIDEO, b"\x57\0"),
    // HEVC: colours, header, key frame, end.
    ('c', VIDEO, b"\xd4hvc1\x02\0\x09colorInfo"),
    ('H', VIDEO, b"\x90hvc1\x01"),
    ('K', VIDEO, b"\x91hvc1\0\0\0K"),
    ('E', VIDEO, b"\x92hvc1"),
    // Tracks 1 and 2: both headers, both ends, the end of one, of the other.
    ('T', VIDEO, b"\x96\x10hvc1\x01\0\0\x01a\x02\0\0\x01b"),
    ('U', VIDEO, b"\x96\x12hvc1\x01\0\0\0\x02\0\0\0"),
    ('V', VIDEO, b"\x96\x02hvc1\x01"),
    ('W', VIDEO, b"\x96\x02hvc1\x02"),
    // Track 3: header, key frame, end.
    ('3', VIDEO, b"\x96\x00hvc1\x03\x01"),
    ('4', VIDEO, b"\x96\x01hvc1\x03\0\0\0K"),
    ('5', VIDEO, b"\x96\x02hvc1\x03"),
];

const PATIENT: Duration = Duration::from_secs(3600);

fn ring() -> (Ring<Message>, u32) {
    (Ring::new(RingLimits::default()), 0)
}

fn message(letter: char, time: u32) -> Message {
    let mut known = MESSAGES.iter();
    let &(_, kind, payload) = known
        .find(|(name, ..)| *name == letter)
        .unwrap_or_else(|| panic!("no such message: {letter}"));
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp(time),
        payload: Bytes::from_static(payload),
    }
}

fn push((ring, time): &mut (Ring<Message>, u32), script: &str) {
    for letter in script.chars().filter(|letter| *letter != ' ') {
        match letter {
            '|' => ring.begin_publication(),
            '>' => ring.begin_writer(),
            '~' => ring.restart(),
            '1' => *time += 1000,
            letter => {
                let message = message(letter, *time);
                let class = media::classify(message.kind, &message.payload);
                ring.push(class, message.timestamp, message);
                *time += 40;
            }
        }
    }
}

fn read(ring: &Ring<Message>, cursor: &mut Cursor) -> String {
    let name = |message: &Message| {
        let mut known = MESSAGES.iter();
        known
            .find(|(_, kind, payload)| *kind == message.kind && message.payload == *payload)
            .map(|(name, ..)| *name)
    };
    let mut read = String::new();
    while let Some(delivery) = ring.next(cursor, PATIENT) {
        read.extend(name(&delivery.item));
        if delivery.seq.is_none() {
            read.push('*');
        }
    }
    read
}

#[test]
fn a_reader_that_joins_gets_what_belongs_to_the_publication() {
    for (pushed, then, expected) in [
        // A fresh publication: no message, header or picture of the one before.
        ("mhx kapa |", "ha", "ha"),
        ("mhx kapa | h a", "a", "h*aa"),
        ("mhx kapa | a", "h a 1 a", "ahaa"),
        ("mhcH KaK | x k p", "", "x*kp"),
        ("m oL OO | s", "", "s"),
        ("mhx kapa | mhx kapa", "", "m*h*x*kapa"),
        ("mhx kap | | > ha", "", "h*a"),
        ("mhx kap > mhx kap | a", "", "a"),
        // A publisher that returns: the old group of pictures until its first sync point.
        ("mhx kapa >", "", "m*h*x*kapa"),
        ("mhx kapa > mhx", "", "m*h*x*kapamhx"),
        ("mhx kapa > mhx kapa", "", "m*h*x*kapa"),
        // Headers that it has not sent before its sync point are dropped.
        ("mhx kapa > x kp", "", "x*kp"),
        ("mhx kapa > hx kapa", "", "h*x*kapa"),
        ("mhx kapa > 1 h a", "a", "h*aa"),
        ("mhx kapa > 1 mh a 1 a", "", "m*h*a"),
        ("mh aaa > 1 x k p", "", "x*kp"),
        ("mhx kapa > o O cH KO", "", "o*c*H*KO"),
        ("mhx kapa > s x k s", "s", "x*kss"),
        // Headers after the first frames are in force from there on.
        ("mhx kap > 1 a", "h a x k 1 a", "ahaxka"),
        ("mhx kap > k p m x h p a k", "", "m*x*h*k"),
        // The writer between has sent no message.
        ("mhx kap > > x k", "", "x*k"),
        // The new writer's video has another track.
        ("mhx kap > 3 4", "", "3*4"),
    ] {
        let mut at = ring();
        push(&mut at, pushed);
        let mut cursor = at.0.join(Start::KeyFrame);
        push(&mut at, then);
        assert_eq!(
            read(&at.0, &mut cursor),
            expected,
            "{pushed:?}, then {then:?}"
        );
    }
}

#[test]
fn a_header_ends_with_its_track_or_its_codec() {
    for (pushed, expected) in [
        ("h a 1 s", "s"),
        ("h a 1 u", "u"),
        ("o O 1 a", "a"),
        ("oL O 1 s", "s"),
        ("h a 1 O", "O"),
        // The same codec in the other form, and audio without a codec.
        ("h a 1 b", "h*b"),
        ("h a 1 _", "h*_"),
        // A track that returns to its codec.
        ("h a s 1 a", "h*a"),
        ("h a s h 1 s", "s"),
        ("x k p v", "v"),
        ("cH K v", "v"),
        ("x k H K", "H*K"),
        ("cH K x k", "x*k"),
        ("x k ! k", "x*k"),
        // Ends of tracks.
        ("mhx k e a 1 a", "m*h*a"),
        ("hcH K E a 1 a", "h*a"),
        ("x oL O z k O", "x*kO"),
        ("hx k e x k", "h*x*k"),
        ("x T k U k", "x*k"),
        ("x T k V k", "x*T*k"),
        ("x T k V W k", "x*k"),
        ("x 3 k 5 k", "x*k"),
        ("x 3 k e 4", "x*3*ke4"),
    ] {
        let mut at = ring();
        push(&mut at, pushed);
        let mut cursor = at.0.join(Start::KeyFrame);
        assert_eq!(read(&at.0, &mut cursor), expected, "{pushed:?}");
    }
}

#[test]
fn a_reader_that_waits_over_the_change_gets_each_message_once() {
    for (pushed, expected) in [
        ("mhx kap | h a", "m*h*x*kapha"),
        // Video without a key frame before it is dropped.
        ("mhx kap | h pa x kp", "m*h*x*kaphaxkp"),
        ("mhx kap > h pa x kp", "m*h*x*kaphaxkp"),
        ("mhx kap | d > | h a", "m*h*x*kapdha"),
    ] {
        for stop in 4..pushed.len() {
            let mut at = ring();
            push(&mut at, &pushed[..5]);
            let mut cursor = at.0.join(Start::KeyFrame);
            let mut text = String::new();
            for (place, letter) in pushed[5..].char_indices() {
                push(&mut at, &letter.to_string());
                if place + 5 != stop {
                    text += &read(&at.0, &mut cursor);
                }
            }
            text += &read(&at.0, &mut cursor);
            assert_eq!(text, expected, "{pushed:?}, not read at {stop}");
        }
    }
}

#[test]
fn a_late_reader_never_jumps_into_the_publication_before() {
    let mut at = ring();
    push(&mut at, "mhx kppp kppp");
    let mut cursor = at.0.join(Start::Live);
    push(&mut at, "kpp | h a");
    // The reader is behind by the whole ring, without a key frame ahead.
    push(&mut at, "1a1a1a1a");
    let late = Duration::from_millis(500);
    let mut times = Vec::new();
    while let Some(delivery) = at.0.next(&mut cursor, late) {
        times.push((delivery.publication.first, delivery.class.is_video()));
    }
    assert!(
        times.iter().all(|(first, video)| *first > 0 || !video),
        "{times:?}"
    );
    assert_eq!(cursor.position(), at.0.head());
}

#[test]
fn a_paused_reader_goes_on_in_the_publication_that_is_there() {
    let mut at = ring();
    push(&mut at, "mhx kap");
    let mut cursor = at.0.join(Start::KeyFrame);
    read(&at.0, &mut cursor);
    let mut filter = cursor.filter();
    filter.paused = true;
    cursor.set_filter(filter);
    push(&mut at, "kap | h a");
    assert_eq!(read(&at.0, &mut cursor), "");
    filter.paused = false;
    cursor.set_filter(filter);
    push(&mut at, "a");
    assert_eq!(read(&at.0, &mut cursor), "h*aa");
}

#[test]
fn a_reader_can_wait_for_a_publication_that_has_not_come() {
    let mut at = ring();
    push(&mut at, "mhx kapa");
    let first = at.0.head();
    let mut cursor = at.0.join_publication(Start::KeyFrame, first);
    let mut paused = at.0.join_publication(Start::KeyFrame, first);
    let filter = paused.filter();
    paused.set_filter(crate::link::Filter {
        paused: true,
        ..filter
    });
    assert_eq!(read(&at.0, &mut cursor), "");
    // Messages of the publication before do not open the gate.
    at.0.push_at(
        first - 1,
        Class::of(media::Kind::Data),
        RtmpTimestamp(0),
        message('d', 0),
    );
    assert!(at.0.follow(Publication {
        first,
        writer: first
    }));
    assert_eq!(read(&at.0, &mut cursor), "");
    push(&mut at, "ha");
    assert_eq!(read(&at.0, &mut cursor), "ha");
    assert_eq!(read(&at.0, &mut paused), "");
    paused.set_filter(filter);
    push(&mut at, "a");
    assert_eq!(read(&at.0, &mut cursor), "a");
    assert_eq!(read(&at.0, &mut paused), "h*aa");
    // A publication that has begun needs no gate.
    let mut late = at.0.join_publication(Start::KeyFrame, first);
    assert_eq!(late, at.0.join(Start::KeyFrame));
    assert_eq!(read(&at.0, &mut late), "h*aa");
}

/// Copies the messages of a feed from `start` on into another ring.
fn feed(source: &Ring<Message>, start: Start, sink: &mut Ring<Message>) {
    let mut cursor = source.join(start);
    let mut told = Publication::default();
    sink.restart();
    while let Some(delivery) = source.next(&mut cursor, PATIENT) {
        if std::mem::replace(&mut told, delivery.publication) != delivery.publication {
            sink.follow(delivery.publication);
        }
        let item = delivery.item.into_owned();
        match delivery.seq {
            Some(seq) => sink.push_at(seq, delivery.class, delivery.timestamp, item),
            None => sink.push_header(delivery.class, delivery.timestamp, item),
        };
    }
}

#[test]
fn a_ring_that_follows_another_holds_the_same_whenever_its_feed_began() {
    for (script, expected) in [
        ("mhx kapa kap > 1 mh a 1 a 1 a", "m*h*a"),
        ("mhx kapa kap | h a 1 a 1 a", "h*a"),
        ("mhx kapa kap | x k > h x k > 1 h a 1 a 1 a", "h*a"),
        ("hx kap k e a 1 a 1 a 1 a", "h*a"),
        ("hx kap s k s 1 s 1 s", "x*s"),
    ] {
        for first in 0..script.len() {
            for again in first..script.len() {
                let (mut at, mut sink) = (ring(), Ring::new(RingLimits::default()));
                for (place, letter) in script.char_indices() {
                    push(&mut at, &letter.to_string());
                    if place == first || place == again {
                        feed(&at.0, Start::Gop, &mut sink);
                    }
                }
                // The last feed carries all later messages.
                feed(&at.0, Start::Gop, &mut sink);
                push(&mut at, "a");
                feed(&at.0, Start::Gop, &mut sink);
                let mut cursor = sink.join(Start::KeyFrame);
                let joined = read(&sink, &mut cursor);
                let expected = format!("{expected}a");
                assert_eq!(joined, expected, "{script:?}, feeds at {first}, {again}");
            }
        }
    }
}
