//! The files that `load()` runs, and their order.
//!
//! Files that the main file names wait until it has run; files of the framework do not wait. A file
//! that is named while a loaded file runs, or after the start, runs at once.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

use crate::program::script_files::FileOwner;

/// The loaded files of one instance.
#[derive(Debug)]
pub(crate) struct Loads {
    /// The start; `None` once the main file and the files that it names have run.
    start: Option<Start>,
    /// Files whose top level runs at this moment, the innermost last.
    running: Vec<String>,
}

#[derive(Debug)]
struct Start {
    /// Files that the main file has named and that have not run.
    waiting: VecDeque<String>,
    /// The main file, and every file that has begun to run: a start runs each file once.
    begun: HashSet<String>,
    /// Calls of `load()` in this start.
    calls: usize,
}

/// The time at which a file of `load()` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// At once.
    Now,
    /// After the main file.
    Later,
    /// Never: the file runs already, or this start has run it.
    Done,
}

/// The reason why a file is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadRefusal {
    /// More than [`MAX_LOADS`] calls.
    TooMany,
    /// More than [`MAX_DEPTH`] files that load each other.
    TooDeep,
}

/// The most calls of `load()` in one start. Reason: files may load each other in ever new ways.
const MAX_LOADS: usize = 1_024;

/// The deepest nesting of files that load each other. Reason: each takes its part of the thread's
/// stack.
const MAX_DEPTH: usize = 256;

impl Loads {
    /// The state of an instance that begins to run its main file.
    pub(crate) fn new(main: &str) -> Self {
        let start = Start {
            waiting: VecDeque::new(),
            begun: HashSet::from([main.to_owned()]),
            calls: 0,
        };
        Self {
            start: Some(start),
            running: Vec::new(),
        }
    }

    /// Notes a call of `load()` for this file; queues the file if it runs later.
    pub(crate) fn name(&mut self, file: &str, owner: FileOwner) -> Result<Due, LoadRefusal> {
        if self.running.iter().any(|running| running == file) {
            return Ok(Due::Done);
        }
        if let Some(start) = &mut self.start {
            start.calls += 1;
            if start.calls > MAX_LOADS {
                return Err(LoadRefusal::TooMany);
            }
            if start.begun.contains(file) {
                return Ok(Due::Done);
            }
            if self.running.is_empty() && owner == FileOwner::Application {
                start.waiting.push_back(file.to_owned());
                return Ok(Due::Later);
            }
        }
        Ok(Due::Now)
    }

    /// Notes that a file begins to run.
    pub(crate) fn begin(&mut self, file: &str) -> Result<(), LoadRefusal> {
        if self.running.len() >= MAX_DEPTH {
            return Err(LoadRefusal::TooDeep);
        }
        self.running.push(file.to_owned());
        if let Some(start) = &mut self.start {
            start.begun.insert(file.to_owned());
        }
        Ok(())
    }

    /// Notes the end of the file that began last; a file that failed may be loaded again.
    pub(crate) fn end(&mut self, succeeded: bool) {
        let file = self.running.pop();
        if let (Some(file), Some(start)) = (file, &mut self.start)
            && !succeeded
        {
            start.begun.remove(&file);
        }
    }

    /// The next file that waited for the end of the main file; `None` ends the start.
    pub(crate) fn next(&mut self) -> Option<String> {
        let start = self.start.as_mut()?;
        while let Some(file) = start.waiting.pop_front() {
            if !start.begun.contains(&file) {
                return Some(file);
            }
        }
        self.start = None;
        None
    }
}

impl fmt::Display for LoadRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => write!(f, "load: a start loads more than {MAX_LOADS} files"),
            Self::TooDeep => write!(f, "load: more than {MAX_DEPTH} files load each other"),
        }
    }
}
