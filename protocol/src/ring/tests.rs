//! Tables: pushed messages, and the deliveries to a reader.
//!
//! One letter is one message, 40 ms apart: `m` metadata, `h` audio header, `x` video header,
//! `k` key frame, `p` inter frame, `a` audio, `d` data message. `~` is a new epoch. A delivery is
//! the letter and the message's number, or `*` for a repeated header; `!` marks a restart.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::{MessageStreamId, MessageType, link::Filter, media::Kind};

mod moved;

const STEP: u32 = 40;
const PATIENT: Duration = Duration::from_secs(3600);

pub(super) fn message(kind: MessageType, time: u32, length: usize) -> Message {
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp(time),
        payload: Bytes::from(vec![0; length]),
    }
}

fn kind(letter: char) -> (Kind, MessageType) {
    match letter {
        'm' => (Kind::Metadata, MessageType::DATA_AMF0),
        'h' => (Kind::AudioHeader, MessageType::AUDIO),
        'x' => (Kind::VideoHeader, MessageType::VIDEO),
        'k' => (Kind::VideoKey, MessageType::VIDEO),
        'p' => (Kind::VideoInter, MessageType::VIDEO),
        'a' => (Kind::Audio, MessageType::AUDIO),
        'd' => (Kind::Data, MessageType::DATA_AMF0),
        other => panic!("no such message: {other}"),
    }
}

fn letter(kind: Kind) -> char {
    "mhxkpad"
        .chars()
        .find(|&letter| self::kind(letter).0 == kind)
        .expect("one of the letters")
}

struct Script {
    ring: Ring<Message>,
    time: u32,
    length: usize,
}

impl Script {
    fn new(limits: RingLimits) -> Self {
        Self {
            ring: Ring::new(limits),
            time: 0,
            length: 10,
        }
    }

    fn roomy() -> Self {
        Self::new(RingLimits::default())
    }

    fn push(&mut self, script: &str) {
        for letter in script.chars().filter(|letter| *letter != ' ') {
            if letter == '~' {
                self.ring.restart();
                continue;
            }
            let (kind, kind_id) = kind(letter);
            let item = message(kind_id, self.time, self.length);
            self.ring.push(Class::of(kind), item.timestamp, item);
            self.time += STEP;
        }
    }

    fn read(&self, cursor: &mut Cursor) -> String {
        self.read_late(cursor, PATIENT)
    }

    fn read_late(&self, cursor: &mut Cursor, max_lag: Duration) -> String {
        let mut read = Vec::new();
        while let Some(delivery) = self.ring.next(cursor, max_lag) {
            assert_eq!(delivery.item.timestamp, delivery.timestamp);
            let restart = if delivery.restart { "!" } else { "" };
            let number = delivery
                .seq
                .map_or_else(|| "*".to_owned(), |seq| seq.to_string());
            read.push(format!("{restart}{}{number}", letter(delivery.class.kind)));
        }
        read.join(" ")
    }
}

#[test]
fn a_reader_begins_where_it_asked_to() {
    for (pushed, start, then, expected) in [
        (
            "mhx kapa kapa",
            Start::KeyFrame,
            "",
            "!m* h* x* k7 a8 p9 a10",
        ),
        (
            "mhx kapa kapa",
            Start::Gop,
            "",
            "!m* h* x* k3 a4 p5 a6 k7 a8 p9 a10",
        ),
        ("mhx kapa", Start::Gop, "", "!m* h* x* k3 a4 p5 a6"),
        ("mhx kapa", Start::Live, "apkp", "!m* h* x* a7 k9 p10"),
        ("mhx kapa", Start::Live, "", ""),
        // Before any key frame: audio at once, video at its key frame.
        (
            "mhx pap",
            Start::KeyFrame,
            "apakp",
            "!m* h* x* a6 a8 k9 p10",
        ),
        ("", Start::KeyFrame, "mhxka", "!m0 h1 x2 k3 a4"),
        // A header that changed after the key frame is delivered in its order, not before.
        ("hxk p x kp x p", Start::KeyFrame, "", "!h* x* k5 p6 x7 p8"),
        // The headers in force at the key frame are repeated, not the newest ones.
        ("xk p h p", Start::KeyFrame, "", "!x* k1 p2 h3 p4"),
    ] {
        let mut script = Script::roomy();
        script.push(pushed);
        let mut cursor = script.ring.join(start);
        script.push(then);
        let read = script.read(&mut cursor);
        assert_eq!(read, expected, "{pushed} | {then} from {start:?}");
        assert_eq!(
            cursor.position(),
            if read.is_empty() {
                7
            } else {
                script.ring.head()
            }
        );
    }
}

