//! Enhanced RTMP's codecs and multitrack pass byte for byte, sequence headers of every track
//! included, for a viewer that waits and for one that comes late.

use std::{thread, time::Duration};

use crate::support::{
    clients::wired::Wired,
    cluster::Cluster,
    media::{Kind, Likeness, compare},
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
    let mut early = Wired::viewer(cluster.rtmp(1), "live", &name).0;
    let publisher = Synthetic::start(cluster.rtmp(0), "live", &name, codec, 3000);
    thread::sleep(Duration::from_secs(2));
    let mut late = Wired::viewer(cluster.rtmp(1), "live", &name).0;
    thread::sleep(Duration::from_secs(2));
    let sent = publisher.finish();
    for (who, viewer) in [("early", &mut early), ("late", &mut late)] {
        let got = viewer.record(Duration::from_secs(15), |message, _| {
            message.code().as_deref() == Some("NetStream.Play.UnpublishNotify")
        });
        compare(&sent, &got, Likeness::EXACT)
            .unwrap_or_else(|fault| panic!("{codec:?}, {who} viewer: {fault}"));
        let begins_with = got
            .packets
            .iter()
            .position(|packet| packet.kind == Kind::Video);
        let headers = got.packets.iter().take(begins_with.unwrap_or(0));
        let headers = headers
            .filter(|packet| packet.kind == Kind::VideoHeader)
            .count();
        let expected = sent.of(Kind::VideoHeader).count();
        assert_eq!(
            headers, expected,
            "{codec:?}, {who} viewer: headers before the first frame"
        );
        if who == "early" {
            let (frames, all) = (got.of(Kind::Video).count(), sent.of(Kind::Video).count());
            assert_eq!(frames, all, "{codec:?}: who waits misses nothing");
        }
    }
}
