//! The beginning and end of groups, their shutdown, and the cost of many of them.

use std::{
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use tributary_node::config;
use tributary_protocol::{
    GroupName, MessageType,
    amf::Value,
    command::{Connect, ObjectEncoding},
    link::CloseReason,
};

use super::stage::{Lane, Stage, live_settings, pass, play, settings, settle};
use crate::{
    app::{
        Admission, Answer, Application, Applications, Call, ClientId, Context, Runs, StopReason,
    },
    group::{Groups, OpenRefused, Settings, clock::Clock, media::Media, workers::Workers},
    metrics::Metrics,
    session::LaneKey,
};

/// Notes its calls, and answers with the time.
struct Diary {
    notes: Arc<Mutex<Vec<String>>>,
    stays: bool,
}

impl Diary {
    fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap().push(note.into());
    }
}

impl Application for Diary {
    fn connect(&mut self, context: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        self.note("connect");
        if context.client(client).unwrap().peer().port() == 1 {
            return Admission::Pending;
        }
        Admission::Accept
    }

    fn disconnect(&mut self, _: &mut Context<'_>, _: ClientId, reason: CloseReason) {
        self.note(format!("disconnect {}", reason.label()));
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let delay = call
            .arguments
            .first()
            .and_then(Value::as_number)
            .unwrap_or_default();
        let at = context.now() + Duration::from_secs(delay as u64);
        context.set_deadline(Some(at));
        Answer::Deferred
    }

    fn deadline(&mut self, context: &mut Context<'_>) {
        let clients = context.clients().count();
        self.note(format!("deadline with {clients}"));
        context.broadcast("tick", &[]);
    }

    fn stop(&mut self, _: &mut Context<'_>, reason: StopReason) -> bool {
        self.note(format!("stop {reason:?}"));
        !self.stays
    }
}

fn diary(stays: bool, idle: Duration) -> (Stage, Arc<Mutex<Vec<String>>>) {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&notes);
    let mut applications = Applications::new();
    let settings = config::Application {
        idle_time: Some(config::Duration(idle)),
        ..live_settings()
    };
    applications.add("app", settings, move |_| {
        Box::new(Diary {
            notes: Arc::clone(&shared),
            stays,
        })
    });
    (Stage::with(applications), notes)
}

fn taken(notes: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut notes.lock().unwrap())
}

