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
    let live = LiveStream::new(LiveId(1), "s");
    let now = Instant::now();
    assert_eq!(live.push(WriterId(0), key(0), now), None, "nobody began");
    assert_eq!(live.place(), None);
    let first = live.begin_writer(Begins::Afresh);
    let number = live.push(first, key(0), now).unwrap();
    let second = live.begin_writer(Begins::Continuing);
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
    let live = LiveStream::new(LiveId(1), "s");
    let writer = live.begin_writer(Begins::Afresh);
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

const METADATA: &[u8] = b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x05";
const AVC: &[u8] = b"\x17\0\0\0\0\x01";
const AAC: &[u8] = b"\xaf\0\x12\x10";
const SOUND: &[u8] = b"\xaf\x01s";

/// Audio and video with their headers.
fn whole(live: &LiveStream, writer: WriterId, at: u32) {
    let now = Instant::now();
    live.push(writer, media(MessageType::DATA_AMF0, at, METADATA), now);
    live.push(writer, media(MessageType::AUDIO, at, AAC), now);
    live.push(writer, media(MessageType::VIDEO, at, AVC), now);
    live.push(writer, key(at), now);
    live.push(writer, media(MessageType::AUDIO, at, SOUND), now);
}

/// The messages for a new viewer: one letter for each.
fn joined(live: &LiveStream) -> String {
    let ring = live.ring();
    let mut cursor = ring.join(tributary_protocol::ring::Start::KeyFrame);
    let mut letters = String::new();
    while let Some(delivery) = ring.next(&mut cursor, Duration::from_secs(10)) {
        letters.push(match delivery.class.kind {
            media::Kind::Metadata => 'm',
            media::Kind::AudioHeader => 'h',
            media::Kind::VideoHeader => 'x',
            media::Kind::VideoKey => 'k',
            media::Kind::VideoInter => 'p',
            media::Kind::Audio => 'a',
            _ => '?',
        });
    }
    letters
}

