//! The edges' copies of the temporary objects of the process before.

use std::collections::HashMap;

use tributary_protocol::{link::RestoredObject, shared_object::Mirror};

/// The objects by name.
#[derive(Debug)]
pub(super) struct BroughtObjects(HashMap<String, Mirror>);

impl BroughtObjects {
    /// None if there are no such objects. A persistent object is in the store.
    pub(super) fn of(objects: impl IntoIterator<Item = RestoredObject>) -> Option<Self> {
        let temporary = objects.into_iter().filter(|object| !object.persistent);
        let mirrors = temporary.filter_map(|object| {
            let mut mirror = Mirror::new();
            mirror.apply(&object.body).ok()?;
            Some((object.name, mirror))
        });
        let mirrors: HashMap<_, _> = mirrors.collect();
        (!mirrors.is_empty()).then_some(Self(mirrors))
    }

    /// Takes an object out.
    pub(super) fn take(&mut self, name: &str) -> Option<Mirror> {
        self.0.remove(name)
    }
}
