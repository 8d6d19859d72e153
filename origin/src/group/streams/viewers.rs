//! The viewers of live streams.

use std::sync::Arc;

use super::{NamedStream, StreamSlot, Streams, Viewing};

impl Streams {
    /// Adds a viewer.
    pub(in crate::group) fn watch(&mut self, name: &str, slot: StreamSlot) -> (Arc<str>, Viewing) {
        let key = self.key(name);
        if !self.table.contains_key(&key) {
            if !self.app.common.waiting.enter() {
                return (key, Viewing::Full);
            }
            let stream = NamedStream {
                counted: true,
                ..NamedStream::default()
            };
            self.table.insert(Arc::clone(&key), stream);
        }
        let Some(stream) = self.table.get_mut(&key) else {
            return (key, Viewing::Full);
        };
        self.changed = true;
        if let Err(at) = stream.viewers.binary_search(&slot) {
            if stream.viewers.capacity() == 0 {
                // Most names that are waited for have one viewer.
                stream.viewers.reserve_exact(1);
            }
            stream.viewers.insert(at, slot);
        }
        let live = stream.live.as_ref().filter(|_| stream.is_on_air());
        let watch = live.map_or(Viewing::Wait, |live| Viewing::Live(Arc::clone(live)));
        (key, watch)
    }

    /// Removes a viewer.
    pub(in crate::group) fn unwatch(&mut self, name: &str, slot: StreamSlot) {
        self.changed = true;
        if let Some(stream) = self.table.get_mut(name) {
            if let Ok(at) = stream.viewers.binary_search(&slot) {
                stream.viewers.remove(at);
            }
            self.prune(name);
        }
    }

    /// Whether a name has viewers, the application's own included.
    pub(in crate::group) fn is_watched(&self, name: &str) -> bool {
        let stream = self.table.get(name);
        stream.is_some_and(|stream| !stream.viewers.is_empty())
    }

    /// Whether viewers or publishers have come or gone since the last call.
    pub(in crate::group) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The viewers of this name.
    pub(in crate::group) fn viewers(&self, name: &str) -> Vec<StreamSlot> {
        self.table
            .get(name)
            .map(|stream| stream.viewers.clone())
            .unwrap_or_default()
    }
}
