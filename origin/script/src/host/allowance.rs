//! What one turn of a script may use of the processor and of the stack.

use std::{cell::Cell, ptr, time::Duration};

use rustix::time::{ClockId, clock_gettime};

/// Watches one runtime's turns. The engine asks [`Allowance::is_over`] every few thousand steps;
/// once it has said so, the turn ends with an error that no `catch` and no `finally` of the
/// script sees.
#[derive(Debug)]
pub(crate) struct Allowance {
    turn: Duration,
    stack: usize,
    began: Cell<Duration>,
    end: Cell<Option<Duration>>,
    /// Where the stack stood when the turn began.
    base: Cell<usize>,
    over: Cell<Option<Exceeded>>,
    reported: Cell<bool>,
}

/// What a turn had too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    /// Processor time.
    Time,
    /// The stack.
    Stack,
    /// Memory.
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

/// The stack that a thread needs which runs scripts: the engine's own bound, and room for the
/// group around it.
pub const THREAD_STACK: usize = ENGINE_STACK + 8 * 1024 * 1024;

/// The engine's own bound on the stack, which a script can catch. Reason: it is the last guard;
/// between two looks of [`Allowance`] a recursion of small functions does not get that far.
pub(crate) const ENGINE_STACK: usize = 16 * 1024 * 1024;

/// How deep a script's stack may be when the engine asks. Reason: some ten thousand nested calls;
/// beyond it only a recursion without end goes.
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

    /// A turn begins; it may take `times` the usual time.
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

    /// The turn is over; what it exceeded.
    pub(crate) fn finish(&self) -> Option<Exceeded> {
        self.end.set(None);
        self.over.take()
    }

    /// What the turn has exceeded so far.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.over.get()
    }

    /// The error that ended the turn is logged.
    pub(crate) fn reported(&self) {
        self.reported.set(true);
    }

    /// Whether the error that ended the turn is logged.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported.get()
    }

    /// Notes that the turn had too much of something.
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
