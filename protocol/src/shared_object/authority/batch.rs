//! What one message of a member, or one lock of the application, comes to.

use std::{collections::HashMap, sync::Arc};

use super::{Change, Told};

/// Events that leave as one, with at most one new version.
#[derive(Debug)]
pub(super) struct Batch<M> {
    /// The member; none for the application.
    pub(super) author: Option<M>,
    /// Whether a version was taken for it.
    pub(super) versioned: bool,
    /// For everybody but the author.
    pub(super) others: Events,
    /// For the author.
    pub(super) own: Events,
    /// Whether the author is told something that is stored first.
    pub(super) acknowledges: bool,
    /// Whether the author is told something else than the others.
    pub(super) differs: bool,
    pub(super) changes: Vec<Change>,
}

impl<M> Batch<M> {
    pub(super) fn new(author: Option<M>) -> Self {
        Self {
            author,
            versioned: false,
            others: Events::default(),
            own: Events::default(),
            acknowledges: false,
            differs: false,
            changes: Vec::new(),
        }
    }

    /// Tells the same to the author and to everybody else.
    pub(super) fn all(&mut self, event: Told) {
        if self.author.is_some() {
            self.own.push(event.clone());
        }
        self.others.push(event);
    }

    /// Tells the author alone.
    pub(super) fn author(&mut self, event: Told) {
        self.differs = true;
        self.own.push(event);
    }
}

/// Events in order, where only the last word on a slot counts; what precedes a message to the
/// members stays before it.
#[derive(Debug, Default)]
pub(super) struct Events {
    /// With holes where a later word was said.
    list: Vec<Option<Told>>,
    holes: usize,
    size: usize,
    /// Where the last word on a slot stands, since the last message. Empty while there is one
    /// event, which is the usual case.
    places: HashMap<Arc<str>, usize>,
    /// How many events of the list have been looked at for places.
    placed: usize,
}

impl Events {
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

    /// Looks at the events that came before there was a reason to.
    fn place(&mut self) {
        for at in self.placed..self.list.len() {
            if let Some(name) = self.list[at].as_ref().and_then(word_on) {
                self.places.insert(Arc::clone(name), at);
            }
        }
        self.placed = self.list.len();
    }

    /// Takes out what an event that comes next makes void.
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
        // The places before the last message mean nothing; those after it move.
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

impl FromIterator<Told> for Events {
    fn from_iter<I: IntoIterator<Item = Told>>(events: I) -> Self {
        let mut made = Self::default();
        events.into_iter().for_each(|event| made.push(event));
        made
    }
}

/// Fewer holes are not worth closing.
const MOST_HOLES: usize = 64;

/// The slot that an event says the last word on.
fn word_on(event: &Told) -> Option<&Arc<str>> {
    match event {
        Told::Change { name, .. } | Told::Remove { name } => Some(name),
        _ => None,
    }
}
