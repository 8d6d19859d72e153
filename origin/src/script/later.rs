//! Answers that come later, from other threads and tasks.

use std::{fmt, rc::Rc};

use rquickjs::{Ctx, Result};

use super::state::State;
use crate::{app::Event, group::Poster};

/// Brings work into a group's script: `later.run(|ctx, state| ...)` has it done in a turn of its
/// own. Clones go to the same group. Once the group has ended, or too many wait, the work is
/// dropped.
#[derive(Clone, Debug)]
pub(crate) struct Later {
    poster: Poster,
    script: u64,
}

type Work = Box<dyn for<'js> FnOnce(&Ctx<'js>, &Rc<State>) -> Result<()> + Send>;

/// Work on its way into a script.
pub(super) struct Reply {
    work: Work,
    /// The script it is for: one that has taken its place knows nothing of it.
    script: u64,
}

impl Later {
    pub(super) fn new(poster: Poster, script: u64) -> Self {
        Self { poster, script }
    }

    /// Has `work` done in a turn of its own; an exception it lets through is logged as the
    /// script's. `false` if the group has ended or too much waits for it.
    pub(crate) fn run(
        &self,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<State>) -> Result<()> + Send + 'static,
    ) -> bool {
        let reply = Reply {
            work: Box::new(work),
            script: self.script,
        };
        self.poster.post(Event(Box::new(reply))).is_ok()
    }
}

impl Reply {
    /// Does the work, if it is for this script.
    pub(super) fn run(self, ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
        if self.script != state.number() {
            return Ok(());
        }
        (self.work)(ctx, state)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
