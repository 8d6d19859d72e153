//! The bounds of one turn of a script: processor time and stack.

use std::{cell::Cell, ptr, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Bounds the turns of one runtime. The engine asks [`Allowance::is_over`] every few thousand
/// steps; after a true answer the turn ends with an error that no `catch` and no `finally` of the
/// script catches.
#[derive(Debug)]
pub(crate) struct Allowance {
    turn: Duration,
    stack: usize,
    began: Cell<Duration>,
    end: Cell<Option<Duration>>,
    /// The stack's position at the beginning of the turn.
    base: Cell<usize>,
    over: Cell<Option<Exceeded>>,
    reported: Cell<bool>,
}

/// The exceeded bound of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Time,
    Stack,
    Memory,
}

impl Exceeded {
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Time => "the turn took more processor time than script_turn_time allows",
            Self::Stack => "functions call each other too deeply",
            Self::Memory => "the script uses more memory than script_memory allows",
        }
    }
}

/// The stack of a thread that runs scripts: the engine's own bound, and room for the group around
/// it.
pub const THREAD_STACK: usize = ENGINE_STACK + 8 * 1024 * 1024;

/// The engine's own bound on the stack, whose error a script can catch. Reason: it is the last
/// guard; between two checks of [`Allowance`] a recursion of small functions does not get that far.
pub(crate) const ENGINE_STACK: usize = 16 * 1024 * 1024;

/// The deepest stack of a script when the engine asks. Reason: some ten thousand nested calls; only
/// a recursion without end goes beyond it.
const MAX_STACK: usize = 4 * 1024 * 1024;

impl Allowance {
    pub(crate) fn new(turn: Duration) -> Self {
        Self {
            turn,
            stack: MAX_STACK,
            began: Cell::new(Duration::ZERO),
            end: Cell::new(None),
            base: Cell::new(0),
            over: Cell::new(None),
            reported: Cell::new(false),
        }
    }

    /// Begins a turn, which may take `times` the usual time.
    pub(crate) fn begin(&self, times: u32) {
        self.over.set(None);
        self.reported.set(false);
        self.base.set(stack_place());
        let began = processor_time();
        self.began.set(began);
        self.end.set(Some(began + self.turn * times));
    }

    /// The processor time that the turn has taken so far.
    pub(crate) fn used(&self) -> Duration {
        processor_time().saturating_sub(self.began.get())
    }

    /// Ends the turn; returns the exceeded bound.
    pub(crate) fn finish(&self) -> Option<Exceeded> {
        self.end.set(None);
        self.over.take()
    }

    /// The bound that the turn has exceeded so far.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.over.get()
    }

    /// Notes that the error that ended the turn is logged.
    pub(crate) fn reported(&self) {
        self.reported.set(true);
    }

    /// Whether the error that ended the turn is logged.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.get()
    }

    /// Notes that the turn has exceeded a bound.
    pub(crate) fn exceed(&self, what: Exceeded) {
        if self.over.get().is_none() {
            self.over.set(Some(what));
        }
    }

    /// Whether the turn must end now.
    pub(crate) fn is_over(&self) -> bool {
        let Some(end) = self.end.get() else {
            return false;
        };
        if self.over.get().is_some() {
            return true;
        }
        if self.base.get().abs_diff(stack_place()) > self.stack {
            self.exceed(Exceeded::Stack);
        } else if processor_time() >= end {
            self.exceed(Exceeded::Time);
        }
        self.over.get().is_some()
    }
}

/// Processor time of this thread: a busy machine must not cost a script its turn.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[inline(never)]
fn stack_place() -> usize {
    let here = 0_u8;
    ptr::from_ref(&here).addr()
}
