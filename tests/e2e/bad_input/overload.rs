//! Rows 16 and 18 to 20: floods, and clients that read nothing.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use super::*;

/// A stream whose frames are numbered, and a viewer that must get every one of them.
struct Live {
    stop: AtomicBool,
    sent: Mutex<Vec<Instant>>,
    late: Mutex<Vec<Duration>>,
}

impl Live {
    fn new() -> Self {
        Self {
            stop: AtomicBool::new(false),
            sent: Mutex::default(),
            late: Mutex::default(),
        }
    }

    fn publish(&self, mut client: Wired, stream: u32) {
        for header in Codec::Avc.headers() {
            let kind = header.message_type();
            client
                .media(stream, kind, 0, &header.payload)
                .expect("sent");
        }
        let begun = Instant::now();
        let mut number = 0;
        while !self.stop.load(Relaxed) {
            self.sent.lock().expect("no panic").push(Instant::now());
            let (kind, payload) = Codec::Avc
                .frames(number, number.is_multiple_of(30), 4000)
                .remove(0);
            let timestamp = number * 100 / 3;
            client
                .media(stream, kind, timestamp, &payload)
                .expect("sent");
            number += 1;
            let due = begun + Duration::from_micros(u64::from(number) * 100_000 / 3);
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                let _ = client.next(left.max(Duration::from_micros(100)));
            }
        }
    }

    fn watch(&self, mut viewer: Wired) {
        let mut expected = None;
        while !self.stop.load(Relaxed) {
            let frame = viewer.wait(PATIENCE, |message| {
                message.header.kind == wire::VIDEO && message.payload.len() == 4000
            });
            let Ok(frame) = frame else {
                assert!(self.stop.load(Relaxed), "the healthy one gets every frame");
                return;
            };
            let stamp = frame.payload[5..9].try_into().expect("four bytes");
            let number = u32::from_be_bytes(stamp);
            assert_eq!(number, expected.unwrap_or(number), "none is missing");
            expected = Some(number + 1);
            let sent = self.sent.lock().expect("no panic")[number as usize];
            self.late.lock().expect("no panic").push(sent.elapsed());
        }
    }

    /// The 99th percentile of the latencies since the last call.
    fn p99(&self) -> Duration {
        let mut late = std::mem::take(&mut *self.late.lock().expect("no panic"));
        late.sort();
        late.get(late.len() * 99 / 100).copied().unwrap_or_default()
    }
}

#[test]
fn a_thousand_stalled_players_and_a_healthy_one() {
    const STALLED: usize = 1000;
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let pid = neighbours.cluster.edges[0].pid();
    let (publisher, stream) = Wired::publisher(server, "live", "row18");
    let (viewer, _) = Wired::viewer(server, "live", "row18");
    let live = Live::new();
    thread::scope(|scope| {
        let _stop = Stop(&live.stop);
        scope.spawn(|| live.publish(publisher, stream));
        scope.spawn(|| live.watch(viewer));
        thread::sleep(Duration::from_secs(2));
        let alone = live.p99();
        let before = resident_mib(pid);
        let stalled = all_at_once(STALLED, 8, |_| {
            let mut client = Wired::narrow_session(server, "live");
            let stream = client.create_stream();
            client.play(stream, "row18");
            client
        });
        let mut most: f64 = 0.0;
        wait::until("all of them are closed", 3 * PATIENCE, || {
            most = most.max(resident_mib(pid));
            neighbours.faults_of("no_progress") >= STALLED as f64
        });
        let beside = live.p99();
        let each = (most - before) * 1024.0 / STALLED as f64;
        println!(
            "row 18: p99 {alone:?} alone, {beside:?} beside {STALLED} stalled players; \
             {each:.1} KiB for each"
        );
        // A viewer has its own output that the socket does not take, see `MAX_OUTPUT`; the ring is
        // shared.
        assert!(each < 64.0, "row 18: {each:.1} KiB for each");
        neighbours.logged_exactly("fault=\"no_progress\"", STALLED);
        assert_eq!(neighbours.faults_of("no_progress"), STALLED as f64);
        drop(stalled);
    });
    neighbours.unharmed();
}