#[test]
fn an_audio_only_ring_has_a_place_to_begin_each_second() {
    let mut script = Script::roomy();
    script.push(&format!("mh{}", "a".repeat(60)));
    let mut cursor = script.ring.join(Start::KeyFrame);
    let read = script.read(&mut cursor);
    // Messages 2, 27 and 52 begin a second each.
    assert!(read.starts_with("!m* h* a52 a53"), "{read}");
    assert!(read.ends_with("a61"), "{read}");
}

#[test]
fn a_late_reader_jumps_forward_to_the_newest_key_frame() {
    let second = Duration::from_secs(1);
    let mut script = Script::roomy();
    script.push("mhx kp");
    let mut cursor = script.ring.join(Start::KeyFrame);
    assert_eq!(script.read(&mut cursor), "!m* h* x* k3 p4");
    // 30 messages are 1.2 s; data survives the jump, a newer header precedes the key frame.
    script.push(&format!("{}dx{}kpap", "ap".repeat(10), "ap".repeat(4)));
    assert_eq!(
        script.read_late(&mut cursor, second),
        "!d25 m* h* x* k35 p36 a37 p38"
    );
    let dropped = cursor.take_dropped();
    assert_eq!((dropped.lag, dropped.total()), (29, 29));

    // Without a newer key frame the reader gets audio alone.
    script.push(&"ap".repeat(20));
    let read = script.read_late(&mut cursor, second);
    assert!(read.starts_with("a39 a41 a43"), "{read}");
    // A reader that is no longer late still waits for a key frame, and has no restart.
    assert!(read.ends_with("a75 a77"), "{read}");
    script.push("pkp");
    assert_eq!(script.read_late(&mut cursor, second), "k80 p81");
    assert_eq!(cursor.take_dropped().lag, 21);
}

#[test]
fn what_a_join_or_a_jump_begins_with_is_no_lag() {
    let second = Duration::from_secs(1);
    let mut script = Script::roomy();
    script.push(&format!("k{}", "p".repeat(75)));
    let mut cursor = script.ring.join(Start::KeyFrame);
    // Three seconds behind from the start: read half, then one more second passes.
    for _ in 0..40 {
        assert!(script.ring.next(&mut cursor, second).is_some());
    }
    script.push(&"p".repeat(25));
    let read = script.read_late(&mut cursor, second);
    assert!(
        read.starts_with("p40 p41") && read.ends_with("p100"),
        "{read}"
    );
    // The slack of the start is used up: a second counts as a second.
    script.push(&"p".repeat(30));
    let read = script.read_late(&mut cursor, second);
    assert_eq!(read, "", "{read}");
}

#[test]
fn a_reader_that_fell_off_comes_back_at_a_key_frame_with_its_data_messages() {
    let limits = RingLimits {
        messages: 10,
        ..RingLimits::default()
    };
    let mut script = Script::new(limits);
    script.push("mhx kd");
    let mut cursor = script.ring.join(Start::KeyFrame);
    assert_eq!(script.read(&mut cursor), "!m* h* x* k3 d4");
    script.push("papdpapa kdpapapap kapapda");
    assert_eq!(
        script.read(&mut cursor),
        "!d8 d14 m* h* x* k22 a23 p24 a25 p26 d27 a28"
    );
    let dropped = cursor.take_dropped();
    assert_eq!((dropped.fell_off, dropped.total()), (15, 15));

    // Without a key frame ahead: live audio.
    script.push(&"pa".repeat(20));
    assert_eq!(script.read(&mut cursor), "");
    script.push("apa");
    assert_eq!(script.read(&mut cursor), "!m* h* x* a69 a71");
}

