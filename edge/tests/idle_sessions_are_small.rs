//! The memory of a connected session without traffic, counted by the allocator.

mod support;

use std::io::Read;

use support::Edge;
use tributary_protocol::link::{CloseReason, ToSession};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A session may take 6 KiB of resident memory at the edge; its lane and the losses of the
/// allocator have to fit in beside this.
const MOST: usize = 3 * 1024;

const SESSIONS: usize = 1000;

#[test]
fn an_idle_session_holds_little() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut edge = Edge::start();
    let mut sessions = Vec::with_capacity(2 * SESSIONS);
    sessions.extend((0..SESSIONS).map(|_| edge.session()));
    let before = dhat::HeapStats::get().curr_bytes;
    sessions.extend((0..SESSIONS).map(|_| edge.session()));
    let after = dhat::HeapStats::get().curr_bytes;
    let each = (after - before) / SESSIONS;
    println!("{each} bytes for each idle session");
    assert!(each <= MOST, "{each} bytes for each idle session");
    assert_eq!(edge.metrics.sessions.get(), 2 * SESSIONS as i64);

    // The session still works.
    let mut last = sessions.pop().expect("there are many");
    let reason = CloseReason::Application;
    last.inbox
        .push_final(ToSession::Close(reason).into())
        .expect("it is there");
    assert_eq!(last.socket.read(&mut [0]).expect("it is closed"), 0);
    drop((last, sessions));
    edge.until("all are gone", |metrics| metrics.connections.get() == 0);
}
