//! The history of a run, and the invariants that it must keep.
//!
//! | invariant | |
//! |---|---|
//! | one | no two instances of a group serve it at a time; for 3 s if an origin died or a path was cut while it moved |
//! | once | a call is carried out at most once |
//! | answered | a call is answered exactly once |
//! | kept | no session is closed but those of an edge that died |
//! | whole | each call has its result, and each move brings the state along: unless a process dies, a group hangs, or an origin stops while paths are cut |
//! | served | at the end each session is served, and a new client finds its group |
//! | done | at the end nothing is on its way |

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::{GroupName, SessionId, link::CloseReason};

#[derive(Default)]
pub(super) struct History {
    calls: BTreeMap<(SessionId, u32), Fate>,
    /// The instance of each group that has carried out the last call.
    serving: BTreeMap<GroupName, u64>,
    /// Instances that went on after another one had begun: when each did so first.
    rivals: BTreeMap<(GroupName, u64), Instant>,
    /// Whether two origins may have a group for a moment.
    pub(super) may_doubt: bool,
    pub(super) violations: Vec<String>,
    /// Whether something was lost on the way: a process died, a group hung.
    pub(super) is_broken: bool,
    /// Counts of what has happened, so that a run which shows nothing is noticed.
    pub(super) seen: BTreeMap<String, usize>,
}

/// One call of a client.
#[derive(Debug, Default)]
struct Fate {
    carried_out: u32,
    answers: Vec<bool>,
}

/// The time for which two origins may have a group, if the process of one died or a path was cut while it moved: until
/// they have heard of each other.
const DOUBT: Duration = Duration::from_secs(3);

impl History {
    pub(super) fn new(is_broken: bool, may_doubt: bool) -> Self {
        Self {
            is_broken,
            may_doubt,
            ..Self::default()
        }
    }

    pub(super) fn violated(&mut self, text: String) {
        if self.violations.len() < 20 {
            self.violations.push(text);
        }
    }

    pub(super) fn saw(&mut self, what: &str) {
        *self.seen.entry(what.to_owned()).or_default() += 1;
    }

    pub(super) fn called(&mut self, session: SessionId, number: u32) {
        self.calls.entry((session, number)).or_default();
    }

    /// An instance of a group carries out a call.
    pub(super) fn carried_out(
        &mut self,
        group: &GroupName,
        instance: u64,
        call: (SessionId, u32),
        now: Instant,
    ) {
        let before = self.serving.insert(group.clone(), instance);
        if let Some(newer) = before.filter(|before| *before > instance) {
            let rival = self.rivals.entry((group.clone(), instance)).or_insert(now);
            if !self.may_doubt || now >= *rival + DOUBT {
                self.violated(format!(
                    "one: instance {instance} of {group} carries out a call after {newer}"
                ));
            }
        }
        self.calls.entry(call).or_default().carried_out += 1;
    }

    /// A client has the answer of a call: its result, or an error.
    pub(super) fn answered(&mut self, call: (SessionId, u32), has_result: bool) {
        self.calls.entry(call).or_default().answers.push(has_result);
    }

    /// A session was closed by its edge or its origin.
    pub(super) fn closed(&mut self, session: SessionId, reason: CloseReason) {
        self.violated(format!("kept: {session} is closed: {reason:?}"));
    }

    /// Checks all calls. `gone` are sessions whose clients wait for no answer.
    pub(super) fn check(&mut self, gone: &BTreeSet<SessionId>) {
        let mut violations = Vec::new();
        for (call, fate) in &self.calls {
            if fate.carried_out > 1 {
                violations.push(format!("once: {call:?} {fate:?}"));
            }
            if gone.contains(&call.0) {
                continue;
            }
            if fate.answers.len() != 1 {
                violations.push(format!("answered: {call:?} {fate:?}"));
            } else if !self.is_broken && (fate.carried_out != 1 || !fate.answers[0]) {
                violations.push(format!("whole: {call:?} {fate:?}"));
            }
        }
        for violation in violations {
            self.violated(violation);
        }
    }
}