#[test]
fn a_jump_carries_64_kib_of_data_messages() {
    for (length, carried) in [(8 * 1024, 8), (64 * 1024, 1), (64 * 1024 + 1, 0), (0, 20)] {
        let mut script = Script::roomy();
        script.push("k");
        let mut cursor = script.ring.join(Start::KeyFrame);
        assert_eq!(script.read(&mut cursor), "!k0");
        script.length = length;
        script.push(&"d".repeat(20));
        script.length = 10;
        script.push(&format!("{}kp", "p".repeat(30)));
        let read = script.read_late(&mut cursor, Duration::from_secs(1));
        assert_eq!(read.matches('d').count(), carried, "{length}: {read}");
        assert!(read.ends_with("k51 p52"), "{read}");
    }
}

#[test]
fn a_reader_that_resumes_gets_headers_and_audio_at_once_and_video_at_a_key_frame() {
    let mut script = Script::roomy();
    script.push("mhx kapa");
    let mut cursor = script.ring.join(Start::KeyFrame);
    assert_eq!(script.read(&mut cursor), "!m* h* x* k3 a4 p5 a6");
    script.ring.resume(&mut cursor);
    script.push("papa kap");
    assert_eq!(script.read(&mut cursor), "!m* h* x* a8 a10 k11 a12 p13");
}

#[test]
fn data_before_a_reader_is_repeated_within_64_kib_and_from_a_number_on() {
    for (length, since, repeated) in [
        (10, 0, vec![1, 3]),
        (10, 2, vec![3]),
        (10, 4, vec![]),
        (40 * 1024, 0, vec![3]),
        (65 * 1024, 0, vec![]),
    ] {
        // With all of them in the ring, and with the first one kept beside it.
        for messages in [100, 4] {
            let limits = RingLimits {
                messages,
                ..RingLimits::default()
            };
            let mut script = Script::new(limits);
            script.length = length;
            script.push("kdpd");
            let mut cursor = script.ring.join(Start::Live);
            script.push("dp");
            let before = script.ring.data_before(&cursor, since);
            assert_eq!(before.map(|(seq, ..)| seq).collect::<Vec<_>>(), repeated);
            script.read(&mut cursor);
            let all = script.ring.data_before(&cursor, 0).count();
            assert_eq!(
                all,
                if length == 10 {
                    3
                } else {
                    1.min(65_536 / length)
                }
            );
        }
    }
}

#[test]
fn filters_hold_back_and_video_resumes_at_a_key_frame() {
    let mut script = Script::roomy();
    script.push("mhxka");
    let mut cursor = script.ring.join(Start::KeyFrame);
    assert_eq!(script.read(&mut cursor), "!m* h* x* k3 a4");
    let all = Filter::default();
    for (filter, pushed, expected) in [
        (
            Filter {
                video: false,
                ..all
            },
            "papxpak",
            "a6 a10",
        ),
        // The header that was held back comes before the next message that passes.
        (all, "pakp", "x* a13 k14 p15"),
        (
            Filter {
                audio: false,
                ..all
            },
            "phakpd",
            "p16 k19 p20 d21",
        ),
        (all, "ap", "h* a22 p23"),
        (
            Filter {
                audio: false,
                video: false,
                ..all
            },
            "hxapkmd",
            "m29 d30",
        ),
        (all, "pa", "h* x* a32"),
    ] {
        cursor.set_filter(filter);
        script.push(pushed);
        assert_eq!(script.read(&mut cursor), expected, "{filter:?} {pushed}");
    }
}

#[test]
fn after_a_pause_a_reader_joins_at_the_newest_key_frame_it_has_not_had() {
    let paused = Filter {
        paused: true,
        ..Filter::default()
    };
    for (meanwhile, then, expected) in [
        ("pakapkap", "a", "!h* k8 a9 p10 a11"),
        ("pap", "apkp", "!h* a6 k8 p9"),
        ("", "pk", "!h* k4"),
    ] {
        let mut script = Script::roomy();
        script.push("hkp");
        let mut cursor = script.ring.join(Start::KeyFrame);
        assert_eq!(script.read(&mut cursor), "!h* k1 p2");
        cursor.set_filter(paused);
        script.push(meanwhile);
        assert_eq!(script.read(&mut cursor), "");
        assert_eq!(
            cursor.position(),
            script.ring.head(),
            "a pause holds nothing up"
        );
        cursor.set_filter(Filter::default());
        // The pause ends at the reader's next call.
        let mut read = script.read(&mut cursor);
        script.push(then);
        read = format!("{read} {}", script.read(&mut cursor))
            .trim()
            .to_owned();
        assert_eq!(read, expected, "{meanwhile} | {then}");
    }
}

