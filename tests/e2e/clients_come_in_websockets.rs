//! RTMP in WebSockets, beside the other protocols on one port.

use std::{fs, thread, time::Duration};

use crate::support::{
    clients::{
        Player, Playing, Publisher, Publishing, both,
        carrier::{ws, wss},
        ours,
    },
    cluster::Cluster,
    media::{clip, compare},
};

/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(6);

#[test]
fn every_client_gets_the_same_media_in_websockets() {
    let cluster = Cluster::with_certificates("\"rtmp\", \"rtmps\", \"ws\", \"wss\"");
    let server = cluster.edges[0].address("wss");
    let url = format!("rtmp://{server}/live/clip");
    let ca = cluster.directory().join("public/ca.pem");
    for publisher in [Publisher::Ffmpeg, Publisher::Ours] {
        let directory = cluster.directory().join(format!("{publisher:?}"));
        fs::create_dir(&directory).expect("a new directory");
        let mut playing: Vec<_> = [Player::Ffmpeg, Player::Rtmpdump, Player::Ours]
            .map(|player| (player, "rtmp", player.start(&url, &directory)))
            .into();
        let over_tls = format!("rtmps://{server}/live/clip");
        let over_tls = Player::Ffmpeg.start(&over_tls, cluster.directory());
        playing.push((Player::Ffmpeg, "rtmps", over_tls));
        for (scheme, carrier) in [("ws", ws(server)), ("wss", wss(server, &ca))] {
            let url = url.clone();
            let player = thread::spawn(move || ours::play_over(carrier, &url));
            playing.push((Player::Ours, scheme, Playing::Thread(player)));
        }
        let publishing = match publisher {
            Publisher::Ours => {
                let (carrier, url) = (wss(server, &ca), url.clone());
                let publish = move || ours::publish_over(carrier, &url, clip());
                Publishing::Thread(thread::spawn(publish))
            }
            _ => publisher.start(&url, clip(), &directory),
        };
        publishing.finish(CLIP_WITHIN);
        let sent = publisher.sends(clip(), &directory);
        for (player, scheme, playing) in playing {
            let got = playing.finish(PLAYED_WITHIN);
            compare(&sent, &got, both(publisher, player))
                .unwrap_or_else(|fault| panic!("{publisher:?} to {player:?} by {scheme}: {fault}"));
        }
    }
}
