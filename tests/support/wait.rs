//! Waits for a state, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::program::Program;

/// Waits until `reached` is true; panics with `what` when it is not in time.
pub(crate) fn until(what: &str, at_most: Duration, mut reached: impl FnMut() -> bool) {
    let found = some(at_most, || reached().then_some(()));
    assert!(found.is_some(), "not within {at_most:?}: {what}");
}

/// Waits until `found` returns a value, or the time is over.
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

/// The first line of a program's log that contains this text. A line is written up to 20 ms after
/// its event: a test that has noticed the event by other means waits here for the line.
pub(crate) fn logged(program: &Program, text: &str) -> String {
    let line = some(LOGGED_WITHIN, || {
        let log = program.log();
        let mut lines = log.lines();
        lines.find(|line| line.contains(text)).map(str::to_owned)
    });
    line.unwrap_or_else(|| panic!("no {text:?} in the log:\n{}", program.log()))
}

const LOGGED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