#[test]
fn an_idle_group_ends_after_its_time_and_not_while_a_lane_holds_it() {
    play(async {
        let (mut stage, notes) = diary(false, Duration::from_secs(600));
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.closed(1, CloseReason::Client);
        lane.closed(1, CloseReason::Client);
        pass(Duration::from_secs(3_600)).await;
        assert_eq!(taken(&notes), ["connect", "disconnect client_closed"]);
        assert_eq!(stage.groups.count(), 1);
        drop(lane);
        pass(Duration::from_secs(599)).await;
        assert_eq!(stage.groups.count(), 1);
        let lane = stage.lane("app");
        pass(Duration::from_secs(10)).await;
        drop(lane);
        pass(Duration::from_secs(599)).await;
        assert_eq!((stage.groups.count(), taken(&notes).len()), (1, 0));
        pass(Duration::from_secs(1)).await;
        assert_eq!(taken(&notes), ["stop Idle"]);
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn a_lost_edge_disconnects_each_accepted_client_once() {
    play(async {
        let (mut stage, notes) = diary(false, Duration::from_secs(600));
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.client(2).await;
        lane.open_from(3, "10.0.0.1:1", ObjectEncoding::Amf0);
        settle().await;
        assert_eq!(taken(&notes), ["connect"; 3]);
        lane.outage(true);
        pass(Duration::from_secs(15)).await;
        assert!(taken(&notes).is_empty(), "an outage is no loss");
        for session in [1, 2, 3, 1, 2] {
            lane.closed(session, CloseReason::OriginLost);
        }
        settle().await;
        // The third was pending.
        assert_eq!(taken(&notes), ["disconnect origin_lost"; 2]);
    });
}

#[test]
fn an_application_may_stay_when_it_is_idle() {
    play(async {
        let (mut stage, notes) = diary(true, Duration::from_secs(60));
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.closed(1, CloseReason::Client);
        drop(lane);
        for _ in 0..3 {
            pass(Duration::from_secs(60)).await;
        }
        assert_eq!(taken(&notes)[2..], ["stop Idle", "stop Idle", "stop Idle"]);
        assert_eq!(stage.groups.count(), 1);
        let groups = stage.groups.clone();
        groups.shutdown().await;
        assert_eq!(
            taken(&notes),
            ["stop Shutdown"],
            "its wish counts for idleness alone"
        );
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn a_shutdown_tells_everyone_in_order() {
    play(async {
        let (mut stage, notes) = diary(false, Duration::from_secs(60));
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.open_from(2, "10.0.0.1:1", ObjectEncoding::Amf0);
        lane.clear().await;
        let groups = stage.groups.clone();
        groups.shutdown().await;
        assert_eq!(
            lane.heard(1).await,
            [
                "0 NetConnection.Connect.AppShutdown",
                "close",
                "Close shutdown"
            ]
        );
        let refused = [
            "_error 1 NetConnection.Connect.AppShutdown",
            "close",
            "Close shutdown",
        ];
        assert_eq!(lane.heard(2).await, refused);
        assert_eq!(taken(&notes)[2..], ["disconnect shutdown", "stop Shutdown"]);
        lane.open(3);
        assert_eq!(lane.heard(3).await, refused);
        let again = groups
            .open(&"app".parse().unwrap(), LaneKey(9))
            .unwrap_err();
        assert_eq!(again, OpenRefused::Shutdown);
    });
}

#[test]
fn an_application_has_one_deadline() {
    play(async {
        let (mut stage, notes) = diary(false, Duration::from_secs(60));
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "in", 0.0, &[10.0.into()]);
        lane.call(1, 0, "in", 0.0, &[5.0.into()]);
        pass(Duration::from_secs(4)).await;
        assert!(lane.heard(1).await.is_empty());
        pass(Duration::from_secs(10)).await;
        assert_eq!(lane.heard(1).await, ["tick"]);
        assert_eq!(taken(&notes)[1..], ["deadline with 1"]);
    });
}

#[test]
fn a_live_group_ends_with_its_lane_once_no_publisher_may_return() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.publish(1, "cam", 1);
        lane.closed(1, CloseReason::Transport);
        drop(lane);
        pass(Duration::from_secs(4)).await;
        assert_eq!(stage.groups.count(), 1);
        pass(Duration::from_secs(1)).await;
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn secret_names_are_shown_as_a_keyed_hash() {
    let groups = || Groups::local(settings(), Applications::new());
    let (one, other) = (groups(), groups());
    assert_eq!(one.process().shown("key123", false), "key123");
    let hash = one.process().shown("key123", true);
    assert!(hash.starts_with('#') && hash.len() == 17 && !hash.contains("key123"));
    assert_eq!(hash, one.process().shown("key123", true));
    assert_ne!(hash, one.process().shown("key124", true));
    assert_ne!(
        hash,
        other.process().shown("key123", true),
        "another key in every process"
    );
}

#[test]
fn the_number_of_groups_is_bounded() {
    play(async {
        let mut applications = Applications::new();
        applications.add_builtin("live", live_settings());
        let limits = Settings {
            max_groups: 2,
            ..settings()
        };
        let groups = Groups::local(limits, applications);
        let open = |name: &str| groups.open(&name.parse().unwrap(), LaneKey(1));
        let first = open("live/1").unwrap();
        let _second = open("live/2").unwrap();
        assert_eq!(open("live/3").unwrap_err(), OpenRefused::Limit);
        assert!(open("live/1").is_ok());
        drop(first);
        settle().await;
        assert!(open("live/3").is_ok());
    });
}

#[test]
fn a_worker_that_hangs_takes_no_more_groups_and_they_are_refused() {
    let mut applications = Applications::new();
    applications.add_builtin("live", live_settings());
    let workers = Workers::with_room(1, Settings::DEFAULT_STACK, 2).unwrap();
    let (release, hung) = std::sync::mpsc::sync_channel::<()>(0);
    // A group of which one turn takes for ever.
    let hangs = workers.spawn(Runs::OnWorker, move |_| async move {
        let _ = hung.recv();
    });
    assert!(hangs.is_ok());
    let (metrics, clock) = (Metrics::default(), Clock::plain());
    let groups = Groups::new(
        settings(),
        applications,
        metrics,
        workers,
        Media::Local,
        clock,
    );
    let open = |name: u32| groups.open(&format!("live/{name}").parse().unwrap(), LaneKey(1));
    let mut held = Vec::new();
    let refused = loop {
        match open(held.len() as u32) {
            Ok(handle) => held.push(handle),
            Err(refused) => break refused,
        }
        assert!(held.len() < 10, "the queue of the worker has no end");
    };
    assert_eq!(refused, OpenRefused::Busy);
    assert_eq!(
        groups.count(),
        held.len(),
        "nothing is left of the one refused"
    );
    // Once the worker goes on, so do they.
    drop(release);
    drop(held);
    let patience = Instant::now() + Duration::from_secs(20);
    while groups.count() > 0 {
        assert!(Instant::now() < patience, "{} groups", groups.count());
        thread::yield_now();
    }
    assert!(open(77).is_ok());
}

#[test]
fn a_session_that_overruns_the_mailbox_is_closed() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        // Without a turn of the group between them.
        let megabyte = bytes::Bytes::from(vec![0; 1 << 20]);
        for _ in 0..70 {
            lane.message(1, 0, MessageType(99), megabyte.clone(), 0);
        }
        assert_eq!(lane.heard(1).await, ["close", "Close limit_exceeded"]);
        lane.call(2, 0, "createStream", 3.0, &[]);
        assert_eq!(lane.heard(2).await, ["_result 3 2"]);
    });
}

#[test]
fn ten_thousand_groups_answer_and_end() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lanes: Vec<Lane> = Vec::new();
        for group in 0..10_000 {
            let lane = stage.lane(&format!("live/{group}"));
            lane.open(1);
            lane.call(1, 0, "createStream", 2.0, &[]);
            lanes.push(lane);
        }
        all_settle().await;
        for lane in &mut lanes {
            assert_eq!(lane.heard_now(1).len(), 3);
            lane.call(1, 0, "nothing", 3.0, &[]);
        }
        all_settle().await;
        for lane in &mut lanes {
            assert_eq!(lane.heard_now(1), ["_error 3 NetConnection.Call.Failed"]);
            lane.closed(1, CloseReason::Client);
        }
        drop(lanes);
        all_settle().await;
        assert_eq!(stage.groups.count(), 0);
    });
}

