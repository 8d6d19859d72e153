//! The recent log of an application: its own lines, its errors, its deployments.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// The last lines of one application, all versions and instances together; clones are the same log.
/// The oldest lines are dropped first. Each line also goes to the process's log.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Lines>>);

/// One line, which may hold line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Counts the application's lines, from 1.
    pub number: u64,
    pub at: SystemTime,
    pub level: Level,
    /// The instance that wrote it; none for a line about the application as a whole.
    pub instance: Option<Arc<str>>,
    /// The text, cut at 4 KiB.
    pub text: String,
}

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A line of `trace()`, or an event that went as it should.
    Info,
    /// A refused or missing thing; the application goes on.
    Warning,
    /// A failure.
    Error,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<Line>,
    bytes: usize,
    last: u64,
}

/// The longest line that is kept, in bytes. Reason: a script may trace whole data sets.
const MAX_LINE: usize = 4 * 1024;

/// How many lines are kept for each application. Reason: enough to see what led to an error.
const MAX_LINES: usize = 1_000;

/// The most bytes of all lines of an application. Reason: a thousand applications that trace
/// without end stay below 256 MiB.
const MAX_BYTES: usize = 256 * 1024;

/// The bytes of a line besides its text.
const LINE_COST: usize = size_of::<Line>();

impl Log {
    /// Adds a line.
    pub fn push(&self, level: Level, instance: Option<&str>, text: impl Into<String>) {
        let mut text = text.into();
        cut(&mut text);
        let mut lines = self.lock();
        lines.last += 1;
        let line = Line {
            number: lines.last,
            at: SystemTime::now(),
            level,
            instance: instance.map(Arc::from),
            text,
        };
        lines.bytes += line.cost();
        lines.kept.push_back(line);
        while lines.kept.len() > MAX_LINES || lines.bytes > MAX_BYTES {
            let Some(oldest) = lines.kept.pop_front() else {
                break;
            };
            lines.bytes -= oldest.cost();
        }
    }

    /// The newest `most` of the lines after the one with this number, oldest first.
    pub fn after(&self, number: u64, most: usize) -> Vec<Line> {
        let lines = self.lock();
        let newer = lines.kept.iter().filter(|line| line.number > number);
        let skipped = newer.clone().count().saturating_sub(most);
        newer.skip(skipped).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // Whole lines come and go under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn cost(&self) -> usize {
        self.text.len() + self.instance.as_deref().map_or(0, str::len) + LINE_COST
    }
}

impl Level {
    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lock();
        f.debug_struct("Log").field("last", &lines.last).finish()
    }
}

/// Cuts a text at [`MAX_LINE`], between characters.
fn cut(text: &mut String) {
    const MARK: &str = "...";
    if text.len() > MAX_LINE {
        let end = text.floor_char_boundary(MAX_LINE - MARK.len());
        text.truncate(end);
        text.push_str(MARK);
    }
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_the_oldest_go_first() {
        let log = Log::default();
        for number in 1..=MAX_LINES + 10 {
            log.push(Level::Info, Some("room1"), format!("line {number}"));
        }
        let all = log.after(0, usize::MAX);
        assert_eq!(all.len(), MAX_LINES);
        assert_eq!((all[0].number, all[0].text.as_str()), (11, "line 11"));
        let last = log.after(MAX_LINES as u64 + 8, 10);
        assert_eq!(last.len(), 2);
        assert_eq!(log.after(0, 3)[0].number, MAX_LINES as u64 + 8);
        assert_eq!(last[1].instance.as_deref(), Some("room1"));
        assert!(log.after(u64::MAX, 10).is_empty());
    }

    #[test]
    fn long_lines_are_cut_and_all_together_are_bounded() {
        let log = Log::default();
        for _ in 0..MAX_LINES {
            log.push(Level::Error, None, "ä".repeat(MAX_LINE));
        }
        let lines = log.after(0, usize::MAX);
        assert!(lines[0].text.len() <= MAX_LINE && lines[0].text.ends_with("ä..."));
        let bytes: usize = lines.iter().map(Line::cost).sum();
        assert!(
            bytes <= MAX_BYTES && bytes > MAX_BYTES - 2 * MAX_LINE,
            "{bytes}"
        );
    }
}
