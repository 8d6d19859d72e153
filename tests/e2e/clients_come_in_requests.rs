//! RTMPT and RTMPTS with real clients.

use std::{fs, time::Duration};

use crate::support::{
    clients::{Player, Publisher, both},
    cluster::Cluster,
    media::{clip, compare},
};

/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(6);

#[test]
fn every_client_gets_the_same_media_in_requests() {
    let cluster = Cluster::with_certificates("\"rtmp\", \"rtmpt\", \"rtmpts\"");
    let server = cluster.edges[0].address("rtmpt");
    for scheme in ["rtmpt", "rtmpts", "rtmp"] {
        let published = format!("{scheme}://{server}/live/{scheme}");
        let players = [
            (Player::Ffmpeg, "rtmp"),
            (Player::Ffmpeg, "rtmpt"),
            (Player::Ffmpeg, "rtmpts"),
            (Player::Rtmpdump, "rtmpt"),
        ];
        let playing = players.map(|(player, by)| {
            let directory = cluster
                .directory()
                .join(format!("{scheme}-{player:?}-{by}"));
            fs::create_dir(&directory).expect("a new directory");
            let url = format!("{by}://{server}/live/{scheme}");
            (player, by, player.start(&url, &directory))
        });
        let publishing = Publisher::Ffmpeg.start(&published, clip(), cluster.directory());
        publishing.finish(CLIP_WITHIN);
        let sent = Publisher::Ffmpeg.sends(clip(), cluster.directory());
        for (player, by, playing) in playing {
            let got = playing.finish(PLAYED_WITHIN);
            compare(&sent, &got, both(Publisher::Ffmpeg, player))
                .unwrap_or_else(|fault| panic!("{scheme} to {player:?} by {by}: {fault}"));
        }
    }
}
