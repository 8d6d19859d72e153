//! The shared objects that a script has opened.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    rc::Rc,
};

use super::state::Kept;
use crate::app::ObjectId;

/// The `SharedObject`s of a script, known without being held: one that no variable of the script
/// holds any more lets go of its shared object.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// How often each is open, and a weak reference to the script's newest object for it.
    known: HashMap<ObjectId, (u32, Kept)>,
    /// The persistent ones among them, for `SharedObject.commit`.
    persistent: BTreeSet<ObjectId>,
    dropped: Dropped,
}

/// What the script has let go of and the group does not know of yet.
pub(crate) type Dropped = Rc<RefCell<Vec<ObjectId>>>;

impl Objects {
    /// Notes the script's object for a shared object; gives the reference to an older one.
    pub(crate) fn add(&mut self, object: ObjectId, persistent: bool, weak: Kept) -> Option<Kept> {
        if persistent {
            self.persistent.insert(object);
        }
        let times = self.known.get(&object).map_or(0, |(times, _)| *times);
        let old = self.known.insert(object, (times + 1, weak));
        old.map(|(_, weak)| weak)
    }

    /// The weak reference to the script's object for a shared object.
    pub(crate) fn get(&self, object: ObjectId) -> Option<&Kept> {
        self.known.get(&object).map(|(_, weak)| weak)
    }

    /// Notes that the script has let go of one; gives the reference if it was the last.
    pub(super) fn remove(&mut self, object: ObjectId) -> Option<Kept> {
        let (times, _) = self.known.get_mut(&object)?;
        *times -= 1;
        if *times > 0 {
            return None;
        }
        self.persistent.remove(&object);
        self.known.remove(&object).map(|(_, weak)| weak)
    }

    /// The persistent ones that are open.
    pub(crate) fn persistent(&self) -> impl Iterator<Item = ObjectId> + '_ {
        self.persistent.iter().copied()
    }

    /// Where an object goes that the script has let go of.
    pub(crate) fn dropped(&self) -> Dropped {
        Rc::clone(&self.dropped)
    }

    /// What was dropped since this was last asked.
    pub(super) fn take_dropped(&self) -> Vec<ObjectId> {
        std::mem::take(&mut *self.dropped.borrow_mut())
    }
}