#[test]
fn a_new_epoch_has_audio_at_once_and_video_at_its_key_frame() {
    let mut script = Script::roomy();
    script.push("hxkp");
    let mut cursor = script.ring.join(Start::KeyFrame);
    script.push("~papkp");
    assert_eq!(script.read(&mut cursor), "!h* x* k2 p3 a5 k7 p8");
    assert_eq!(script.ring.unfit(), 2);
}

#[test]
fn numbers_given_by_the_source_may_leave_gaps_and_repeat() {
    let mut ring = Ring::new(RingLimits::default());
    let mut cursor = ring.join(Start::Live);
    let audio = Class::of(Kind::Audio);
    let item = |time| message(MessageType::AUDIO, time, 1);
    let taken = [5, 6, 6, 2, 40, 41].map(|seq| ring.push_at(seq, audio, RtmpTimestamp(0), item(0)));
    assert_eq!(taken, [true, true, false, false, true, true]);
    let mut seqs = Vec::new();
    while let Some(delivery) = ring.next(&mut cursor, PATIENT) {
        seqs.push(delivery.seq);
    }
    assert_eq!(seqs, [5, 6, 40, 41].map(Some));
    assert_eq!((cursor.position(), ring.head()), (42, 42));
}

#[test]
fn a_repeated_header_is_taken_once() {
    let mut ring = Ring::new(RingLimits::default());
    let header = Class::of(Kind::AudioHeader);
    let time = RtmpTimestamp(0);
    let mut cursor = ring.join(Start::Live);
    assert!(ring.push_header(header, time, message(MessageType::AUDIO, 0, 4)));
    assert!(!ring.push_header(header, time, message(MessageType::AUDIO, 900, 4)));
    assert!(ring.push_header(header, time, message(MessageType::AUDIO, 900, 5)));
    let lengths: Vec<_> = std::iter::from_fn(|| ring.next(&mut cursor, PATIENT))
        .map(|delivery| (delivery.seq, delivery.item.payload.len()))
        .collect();
    assert_eq!(lengths, [(None, 4), (None, 5)]);
    assert_eq!(ring.head(), 0);
}

#[test]
fn tracks_begin_at_their_own_key_frames_and_the_lowest_leads() {
    let mut ring = Ring::new(RingLimits::default());
    let video = |kind, track| (Class { kind, track }, message(MessageType::VIDEO, 0, 1));
    use Kind::{VideoInter as P, VideoKey as K};
    for (kind, track) in [(K, 1), (K, 0), (K, 1), (P, 0), (P, 1), (K, 1), (P, 2)] {
        let (class, item) = video(kind, track);
        ring.push(class, item.timestamp, item);
    }
    let mut cursor = ring.join(Start::KeyFrame);
    let mut read = Vec::new();
    while let Some(delivery) = ring.next(&mut cursor, PATIENT) {
        read.push(delivery.seq.unwrap());
    }
    assert_eq!(
        read,
        [1, 2, 3, 4, 5],
        "from the key frame of track 0; none of track 2"
    );
}

#[test]
fn a_ring_stays_within_its_limits_without_key_frames_too() {
    let second = Duration::from_secs(1);
    for (limits, most) in [
        (
            RingLimits {
                messages: 100,
                ..RingLimits::default()
            },
            100,
        ),
        (
            RingLimits {
                bytes: 1000,
                ..RingLimits::default()
            },
            100,
        ),
        (
            RingLimits {
                span: 4 * second,
                ..RingLimits::default()
            },
            101,
        ),
    ] {
        for pushed in [
            "ap",
            "a",
            "p",
            "d",
            "kp",
            "kpppppppppppppppppppppppppppppppp",
        ] {
            let mut script = Script::new(limits);
            script.push("k");
            for _ in 0..400 {
                script.push(pushed);
                assert!(script.ring.len() <= most, "{pushed} {limits:?}");
                assert!(script.ring.bytes() <= limits.bytes, "{pushed} {limits:?}");
            }
            assert!(script.ring.len() > 1, "{pushed} {limits:?}");
        }
    }
}

