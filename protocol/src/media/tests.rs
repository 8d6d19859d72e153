use super::*;

fn class(kind: Kind, track: u8) -> Class {
    Class { kind, track }
}

#[test]
fn legacy_media_is_classified() {
    let audio = MessageType::AUDIO;
    let video = MessageType::VIDEO;
    let table: &[(&str, MessageType, &[u8], Kind)] = &[
        ("empty audio", audio, &[], Kind::Audio),
        ("empty video", video, &[], Kind::VideoInter),
        (
            "one byte of AVC key frame",
            video,
            &[0x17],
            Kind::VideoInter,
        ),
        ("one byte of AAC", audio, &[0xaf], Kind::Audio),
        (
            "AAC header",
            audio,
            &[0xaf, 0, 0x12, 0x10],
            Kind::AudioHeader,
        ),
        ("AAC header without config", audio, &[0xaf, 0], Kind::Audio),
        ("AAC frame", audio, &[0xaf, 1, 0x21], Kind::Audio),
        ("MP3", audio, &[0x2f, 0, 0, 0], Kind::Audio),
        ("G.711 A-law", audio, &[0x72, 0, 0, 0], Kind::Audio),
        (
            "AVC header",
            video,
            &[0x17, 0, 0, 0, 0, 1, 0x64],
            Kind::VideoHeader,
        ),
        (
            "AVC header without record",
            video,
            &[0x17, 0, 0, 0, 0],
            Kind::VideoInter,
        ),
        (
            "AVC key frame",
            video,
            &[0x17, 1, 0, 0, 0, 9],
            Kind::VideoKey,
        ),
        (
            "AVC inter frame",
            video,
            &[0x27, 1, 0, 0, 0, 9],
            Kind::VideoInter,
        ),
        (
            "AVC disposable",
            video,
            &[0x37, 1, 0, 0, 0, 9],
            Kind::VideoDisposable,
        ),
        ("AVC end", video, &[0x17, 2, 0, 0, 0], Kind::VideoEnd),
        (
            "AVC unknown packet",
            video,
            &[0x17, 9, 0, 0, 0],
            Kind::VideoInter,
        ),
        (
            "HEVC header",
            video,
            &[0x1c, 0, 0, 0, 0, 1],
            Kind::VideoHeader,
        ),
        (
            "Sorenson key frame",
            video,
            &[0x12, 0, 0, 0x84],
            Kind::VideoKey,
        ),
        (
            "Sorenson disposable",
            video,
            &[0x32, 0, 0, 0x84],
            Kind::VideoDisposable,
        ),
        (
            "Screen video inter frame",
            video,
            &[0x23, 0, 0],
            Kind::VideoInter,
        ),
        ("VP6 key frame", video, &[0x14, 0, 0], Kind::VideoKey),
        ("seek command", video, &[0x57, 0], Kind::VideoInter),
    ];
    for &(name, kind, payload, expected) in table {
        assert_eq!(classify(kind, payload), Class::of(expected), "{name}");
        assert_eq!(tracks(kind, payload), None, "{name}");
    }
}

