//! Batches: the result of one message of a member, or of one lock of the application.

use std::{fmt::Debug, hash::Hash, sync::Arc};

use super::{Change, ChangeKind, Contents, Encoded, Seen, Told, event_list::EventList};

/// Changes that leave as one message, with at most one new version.
#[derive(Debug)]
pub(super) struct ChangeBatch<M> {
    /// The member; none for the application.
    author: Option<M>,
    /// Whether the application receives the author's changes.
    observed: bool,
    /// Whether the batch has taken a version.
    versioned: bool,
    /// The events for all members but the author.
    others: EventList,
    /// The events for the author.
    own: EventList,
    /// Whether an event for the author waits for the store.
    acknowledges: bool,
    /// Whether the author's events differ from those of the others.
    differs: bool,
    /// The changes since the last message to the members.
    changes: Vec<Change>,
    seen: Vec<Seen<M>>,
    /// The count of requests that a limit refused.
    refused: u64,
}

/// The events that leave, and their recipients.
#[derive(Debug, PartialEq)]
pub(super) enum BatchEvents<M> {
    /// All members receive the same.
    Same(Vec<Told>),
    Differ {
        author: M,
        /// For the author.
        own: Vec<Told>,
        /// For all others.
        others: Vec<Told>,
    },
}

impl<M: Copy + Eq + Hash + Debug> ChangeBatch<M> {
    /// A batch of the application.
    pub(super) fn of_application() -> Self {
        Self::new(None, false)
    }

    /// A batch of a member, of which the application receives the changes if it observes them.
    pub(super) fn of_member(member: M, observed: bool) -> Self {
        Self::new(Some(member), observed)
    }

    fn new(author: Option<M>, observed: bool) -> Self {
        Self {
            author,
            observed,
            versioned: false,
            others: EventList::default(),
            own: EventList::default(),
            acknowledges: false,
            differs: false,
            changes: Vec::new(),
            seen: Vec::new(),
            refused: 0,
        }
    }

    /// Gives a slot a value; all members but the author receive it.
    pub(super) fn set(
        &mut self,
        contents: &mut Contents<M>,
        name: &str,
        value: Encoded,
    ) -> Arc<str> {
        let name = self.put(contents, name, Some(value.clone()), ChangeKind::Changed);
        self.others.push(Told::Change {
            name: Arc::clone(&name),
            value,
        });
        name
    }

    /// Removes a slot that has a value.
    pub(super) fn remove(&mut self, contents: &mut Contents<M>, name: &str) {
        let name = self.put(contents, name, None, ChangeKind::Removed);
        self.push_all(Told::Remove { name });
    }

    /// Removes all slots, without tombstones.
    pub(super) fn clear(&mut self, contents: &mut Contents<M>) {
        self.take_version(contents);
        contents.clear();
        if self.observed {
            self.changes.push(Change {
                name: Arc::from(""),
                kind: ChangeKind::Cleared,
                old: None,
            });
        }
        self.push_all(Told::Clear);
    }

    /// Sends a message to all members.
    pub(super) fn message(&mut self, values: Encoded) {
        if let Some(member) = self.author.filter(|_| self.observed) {
            // The application receives the member's changes before its message.
            self.end_changes();
            self.seen.push(Seen::Message {
                member,
                values: values.clone(),
            });
        }
        self.push_all(Told::Message(values));
    }

    /// Adds an event for the author alone.
    pub(super) fn push_own(&mut self, event: Told) {
        self.differs = true;
        self.own.push(event);
    }

    /// Notes that the author has made a change, and waits until it is stored.
    pub(super) fn acknowledge(&mut self) {
        self.acknowledges = true;
    }