#[test]
fn whole_groups_go_first() {
    let limits = RingLimits {
        messages: 400,
        ..RingLimits::default()
    };
    let mut script = Script::new(limits);
    for _ in 0..2 {
        script.push(&format!("k{}", "p".repeat(199)));
    }
    assert_eq!(script.ring.len(), 400);
    script.push("p");
    assert_eq!(script.ring.len(), 201, "the group of 8 s has gone at once");
    assert_eq!(script.ring.join(Start::KeyFrame).position(), 200);
}

#[test]
fn a_message_over_the_limit_is_kept_alone() {
    let mut script = Script::new(RingLimits {
        bytes: 100,
        ..RingLimits::default()
    });
    script.push("kpp");
    script.length = 1000;
    script.push("p");
    assert_eq!((script.ring.len(), script.ring.head()), (1, 4));
}

#[test]
fn what_enhanced_rtmp_keeps_like_headers_is_repeated_for_each_track() {
    let mut ring = Ring::new(RingLimits::default());
    let mut time = 0;
    let mut push = |kind, track, length| {
        let message_type = match track {
            2.. => MessageType::AUDIO,
            _ => MessageType::VIDEO,
        };
        let item = message(message_type, time, length);
        ring.push(Class { kind, track }, RtmpTimestamp(time), item);
        time += STEP;
    };
    // Colour information of two tracks, one of them twice, and a layout of speakers.
    push(Kind::VideoMetadata, 0, 11);
    push(Kind::VideoMetadata, 1, 12);
    push(Kind::MultichannelConfig, 2, 13);
    push(Kind::VideoMetadata, 0, 14);
    push(Kind::VideoKey, 0, 20);
    push(Kind::VideoInter, 0, 21);
    let key = 4 * STEP;
    let mut cursor = ring.join(Start::KeyFrame);
    let mut joined: Vec<_> = std::iter::from_fn(|| ring.next(&mut cursor, PATIENT))
        .map(|delivery| (delivery.timestamp.0, delivery.item.payload.len()))
        .collect();
    joined[..3].sort_unstable();
    // The repeated headers have the key frame's time.
    let expected = [(key, 12), (key, 13), (key, 14), (key, 20), (key + STEP, 21)];
    assert_eq!(joined, expected);
}

/// Frames and headers of other tracks pass by a reader of track 0 alone, also at a join, at a jump
/// and after the wait for its publication.
#[test]
fn a_reader_of_the_first_tracks_gets_no_other() {
    let mut ring = Ring::new(RingLimits::default());
    let waiting = ring.join_publication(Start::KeyFrame, 0);
    let mut push = |kind, track, length| {
        let message_type = match kind {
            Kind::Audio | Kind::AudioHeader => MessageType::AUDIO,
            _ => MessageType::VIDEO,
        };
        let item = message(message_type, 0, length);
        ring.push(Class { kind, track }, RtmpTimestamp(0), item);
    };
    push(Kind::VideoHeader, 0, 10);
    push(Kind::VideoHeader, 1, 11);
    push(Kind::AudioHeader, 2, 12);
    push(Kind::VideoKey, 0, 20);
    push(Kind::VideoKey, 1, 21);
    push(Kind::Audio, 0, 22);
    push(Kind::Audio, 3, 23);
    for (wanted, expected) in [
        (WantedTracks::First, &[10, 20, 22][..]),
        (WantedTracks::All, &[10, 11, 12, 20, 21, 22, 23]),
    ] {
        for cursor in [ring.join(Start::KeyFrame), waiting] {
            let mut cursor = cursor.of_tracks(wanted);
            let read: Vec<_> = std::iter::from_fn(|| ring.next(&mut cursor, PATIENT))
                .map(|delivery| delivery.item.payload.len())
                .collect();
            assert_eq!(read, expected, "{wanted:?}");
        }
    }
}

