//! Clients and servers are 50 ms apart: everything that a publisher sends arrives at every player.

use std::time::{Duration, Instant};

use tributary_path::{Direction, Path};

use crate::support::{
    clients::{Player, Publisher, both, wired::tcp},
    cluster::Cluster,
    media::{clip, compare},
};

#[test]
fn ffmpeg_and_rml_rtmp_publish_and_play_over_50_ms() {
    // Each direction loses a packet now and then, so that TCP has to send it again.
    let settings = "rtt=50ms,loss=0.2%,seed=11".parse().expect("settings");
    let path = Path::open(&settings).unwrap_or_else(|error| panic!("this test: {error}"));
    let cluster = Cluster::beyond(&path, 1, 2);
    let begun = Instant::now();
    path.near()
        .run(|| tcp(cluster.rtmp(0)))
        .expect("a connection across the path");
    let took = begun.elapsed();
    println!("TCP connects within {took:?}");
    assert!(took >= Duration::from_millis(50));
    for publisher in [Publisher::Ffmpeg, Publisher::Rml] {
        across(&path, &cluster, publisher);
    }
    for direction in [Direction::Up, Direction::Down] {
        let counts = path.counts(direction);
        println!("{direction:?}: {counts:?}");
        assert!(counts.carried > 100 && counts.overflowed == 0);
    }
}

/// Publishes a clip at one edge, plays it at the other, and compares.
fn across(path: &Path, cluster: &Cluster, publisher: Publisher) {
    let name = format!("{publisher:?}");
    let directory = cluster.directory();
    let sent = publisher.sends(clip(), directory);
    let url = cluster.url(1, "live", &name);
    let players = [Player::Ffmpeg, Player::Rml];
    let playing = path
        .near()
        .run(|| players.map(|player| player.start(&url, directory)));
    let url = cluster.url(0, "live", &name);
    let publishing = path.near().run(|| publisher.start(&url, clip(), directory));
    publishing.finish(CLIP_WITHIN);
    for (player, playing) in players.into_iter().zip(playing) {
        let got = playing.finish(PLAYED_WITHIN);
        compare(&sent, &got, both(publisher, player))
            .unwrap_or_else(|fault| panic!("{publisher:?} to {player:?}: {fault}"));
    }
}

/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(60);
const PLAYED_WITHIN: Duration = Duration::from_secs(10);
