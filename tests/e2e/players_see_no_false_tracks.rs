//! The first messages to a joining player make no track that the source does not have: at a join,
//! after a return, after a fresh publish.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{
    clients::{Player, publisher_of, tracks},
    cluster::Cluster,
    media::clip,
    wait,
};

const TRACKS: [&str; 2] = ["aac,audio", "h264,video"];

#[test]
fn ffmpeg_finds_the_tracks_of_the_source_at_a_join_and_after_a_return() {
    let cluster = Cluster::with_live_settings(1, 2, "");
    let url = cluster.url(0, "live", "clip?publisher=one");
    let watched = cluster.url(1, "live", "clip");
    let directory = cluster.directory().join("publisher");
    std::fs::create_dir_all(&directory).expect("a new directory");
    let player = Player::Ffmpeg.start(&watched, cluster.directory());
    let mut publisher = publisher_of(&url, clip(), &[], &directory);
    for publish in 0..3 {
        wait::until("the stream is there", PATIENCE, || {
            !tracks(&watched).is_empty()
        });
        for _ in 0..2 {
            assert_eq!(tracks(&watched), TRACKS, "after {publish} returns");
        }
        // The publisher is lost the first time; then its stream ends.
        if publish == 0 {
            publisher.kill();
        } else {
            publisher.signal(Signal::INT);
            publisher.wait_exit(PATIENCE);
        }
        if publish < 2 {
            publisher = publisher_of(&url, clip(), &[], &directory);
        }
    }
    // A player that has stayed through all of it has these tracks, too.
    let file = cluster.directory().join("Ffmpeg.flv");
    player.finish(Duration::from_secs(20));
    assert_eq!(tracks(&file.display().to_string()), TRACKS);
}

const PATIENCE: Duration = Duration::from_secs(25);
