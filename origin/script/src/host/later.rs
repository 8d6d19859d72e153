//! Answers that come later, from other threads and tasks.

use std::{fmt, marker::PhantomData, rc::Rc};

use rquickjs::{Ctx, Result};
use tributary_origin::app::{Event, Poster};

/// Posts work to a group's script: `later.run(|ctx, state| ...)` runs it in a turn of its own.
/// Clones post to the same group. The work is dropped once the group has ended, or if too much
/// waits.
///
/// `S` is the host's state of the script.
#[derive(Debug)]
pub(crate) struct Later<S> {
    poster: Poster,
    script: u64,
    of: PhantomData<fn(S)>,
}

type Work<S> = Box<dyn for<'js> FnOnce(&Ctx<'js>, &Rc<S>) -> Result<()> + Send>;

/// Work on its way to a script.
pub(crate) struct Reply<S> {
    work: Work<S>,
    /// The number of the script that the work is for. Another script in its place drops the work.
    script: u64,
}

impl<S: 'static> Later<S> {
    /// Posts to the script of this number.
    pub(crate) fn new(poster: Poster, script: u64) -> Self {
        Self {
            poster,
            script,
            of: PhantomData,
        }
    }

    /// Runs `work` in a turn of its own; an uncaught exception is logged as the script's. `false`
    /// if the group has ended or too much waits for it.
    pub(crate) fn run(
        &self,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<S>) -> Result<()> + Send + 'static,
    ) -> bool {
        let reply = Reply {
            work: Box::new(work),
            script: self.script,
        };
        self.poster.post(Event(Box::new(reply))).is_ok()
    }
}

impl<S> Clone for Later<S> {
    fn clone(&self) -> Self {
        Self {
            poster: self.poster.clone(),
            script: self.script,
            of: PhantomData,
        }
    }
}

impl<S> Reply<S> {
    /// Runs the work, if it is for the script of this number.
    pub(crate) fn run(self, ctx: &Ctx<'_>, script: u64, state: &Rc<S>) -> Result<()> {
        if self.script != script {
            return Ok(());
        }
        (self.work)(ctx, state)
    }
}

impl<S> fmt::Debug for Reply<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
