//! A publisher returns or publishes afresh with other tracks: players see the tracks of the present
//! publisher and none of the one before.

use std::{path::PathBuf, time::Duration};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, publisher_of, tracks},
    cluster::Cluster,
    media::{Kind, clip},
    program::Program,
    wait,
};

fn publish(cluster: &Cluster, edge: usize, number: &str, tracks: &[&str]) -> Program {
    let url = cluster.url(edge, "live", "clip?publisher=one");
    publisher_of(&url, clip(), tracks, &directory(cluster, number))
}

fn directory(cluster: &Cluster, number: &str) -> PathBuf {
    let directory = cluster.directory().join(number);
    std::fs::create_dir_all(&directory).expect("a new directory");
    directory
}

/// Waits until players at every edge see these tracks.
fn await_tracks(cluster: &Cluster, edges: usize, expected: &[&str]) {
    for edge in 0..edges {
        let url = cluster.url(edge, "live", "clip");
        let mut seen = Vec::new();
        wait::until(&format!("edge {edge} shows {expected:?}"), PATIENCE, || {
            seen = tracks(&url);
            seen == expected
        });
    }
}

#[test]
fn players_see_the_tracks_of_the_publisher_that_is_there() {
    let cluster = Cluster::with_live_settings(1, 2, "");
    // A viewer that stays through every change keeps the rings alive.
    let waiting = cluster.url(1, "live", "clip");
    let player = Player::Ffmpeg.start(&waiting, cluster.directory());
    let both = ["aac,audio", "h264,video"];
    let mut first = publish(&cluster, 0, "a", &[]);
    await_tracks(&cluster, 2, &both);

    // The publisher is lost and returns without audio.
    first.kill();
    let mut second = publish(&cluster, 1, "b", &["-an"]);
    await_tracks(&cluster, 2, &["h264,video"]);

    // The publication ends; the next one has no video.
    second.signal(Signal::INT);
    second.wait_exit(PATIENCE);
    let mut third = publish(&cluster, 0, "c", &["-vn"]);
    await_tracks(&cluster, 2, &["aac,audio"]);

    // The publisher is lost and returns with both tracks.
    third.kill();
    let mut fourth = publish(&cluster, 0, "d", &[]);
    await_tracks(&cluster, 2, &both);
    fourth.signal(Signal::INT);
    fourth.wait_exit(PATIENCE);

    let played = player.finish(Duration::from_secs(20));
    played.assert_time_never_goes_back();
    assert!(played.of(Kind::Video).count() > 50);
}

/// ffprobe alone reads several seconds of a stream, much longer where other programs take the processors.
const PATIENCE: Duration = Duration::from_secs(60);
