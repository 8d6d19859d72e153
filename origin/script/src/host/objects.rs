//! The shared objects that a script has opened.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    rc::Rc,
    time::{Duration, Instant},
};

use tributary_origin::app::ObjectId;

use super::kept::Kept;

/// The `SharedObject`s of a script. Each lives until the script closes it or the instance ends,
/// whether a variable of the script holds it or not; [`crate::room`] closes some when there are
/// many.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    known: HashMap<ObjectId, Known>,
    /// The persistent ones, for `SharedObject.commit`.
    persistent: BTreeSet<ObjectId>,
    ledger: Rc<Ledger>,
    sweeps: Sweeps,
}

#[derive(Debug)]
struct Known {
    /// Script objects that are open for it: a closed object may be opened anew within a turn.
    times: u32,
    /// The script's newest object for it.
    object: Kept,
}

/// The uses and ends of script objects.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Objects that the script has dropped and that the group still holds open.
    dropped: RefCell<Vec<ObjectId>>,
    uses: Cell<u64>,
}

/// The time of the last search, and the closed objects that are not logged yet.
#[derive(Debug, Default)]
struct Sweeps {
    /// The next search is due at this number of objects, or at this time.
    again: Option<(usize, Instant)>,
    logged: Option<Instant>,
    unlogged: usize,
}

/// New objects that bring the next search for objects to close. Reason: a search visits every
/// object of the script.
const SEARCH_EVERY: usize = 64;

/// The next search may come after this time, whatever the number of objects.
const SEARCH_AFTER: Duration = Duration::from_secs(1);

/// The time between two log lines about closed objects.
const LOG_EVERY: Duration = Duration::from_secs(60);

impl Objects {
    /// Adds the script's object for a shared object; returns an older one.
    pub(crate) fn add(
        &mut self,
        object: ObjectId,
        persistent: bool,
        of_script: Kept,
    ) -> Option<Kept> {
        if persistent {
            self.persistent.insert(object);
        }
        let times = self.known.get(&object).map_or(0, |known| known.times);
        let known = Known {
            times: times + 1,
            object: of_script,
        };
        let old = self.known.insert(object, known);
        old.map(|known| known.object)
    }

    /// The script's object for a shared object.
    pub(crate) fn get(&self, object: ObjectId) -> Option<&Kept> {
        self.known.get(&object).map(|known| &known.object)
    }

    /// Removes one use of an object; returns the script's object if it was the last.
    pub(crate) fn remove(&mut self, object: ObjectId) -> Option<Kept> {
        let known = self.known.get_mut(&object)?;
        known.times -= 1;
        if known.times > 0 {
            return None;
        }
        self.persistent.remove(&object);
        self.known.remove(&object).map(|known| known.object)
    }

    /// Replaces the reference to the script's object; returns the one before.
    pub(crate) fn replace(&mut self, object: ObjectId, with: Kept) -> Option<Kept> {
        let known = self.known.get_mut(&object)?;
        Some(std::mem::replace(&mut known.object, with))
    }

    /// The open objects, in no order.
    pub(crate) fn open(&self) -> impl Iterator<Item = (ObjectId, &Kept)> {
        self.known.iter().map(|(id, known)| (*id, &known.object))
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The open persistent objects.
    pub(crate) fn persistent(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.persistent.iter().copied()
    }

    /// The record of uses and ends.
    pub(crate) fn ledger(&self) -> Rc<Ledger> {
        Rc::clone(&self.ledger)
    }

    /// The objects dropped since the last call.
    pub(crate) fn take_dropped(&self) -> Vec<ObjectId> {
        std::mem::take(&mut *self.ledger.dropped.borrow_mut())
    }

    /// Whether a search for objects to close is due with this number of objects.
    pub(crate) fn may_search(&self, living: usize, now: Instant) -> bool {
        let again = self.sweeps.again;
        again.is_none_or(|(number, at)| living >= number || now >= at)
    }

    /// Notes a search that has left `living` objects and closed `gone`. Returns the objects closed
    /// since the last log line, if the next one is due.
    pub(crate) fn searched(&mut self, living: usize, gone: usize, now: Instant) -> Option<usize> {
        let sweeps = &mut self.sweeps;
        sweeps.again = Some((living + SEARCH_EVERY, now + SEARCH_AFTER));
        sweeps.unlogged += gone;
        let due = sweeps.logged.is_none_or(|at| now >= at + LOG_EVERY);
        if sweeps.unlogged == 0 || !due {
            return None;
        }
        sweeps.logged = Some(now);
        Some(std::mem::take(&mut sweeps.unlogged))
    }
}

impl Ledger {
    /// Notes a use; returns its number, which rises.
    pub(crate) fn used(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// Notes that the script has dropped an object.
    pub(crate) fn dropped(&self, object: ObjectId) {
        self.dropped.borrow_mut().push(object);
    }
}