#[test]
fn thousands_of_stalled_sessions_and_a_hot_one() {
    const STALLED: usize = 5000;
    const OVERFLOWING: usize = STALLED / 10;
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let stop = AtomicBool::new(false);
    let answered = AtomicU64::new(0);
    let rate = |during: Duration| {
        let (before, begun) = (answered.load(Relaxed), Instant::now());
        thread::sleep(during);
        (answered.load(Relaxed) - before) as f64 / begun.elapsed().as_secs_f64()
    };
    thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| call_without_pause(server, &stop, &answered));
        let alone = rate(Duration::from_secs(2));
        let filler = "x".repeat(16_000);
        let stalled = all_at_once(STALLED, 8, |number| {
            let group = ["counter/hot", "counter/crowd"][number % 2];
            let mut client = Wired::narrow_session(server, group);
            client.set_chunk_size(65_536);
            // One client in ten overflows its queue at the edge; the others stall with the bytes
            // that their sockets hold.
            for _ in 0..if number % 10 == 0 { 24 } else { 2 } {
                if client.send_call("echo", &[filler.as_str().into()]).is_err() {
                    break;
                }
            }
            client
        });
        let beside = rate(Duration::from_secs(2));
        wait::until("those that overflow are closed", 3 * PATIENCE, || {
            neighbours.closed_for("slow_reader") >= OVERFLOWING as f64
        });
        println!("row 19: {alone:.0} calls a second alone, {beside:.0} beside {STALLED} stalled");
        assert_eq!(neighbours.closed_for("slow_reader"), OVERFLOWING as f64);
        neighbours.logged_exactly("reason=\"slow_reader\"", OVERFLOWING);
        drop(stalled);
    });
    let lost = neighbours
        .cluster
        .edge_metrics(0)
        .sum("tributary_edge_link_lost_total");
    assert_eq!(lost, 0.0, "the link never stalls");
    neighbours.unharmed();
}

fn call_without_pause(server: SocketAddr, stop: &AtomicBool, answered: &AtomicU64) {
    let mut client = Wired::session(server, "counter/hot");
    let mut number = 0.0;
    while !stop.load(Relaxed) {
        number += 1.0;
        let answer = client.call("count", &[number.into()]);
        assert_eq!(answer.values()[3].number(), Some(number));
        answered.fetch_add(1, Relaxed);
    }
}

#[test]
fn a_flood_of_calls() {
    let neighbours = Neighbours::start();
    let before = neighbours.honest.answered();
    let begun = Instant::now();
    neighbours.closes_for("row 20: calls without end", "message_rate", |server| {
        let mut client = Wired::session(server, "counter/flood");
        // A call without a transaction has no answer that the client must read.
        let call = wire::command(&["count".into(), 0.0.into(), Amf::Null, 1.0.into()]);
        let batch = call.repeat(1000);
        while client.send(&batch).is_ok() {
            assert!(begun.elapsed() < 4 * PATIENCE, "row 20: it goes on and on");
        }
    });
    let answered = neighbours.honest.answered() - before;
    let rate = answered as f64 / begun.elapsed().as_secs_f64();
    println!(
        "row 20: closed after {:?}; others had {rate:.0} answers a second",
        begun.elapsed()
    );
    neighbours.unharmed();
}

#[test]
fn plays_of_names_that_never_publish() {
    const CLIENTS: usize = 40;
    const PLAYS: usize = 25_000;
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let pids: Vec<_> = neighbours.baseline.clone();
    let most = Mutex::new(vec![0.0_f64; pids.len()]);
    thread::scope(|scope| {
        let running: Vec<_> = (0..CLIENTS)
            .map(|number| scope.spawn(move || play_without_end(server, number, PLAYS)))
            .collect();
        while running.iter().any(|client| !client.is_finished()) {
            for (most, &(pid, _)) in most.lock().expect("no panic").iter_mut().zip(&pids) {
                *most = most.max(resident_mib(pid));
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    for (most, (_, before)) in most.into_inner().expect("no panic").iter().zip(&pids) {
        println!("row 16: {:.1} MiB more", most - before);
        assert!(most - before < 64.0, "row 16: {most:.1} MiB");
    }
    wait::until("nothing is left of the names", PATIENCE, || {
        let metrics = neighbours.cluster.origin_metrics(0);
        metrics.sum("tributary_origin_sessions") == HONEST as f64
    });
    neighbours.unharmed();
}

/// Plays names without a publisher on 20 message streams in turn: 16 of them may wait.
fn play_without_end(server: SocketAddr, number: usize, plays: usize) {
    const STREAMS: usize = 20;
    let mut client = Wired::session(server, "live/nothing");
    let streams: Vec<u32> = (0..STREAMS).map(|_| client.create_stream()).collect();
    let mut refused = 0;
    for round in 0..plays / STREAMS {
        for &stream in &streams {
            let name = format!("never-{number}-{round}-{stream}");
            client.play(stream, &name);
            let subscribe = ["FCSubscribe".into(), 0.0.into(), Amf::Null];
            let subscribe = [&subscribe[..], &[name.as_str().into()]].concat();
            client.command(0, &subscribe).expect("an open connection");
        }
        // The edge closes a client that does not read its answers.
        let last = client
            .send_call("nothing", &[])
            .expect("an open connection");
        let answered = client.wait(PATIENCE, |message| {
            refused += usize::from(message.code().as_deref() == Some("NetStream.Play.Failed"));
            answers(message) == Some(last)
        });
        answered.expect("row 16: every play is answered");
    }
    assert_eq!(refused, plays * 4 / STREAMS, "row 16: the rest wait");
}

/// Stops a thread when the test ends, also by a panic.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Makes clients in several threads.
fn all_at_once<T: Send>(count: usize, threads: usize, make: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let make = &make;
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let numbers = (part..count).step_by(threads);
                    numbers.map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        let made = parts.into_iter().map(|part| part.join());
        made.flat_map(|part| part.expect("all of them connect"))
            .collect()
    })
}
