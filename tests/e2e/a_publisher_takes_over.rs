//! A publisher that takes over, or returns after it was lost, continues the stream: ffmpeg plays
//! on, and time never goes back.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, Playing, endless_publisher},
    cluster::Cluster,
    media::{Kind, clip},
    program::Program,
    wait,
};

#[test]
fn ffmpeg_plays_on_through_a_take_over_and_a_return() {
    let more = "second_publisher = \"takeover\"\n";
    let cluster = Cluster::with_live_settings(1, 2, more);
    let mut player = Player::Ffmpeg.start(&cluster.url(1, "live", "clip"), cluster.directory());
    let mut first = publish(&cluster, 0, "a");
    await_more(&mut player, 60);

    let mut second = publish(&cluster, 1, "b");
    wait::until("the first publisher is put off", PATIENCE, || {
        !first.is_running()
    });
    await_more(&mut player, 60);

    // A killed publisher does not unpublish, so that the stream waits for its return.
    second.kill();
    thread::sleep(Duration::from_millis(1500));
    let mut third = publish(&cluster, 0, "c");
    await_more(&mut player, 60);

    third.signal(Signal::INT);
    third.wait_exit(PATIENCE);
    let played = player.finish(Duration::from_secs(20));
    played.assert_time_never_goes_back();
    let video: Vec<_> = played.of(Kind::Video).collect();
    let mut restarts = 0;
    for pair in video.windows(2) {
        let step = pair[1].timestamp - pair[0].timestamp;
        if step > 100 {
            restarts += 1;
            assert!(pair[1].key, "{:?} comes after {:?}", pair[1], pair[0]);
        }
    }
    println!("{} frames, {restarts} gaps", video.len());
}

fn publish(cluster: &Cluster, edge: usize, number: &str) -> Program {
    // Publishers with the same name and query have the same identity.
    let url = cluster.url(edge, "live", "clip?publisher=one");
    let directory = cluster.directory().join(number);
    std::fs::create_dir_all(&directory).expect("a new directory");
    endless_publisher(&url, clip(), &directory)
}

fn await_more(player: &mut Playing, frames: usize) {
    let before = player.so_far().of(Kind::Video).count();
    wait::until("more media comes", PATIENCE, || {
        player.so_far().of(Kind::Video).count() >= before + frames
    });
    assert!(player.is_running(), "the player stays");
}

const PATIENCE: Duration = Duration::from_secs(25);