    /// Counts a request that a limit refused.
    pub(super) fn count_refused(&mut self) {
        self.refused += 1;
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Whether the batch has changed a slot.
    pub(super) fn is_versioned(&self) -> bool {
        self.versioned
    }

    /// Whether the author has no events yet.
    pub(super) fn is_without_own(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether the author waits until the changes are stored.
    pub(super) fn acknowledges(&self) -> bool {
        self.acknowledges
    }

    /// The events for the application.
    pub(super) fn take_seen(&mut self) -> Vec<Seen<M>> {
        self.end_changes();
        std::mem::take(&mut self.seen)
    }

    /// The events for the members. The author's are apart if they differ, or `apart` says so.
    pub(super) fn into_events(self, apart: bool) -> BatchEvents<M> {
        match self.author {
            Some(author) if self.differs || apart => BatchEvents::Differ {
                author,
                own: self.own.into_list(),
                others: self.others.into_list(),
            },
            _ => BatchEvents::Same(self.others.into_list()),
        }
    }

    fn put(
        &mut self,
        contents: &mut Contents<M>,
        name: &str,
        value: Option<Encoded>,
        kind: ChangeKind,
    ) -> Arc<str> {
        self.take_version(contents);
        let name = contents.shared_name(name);
        if self.observed {
            self.changes.push(Change {
                name: Arc::clone(&name),
                kind,
                old: contents.slot(&name).cloned(),
            });
        }
        contents.put(&name, self.author, value);
        name
    }

    /// Takes the next version for the first change.
    fn take_version(&mut self, contents: &mut Contents<M>) {
        if !std::mem::replace(&mut self.versioned, true) {
            contents.take_version();
        }
    }

    /// Adds an event for the author and for all others.
    fn push_all(&mut self, event: Told) {
        if self.author.is_some() {
            self.own.push(event.clone());
        }
        self.others.push(event);
    }

    fn end_changes(&mut self) {
        if let Some(member) = self.author
            && !self.changes.is_empty()
        {
            let changes = std::mem::take(&mut self.changes);
            self.seen.push(Seen::Changed { member, changes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{amf::Value, shared_object::Limits};

    fn value() -> Encoded {
        Encoded::new(&Value::Null)
    }

    #[test]
    fn a_batch_takes_one_version_and_sends_the_same_to_all() {
        let mut contents = Contents::new(1, Limits::default());
        let mut batch = ChangeBatch::of_member(1_u8, false);
        batch.set(&mut contents, "a", value());
        batch.remove(&mut contents, "a");
        batch.clear(&mut contents);
        assert_eq!(contents.version(), 1);
        assert_eq!(batch.take_seen(), []);
        let same = BatchEvents::Same(vec![Told::Clear]);
        assert_eq!(batch.into_events(false), same);
    }

    #[test]
    fn an_answer_to_the_author_sets_its_events_apart() {
        let mut contents = Contents::new(1, Limits::default());
        let mut batch = ChangeBatch::of_member(1_u8, false);
        let name = batch.set(&mut contents, "a", value());
        batch.push_own(Told::Success {
            name: Arc::clone(&name),
        });
        assert_eq!(
            batch.into_events(false),
            BatchEvents::Differ {
                author: 1,
                own: vec![Told::Success {
                    name: Arc::clone(&name)
                }],
                others: vec![Told::Change {
                    name,
                    value: value()
                }],
            }
        );
    }

    #[test]
    fn the_application_receives_changes_before_the_message_behind_them() {
        let mut contents = Contents::new(1, Limits::default());
        let mut batch = ChangeBatch::of_member(1_u8, true);
        batch.set(&mut contents, "a", value());
        batch.message(value());
        batch.remove(&mut contents, "a");
        let kinds: Vec<_> = batch
            .take_seen()
            .iter()
            .map(|seen| match seen {
                Seen::Changed { changes, .. } => changes[0].kind,
                _ => ChangeKind::Cleared,
            })
            .collect();
        assert_eq!(
            kinds,
            [
                ChangeKind::Changed,
                ChangeKind::Cleared,
                ChangeKind::Removed
            ]
        );
    }
}