#[test]
fn enhanced_media_is_classified() {
    let audio = MessageType::AUDIO;
    let video = MessageType::VIDEO;
    let table: &[(&str, MessageType, &[u8], Class)] = &[
        (
            "video start",
            video,
            b"\x90hvc1\x01",
            class(Kind::VideoHeader, 0),
        ),
        (
            "video key",
            video,
            b"\x91hvc1\0\0\0x",
            class(Kind::VideoKey, 0),
        ),
        (
            "video inter",
            video,
            b"\xa1hvc1\0\0\0x",
            class(Kind::VideoInter, 0),
        ),
        (
            "video disposable",
            video,
            b"\xb3hvc1x",
            class(Kind::VideoDisposable, 0),
        ),
        ("video end", video, b"\x92av01", class(Kind::VideoEnd, 0)),
        (
            "video key, no composition time",
            video,
            b"\x93av01x",
            class(Kind::VideoKey, 0),
        ),
        (
            "colorInfo",
            video,
            b"\xd4hvc1\x02\0\x09colorInfo",
            class(Kind::VideoMetadata, 0),
        ),
        (
            "MPEG-2 TS start",
            video,
            b"\x95av01\x81",
            class(Kind::VideoHeader, 0),
        ),
        (
            "command frame",
            video,
            b"\xd1\0",
            class(Kind::VideoInter, 0),
        ),
        ("no FourCC", video, b"\x90hv", class(Kind::VideoInter, 0)),
        (
            "one track",
            video,
            b"\x96\x00hvc1\x03\x01",
            class(Kind::VideoHeader, 3),
        ),
        (
            "one track, key",
            video,
            b"\x96\x01hvc1\x03\0\0\0x",
            class(Kind::VideoKey, 3),
        ),
        (
            "many tracks",
            video,
            b"\x96\x10hvc1\x02\0\0\x01a\x05\0\0\x02bc",
            class(Kind::VideoHeaders, 2),
        ),
        (
            "many tracks, of which one",
            video,
            b"\x96\x10hvc1\x02\0\0\x01a",
            class(Kind::VideoHeader, 2),
        ),
        (
            "many codecs, key",
            video,
            b"\x96\x21hvc1\x01\0\0\x01aav01\x02\0\0\x01b",
            class(Kind::VideoKey, 1),
        ),
        (
            "no such layout",
            video,
            b"\x96\x30hvc1\x03\x01",
            class(Kind::VideoInter, 0),
        ),
        (
            "multitrack cut off",
            video,
            b"\x96\x00hvc1",
            class(Kind::VideoInter, 0),
        ),
        (
            "nano offset",
            video,
            b"\x97\x02\x01\x02\x03\x01hvc1\0\0\0x",
            class(Kind::VideoKey, 0),
        ),
        (
            "two ModEx and a track",
            video,
            b"\x97\x00\x01\x07\x00\x01\x06\x00hvc1\x07\x01",
            class(Kind::VideoHeader, 7),
        ),
        (
            "ModEx cut off",
            video,
            b"\x97\xff\x00\x09abc",
            class(Kind::VideoInter, 0),
        ),
        (
            "audio start",
            audio,
            b"\x90OpusOpusHead",
            class(Kind::AudioHeader, 0),
        ),
        ("audio frame", audio, b"\x91Opusx", class(Kind::Audio, 0)),
        ("audio end", audio, b"\x92Opus", class(Kind::AudioEnd, 0)),
        (
            "speaker layout",
            audio,
            b"\x94Opus\x01\x02",
            class(Kind::MultichannelConfig, 0),
        ),
        (
            "audio track",
            audio,
            b"\x95\x00ac-3\x33\x01",
            class(Kind::AudioHeader, 0x33),
        ),
        (
            "audio tracks",
            audio,
            b"\x95\x20Opus\x01\0\0\x01amp4a\x02\0\0\x02bc",
            class(Kind::AudioHeaders, 1),
        ),
        (
            "audio nano offset",
            audio,
            b"\x97\x02\0\0\x05\x00Opusx",
            class(Kind::AudioHeader, 0),
        ),
        ("unknown packet", audio, b"\x9fOpusx", class(Kind::Audio, 0)),
    ];
    for &(name, kind, payload, expected) in table {
        assert_eq!(classify(kind, payload), expected, "{name}");
        for cut in 0..payload.len() {
            let class = classify(kind, &payload[..cut]);
            assert_eq!(class.is_audio(), kind == audio, "{name} cut at {cut}");
            assert_eq!(class.is_video(), kind == video, "{name} cut at {cut}");
        }
    }
}

#[test]
fn the_tracks_of_a_message_are_named() {
    let payload = b"\x96\x10hvc1\x02\0\0\x01a\xfe\0\0\x02bc";
    let set = tracks(MessageType::VIDEO, payload).expect("a multitrack message");
    assert!(set.all_headers());
    assert_eq!(set.iter().collect::<Vec<_>>(), [2, 254]);
    let one = tracks(MessageType::VIDEO, b"\x96\x00hvc1\x02\x01").expect("a multitrack message");
    assert!(set.covers(&one) && !one.covers(&set));

    let frames = b"\x96\x11hvc1\x02\0\0\x01a";
    assert!(
        !tracks(MessageType::VIDEO, frames)
            .expect("a multitrack message")
            .all_headers()
    );

    let lying = b"\x96\x10hvc1\x02\0\0\x09a";
    assert_eq!(tracks(MessageType::VIDEO, lying), None);

    // A command frame has no tracks.
    let command = b"\xd6\x00hvc1\x02\x01";
    assert_eq!(tracks(MessageType::VIDEO, command), None);
    assert_eq!(
        classify(MessageType::VIDEO, command),
        Class::of(Kind::VideoInter)
    );
}

#[test]
fn metadata_is_recognised_in_all_its_forms() {
    let table: &[(&str, u8, &[u8], Kind)] = &[
        ("plain", 18, b"\x02\0\x0aonMetaData\x08", Kind::Metadata),
        (
            "set",
            18,
            b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08",
            Kind::Metadata,
        ),
        (
            "clear",
            18,
            b"\x02\0\x0f@clearDataFrame\x02\0\x0aonMetaData",
            Kind::Data,
        ),
        ("other", 18, b"\x02\0\x0aonCuePoint\x08", Kind::Data),
        (
            "set other",
            18,
            b"\x02\0\x0d@setDataFrame\x02\0\x04name",
            Kind::Data,
        ),
        ("cut", 18, b"\x02\0\x0aonMeta", Kind::Data),
        ("type 15", 15, b"\0\x02\0\x0aonMetaData\x08", Kind::Metadata),
        (
            "type 15, no format byte",
            15,
            b"\x02\0\x0aonMetaData\x08",
            Kind::Metadata,
        ),
        (
            "type 15, AMF3 string",
            15,
            b"\0\x11\x06\x15onMetaData",
            Kind::Metadata,
        ),
        ("a command", 20, b"\x02\0\x0aonMetaData", Kind::Data),
        ("empty", 18, b"", Kind::Data),
    ];
    for &(name, kind, payload, expected) in table {
        assert_eq!(
            classify(MessageType(kind), payload),
            Class::of(expected),
            "{name}"
        );
    }
}
