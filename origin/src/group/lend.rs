//! A group in the hands of its application, reached from code that gets no context.
//!
//! The engine calls a script's functions without a context. While a script runs, its group is lent
//! to the thread, and the functions of the host borrow it from there.

use super::{Context, core::Core};

scoped_tls_hkt::scoped_thread_local!(static mut LENT: for<'a> &'a mut Core);

impl Context<'_> {
    /// Runs `work`; until it returns, [`lent`](crate::app::embed::lent) on this thread reaches this
    /// group.
    pub fn lend<R>(&mut self, work: impl FnOnce() -> R) -> R {
        LENT.set(self.core, work)
    }
}

/// Borrows the group that is lent to this thread. `None` if there is none, or if it is borrowed
/// already.
pub fn lent<R>(work: impl FnOnce(&mut Context<'_>) -> R) -> Option<R> {
    if !LENT.is_set() {
        return None;
    }
    Some(LENT.with(|core| work(&mut Context::new(core))))
}
