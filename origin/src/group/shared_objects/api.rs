//! The acts of an application on shared objects.

use std::{collections::BTreeSet, fmt};

use tributary_protocol::{amf::Value, shared_object::Encoded};

use super::{LivingObject, acts::ObjectActs, is_name, object_name, storing::Missing};
use crate::{
    app::{ClientId, ObjectError, ObjectId},
    group::context::Context,
};

/// A shared object of the group, for reading.
#[derive(Clone, Copy, Debug)]
pub struct SharedObject<'a> {
    entry: &'a LivingObject,
}

/// A shared object of the group, for changes. Each change leaves at once, in sequence with all else
/// that the application sends; under a lock all changes leave with the last unlock, as one message.
pub struct SharedObjectMut<'a> {
    acts: ObjectActs<'a>,
    id: ObjectId,
}

impl Context<'_> {
    /// Opens a shared object, which is made if there is none. A temporary one then lives at least
    /// until it is closed as often as it was opened. The application gets notices of the members'
    /// changes to an open object.
    pub fn open_object(&mut self, name: &str, persistent: bool) -> Result<ObjectId, ObjectError> {
        self.core
            .object_acts()
            .open_object(object_name(name), persistent)
    }

    /// Closes a shared object that was opened.
    pub fn close_object(&mut self, object: ObjectId) {
        self.core.object_acts().close_object(object);
    }

    /// The shared object of this name that lives now, open or not.
    pub fn find_object(&self, name: &str) -> Option<ObjectId> {
        self.core.objects.find(object_name(name))
    }

    /// The shared objects that live now, in no order.
    pub fn objects(&self) -> impl Iterator<Item = (ObjectId, SharedObject<'_>)> {
        let entries = &self.core.objects.entries;
        entries
            .iter()
            .map(|(&id, entry)| (id, SharedObject { entry }))
    }

    /// How many shared objects live now.
    pub fn living_objects(&self) -> usize {
        self.core.objects.entries.len()
    }

    /// The size of the slots of all of them, in bytes.
    pub fn object_bytes(&self) -> usize {
        self.core.objects.bytes
    }

    /// A shared object that lives.
    pub fn object(&self, object: ObjectId) -> Option<SharedObject<'_>> {
        let entry = self.core.objects.get(object)?;
        Some(SharedObject { entry })
    }

    /// A shared object that lives, for changes.
    pub fn object_mut(&mut self, object: ObjectId) -> Option<SharedObjectMut<'_>> {
        let acts = self.core.object_acts();
        acts.objects.get(object)?;
        Some(SharedObjectMut { acts, id: object })
    }

    /// Removes all slots of every shared object whose name matches, stored ones too: `/` for all,
    /// else a path in which `*` stands for any text and `?` for any character. `true` if all
    /// objects that were found are cleared.
    pub fn clear_shared_objects(&mut self, path: &str) -> bool {
        self.core.object_acts().clear_objects(path)
    }

    /// Takes back every lock that the present call of the application has taken, for a script that
    /// fails and cannot unlock. Returns how many there were.
    pub fn release_locks(&mut self) -> usize {
        self.core.object_acts().release_locks()
    }
}

impl SharedObject<'_> {
    /// Its name within the group.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// Whether it is stored.
    pub fn is_persistent(&self) -> bool {
        self.entry.object.is_persistent()
    }

    /// The version of its last change.
    pub fn version(&self) -> u32 {
        self.entry.object.contents().version()
    }

    /// How many slots have a value.
    pub fn len(&self) -> usize {
        self.entry.object.contents().len()
    }

    /// Whether no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.entry.object.contents().is_empty()
    }

    /// A slot's value.
    pub fn get(&self, slot: &str) -> Option<Value> {
        self.entry.object.contents().slot(slot).map(Encoded::value)
    }

    /// The names of the slots that have a value, in order.
    pub fn slot_names(&self) -> impl Iterator<Item = &str> {
        self.entry.object.contents().slots().map(|(name, ..)| name)
    }

    /// The clients that use it, in no order.
    pub fn members(&self) -> impl Iterator<Item = ClientId> {
        self.entry.object.members().map(ClientId)
    }

    /// How often it is locked.
    pub fn lock_depth(&self) -> u32 {
        self.entry.object.lock_depth()
    }

    /// How many versions back a returning client may be and still get the difference alone;
    /// `u32::MAX` is no limit.
    pub fn resync_depth(&self) -> u32 {
        self.entry.object.contents().resync_depth()
    }

    /// Whether changes are stored as they are made; `false` for a temporary object.
    pub fn auto_commit(&self) -> bool {
        self.entry.object.auto_commit()
    }

    /// Whether a change of it is not stored yet.
    pub fn is_dirty(&self) -> bool {
        self.entry.object.is_dirty()
    }
}

