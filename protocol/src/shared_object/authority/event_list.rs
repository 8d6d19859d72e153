//! The events of one message, of which the last one of each slot counts.

use std::{collections::HashMap, sync::Arc};

use super::Told;

/// Events in order, in which the last event of each slot counts. Events before a message to the
/// members stay before it.
#[derive(Debug, Default)]
pub(super) struct EventList {
    /// The events; a superseded one leaves a hole.
    list: Vec<Option<Told>>,
    holes: usize,
    size: usize,
    /// The position of each slot's last event since the last message. Empty while there is one
    /// event, which is the usual case.
    places: HashMap<Arc<str>, usize>,
    /// The count of events that `places` takes into account.
    placed: usize,
}

impl EventList {
    pub(super) fn push(&mut self, event: Told) {
        self.size += event.longest();
        if matches!(event, Told::Message(_)) {
            self.list.push(Some(event));
            self.places.clear();
            self.placed = self.list.len();
            return;
        }
        if !self.list.is_empty() {
            self.place();
            self.supersede(&event);
            self.placed = self.list.len() + 1;
        }
        self.list.push(Some(event));
        if self.holes >= MOST_HOLES && self.holes > self.list.len() / 2 {
            self.close_holes();
        }
    }

    /// The bytes of the events in a message.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Told> {
        self.list.into_iter().flatten().collect()
    }

    /// Enters the events that `places` does not take into account yet.
    fn place(&mut self) {
        for at in self.placed..self.list.len() {
            if let Some(name) = self.list[at].as_ref().and_then(word_on) {
                self.places.insert(Arc::clone(name), at);
            }
        }
        self.placed = self.list.len();
    }

    /// Removes the events that the next event supersedes.
    fn supersede(&mut self, event: &Told) {
        if matches!(event, Told::Clear) {
            for (_, at) in std::mem::take(&mut self.places) {
                self.take(at);
            }
        } else if let Some(name) = word_on(event)
            && let Some(at) = self.places.insert(Arc::clone(name), self.list.len())
        {
            self.take(at);
        }
    }

    fn take(&mut self, at: usize) {
        if let Some(event) = self.list[at].take() {
            self.size -= event.longest();
            self.holes += 1;
        }
    }

    fn close_holes(&mut self) {
        // Positions before the last message are no longer used; those behind it move.
        let mut closed = Vec::with_capacity(self.list.len() - self.holes);
        for (at, event) in std::mem::take(&mut self.list).into_iter().enumerate() {
            if event.is_none() {
                continue;
            }
            if let Some(name) = event.as_ref().and_then(word_on)
                && let Some(place) = self.places.get_mut(name)
                && *place == at
            {
                *place = closed.len();
            }
            closed.push(event);
        }
        self.list = closed;
        self.holes = 0;
        self.placed = self.list.len();
    }
}

impl FromIterator<Told> for EventList {
    fn from_iter<I: IntoIterator<Item = Told>>(events: I) -> Self {
        let mut made = Self::default();
        events.into_iter().for_each(|event| made.push(event));
        made
    }
}

/// The holes below which the list is not compacted.
const MOST_HOLES: usize = 64;

/// The slot whose state an event determines.
fn word_on(event: &Told) -> Option<&Arc<str>> {
    match event {
        Told::Change { name, .. } | Told::Remove { name } => Some(name),
        _ => None,
    }
}
