//! The heap memory of idle groups and sessions.

use std::time::Duration;

use tributary_origin::test::{IdleGroups, IdleLane};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Bytes on the heap for each session: connected, with a message stream, idle. The link's own
/// state of a session comes on top; both together have to stay below 2 KiB.
const SESSION: f64 = 768.0;

/// Bytes on the heap for each group without sessions.
const GROUP: f64 = 3.0 * 1024.0;

fn heap() -> f64 {
    dhat::HeapStats::get().curr_bytes as f64
}

#[test]
fn idle_groups_and_sessions_are_small() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let groups = IdleGroups::start();

    let mut lane = groups.lane(0);
    (0..100).for_each(|session| lane.connect(session));
    let before = heap();
    (100..4_100).for_each(|session| lane.connect(session));
    std::thread::sleep(Duration::from_millis(50));
    let session = (heap() - before) / 4_000.0;

    let mut lanes: Vec<IdleLane> = (1..=100).map(|number| groups.lane(number)).collect();
    let before = heap();
    lanes.extend((101..=2_100).map(|number| groups.lane(number)));
    std::thread::sleep(Duration::from_millis(200));
    let group = (heap() - before) / 2_000.0;
    let before = heap();
    lanes[100..].iter_mut().for_each(|lane| lane.connect(1));
    std::thread::sleep(Duration::from_millis(50));
    let first_session = (heap() - before) / 2_000.0;

    println!("session {session:.0} B, group {group:.0} B, its first session {first_session:.0} B");
    assert!(session <= SESSION, "{session} bytes for each session");
    assert!(group <= GROUP, "{group} bytes for each group");
}
