use super::*;

fn record(role: RecordedRole) -> StreamRecord {
    StreamRecord {
        id: MessageStreamId(3),
        filter: Filter {
            audio: false,
            ..Filter::default()
        },
        role,
    }
}

fn roles(now: Instant) -> Vec<RecordedRole> {
    let playing = |live, ended, length| RecordedRole::Playing {
        name: "folder/cam".into(),
        live,
        ended,
        length,
    };
    let asking = |what| RecordedRole::Asking {
        name: "folder/cam".into(),
        query: "token=x".into(),
        what,
    };
    vec![
        RecordedRole::Idle,
        RecordedRole::Publishing {
            name: "cam".into(),
            generation: Generation(7),
            query: "token=x".into(),
            live: LiveId(1 << 40),
            offset: Some(u32::MAX),
        },
        RecordedRole::Publishing {
            name: "cam".into(),
            generation: Generation(0),
            query: String::new(),
            live: LiveId(0),
            offset: None,
        },
        asking(Asked::Publish(Generation(3))),
        asking(Asked::Play(PlayHow {
            announce: Announce::Transition,
            length: Some(Duration::from_secs(2)),
        })),
        asking(Asked::Play(PlayHow {
            announce: Announce::Reset,
            length: None,
        })),
        playing(None, false, PlayLength::Unlimited),
        playing(
            Some(LiveId(9)),
            true,
            PlayLength::Asked(Duration::from_millis(1_500)),
        ),
        playing(
            Some(LiveId(9)),
            false,
            PlayLength::Until(now + Duration::from_secs(3)),
        ),
    ]
}

#[test]
fn a_record_reads_as_it_was_written() {
    let now = Instant::now();
    for role in roles(now) {
        let written = record(role);
        let at = RecordTime::at(now);
        let bytes = written.encode(at);
        assert!(bytes.len() <= Record::MAX);
        let read = StreamRecord::decode(written.id, &bytes, at).unwrap();
        assert_eq!(read, written);
    }
    let client = ClientRecord {
        read_access: Access::new("/a;/b"),
        write_access: Access::new(""),
    };
    let read = ClientRecord::decode(&client.encode(now), now).unwrap();
    assert_eq!(read, client);
    let long = ClientRecord {
        read_access: Access::new(&"/folder;".repeat(MAX_ACCESS / 8 + 1)),
        ..ClientRecord::default()
    };
    let bytes = long.encode(now);
    assert!(bytes.len() < 64, "{}", bytes.len());
    assert!(ClientRecord::decode(&bytes, now).is_err());
}

#[test]
fn the_time_of_a_play_goes_on_while_a_record_is_kept() {
    let now = Instant::now();
    let until = PlayLength::Until(now + Duration::from_secs(3));
    let written = record(RecordedRole::Playing {
        name: "cam".into(),
        live: None,
        ended: false,
        length: until,
    });
    let unix_ms = 1_000_000;
    let bytes = written.encode(RecordTime { now, unix_ms });
    // Another process has another clock; that of the machine may have been set back.
    let later = now + Duration::from_secs(60);
    for (kept, left) in [(0, 3_000), (1_200, 1_800), (9_000, 0), (-5_000, 3_000)] {
        let at = RecordTime {
            now: later,
            unix_ms: unix_ms.saturating_add_signed(kept),
        };
        let read = StreamRecord::decode(written.id, &bytes, at).unwrap();
        let RecordedRole::Playing { length, .. } = read.role else {
            panic!("{read:?}");
        };
        assert_eq!(
            length,
            PlayLength::Until(later + Duration::from_millis(left))
        );
    }
}

#[test]
fn a_record_that_is_cut_or_changed_is_refused_or_reads_as_another() {
    let now = Instant::now();
    for role in roles(now) {
        let at = RecordTime::at(now);
        let bytes = record(role).encode(at);
        for length in 0..bytes.len() {
            let _ = StreamRecord::decode(MessageStreamId(3), &bytes[..length], at);
            let _ = ClientRecord::decode(&bytes[..length], now);
        }
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.to_vec();
                changed[place] ^= 1 << bit;
                let _ = StreamRecord::decode(MessageStreamId(3), &changed, at);
            }
        }
    }
}

#[test]
fn parts_name_message_streams() {
    assert_eq!(StreamRecord::stream_of(CLIENT), None);
    assert_eq!(StreamRecord::stream_of(REMEMBERED), None);
    assert_eq!(
        StreamRecord::stream_of(2),
        None,
        "the connection has no record"
    );
    assert_eq!(StreamRecord::stream_of(3), Some(MessageStreamId(1)));
}
