//! A member of a group that sends large commands without pause does not keep the others from being
//! answered. `load -- fairness` measures the delay of their answers.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::{calls::Callers, wired::Wired},
    cluster::Cluster,
    wait,
};

#[test]
fn others_of_the_group_are_answered_meanwhile() {
    let cluster = Cluster::start(1, 1);
    let server = cluster.rtmp(0);
    let stop = AtomicBool::new(false);
    let mut heavy = Wired::session(server, "counter/fair");
    heavy.set_chunk_size(65_536);
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let filler = "x".repeat(1 << 20);
            let mut sent = 0_u32;
            while !stop.load(Relaxed) {
                sent += 1;
                let number = f64::from(sent).into();
                let answer = heavy.call("count", &[number, filler.as_str().into()]);
                assert_eq!(answer.name().as_deref(), Some("_result"));
            }
            sent
        });
        let callers = Callers::start(server, "counter/fair", 99);
        wait::until("the others are answered", Duration::from_secs(60), || {
            callers.answered() > 99 * 100
        });
        stop.store(true, Relaxed);
        for calls in callers.finish() {
            assert_eq!((calls.counted, calls.wrong), (calls.made, 0));
        }
        let large = large.join().expect("the heavy one is answered, too");
        assert!(large > 0);
        println!("{large} large commands meanwhile");
    });
}

#[test]
fn one_that_sends_more_than_its_rate_waits_and_is_counted() {
    let cluster = Cluster::start(1, 1);
    let server = cluster.rtmp(0);
    let mut heavy = Wired::session(server, "counter/rate");
    heavy.set_chunk_size(65_536);
    heavy.set_read_patience(Duration::from_secs(60));
    let callers = Callers::start(server, "counter/rate", 4);
    let filler = "x".repeat(1 << 20);
    let begun = Instant::now();
    for number in 1..=6 {
        let number = f64::from(number).into();
        let answer = heavy.call("count", &[number, filler.as_str().into()]);
        assert_eq!(answer.name().as_deref(), Some("_result"), "it only waits");
    }
    // 6 MiB are 2 MiB more than the burst: 8.4 s of 2 Mbit/s.
    assert!(
        begun.elapsed() > Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
    let throttled = cluster
        .edge_metrics(0)
        .sum("tributary_edge_link_throttled_total");
    assert!(throttled > 0.0);
    for calls in callers.finish() {
        assert_eq!((calls.counted, calls.wrong), (calls.made, 0));
    }
}
