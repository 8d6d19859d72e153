//! Clients that send numbered calls to the application `counter` without pause, and check that
//! each is answered exactly once and in order.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::wired::{Nothing, PATIENCE, Wired, answers};
use crate::support::wire::Amf;

/// A group of callers.
#[derive(Debug)]
pub(crate) struct Callers {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Calls>>,
}

/// The result of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    /// Calls that it made; each was answered, once and in order.
    pub(crate) made: u64,
    /// Calls that the application counted for this client.
    pub(crate) counted: u64,
    /// Calls the application saw twice, missed, or saw out of order.
    pub(crate) wrong: u64,
}

impl Callers {
    /// Starts callers in one group, each calling every 10 ms.
    pub(crate) fn start(server: SocketAddr, app: &str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let threads = (0..count)
            .map(|_| {
                let client = Wired::session(server, app);
                let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
                thread::spawn(move || call(client, &stop, &answered))
            })
            .collect();
        Self {
            stop,
            answered,
            threads,
        }
    }

    /// The answered calls of all callers.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Relaxed)
    }

    /// Lets each caller wait for its last answer and ask for the application's count. A caller
    /// that met a wrong answer or lost its connection panics here.
    pub(crate) fn finish(self) -> Vec<Calls> {
        self.stop.store(true, Relaxed);
        self.threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    }
}

fn call(mut client: Wired, stop: &AtomicBool, answered: &AtomicU64) -> Calls {
    let mut made = 0_u64;
    let mut expected = 1_u64;
    let mut due = Instant::now();
    while !stop.load(Relaxed) {
        if due <= Instant::now() {
            made += 1;
            due += CALL_EVERY;
            client
                .send_call("count", &[(made as f64).into()])
                .expect("the connection stays open");
        }
        let left = due.saturating_duration_since(Instant::now());
        expected += take_answers(
            &mut client,
            expected,
            left.max(Duration::from_micros(100)),
            answered,
        );
    }
    let deadline = Instant::now() + OUTAGE_PATIENCE;
    while expected <= made {
        assert!(
            Instant::now() < deadline,
            "call {expected} of {made} is not answered"
        );
        expected += take_answers(&mut client, expected, Duration::from_millis(100), answered);
    }
    let report = client.call("report", &[]);
    let values = report.values();
    let number = |field| {
        let value = values.get(3).and_then(|report| report.field(field));
        value.and_then(Amf::number).unwrap_or(-1.0) as u64
    };
    Calls {
        made,
        counted: number("calls"),
        wrong: number("duplicates") + number("gaps") + number("late"),
    }
}

/// Takes the next answer if it comes in time; it must be the expected one.
fn take_answers(client: &mut Wired, expected: u64, at_most: Duration, answered: &AtomicU64) -> u64 {
    match client.next(at_most) {
        Ok(message) if answers(&message).is_some() => {
            let values = message.values();
            assert_eq!(
                message.name().as_deref(),
                Some("_result"),
                "call {expected}: {values:?}"
            );
            let number = values.get(3).and_then(Amf::number);
            assert_eq!(
                number,
                Some(expected as f64),
                "answers are in order, each once"
            );
            answered.fetch_add(1, Relaxed);
            1
        }
        Ok(_) | Err(Nothing::Late) => 0,
        Err(Nothing::Closed) => panic!("disconnected after {} answers", expected - 1),
    }
}

const CALL_EVERY: Duration = Duration::from_millis(10);
/// Longer than any outage in these tests, with the answers that wait for its end.
const OUTAGE_PATIENCE: Duration = PATIENCE.saturating_mul(2);
