//! The sessions and connections for which a freeze of their worker waits.

use std::{fmt, rc::Rc};

use super::Worker;

/// A session with a lane, in the count of its worker. Its drop ends the count; a freeze waits for it
/// no longer.
pub(crate) struct Linked {
    worker: Rc<Worker>,
    is_reported: bool,
}

impl Linked {
    pub(crate) fn new(worker: &Rc<Worker>) -> Self {
        worker.count_linked();
        Self {
            worker: Rc::clone(worker),
            is_reported: false,
        }
    }

    /// Notes that the session has become a parcel, or cannot.
    pub(crate) fn report(&mut self) {
        if !std::mem::replace(&mut self.is_reported, true) {
            self.worker.note_reported();
        }
    }

    /// Notes that the session goes on.
    pub(crate) fn go_on(&mut self) {
        self.is_reported = false;
    }
}

impl Drop for Linked {
    fn drop(&mut self) {
        self.report();
        self.worker.uncount_linked();
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Linked")
    }
}