#[test]
fn header_floods_are_bounded() {
    let mut ring = Ring::new(RingLimits {
        bytes: 1 << 20,
        ..RingLimits::default()
    });
    for n in 0..20_000_u32 {
        let class = Class {
            kind: Kind::VideoHeader,
            track: (n % 256) as u8,
        };
        ring.push(class, RtmpTimestamp(n), message(MessageType::VIDEO, n, 4));
        ring.push(
            Class::of(Kind::VideoKey),
            RtmpTimestamp(n),
            message(MessageType::VIDEO, n, 1),
        );
        assert!(ring.len() < 1000 && ring.bytes() <= 1 << 20);
    }
    let mut cursor = ring.join(Start::KeyFrame);
    let repeated = std::iter::from_fn(|| ring.next(&mut cursor, PATIENT))
        .filter(|delivery| delivery.seq.is_none());
    assert_eq!(repeated.count(), headers::MAX_HEADERS);
}

#[test]
fn time_that_leaps_or_goes_back_makes_nobody_late() {
    let two_seconds = Duration::from_secs(2);
    for leap in [3_600_000, u32::MAX - 3_600_000, 1 << 31, u32::MAX - 10] {
        let mut script = Script::roomy();
        script.push("kpp");
        let mut cursor = script.ring.join(Start::KeyFrame);
        script.time = script.time.wrapping_add(leap);
        let mut expected = "!k0 p1 p2".to_owned();
        for n in 3..20 {
            let (kind, kind_id) = kind('p');
            let item = message(kind_id, script.time, 1);
            script.ring.push(Class::of(kind), item.timestamp, item);
            script.time = script.time.wrapping_add(STEP);
            expected += &format!(" p{n}");
        }
        assert_eq!(
            script.read_late(&mut cursor, two_seconds),
            expected,
            "{leap:#x}"
        );
    }
}

#[test]
fn clear_forgets_and_readers_go_on() {
    let mut script = Script::roomy();
    script.push("mhxkpd");
    let mut cursor = script.ring.join(Start::KeyFrame);
    script.ring.clear();
    assert_eq!(
        (script.ring.len(), script.ring.bytes(), script.ring.head()),
        (0, 0, 6)
    );
    script.push("hakp");
    assert_eq!(script.read(&mut cursor), "!h6 a7 k8 p9");
    assert_eq!(cursor.take_dropped(), Dropped::default());
}

#[test]
fn a_cursor_is_small_and_equal_cursors_read_alike() {
    assert!(size_of::<Cursor>() <= 128, "{}", size_of::<Cursor>());
    let mut script = Script::roomy();
    script.push("mhxkapa");
    let mut early = script.ring.join(Start::KeyFrame);
    script.read(&mut early);
    script.push("kap");
    let mut late = script.ring.join(Start::KeyFrame);
    script.read(&mut late);
    script.read(&mut early);
    script.push("a");
    script.read(&mut late);
    script.read(&mut early);
    assert_eq!(
        early, late,
        "readers that have caught up are alike, wherever they began"
    );
}

#[test]
fn groups_go_that_neither_a_late_nor_a_new_reader_needs() {
    // Messages are 40 ms apart.
    let group = |frames: usize| format!("k{}", "p".repeat(frames - 1));
    let limits = RingLimits {
        late: Duration::from_secs(5),
        ..RingLimits::default()
    };
    let mut script = Script::new(limits);
    for _ in 0..20 {
        script.push(&group(50));
    }
    // The last two groups span 4 s, the last three 6 s.
    assert_eq!(script.ring.len(), 150);
    let mut cursor = script.ring.join(Start::Gop);
    assert_eq!(script.read(&mut cursor).matches('k').count(), 2);
    // The last two stay, whatever their time.
    let mut script = Script::new(limits);
    script.push(&group(300).repeat(2));
    assert_eq!(script.ring.len(), 600);
    script.push(&group(300));
    assert_eq!(script.ring.len(), 600);
    // Without key frames there are no groups.
    let mut script = Script::new(limits);
    script.push(&"p".repeat(500));
    assert_eq!(script.ring.len(), 500);
}