/// A `LocalSet` runs 61 tasks for each turn of its runtime.
async fn all_settle() {
    for _ in 0..10 {
        settle().await;
    }
}

/// An application without acts of its own.
struct Quiet;

impl Application for Quiet {}

/// Waits for what this session hears at its begin.
async fn begun(lane: &mut Lane, session: u64) {
    lane.open(session);
    let patience = Instant::now() + Duration::from_secs(20);
    let mut heard = Vec::new();
    while heard.len() < 2 {
        heard.extend(lane.heard_now(session));
        assert!(Instant::now() < patience, "{heard:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(heard, ["Accept", "_result 1 NetConnection.Connect.Success"]);
}

#[test]
fn a_group_beside_the_link_moves_to_a_worker_with_a_version_that_may_not_run_there() {
    let threads = Arc::new(Mutex::new(Vec::new()));
    let factory = || {
        let threads = Arc::clone(&threads);
        move |_: &GroupName| {
            let thread = thread::current().id();
            threads.lock().unwrap().push(thread);
        }
    };
    let mut applications = Applications::new();
    let noting = factory();
    applications.add_inline("app", live_settings(), move |name| {
        noting(name);
        Box::new(Quiet)
    });
    let groups = Groups::start(settings(), applications.clone(), Metrics::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(groups.run_beside_link());
        tokio::task::yield_now().await;
        let handle = groups.open(&"app".parse().unwrap(), LaneKey(1)).unwrap();
        let mut lane = Lane::new(handle, 1);
        begun(&mut lane, 1).await;
        // Still beside the link, which the same version may be.
        groups.restart("app");
        begun(&mut lane, 2).await;
        // A folder of scripts takes the name, for example.
        let noting = factory();
        applications.replace("app", live_settings(), move |name| {
            noting(name);
            Box::new(Quiet)
        });
        groups.restart("app");
        begun(&mut lane, 3).await;
        begun(&mut lane, 4).await;
        groups.shutdown().await;
        assert_eq!(groups.count(), 0);
    });
    let threads = threads.lock().unwrap();
    let link = thread::current().id();
    let beside: Vec<_> = threads.iter().map(|thread| *thread == link).collect();
    assert_eq!(beside, [true, true, false]);
}

/// Answers a call with the count of calls and whether its thread is the test's, after this time.
struct Slow {
    calls: u32,
    takes: Duration,
    link: ThreadId,
}

impl Application for Slow {
    fn call(&mut self, _: &mut Context<'_>, _: &Call) -> Answer {
        let until = Instant::now() + self.takes;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        self.calls += 1;
        let beside_link = thread::current().id() == self.link;
        let answer = format!("{} {beside_link}", self.calls);
        Answer::Result(answer.as_str().into())
    }
}

#[test]
fn a_group_that_takes_much_of_the_links_thread_goes_on_at_a_worker() {
    let (takes, link) = (Duration::from_millis(4), thread::current().id());
    let mut applications = Applications::new();
    applications.add_inline("app", live_settings(), move |_| {
        Box::new(Slow {
            calls: 0,
            takes,
            link,
        })
    });
    let groups = Groups::start(settings(), applications, Metrics::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        tokio::task::spawn_local(groups.run_beside_link());
        tokio::task::yield_now().await;
        let handle = groups.open(&"app".parse().unwrap(), LaneKey(1)).unwrap();
        let mut lane = Lane::new(handle, 1);
        begun(&mut lane, 1).await;
        let patience = Instant::now() + Duration::from_secs(20);
        let (mut calls, mut heard) = (0, Vec::new());
        // Calls go on while the group moves, and for a while at the worker.
        while heard
            .iter()
            .filter(|line: &&String| line.ends_with("false"))
            .count()
            < 20
        {
            assert!(
                Instant::now() < patience,
                "{calls} calls, {} answers",
                heard.len()
            );
            calls += 1;
            lane.call(1, 0, "work", f64::from(calls) + 1.0, &[]);
            tokio::time::sleep(Duration::from_millis(10)).await;
            heard.extend(lane.heard_now(1));
        }
        let beside = heard.iter().filter(|line| line.ends_with("true")).count();
        assert!(beside > 0, "it begins beside the link");
        let expected = (1..=heard.len()).map(|call| {
            let beside_link = call <= beside;
            format!("_result {} {call} {beside_link}", call + 1)
        });
        assert_eq!(
            heard,
            expected.collect::<Vec<_>>(),
            "each call once, in order"
        );
        groups.shutdown().await;
        assert_eq!(groups.count(), 0);
    });
}

#[test]
fn worker_threads_run_groups_and_end_with_them() {
    let mut applications = Applications::new();
    applications.add_builtin("live", live_settings());
    let threads = Settings {
        workers: 3,
        ..settings()
    };
    let groups = Groups::start(threads, applications, Metrics::default()).unwrap();
    let mut lanes: Vec<Lane> = Vec::new();
    for number in 0..30 {
        let lane = Lane::new(
            groups
                .open(&format!("live/{number}").parse().unwrap(), LaneKey(number))
                .unwrap(),
            number,
        );
        lane.open(1);
        lanes.push(lane);
    }
    let patience = Instant::now() + Duration::from_secs(20);
    for lane in &mut lanes {
        let mut heard = Vec::new();
        while heard.len() < 2 {
            heard.extend(lane.heard_now(1));
            assert!(Instant::now() < patience, "{heard:?}");
            thread::yield_now();
        }
        assert_eq!(heard, ["Accept", "_result 1 NetConnection.Connect.Success"]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(groups.shutdown());
    assert_eq!(groups.count(), 0);
}