impl SharedObjectMut<'_> {
    /// The object, for reading.
    pub fn as_ref(&self) -> Option<SharedObject<'_>> {
        let entry = self.acts.objects.get(self.id)?;
        Some(SharedObject { entry })
    }

    /// Gives a slot a value, regardless of clients' requests. Null is a value like others.
    pub fn set(&mut self, slot: &str, value: &Value) -> Result<(), ObjectError> {
        let value = Encoded::new(value);
        self.change(|object| object.set(slot, value))
            .map_or(Ok(()), |done| done.map_err(ObjectError::Refused))
    }

    /// Removes a slot; `false` if there is none.
    pub fn remove(&mut self, slot: &str) -> bool {
        self.change(|object| object.remove(slot)).unwrap_or(false)
    }

    /// Removes all slots.
    pub fn clear(&mut self) {
        self.change(super::Authority::clear);
    }

    /// Sends all members a message: they call the handler with the arguments. It keeps its place
    /// among the changes, and changes before it are never put together with those after it.
    pub fn send(&mut self, handler: &str, arguments: &[Value]) -> Result<(), ObjectError> {
        let mut values = vec![Value::from(handler)];
        values.extend_from_slice(arguments);
        let values = Encoded::list(&values);
        self.change(|object| object.send(values))
            .map_or(Ok(()), |done| done.map_err(ObjectError::Refused))
    }

    /// Locks the object: changes of the application leave as one message with the last unlock, and
    /// requests of clients wait. Returns how often it is locked. A lock may outlast the call that
    /// took it, by 30 s at most.
    pub fn lock(&mut self) -> u32 {
        self.acts.lock_object(self.id)
    }

    /// Takes one lock back; with the last one changes and requests go on. Returns how many are
    /// left.
    pub fn unlock(&mut self) -> u32 {
        self.acts.unlock_object(self.id)
    }

    /// Stores all changes that are not stored yet; `false` for a temporary object. A failure comes
    /// to [`Application::shared_object_status`](crate::app::Application::shared_object_status).
    pub fn flush(&mut self) -> bool {
        self.change(super::Authority::flush).unwrap_or(false)
    }

    /// Forgets the slots that were removed before this version: a client that returns with an older
    /// one gets the whole object.
    pub fn purge(&mut self, version: u32) {
        self.change(|object| object.purge(version));
    }

    /// Sets how many versions back a returning client may be and still get the difference alone.
    pub fn set_resync_depth(&mut self, depth: u32) {
        self.change(|object| object.set_resync_depth(depth));
    }

    /// Turns the storing of each change on or off. If it is off, nothing is stored before
    /// [`Self::flush`], the last release or the group's end.
    pub fn set_auto_commit(&mut self, on: bool) {
        self.change(|object| object.set_auto_commit(on));
    }

    fn change<R>(
        &mut self,
        what: impl FnOnce(&mut super::Authority<super::SessionKey>) -> R,
    ) -> Option<R> {
        let done = what(&mut self.acts.objects.get_mut(self.id)?.object);
        self.acts.settle_object(self.id);
        Some(done)
    }
}

impl fmt::Debug for SharedObjectMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedObjectMut")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ObjectActs<'_> {
    pub(in crate::group) fn open_object(
        &mut self,
        name: &str,
        persistent: bool,
    ) -> Result<ObjectId, ObjectError> {
        if !is_name(name) {
            return Err(ObjectError::Name);
        }
        let id = match self.objects.find(name) {
            Some(id) => id,
            None => self.create_object(name, persistent)?,
        };
        let entry = self.objects.get_mut(id).ok_or(ObjectError::Limit)?;
        if entry.object.is_persistent() != persistent {
            return Err(ObjectError::BadPersistence);
        }
        entry.opened += 1;
        entry.object.observe(true);
        Ok(id)
    }

    fn close_object(&mut self, id: ObjectId) {
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        entry.opened = entry.opened.saturating_sub(1);
        if entry.opened == 0 {
            entry.object.observe(false);
            entry.object.let_go();
        }
        self.settle_object(id);
    }

    fn clear_objects(&mut self, path: &str) -> bool {
        let stored = self.stored_names();
        let mut all = stored.is_ok();
        let living = self.objects.by_name.keys().map(|name| name.to_string());
        let names: BTreeSet<String> = living
            .chain(stored.unwrap_or_default())
            .filter(|name| matches(path, name))
            .collect();
        for name in names {
            let id = match self.objects.find(&name) {
                Some(id) => Ok(id),
                None => self.load_object(&name, Missing::Refuse),
            };
            let Some(entry) = id.ok().and_then(|id| self.objects.get_mut(id)) else {
                all = false;
                continue;
            };
            entry.object.clear();
            entry.object.let_go();
            if let Some(id) = self.objects.find(&name) {
                self.settle_object(id);
            }
        }
        all
    }
}

/// Whether a name matches a path: `/` is all, `*` any text, `?` any character.
fn matches(path: &str, name: &str) -> bool {
    let path = path.trim_start_matches('/');
    path.is_empty() || glob(path.as_bytes(), name.trim_start_matches('/').as_bytes())
}

/// The time is proportional to the product of the lengths at most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[from] => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, star_from)) = star else {
                    return false;
                };
                (at, from) = (star_at + 1, star_from + 1);
                star = Some((star_at, star_from + 1));
            }
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_names() {
        for (path, name, expected) in [
            ("/", "a", true),
            ("/", "a/b", true),
            ("/a/b", "a/b", true),
            ("a/b", "a/b", true),
            ("/a/b", "a/bc", false),
            ("/a/*", "a/b", true),
            ("/a/*", "a/b/c", true),
            ("/a/*", "b/a", false),
            ("/a?", "ab", true),
            ("/a?", "a", false),
            ("/*b", "aab", true),
            ("/*a*b*", "xxaxxb", true),
            ("/*a*b*", "xxbxxa", false),
        ] {
            assert_eq!(matches(path, name), expected, "{path} {name}");
        }
        // The worst pattern takes a moment.
        let (pattern, text) = ("*a".repeat(200), "a".repeat(100) + "b");
        assert!(!matches(&pattern, &text));
    }
}
