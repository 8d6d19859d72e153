//! Simulated clusters: origins, edges and clients, links that delay, break and come back, processes that stop, die and
//! start again with what was on their disks. Every choice comes from the seed. The shipped state machines run, at
//! both tiers: `Ownership` and `OriginLane`, `Directory`, `Router` and `EdgeLane`.

mod edge;
mod history;
mod network;
mod origin;
mod rules;
mod world;

use std::{ops::Range, thread, time::Instant};

use history::History;
use world::{Trouble, World};

use crate::mutant::Mutant;

/// The start of virtual time.
#[allow(clippy::disallowed_methods)] // `Instant` offers no other beginning.
pub(super) fn start() -> Instant {
    Instant::now()
}

/// One run of a seed: its history, and the hash of all events.
fn run(seed: u64) -> (History, u64) {
    let trouble = Trouble {
        kills: seed % 5 == 4,
        cuts: seed % 5 >= 2,
        hangs: seed % 5 == 1,
        stops: seed % 5 != 2,
    };
    World::new(start(), seed, trouble).run(trouble)
}

/// The first violation of each seed, over two threads.
fn violations(seeds: Range<u64>) -> Vec<String> {
    let half = |odd: u64| {
        let mine = seeds.clone().filter(move |seed| seed % 2 == odd);
        mine.filter_map(|seed| {
            let first = run(seed).0.violations.into_iter().next()?;
            Some(format!("seed {seed}: {first}"))
        })
        .collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let odd = scope.spawn(|| half(1));
        let mut all = half(0);
        all.extend(odd.join().unwrap());
        all
    })
}

#[test]
fn one_origin_has_each_group_and_its_clients_lose_nothing() {
    assert_eq!(violations(0..200), [""; 0]);
}

#[test]
#[ignore = "takes a quarter of an hour: just cluster"]
fn one_origin_has_each_group_over_ten_thousand_seeds() {
    assert_eq!(violations(0..10_000), [""; 0]);
}

/// The same seed is the same run.
#[test]
fn a_seed_is_one_run() {
    for seed in 0..10 {
        assert_eq!(run(seed).1, run(seed).1, "seed {seed}");
    }
}

/// Prints the run of the seed in the variable SEED.
#[test]
#[ignore = "by hand: SEED=7 TRACE=1"]
fn one_seed() {
    let seed = std::env::var("SEED").unwrap().parse().unwrap();
    let (history, trace) = run(seed);
    eprintln!("{:#?}\n{:#?}\n{trace:x}", history.seen, history.violations);
}

/// The first seed that breaks an invariant of this name.
fn noticed(invariant: &str) -> Option<(u64, String)> {
    (0..200).find_map(|seed| {
        let mut violations = run(seed).0.violations.into_iter();
        let its_own = violations.find(|it| it.starts_with(invariant));
        its_own.map(|first| (seed, first))
    })
}

/// Each changed rule breaks an invariant within some seeds.
#[test]
fn every_changed_rule_is_noticed() {
    for mutant in Mutant::OF_A_CLUSTER {
        let _on = mutant.switch_on();
        let noticed = noticed(mutant.breaks());
        let (seed, first) = noticed.unwrap_or_else(|| panic!("{mutant:?} is not noticed"));
        eprintln!("{mutant:?}: seed {seed}: {first}");
    }
}

/// The same for changed conditions of lanes.
#[test]
fn every_changed_lane_is_noticed() {
    for mutant in [
        Mutant::CallsAreRepeated,
        Mutant::AnswersAreMissed,
        Mutant::HandOverIsACrash,
        Mutant::LateReportsDoNotCount,
    ] {
        let _on = mutant.switch_on();
        let noticed = noticed(mutant.breaks());
        let (seed, first) = noticed.unwrap_or_else(|| panic!("{mutant:?} is not noticed"));
        eprintln!("{mutant:?}: seed {seed}: {first}");
    }
}
