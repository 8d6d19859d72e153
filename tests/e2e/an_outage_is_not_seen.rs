//! The path between the tiers fails, or the origin stops for a while: clients notice a pause and
//! nothing else.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, calls::Callers, endless_publisher},
    cluster::{Cluster, stop},
    media::{Kind, Recording, clip},
    wait,
};

#[test]
fn a_path_that_is_gone_for_two_seconds() {
    survive(|cluster| {
        // A path with a delay and a loss.
        cluster.relays[0].delay(Duration::from_millis(10));
        cluster.relays[0].lose(0.005);
        thread::sleep(Duration::from_secs(1));
        cluster.relays[0].black_hole(true);
        thread::sleep(Duration::from_secs(2));
        cluster.relays[0].black_hole(false);
    });
}

#[test]
fn a_path_that_is_gone_for_ten_seconds() {
    survive(|cluster| {
        cluster.relays[0].black_hole(true);
        thread::sleep(Duration::from_secs(10));
        cluster.relays[0].black_hole(false);
    });
}

#[test]
fn an_origin_that_is_stopped_for_ten_seconds() {
    survive(|cluster| {
        stop(&cluster.origins[0]);
        thread::sleep(Duration::from_secs(10));
        cluster.origins[0].signal(Signal::CONT);
    });
}

fn survive(outage: impl FnOnce(&Cluster)) {
    let cluster = Cluster::start(1, 2);
    let mut publisher =
        endless_publisher(&cluster.url(0, "live", "clip"), clip(), cluster.directory());
    let mut player = Player::Ffmpeg.start(&cluster.url(1, "live", "clip"), cluster.directory());
    let callers = Callers::start(cluster.rtmp(0), "counter/outage", CALLERS);
    wait::until("media comes", PATIENCE, || {
        video_frames(&player.so_far()) > 30
    });
    outage(&cluster);
    let (calls, frames) = (callers.answered(), video_frames(&player.so_far()));
    wait::until("media goes on", PATIENCE, || {
        video_frames(&player.so_far()) > frames + 60
    });
    wait::until("calls go on", PATIENCE, || {
        callers.answered() > calls + 100 * CALLERS as u64
    });
    for calls in callers.finish() {
        assert_eq!(calls.counted, calls.made, "each call is executed once");
        assert_eq!(
            calls.wrong, 0,
            "none twice, none skipped, none out of order"
        );
    }
    assert!(
        publisher.is_running(),
        "the publisher stays:\n{}",
        publisher.log()
    );
    assert!(player.is_running(), "the player stays");
    let played = player.so_far();
    played.assert_time_never_goes_back();
    assert_gaps_end_at_key_frames(&played);
}

/// Asserts that video continues at a key frame after missing frames.
fn assert_gaps_end_at_key_frames(played: &Recording) {
    let video: Vec<_> = played.of(Kind::Video).collect();
    for pair in video.windows(2) {
        let gap = pair[1].timestamp - pair[0].timestamp;
        assert!(
            gap <= LONGEST_STEP || pair[1].key,
            "{:?} comes after {:?}",
            pair[1],
            pair[0]
        );
    }
}

fn video_frames(recording: &Recording) -> usize {
    recording.of(Kind::Video).count()
}

const CALLERS: usize = 50;
/// Frames are 33 ms apart, and a little more where the clip begins anew.
const LONGEST_STEP: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(40);
