//! A cluster to which all kinds of things happen.

use std::{env, thread, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use rustix::process::Signal;

use super::groups_move::{cluster, order, place};
use crate::support::{
    clients::{
        callers::Callers,
        wired::{PATIENCE, Wired},
    },
    cluster::stop,
    wait,
};

/// Three origins and three edges to which all kinds of things happen, in an order that the seed decides. After
/// each, one origin has the group with all of its sessions.
#[test]
#[ignore = "takes minutes: just trouble"]
fn one_origin_has_the_group_whatever_happens() {
    let seed = env::var("SEED").map_or_else(|_| rand::random(), |it| it.parse().expect("a seed"));
    let rounds = env::var("ROUNDS").map_or(60, |it| it.parse().expect("a number"));
    eprintln!("SEED={seed} ROUNDS={rounds}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut cluster = cluster(3, 3);
    let callers = Callers::start(9, |number| cluster.rtmp(number % 3), "room/one");
    for round in 0..rounds {
        let at = place(&cluster, "room/one");
        let (origin, edge) = (random.random_range(0..3), random.random_range(0..3));
        let to = format!("origin{origin}");
        let event = random.random_range(0..7);
        eprintln!(
            "round {round}: the group is at {at}; event {event}, origin {origin}, edge {edge}"
        );
        let moving = (random.random_bool(0.5)).then(|| {
            let moving = cluster.spawn(at, &["move", "room/one", "--to", &to]);
            thread::sleep(Duration::from_millis(random.random_range(0..30)));
            moving
        });
        match event {
            0 => cluster.restart_origin(origin),
            1 => cluster.restart_origin(at),
            2 => cluster.stop_and_restart_origin(origin),
            3 => cluster.stop_and_restart_origin(at),
            4 => {
                let _ = order(&cluster, at, &["drain", "--within", "0 s"]);
                thread::sleep(Duration::from_millis(random.random_range(0..300)));
                order(&cluster, at, &["undrain"]).expect("its end");
            }
            5 => {
                stop(&cluster.edges[edge]);
                let _ = order(&cluster, at, &["move", "room/one", "--to", &to]);
                thread::sleep(Duration::from_millis(random.random_range(0..4_000)));
                cluster.edges[edge].signal(Signal::CONT);
            }
            _ => {}
        }
        if let Some(moving) = moving {
            moving.join().expect("the command ends");
        }
        cluster.await_links();
        wait::until("one origin has all sessions", PATIENCE, || {
            let sessions = (0..3).filter_map(|origin| {
                let group = order(&cluster, origin, &["status", "room/one"]).ok()?;
                group["sessions"].as_u64()
            });
            sessions.collect::<Vec<_>>() == [9]
        });
        let mut new = Wired::session(cluster.rtmp(edge), "room/one");
        let answer = new.call("now", &[0.0.into()]);
        assert_eq!(answer.name().as_deref(), Some("_result"));
        drop(new);
        wait::until("it has left", PATIENCE, || {
            let at = place(&cluster, "room/one");
            order(&cluster, at, &["status", "room/one"]).is_ok_and(|it| it["sessions"] == 9)
        });
    }
    let failed = callers.finish_after_kills();
    eprintln!("{failed} calls failed");
}
