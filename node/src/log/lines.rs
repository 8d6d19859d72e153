//! Log lines on their way to standard error.
//!
//! A busy edge logs two lines for each of thousands of sessions a second, and a system call costs
//! more than a line. So lines wait a moment for each other; warnings and errors do not.

use std::{
    io::{self, Write},
    mem,
    sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The longest wait of a line for others.
const WAIT: Duration = Duration::from_millis(20);

/// The bytes that may wait. A task that logs beyond this writes itself. It waits for the reader of
/// standard error if that is slow, as it would without the buffer.
const FULL: usize = 64 * 1024;

/// The lines that wait.
#[derive(Debug, Default)]
pub(super) struct Lines {
    waiting: Mutex<Vec<u8>>,
    /// Notifies the writing thread that lines wait.
    begun: Condvar,
    /// Locked while lines are written, so that they keep their order. It holds the buffer that is
    /// filled next.
    spare: Mutex<Vec<u8>>,
    /// Whether the writing thread has started.
    writer: OnceLock<bool>,
}

impl Lines {
    /// The lines of this process. The first call starts the writing thread.
    pub(super) fn to_stderr() -> &'static Self {
        static LINES: OnceLock<Lines> = OnceLock::new();
        let lines = LINES.get_or_init(Self::default);
        lines.writer.get_or_init(|| {
            let thread = thread::Builder::new().name("log".to_owned());
            thread.spawn(|| lines.write_for_ever()).is_ok()
        });
        lines
    }

    fn write_for_ever(&self) {
        loop {
            let waiting = self.lock();
            let begun = self.begun.wait_while(waiting, |lines| lines.is_empty());
            drop(begun);
            thread::sleep(WAIT);
            self.flush();
        }
    }

    /// Writes the waiting lines. An error is dropped: there is no other log to report it.
    pub(super) fn flush(&self) {
        self.flush_to(&mut io::stderr());
    }

    fn flush_to(&self, out: &mut impl Write) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = mem::replace(&mut *self.lock(), mem::take(&mut *spare));
        let _ = out.write_all(&lines);
        lines.clear();
        *spare = lines;
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Only whole lines are added and removed, so a poisoned state is complete.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line; returns whether too many bytes wait.
    fn push(&self, bytes: &[u8]) -> bool {
        let mut waiting = self.lock();
        let first = waiting.is_empty();
        waiting.extend_from_slice(bytes);
        let full = waiting.len() >= FULL;
        drop(waiting);
        if first {
            self.begun.notify_one();
        }
        full
    }
}

/// The writer of one line.
#[derive(Debug)]
pub(super) struct Line {
    lines: &'static Lines,
    urgent: bool,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.lines.push(bytes) || self.urgent {
            self.lines.flush();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush();
        Ok(())
    }
}

impl MakeWriter<'_> for &'static Lines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line {
            lines: self,
            urgent: true,
        }
    }

    fn make_writer_for(&self, meta: &Metadata<'_>) -> Line {
        Line {
            lines: self,
            urgent: *meta.level() <= Level::WARN || self.writer.get() != Some(&true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_order_and_leave_once() {
        let lines = Lines::default();
        assert!(!lines.push(b"one\n"));
        assert!(!lines.push(b"two\n"));
        let mut out = Vec::new();
        lines.flush_to(&mut out);
        assert!(!lines.push(b"three\n"));
        lines.flush_to(&mut out);
        lines.flush_to(&mut out);
        assert_eq!(out, b"one\ntwo\nthree\n");
    }

    #[test]
    fn whoever_fills_the_buffer_is_told_to_write() {
        let lines = Lines::default();
        assert!(!lines.push(&vec![b'x'; FULL - 1]));
        assert!(lines.push(b"\n"));
    }
}
