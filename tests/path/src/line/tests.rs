use std::rc::Rc;

use super::*;

/// A line on a clock that the test moves.
struct Stage {
    line: Line<Vec<u8>>,
    begun: Instant,
    now: Instant,
}

/// A packet that left: its number and its time since the beginning.
type Left = (u32, Duration);

impl Stage {
    fn new(settings: &str, seed: u64) -> Self {
        println!("{settings}, seed {seed}");
        let settings: crate::Settings = settings.parse().unwrap();
        let begun = Instant::now();
        Self {
            line: Line::new(settings.up, seed),
            begun,
            now: begun,
        }
    }

    /// Sends a packet of so many bytes; returns whether it was taken in.
    fn send(&mut self, number: u32, bytes: usize) -> bool {
        let mut packet = number.to_be_bytes().to_vec();
        packet.resize(bytes, 0);
        self.line.arrive(self.now, packet).is_none()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Everything that leaves until now, each at its own time.
    fn left(&mut self) -> Vec<Left> {
        let mut left = Vec::new();
        while let Some(due) = self.line.due().filter(|due| *due <= self.now) {
            let just_before = due - Duration::from_nanos(1);
            assert_eq!(self.line.leave(just_before), None, "no packet is early");
            let packet = self.line.leave(due).expect("a packet that is due");
            let number = u32::from_be_bytes(*packet.first_chunk().unwrap());
            left.push((number, due - self.begun));
        }
        left
    }

    fn left_after(&mut self, time: Duration) -> Vec<Left> {
        self.pass(time);
        self.left()
    }
}

fn numbers(left: &[Left]) -> Vec<u32> {
    left.iter().map(|(number, _)| *number).collect()
}

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_packet_leaves_after_its_delay() {
    let mut stage = Stage::new("delay=25ms", 1);
    assert!(stage.send(0, 100));
    stage.pass(3 * MS);
    assert!(stage.send(1, 100));
    assert_eq!(stage.left_after(21 * MS), []);
    assert_eq!(stage.left_after(MS), [(0, 25 * MS)]);
    assert_eq!(stage.left_after(100 * MS), [(1, 28 * MS)]);
    assert_eq!(stage.line.due(), None);
    assert_eq!(stage.line.counts().bytes, 200);
}

#[test]
fn packets_of_one_moment_keep_their_order() {
    let mut stage = Stage::new("delay=1ms", 1);
    for number in 0..100 {
        stage.send(number, 40);
    }
    let left = stage.left_after(MS);
    assert!(numbers(&left).into_iter().eq(0..100));
}

#[test]
fn the_narrowest_part_spaces_packets() {
    // A byte takes a microsecond.
    let mut stage = Stage::new("delay=5ms,rate=8mbit,queue=1MiB", 1);
    for number in 0..3 {
        stage.send(number, 1000);
    }
    let left = stage.left_after(20 * MS);
    assert_eq!(left, [(0, 6 * MS), (1, 7 * MS), (2, 8 * MS)]);
    // After a rest it begins at once.
    stage.send(3, 500);
    assert_eq!(stage.left_after(20 * MS), [(3, 25 * MS + MS / 2)]);
}

#[test]
fn a_full_queue_drops_the_packet_that_comes() {
    let mut stage = Stage::new("rate=8mbit,queue=10000B", 1);
    let taken: Vec<_> = (0..20).filter(|number| stage.send(*number, 1000)).collect();
    assert_eq!(taken, (0..10).collect::<Vec<_>>());
    assert_eq!(stage.line.counts().overflowed, 10);
    stage.pass(2 * MS);
    assert!(
        stage.send(20, 1000) && stage.send(21, 1000),
        "two have left"
    );
    assert!(!stage.send(22, 1000));
    let left = numbers(&stage.left_after(50 * MS));
    assert_eq!(left, [taken, vec![20, 21]].concat());
    assert!(stage.send(23, 60_000), "an idle line takes any packet");
}

#[test]
fn jitter_adds_up_to_its_value_and_keeps_the_order() {
    let mut stage = Stage::new("delay=10ms,jitter=4ms", 5);
    let mut late = Vec::new();
    for number in 0..1000 {
        stage.send(number, 100);
        let [(left, at)] = stage.left_after(20 * MS)[..] else {
            panic!("one packet leaves");
        };
        assert_eq!(left, number);
        late.push(at - 20 * MS * number - 10 * MS);
    }
    assert!(late.iter().all(|late| *late < 4 * MS));
    let mean = late.iter().sum::<Duration>() / 1000;
    assert!((MS * 17 / 10..MS * 23 / 10).contains(&mean), "{mean:?}");
    // Packets that follow at once would overtake each other without the rule.
    for number in 1000..2000 {
        stage.send(number, 100);
        stage.pass(MS / 10);
    }
    let left = stage.left_after(20 * MS);
    assert!(numbers(&left).into_iter().eq(1000..2000));
}

#[test]
fn losses_follow_from_the_seed() {
    let dropped = |seed| {
        let mut stage = Stage::new("loss=2%", seed);
        (0..10_000)
            .filter(|number| !stage.send(*number, 100))
            .collect::<Vec<_>>()
    };
    let first = dropped(3);
    assert!(
        (150..250).contains(&first.len()),
        "{} of 10,000",
        first.len()
    );
    assert_eq!(first, dropped(3));
    assert_ne!(first, dropped(4));
}

#[test]
fn an_overtaken_packet_is_late_and_holds_no_other() {
    let mut stage = Stage::new("delay=10ms,reorder=10%,reorder_by=3ms", 6);
    for number in 0..1000 {
        stage.send(number, 100);
        stage.pass(MS);
    }
    let left = stage.left_after(100 * MS);
    let late: Vec<_> = left
        .iter()
        .filter(|(number, at)| *at == MS * *number + 13 * MS)
        .map(|(number, _)| *number)
        .collect();
    assert!((70..130).contains(&late.len()), "{} of 1,000", late.len());
    assert_eq!(late.len() as u64, stage.line.counts().reordered);
    let mut others = left.iter().filter(|(number, _)| !late.contains(number));
    assert!(others.all(|(number, at)| *at == MS * *number + 10 * MS));
    assert_eq!(left.len(), 1000);
    assert!(!numbers(&left).is_sorted());
}

#[test]
fn a_duplicate_follows_its_packet() {
    let mut stage = Stage::new("delay=1ms,duplicate=100%", 1);
    stage.send(0, 100);
    stage.send(1, 100);
    assert_eq!(numbers(&stage.left_after(MS)), [0, 0, 1, 1]);
    assert_eq!(stage.line.counts().duplicated, 2);
}

#[test]
fn a_cut_drops_what_comes_and_not_what_is_on_its_way() {
    let mut stage = Stage::new("delay=10ms", 1);
    stage.send(0, 100);
    stage.line.conditions().cut = true;
    assert!(!stage.send(1, 100));
    assert_eq!(numbers(&stage.left_after(10 * MS)), [0]);
    stage.line.conditions().cut = false;
    assert!(stage.send(2, 100));
    assert_eq!(numbers(&stage.left_after(10 * MS)), [2]);
    assert_eq!(stage.line.counts().cut, 1);
}

#[test]
fn a_shorter_delay_lets_no_packet_overtake() {
    let mut stage = Stage::new("delay=10ms", 1);
    stage.send(0, 100);
    stage.line.conditions().delay = MS;
    stage.send(1, 100);
    assert_eq!(stage.left_after(9 * MS), []);
    assert_eq!(stage.left_after(MS), [(0, 10 * MS), (1, 10 * MS)]);
    stage.send(2, 100);
    assert_eq!(stage.left_after(MS), [(2, 11 * MS)]);
}

#[test]
fn a_line_without_a_rate_holds_a_bounded_amount() {
    let slow: crate::Settings = "delay=60s".parse().unwrap();
    let mut line = Line::new(slow.up, 1);
    let now = Instant::now();
    let packet: Rc<[u8]> = vec![0; 1024 * 1024].into();
    let takes = |line: &mut Line<Rc<[u8]>>| line.arrive(now, Rc::clone(&packet)).is_none();
    let taken = (0..300).filter(|_| takes(&mut line)).count();
    assert_eq!(taken * packet.len(), HELD_AT_MOST);
    assert!(line.leave(now + 60_000 * MS).is_some());
    assert!(takes(&mut line) && !takes(&mut line));
}

#[test]
fn every_packet_is_carried_or_dropped_whatever_the_settings() {
    let settings = "delay=2ms,jitter=3ms,rate=28mbit,queue=20000B,loss=3%,reorder=5%,\
                    reorder_by=2ms,duplicate=4%";
    for seed in 0..20 {
        let mut stage = Stage::new(settings, seed);
        let mut choices = StdRng::seed_from_u64(seed);
        let mut sent = Vec::new();
        let mut left = Vec::new();
        for number in 0..2000 {
            sent.push(stage.now - stage.begun);
            stage.send(number, choices.random_range(40..1500));
            stage.line.conditions().cut = choices.random_bool(0.05);
            left.extend(stage.left_after(Duration::from_micros(choices.random_range(0..400))));
        }
        left.extend(stage.left_after(1000 * MS));
        let counts = stage.line.counts();
        assert_eq!(counts.carried, left.len() as u64);
        assert_eq!(counts.carried + counts.dropped(), 2000 + counts.duplicated);
        let all = [counts.cut, counts.lost, counts.overflowed, counts.reordered];
        assert!(all.iter().all(|count| *count > 0), "{counts:?}");
        for (number, at) in left {
            let took = at - sent[number as usize];
            // Queue, delay, jitter, lateness.
            assert!((2 * MS..15 * MS).contains(&took), "{number}: {took:?}");
        }
    }
}
