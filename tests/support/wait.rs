//! Waiting for a state, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Waits until `reached` answers true; panics with `what` when it does not in time.
pub(crate) fn until(what: &str, at_most: Duration, mut reached: impl FnMut() -> bool) {
    let found = some(at_most, || reached().then_some(()));
    assert!(found.is_some(), "not within {at_most:?}: {what}");
}

/// Waits until `found` answers something, or the time is over.
pub(crate) fn some<T>(at_most: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(value) = found() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL);
    }
}

const POLL: Duration = Duration::from_millis(10);
