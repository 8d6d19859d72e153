//! Which files `load()` runs, and when.
//!
//! While the main file runs, the files that it names wait for its end; files of the framework do
//! not. A file that is named while a loaded file runs, or after the start, is run at once.

use std::{
    collections::{HashSet, VecDeque},
    fmt,
};

use crate::program::script_files::FileOwner;

/// The files that one instance loads.
#[derive(Debug)]
pub(crate) struct Loads {
    /// The start; `None` once the main file and those that it names have run.
    start: Option<Start>,
    /// Loaded files whose top level runs at this moment, the innermost last.
    running: Vec<String>,
}

#[derive(Debug)]
struct Start {
    /// What the main file has named and is not run yet.
    waiting: VecDeque<String>,
    /// The main file, and every file that has begun to run: a start runs a file once.
    begun: HashSet<String>,
    /// How many calls there were.
    calls: usize,
}

/// What becomes of a file that `load()` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// The file runs at once.
    Now,
    /// The file runs after the main file.
    Later,
    /// The file runs already, or this start has run it.
    Done,
}

/// Why a file is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadRefusal {
    /// More than [`MAX_LOADS`] calls.
    TooMany,
    /// More than [`MAX_DEPTH`] files that load each other.
    TooDeep,
}

/// The most calls of `load()` in one start. Reason: files may load each other in ever new ways.
const MAX_LOADS: usize = 1_024;

/// How many files may run that each have loaded the next one. Reason: each takes its part of the
/// thread's stack.
const MAX_DEPTH: usize = 256;

impl Loads {
    /// Of an instance that begins to run its main file.
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

    /// A call of `load()` for this file, which waits if that is due later.
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

    /// A file begins to run.
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

    /// The file that began last has run; one that failed may be loaded again.
    pub(crate) fn end(&mut self, succeeded: bool) {
        let file = self.running.pop();
        if let (Some(file), Some(start)) = (file, &mut self.start)
            && !succeeded
        {
            start.begun.remove(&file);
        }
    }

    /// The next file that waited for the end of the main file. Without one, the start is over.
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
