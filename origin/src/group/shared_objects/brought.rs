//! The edges' copies of the temporary objects of the process before.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use tributary_protocol::{link::RestoredObject, shared_object::Mirror};

/// The objects by name, until the group has gone on.
#[derive(Debug, Default)]
pub(super) struct BroughtObjects {
    mirrors: HashMap<String, Mirror>,
    /// The names of objects in the store.
    persistent: HashSet<String>,
    /// Whether objects that are made begin with these contents.
    shown: bool,
}

impl BroughtObjects {
    /// Adds objects, of several of one name the newest. The contents of a persistent one are in the store.
    pub(super) fn add(&mut self, objects: impl IntoIterator<Item = RestoredObject>) {
        for object in objects {
            if object.persistent {
                self.persistent.insert(object.name);
                continue;
            }
            let mut mirror = Mirror::new();
            if mirror.apply(&object.body).is_err() {
                continue;
            }
            match self.mirrors.entry(object.name) {
                Entry::Vacant(place) => {
                    place.insert(mirror);
                }
                Entry::Occupied(mut place) if place.get().version() < mirror.version() => {
                    place.insert(mirror);
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.mirrors.is_empty() && self.persistent.is_empty()
    }

    /// Whether the object of this name is persistent; none if there is no such object.
    pub(super) fn is_persistent(&self, name: &str) -> Option<bool> {
        let temporary = self.mirrors.contains_key(name).then_some(false);
        temporary.or_else(|| self.persistent.contains(name).then_some(true))
    }

    /// Objects that are made from here on begin with these contents.
    pub(super) fn show(&mut self) {
        self.shown = true;
    }

    /// Takes out the contents with which an object of this name begins that is made just now.
    pub(super) fn take_for_new(&mut self, name: &str) -> Option<Mirror> {
        self.shown.then(|| self.mirrors.remove(name))?
    }

    /// Takes an object out.
    pub(super) fn take(&mut self, name: &str) -> Option<Mirror> {
        self.mirrors.remove(name)
    }
}
