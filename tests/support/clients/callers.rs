//! Clients that call without a pause, and take exact account of what becomes of each call.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::wired::{self, Wired};
use crate::support::wire::Amf;

/// A script that tells each client of each of its calls, and answers some later.
pub(crate) const ECHO: &str = "
    application.onConnect = function (client) {
        client.now = function (number) { this.call('heard', null, number); return number; };
        client.later = function (number) {
            this.call('heard', null, number);
            return new Promise(function (done) {
                var timer = setInterval(function () { clearInterval(timer); done(number); }, 150);
            });
        };
        return true;
    };
";

/// The answers to each call by its transaction, and how often the script has heard it.
type Calls = BTreeMap<u32, (Vec<String>, u32)>;

/// Clients of [`ECHO`] at work.
pub(crate) struct Callers {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Calls>>,
}

impl Callers {
    /// Connects so many clients.
    pub(crate) fn start(count: usize, at: impl Fn(usize) -> SocketAddr, app: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let start = |number| {
            let mut session = Wired::session(at(number), app);
            session.call("now", &[0.0.into()]);
            let caller = Caller {
                session,
                calls: BTreeMap::new(),
            };
            let over = Arc::clone(&over);
            thread::spawn(move || caller.run(&over))
        };
        let threads = (0..count).map(start).collect();
        Self { over, threads }
    }

    /// Ends them. Each call has been carried out once and answered once with its result; each client has made
    /// so many at least, and has heard no status.
    pub(crate) fn finish(self, at_least: usize) {
        for calls in self.join() {
            assert!(calls.len() >= at_least, "{} calls", calls.len());
            for (number, (answers, heard)) in calls {
                let as_expected = (&["_result".to_owned()][..], 1);
                assert_eq!((&answers[..], heard), as_expected, "call {number}");
            }
        }
    }

    /// As [`Self::finish`], after processes were killed: each call has been answered once, with its result or as
    /// failed, and carried out once at most; one with a result has been carried out. Returns how many failed.
    pub(crate) fn finish_after_kills(self) -> usize {
        let mut failed = 0;
        for (number, (answers, heard)) in self.join().into_iter().flatten() {
            assert!(heard <= 1, "call {number} was carried out {heard} times");
            match &answers.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["_result"] => {}
                ["_error"] => failed += 1,
                other => panic!("call {number} has the answers {other:?}"),
            }
        }
        failed
    }

    fn join(self) -> Vec<Calls> {
        self.over.store(true, Ordering::Relaxed);
        let threads = self.threads.into_iter();
        threads.map(|it| it.join().expect("no status")).collect()
    }
}

/// A client that calls all the time, until the flag is set.
struct Caller {
    session: Wired,
    calls: Calls,
}

impl Caller {
    fn run(mut self, over: &AtomicBool) -> Calls {
        for number in 1.. {
            if over.load(Ordering::Relaxed) {
                break;
            }
            let method = if number % 5 == 0 { "later" } else { "now" };
            let sent = self.session.send_call(method, &[f64::from(number).into()]);
            let transaction = sent.expect("the connection stays") as u32;
            self.calls.insert(transaction, (Vec::new(), 0));
            let numbers: Vec<_> = self.calls.keys().copied().collect();
            assert_eq!(numbers[number as usize - 1], transaction);
            self.take(Duration::from_millis(7));
        }
        let open = |caller: &Self| {
            let mut calls = caller.calls.values();
            calls.any(|(answers, heard)| {
                answers.is_empty() || *heard == 0 && answers[0] == "_result"
            })
        };
        let mut rounds = 0;
        while open(&self) && rounds < 1_000 {
            self.take(Duration::from_millis(10));
            rounds += 1;
        }
        self.calls
    }

    /// Takes what comes within this time.
    fn take(&mut self, time: Duration) {
        while let Ok(message) = self.session.next(time) {
            let name = message.name();
            if let Some(transaction) = wired::answers(&message) {
                let call = self.calls.get_mut(&(transaction as u32));
                let (answers, _) = call.expect("it has called");
                answers.push(name.unwrap_or_default());
            } else if name.as_deref() == Some("heard") {
                let values = message.values();
                let number = values.get(3).and_then(Amf::number).expect("a number");
                let call = self.calls.values_mut().nth(number as usize - 1);
                call.expect("it has called").1 += 1;
            } else if let Some(code) = message.code() {
                panic!("a status: {code}");
            }
        }
    }
}
