//! The count of bytes that leave by the sockets of a thread.

use std::cell::RefCell;

use prometheus_client::metrics::counter::Counter;

thread_local! {
    /// Of the thread, so that a connection holds no counter.
    static SENT: RefCell<Option<Counter>> = const { RefCell::new(None) };
}

/// Counts the bytes that the connections of this thread send from here on.
pub(crate) fn count_sent(counter: Counter) {
    SENT.set(Some(counter));
}

/// Notes bytes that the kernel has taken.
pub(super) fn sent(bytes: usize) {
    SENT.with_borrow(|counter| {
        if let Some(counter) = counter {
            counter.inc_by(bytes as u64);
        }
    });
}