#[test]
fn a_writer_begins_afresh_or_goes_on() {
    for (how, at_once, at_last) in [
        (Begins::Afresh, "", "a"),
        (Begins::Continuing, "mhxka", "ha"),
    ] {
        let live = LiveStream::new(LiveId(1), "s");
        let first = live.begin_writer(Begins::Afresh);
        whole(&live, first, 0);
        let second = live.begin_writer(how);
        assert_eq!(joined(&live), at_once, "{how:?}");
        // The stream has audio alone, past the second in which video may still come.
        let now = Instant::now();
        live.push(second, media(MessageType::AUDIO, 0, AAC), now);
        live.push(second, media(MessageType::AUDIO, 0, SOUND), now);
        live.push(second, media(MessageType::AUDIO, 1500, SOUND), now);
        let after = joined(&live);
        assert!(
            after.starts_with('h') && after.ends_with(at_last),
            "{after}"
        );
        assert!(!after.contains(['m', 'x', 'k']), "{after}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_application_plays_has_nothing_of_the_source_before() {
    let (cam, mic) = (
        LiveStream::new(LiveId(1), "s"),
        LiveStream::new(LiveId(2), "s"),
    );
    let target = LiveStream::new(LiveId(3), "s");
    let writer = target.begin_writer(Begins::Afresh);
    let (relay, task) = relay::Relay::new(Arc::clone(&target), writer);
    let task = tokio::spawn(task);
    let cam_writer = cam.begin_writer(Begins::Afresh);
    whole(&cam, cam_writer, 0);
    relay.play(Some(Arc::clone(&cam)));
    settled(&target, "mhxka").await;
    relay.play(Some(Arc::clone(&mic)));
    settled(&target, "").await;
    let mic_writer = mic.begin_writer(Begins::Afresh);
    let audio = |payload, at| media(MessageType::AUDIO, at, payload);
    mic.push(mic_writer, audio(AAC, 0), Instant::now());
    mic.push(mic_writer, audio(SOUND, 0), Instant::now());
    settled(&target, "ha").await;
    // The source gets another publisher: with video, without headers.
    let other = mic.begin_writer(Begins::Afresh);
    mic.push(other, key(0), Instant::now());
    settled(&target, "k").await;
    // The publisher is lost and returns with audio.
    let again = mic.begin_writer(Begins::Continuing);
    mic.push(again, audio(AAC, 0), Instant::now());
    settled(&target, "kh").await;
    mic.push(again, audio(SOUND, 0), Instant::now());
    mic.push(again, audio(SOUND, 1500), Instant::now());
    settled(&target, "ha").await;
    drop(relay);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_relay_reads_its_source_until_it_plays_another() {
    let (cam, target) = (
        LiveStream::new(LiveId(1), "s"),
        LiveStream::new(LiveId(2), "s"),
    );
    let (reports, mut reported) = tokio::sync::mpsc::channel(8);
    let of = Arc::clone(&cam);
    let reporting = tokio::spawn(async move {
        let report = |read| reports.try_send(read).expect("the test takes them");
        of.report_readers(report).await;
    });
    let writer = target.begin_writer(Begins::Afresh);
    let (relay, task) = relay::Relay::new(target, writer);
    let task = tokio::spawn(task);
    assert_eq!(reported.recv().await, Some(false));
    relay.play(Some(Arc::clone(&cam)));
    assert_eq!(reported.recv().await, Some(true));
    relay.play(None);
    assert_eq!(reported.recv().await, Some(false));
    relay.play(Some(Arc::clone(&cam)));
    assert_eq!(reported.recv().await, Some(true));
    drop(relay);
    task.await.unwrap();
    assert_eq!(reported.recv().await, Some(false));
    reporting.abort();
}

/// Waits until a new viewer gets these messages.
async fn settled(live: &LiveStream, expected: &str) {
    for _ in 0..1000 {
        if joined(live) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(joined(live), expected);
}

/// The times of all metadata that came since `cursor`, repeated or not.
fn times(live: &LiveStream, cursor: &mut tributary_protocol::ring::Cursor) -> Vec<u32> {
    let ring = live.ring();
    let all = std::iter::from_fn(|| ring.next(cursor, Duration::from_secs(10)));
    all.filter(|delivery| delivery.class.kind == media::Kind::Metadata)
        .map(|delivery| delivery.timestamp.0)
        .collect()
}

#[test]
fn metadata_has_time_0_where_players_begin() {
    let live = LiveStream::new(LiveId(1), "s");
    let mut stays = live.ring().join(tributary_protocol::ring::Start::Live);
    let now = Instant::now();
    let metadata = |at| media(MessageType::DATA_AMF0, at, METADATA);
    let first = live.begin_writer(Begins::Afresh);
    whole(&live, first, 40_000);
    live.push(first, metadata(40_500), now);
    assert_eq!(times(&live, &mut stays), [40_000, 40_500], "in mid-stream");
    let mut joins = live.ring().join(tributary_protocol::ring::Start::KeyFrame);
    assert_eq!(times(&live, &mut joins), [0, 40_500]);
    // Before the first frame after a return; after it, its own time goes on.
    let second = live.begin_writer(Begins::Continuing);
    live.push(second, metadata(7), now);
    live.push(second, key(0), now);
    live.push(second, metadata(500), now);
    let seen = times(&live, &mut stays);
    assert!(seen[0] == 0 && seen[1] > 40_500, "{seen:?}");
    // A feed that begins again repeats it.
    live.begin_feed(second);
    live.push_numbered(second, None, media(MessageType::DATA_AMF0, 900, OTHER), now);
    assert_eq!(times(&live, &mut stays), [0]);
    // A cue point keeps its time.
    let third = live.begin_writer(Begins::Continuing);
    let cue = media(MessageType::DATA_AMF0, 0, b"\x02\0\x03cue\x05");
    let number = live.push(third, cue, now).unwrap();
    let ring = live.ring();
    let mut data = Vec::new();
    while let Some(delivery) = ring.next(&mut stays, Duration::from_secs(10)) {
        data.extend(delivery.seq.map(|seq| (seq, delivery.timestamp.0 > 40_000)));
    }
    assert_eq!(data, [(number, true)]);
}

/// A viewer from here on.
fn viewer(live: &LiveStream) -> tributary_protocol::ring::Cursor {
    live.ring().join(tributary_protocol::ring::Start::Live)
}

/// The times of all messages that a viewer has got.
fn pictures(live: &LiveStream, mut cursor: tributary_protocol::ring::Cursor) -> Vec<u32> {
    let ring = live.ring();
    let all = std::iter::from_fn(|| ring.next(&mut cursor, Duration::MAX));
    all.map(|delivery| delivery.timestamp.0).collect()
}

#[test]
fn video_goes_on_at_once_in_a_feed_that_repeats_the_last_key_frame() {
    let now = Instant::now();
    let key = |at| media(MessageType::VIDEO, at, b"\x17\x01\0\0\0k");
    let inter = |at| media(MessageType::VIDEO, at, b"\x27\x01\0\0\0p");
    // Messages of the second feed, by their numbers, and those that viewers have in the end.
    let table: [(&[u64], &[u64]); 5] = [
        // From the last key frame on, which is number 2.
        (&[2, 3, 4, 5], &[0, 1, 2, 3, 4, 5]),
        (&[2, 4, 5], &[0, 1, 2, 3, 4, 5]),
        // Not from it: the next key frame is number 6.
        (&[3, 4, 5, 6, 7], &[0, 1, 2, 3, 6, 7]),
        // A message is missing.
        (&[2, 3, 5, 6], &[0, 1, 2, 3, 5, 6]),
        (&[4, 5], &[0, 1, 2, 3]),
    ];
    for (again, expected) in table {
        let live = LiveStream::new(LiveId(1), "s");
        let viewer = viewer(&live);
        let writer = live.begin_writer(Begins::Afresh);
        let mut push = |number: u64| {
            let at = number as u32 * 40;
            let message = match [0, 2, 6].contains(&number) {
                true => key(at),
                false => inter(at),
            };
            live.push_numbered(writer, Some(number), message, now);
        };
        (0..4).for_each(&mut push);
        live.begin_feed(writer);
        again.iter().copied().for_each(&mut push);
        let expected: Vec<_> = expected.iter().map(|number| *number as u32 * 40).collect();
        assert_eq!(pictures(&live, viewer), expected, "{again:?}");
    }
}

/// A frame without its key frame was dropped: a key frame from before it does not help.
#[test]
fn video_that_has_lost_a_frame_waits_for_a_key_frame_also_in_a_later_feed() {
    let now = Instant::now();
    let live = LiveStream::new(LiveId(1), "s");
    let viewer = viewer(&live);
    let writer = live.begin_writer(Begins::Afresh);
    let push = |number: u32, payload| {
        let message = media(MessageType::VIDEO, number * 40, payload);
        live.push_numbered(writer, Some(number.into()), message, now);
    };
    let (key, inter) = (b"\x17\x01\0\0\0k", b"\x27\x01\0\0\0p");
    push(0, key);
    push(1, inter);
    live.begin_feed(writer);
    push(2, inter);
    live.begin_feed(writer);
    push(0, key);
    push(3, inter);
    assert_eq!(pictures(&live, viewer), [0, 40]);
    push(4, key);
    push(5, inter);
    assert_eq!(pictures(&live, viewer), [0, 40, 160, 200]);
}

const OTHER: &[u8] = b"\x02\0\x0aonMetaData\x06";

#[test]
fn faulty_data_messages_are_counted() {
    let live = LiveStream::new(LiveId(1), "s");
    let writer = live.begin_writer(Begins::Afresh);
    let now = Instant::now();
    let push = |kind, payload| live.push(writer, media(kind, 0, payload), now);
    let amf0 = MessageType::DATA_AMF0;
    assert_eq!(push(amf0, METADATA), Some(0));
    assert_eq!(live.counts().faulty, 0);
    let cut: &[u8] = b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\x05";
    assert_eq!(push(amf0, cut), Some(1));
    // The message is metadata for new viewers all the same.
    assert_eq!(live.metadata().unwrap().payload, cut[16..]);
    let no_zero: &[u8] = b"\x02\0\x0aonMetaData\x05";
    assert_eq!(push(MessageType::DATA_AMF3, no_zero), Some(2));
    assert_eq!(live.metadata().unwrap().kind, amf0);
    assert_eq!(live.counts().faulty, 2);
}

#[test]
fn what_meets_a_limit_before_its_fault_is_dropped() {
    let live = LiveStream::new(LiveId(1), "s");
    let writer = live.begin_writer(Begins::Afresh);
    let mut payload = b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData".to_vec();
    for _ in 0..100_000 {
        payload.extend(b"\x03\0\x01a");
    }
    let message = Message {
        payload: payload.into(),
        ..media(MessageType::DATA_AMF0, 0, b"")
    };
    assert_eq!(live.push(writer, message, Instant::now()), None);
    assert_eq!(live.counts().faulty, 1);
}
