//! The stages in which an edge leaves, so that its clients go elsewhere without a break.
//!
//! ```text
//!   begins          linger ends                              deadline
//!   │ not ready;    │ listeners close; ReconnectRequest to   │ the sessions left get
//!   │ still accepts │ clients that follow it, spread         │ AppShutdown, spread over
//!   │               │                                        │ the last tenth
//! ```
//!
//! The drain ([`tributary_node::drain`]) follows the deadline, or comes at once.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tributary_protocol::link::TakeoverKey;

/// The times of a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    begins: Instant,
    /// New clients are accepted until then: balancers need this time to notice.
    pub listens_until: Instant,
    /// All sessions have been told by then to end.
    pub deadline: Instant,
}

/// The end that begins the departure.
#[derive(Debug)]
pub struct Depart(watch::Sender<Option<Departure>>);

/// The end that learns of it. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Departing(watch::Receiver<Option<Departure>>);

/// The moments of one session in a departure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parting {
    /// The time for the request to reconnect; `None` if the client would not follow it, or has it.
    pub(crate) request: Option<Instant>,
    /// The key of a publisher's names, once the origin has been sent it.
    pub(crate) key: Option<TakeoverKey>,
    pub(crate) end: Instant,
}

/// The longest time over which requests to reconnect are spread.
const SPREAD: Duration = Duration::from_secs(10);

/// The time from a publisher's key, which goes to the origin, to the request, which goes to the
/// client. The client comes back through another edge, and its publish must not overtake the key.
pub(crate) const KEY_AHEAD: Duration = Duration::from_secs(1);

/// The longest departure.
pub(crate) const MOST: Duration = Duration::from_secs(24 * 60 * 60);

/// The part of the departure at its end over which the other sessions are closed.
const LAST: u32 = 10;

/// Makes the two ends.
pub fn channel() -> (Depart, Departing) {
    let (sender, receiver) = watch::channel(None);
    (Depart(sender), Departing(receiver))
}

impl Depart {
    /// Begins the departure, unless one has begun. Returns the one that is under way.
    pub fn begin(&self, departure: Departure) -> Departure {
        self.0.send_if_modified(|now| {
            let is_new = now.is_none();
            now.get_or_insert(departure);
            is_new
        });
        self.0.borrow().unwrap_or(departure)
    }
}

impl Departing {
    /// The departure, once it has begun.
    pub fn now(&self) -> Option<Departure> {
        *self.0.borrow()
    }

    /// Waits for its begin. Cancel safe.
    pub async fn begun(&self) -> Departure {
        let mut changes = self.0.clone();
        match changes.wait_for(Option::is_some).await.map(|now| *now) {
            Ok(Some(departure)) => departure,
            // It cannot begin any more.
            _ => std::future::pending().await,
        }
    }
}

impl Departure {
    /// A departure that begins now. The deadline counts from now, includes the linger, and is a day
    /// at most.
    pub fn new(now: Instant, linger: Duration, deadline: Duration) -> Self {
        let deadline = deadline.min(MOST);
        Self {
            begins: now,
            listens_until: now + linger.min(deadline),
            deadline: now + deadline,
        }
    }

    /// The moments of a session. `share` is a random number from 0 to 1. Publishers come first, so
    /// that viewers reconnect to streams that are there.
    pub(crate) fn parting(&self, share: f64, follows: bool, publishes: bool) -> Parting {
        let last = (self.deadline - self.begins) / LAST;
        let end = self.deadline - last.mul_f64(1.0 - share);
        let spread = SPREAD.min((self.deadline - self.listens_until) / 2) / 2;
        let begin = match publishes {
            true => self.listens_until,
            false => self.listens_until + spread,
        };
        Parting {
            request: follows.then(|| begin + spread.mul_f64(share)),
            key: None,
            end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_asked_first_and_the_rest_ends_in_the_last_tenth() {
        let now = Instant::now();
        let seconds = |seconds: f64| now + Duration::from_secs_f64(seconds);
        let departure = Departure::new(now, Duration::from_secs(5), Duration::from_secs(25));
        for (share, publishes, request, end) in [
            (0.0, true, 5.0, 22.5),
            (1.0, true, 10.0, 25.0),
            (0.0, false, 10.0, 22.5),
            (1.0, false, 15.0, 25.0),
        ] {
            let parting = departure.parting(share, true, publishes);
            assert_eq!(parting.request, Some(seconds(request)));
            assert_eq!(parting.end, seconds(end));
            assert_eq!(departure.parting(share, false, publishes).request, None);
        }
        // The deadline wins over the linger.
        let short = Departure::new(now, Duration::from_secs(5), Duration::from_secs(1));
        assert_eq!(
            (short.listens_until, short.deadline),
            (seconds(1.0), seconds(1.0))
        );
        assert_eq!(short.parting(0.5, true, false).request, Some(seconds(1.0)));
        let endless = Departure::new(now, Duration::ZERO, Duration::MAX);
        assert_eq!(endless.deadline, now + MOST);
        let at_once = Departure::new(now, Duration::ZERO, Duration::ZERO);
        assert_eq!(at_once.parting(0.7, true, true).end, now);
    }

    #[tokio::test]
    async fn a_departure_begins_once_and_late_watchers_know() {
        let (depart, departing) = channel();
        assert_eq!(departing.now(), None);
        let first = Departure::new(Instant::now(), Duration::ZERO, Duration::from_secs(9));
        let second = Departure::new(Instant::now(), Duration::ZERO, Duration::from_secs(1));
        assert_eq!(depart.begin(first), first);
        assert_eq!(depart.begin(second), first);
        assert_eq!(departing.clone().begun().await, first);
        assert_eq!(departing.now(), Some(first));
    }
}
