//! Enhanced RTMP's codecs and multitrack pass byte for byte, sequence headers of every track
//! included, for a viewer that waits and for one that comes late.

use std::{thread, time::Duration};

use crate::support::{
    clients::wired::Wired,
    cluster::Cluster,
    media::{Kind, Likeness, Recording, compare},
    synthetic::{Codec, Synthetic},
};

#[test]
fn every_codec_passes_untouched() {
    let cluster = Cluster::start(1, 2);
    let codecs = [
        Codec::Avc,
        Codec::HevcOpus,
        Codec::Av1Opus,
        Codec::Vp9Aac,
        Codec::Multitrack,
    ];
    thread::scope(|scope| {
        for codec in codecs {
            let cluster = &cluster;
            scope.spawn(move || passes_untouched(cluster, codec));
        }
    });
}

fn passes_untouched(cluster: &Cluster, codec: Codec) {
    let name = format!("{codec:?}");
    thread::scope(|scope| {
        let record = |mut viewer: Wired| {
            scope.spawn(move || {
                viewer.record(Duration::from_secs(30), |message, _| {
                    message.code().as_deref() == Some("NetStream.Play.UnpublishNotify")
                })
            })
        };
        let view = || record(Wired::multitrack_viewer(cluster.rtmp(1), "live", &name));
        let early = view();
        let plain = record(Wired::viewer(cluster.rtmp(1), "live", &name).0);
        let publisher = Synthetic::start(cluster.rtmp(0), "live", &name, codec, 3000);
        thread::sleep(Duration::from_secs(2));
        let late = view();
        thread::sleep(Duration::from_secs(2));
        let sent = publisher.finish();
        let early = early.join().expect("the early viewer records");
        check(codec, "early", &sent, &early);
        let plain = plain.join().expect("the plain viewer records");
        check(codec, "plain", &first_tracks(&sent), &plain);
        let late = late.join().expect("the late viewer records");
        check(codec, "late", &sent, &late);
        let frames = early.of(Kind::Video).count();
        let all = sent.of(Kind::Video).count();
        assert_eq!(frames, all, "{codec:?}: the waiting viewer misses nothing");
    });
}

/// The media for a viewer whose connect does not claim several tracks.
fn first_tracks(sent: &Recording) -> Recording {
    let mut first = sent.clone();
    first.packets.retain(|packet| match packet.payload[..] {
        [0x95 | 0x96 | 0xa6, _, _, _, _, _, track, ..] => track == 0,
        _ => true,
    });
    first
}

fn check(codec: Codec, who: &str, sent: &Recording, got: &Recording) {
    compare(sent, got, Likeness::EXACT)
        .unwrap_or_else(|fault| panic!("{codec:?}, {who} viewer: {fault}"));
    let before_media = got
        .packets
        .iter()
        .take_while(|packet| packet.kind != Kind::Video)
        .filter(|packet| packet.kind == Kind::VideoHeader)
        .count();
    let expected = sent.of(Kind::VideoHeader).count();
    assert_eq!(
        before_media, expected,
        "{codec:?}, {who} viewer: headers before the first frame"
    );
}
