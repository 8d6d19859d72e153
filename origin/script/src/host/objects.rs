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
/// whether a variable of the script holds it or not; where they become many, [`crate::room`] lets
/// some go.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    known: HashMap<ObjectId, Known>,
    /// The persistent ones among them, for `SharedObject.commit`.
    persistent: BTreeSet<ObjectId>,
    ledger: Rc<Ledger>,
    sweeps: Sweeps,
}

#[derive(Debug)]
struct Known {
    /// How often it is open: an object that is closed may be opened anew within a turn.
    times: u32,
    /// The script's newest object for it.
    object: Kept,
}

/// What the script's objects note of themselves.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// What the script has let go of and the group does not know of yet.
    dropped: RefCell<Vec<ObjectId>>,
    uses: Cell<u64>,
}

/// When room was made, and what is to be logged of it.
#[derive(Debug, Default)]
struct Sweeps {
    /// Room is made again when so many objects live, or at that time.
    again: Option<(usize, Instant)>,
    logged: Option<Instant>,
    unlogged: usize,
}

/// How many objects more bring the next search for objects that can go. Reason: a search visits
/// every object of the script.
const SEARCH_EVERY: usize = 64;

/// After this time the next search may come whatever the number of objects.
const SEARCH_AFTER: Duration = Duration::from_secs(1);

/// How often objects that went are logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

impl Objects {
    /// Notes the script's object for a shared object; gives an older one.
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

    /// Notes that the script has let go of one; gives its object if it was the last.
    pub(crate) fn remove(&mut self, object: ObjectId) -> Option<Kept> {
        let known = self.known.get_mut(&object)?;
        known.times -= 1;
        if known.times > 0 {
            return None;
        }
        self.persistent.remove(&object);
        self.known.remove(&object).map(|known| known.object)
    }

    /// Puts another reference in the place of the script's object; gives the one before.
    pub(crate) fn replace(&mut self, object: ObjectId, with: Kept) -> Option<Kept> {
        let known = self.known.get_mut(&object)?;
        Some(std::mem::replace(&mut known.object, with))
    }

    /// Those that are open, in no order.
    pub(crate) fn open(&self) -> impl Iterator<Item = (ObjectId, &Kept)> {
        self.known.iter().map(|(id, known)| (*id, &known.object))
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The persistent ones that are open.
    pub(crate) fn persistent(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.persistent.iter().copied()
    }

    /// Where an object notes its use and its end.
    pub(crate) fn ledger(&self) -> Rc<Ledger> {
        Rc::clone(&self.ledger)
    }

    /// What was dropped since this was last asked.
    pub(crate) fn take_dropped(&self) -> Vec<ObjectId> {
        std::mem::take(&mut *self.ledger.dropped.borrow_mut())
    }

    /// Whether a search for objects that can go is worth while when so many live.
    pub(crate) fn may_search(&self, living: usize, now: Instant) -> bool {
        let again = self.sweeps.again;
        again.is_none_or(|(number, at)| living >= number || now >= at)
    }

    /// Notes a search that has left so many alive and let so many go. Returns how many went since
    /// the last line of the log, if it is time for one.
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
    /// An object is used: the later, the higher the number.
    pub(crate) fn used(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// The script lets go of an object.
    pub(crate) fn dropped(&self, object: ObjectId) {
        self.dropped.borrow_mut().push(object);
    }
}
