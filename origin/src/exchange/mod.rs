//! Streams that go to other servers and come from them without an application: pushes and pulls.
//!
//! ```text
//! group ── begin, drop ──► task on the media thread ── orders ──► connection (outgoing)
//!       ◄─ PullReport ───┤ attempts, waits, states  ◄─ reports ─┘
//!                        └─ board: figures and state of each target
//! ```
//!
//! A push publishes a live stream of the group elsewhere, for as long as the group keeps its handle.
//! A pull plays a stream elsewhere and reports its media to the group, which publishes it. Either
//! dials again for as long as it lives, after 1 s to 30 s.
//!
//! | module | content |
//! |---|---|
//! | `board` | the state of each relay, with metrics and log lines |
//! | `call` | one connection, as a push or a pull uses it |
//! | `push`, `pull` | the tasks |

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tributary_node::{
    backoff::Backoff,
    config::{self, When},
};
use tributary_protocol::GroupName;

pub(crate) mod board;
mod call;
pub(crate) mod pull;
pub(crate) mod push;

#[cfg(test)]
mod tests;

pub(crate) use board::{Board, Course, NewRelay, RelayLine, Relayed};
pub(crate) use call::Dialler;

/// The longest first wait of a relay before it dials again; waits double, and each is between half of
/// its length and all of it. Reason: a publisher that returns within 5 s keeps its viewers.
const LEAST_WAIT: Duration = Duration::from_secs(2);

/// The longest wait before a relay dials again.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// A relay that ran for this long begins with the shortest wait.
const HEALTHY: Duration = Duration::from_secs(60);

/// How long the other side may take to accept a publish or a play, connect included.
const ANSWER: Duration = Duration::from_secs(15);

/// The waits of a relay.
pub(crate) fn backoff() -> Backoff {
    Backoff::new(LEAST_WAIT, MOST_WAIT, HEALTHY)
}

/// The groups of these applications that live without clients: they have pulls that run always.
pub(crate) fn kept(applications: &BTreeMap<String, config::Application>) -> BTreeSet<GroupName> {
    let of = |(name, settings): (&String, &config::Application)| -> Vec<GroupName> {
        let pulls = settings.pull.iter();
        let always = pulls.filter(|pull| pull.when == When::Always);
        let names = always.map(|pull| format!("{name}/{}", pull.instance).parse());
        names.filter_map(Result::ok).collect()
    };
    applications.iter().flat_map(of).collect()
}
