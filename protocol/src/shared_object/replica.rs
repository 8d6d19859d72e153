//! Replicas: the copy of a member that is a server, of another server's object.

use std::collections::BTreeMap;

use super::{Encoded, Event, Flags, Limits, SharedObjectMessage};
use crate::amf::Value;

/// The slots of a shared object whose authority is another server, with this member's own changes.
///
/// An own change is visible at once, as in a player; a later change by the authority replaces it.
/// Methods that need a message to the authority return it.
///
/// ```text
/// new ── open() ──► Use sent ── handle(UseSuccess) ──► in use
/// ```
#[derive(Clone, Debug)]
pub struct Replica {
    name: String,
    persistent: bool,
    version: u32,
    in_use: bool,
    slots: BTreeMap<Box<str>, Slot>,
    bytes: usize,
    limits: Limits,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    value: Option<Encoded>,
    /// The count of own changes that the authority has not answered.
    pending: u32,
}

/// An event of a replica.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum News {
    /// The authority has accepted the Use.
    InUse,
    /// A slot has changed, or the authority has answered an own change.
    Slot {
        kind: NewsKind,
        name: String,
        /// The slot's value before.
        old: Option<Value>,
    },
    /// All slots are removed.
    Cleared,
    /// A member has sent a message.
    Message {
        handler: String,
        arguments: Vec<Value>,
    },
    /// A notice from the authority.
    Status { code: String, level: String },
    /// The replica has exceeded its limits and has lost events: it is no longer usable.
    TooLarge,
}

/// The kind of a slot's event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsKind {
    /// The authority has accepted an own change.
    Success,
    /// The authority has refused an own change; the slot has the authority's value.
    Reject,
    /// Another member has changed it.
    Change,
    /// The slot is removed.
    Delete,
}

impl NewsKind {
    /// The `code` in the list of `onSync`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Reject => "reject",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

impl Replica {
    /// A replica that has received nothing.
    pub fn new(name: impl Into<String>, persistent: bool, limits: Limits) -> Self {
        Self {
            name: name.into(),
            persistent,
            version: 0,
            in_use: false,
            slots: BTreeMap::new(),
            bytes: 0,
            limits,
        }
    }

    /// The message that begins to use the object.
    pub fn open(&self) -> SharedObjectMessage {
        self.message(vec![Event::Use])
    }

    /// The message that stops using it.
    pub fn close(&self) -> SharedObjectMessage {
        self.message(vec![Event::Release])
    }

    /// Sets a slot. `None` if the value is too large.
    pub fn set(&mut self, name: &str, value: &Value) -> Option<SharedObjectMessage> {
        if name.len() > Limits::MAX_SLOT_NAME {
            return None;
        }
        let encoded = Encoded::new(value);
        if encoded.size() > self.limits.value || !self.put(name, Some(encoded)) {
            return None;
        }
        self.slot(name).pending += 1;
        Some(self.message(vec![Event::RequestChange {
            name: name.to_owned(),
            value: value.clone(),
        }]))
    }

    /// Removes a slot.
    pub fn remove(&mut self, name: &str) -> SharedObjectMessage {
        self.take(name);
        self.message(vec![Event::RequestRemove {
            name: name.to_owned(),
        }])
    }

    /// Removes every slot.
    pub fn clear(&mut self) -> SharedObjectMessage {
        let names: Vec<_> = self.names().map(str::to_owned).collect();
        self.forget();
        let remove = |name| Event::RequestRemove { name };
        self.message(names.into_iter().map(remove).collect())
    }

    /// Sends a message to all members.
    pub fn send(&self, handler: &str, arguments: &[Value]) -> SharedObjectMessage {
        let mut values = vec![handler.into()];
        values.extend_from_slice(arguments);
        self.message(vec![Event::SendMessage { values }])
    }

    /// Applies a message from the authority.
    pub fn handle(&mut self, message: SharedObjectMessage) -> Vec<News> {
        let mut news = Vec::new();
        for event in message.events {
            self.event(event, &mut news);
            if news.last() == Some(&News::TooLarge) {
                self.forget();
                break;
            }
        }
        // An answer that waited for the store is older than the messages before it.
        self.version = self.version.max(message.version);
        news
    }

    fn event(&mut self, event: Event, news: &mut Vec<News>) {
        match event {
            Event::UseSuccess => {
                self.in_use = true;
                news.push(News::InUse);
            }
            Event::Change(slots) => {
                for (name, value) in slots {
                    self.changed(name, &value, news);
                }
            }
            Event::Success { name } => {
                self.answered(&name);
                let old = self.get(&name);
                news.push(slot(NewsKind::Success, name, old));
            }
            Event::ChangeAccepted { name, value } => {
                self.answered(&name);
                let old = self.get(&name);
                if self.put(&name, Some(Encoded::new(&value))) {
                    news.push(slot(NewsKind::Success, name, old));
                } else {
                    news.push(News::TooLarge);
                }
            }
            Event::Remove { name } => {
                let kind = match self.answered(&name) {
                    true => NewsKind::Reject,
                    false => NewsKind::Delete,
                };
                let old = self.take(&name);
                news.push(slot(kind, name, old));
            }
            Event::Clear => {
                let had = self.names().next().is_some();
                self.forget();
                if had {
                    news.push(News::Cleared);
                }
            }
            Event::SendMessage { values } => {
                let mut values = values.into_iter();
                if let Some(Value::String(handler)) = values.next() {
                    let arguments = values.collect();
                    news.push(News::Message { handler, arguments });
                }
            }
            Event::Status { code, level } => news.push(News::Status { code, level }),
            // Other events are requests to the authority, or carry nothing for a replica.
            _ => {}
        }
    }

    fn changed(&mut self, name: String, value: &Value, news: &mut Vec<News>) {
        // While an own change is under way, another member's value arrives in the order of the
        // authority.
        let kind = match self.answered(&name) {
            true => NewsKind::Reject,
            false => NewsKind::Change,
        };
        let old = self.get(&name);
        if name.len() <= Limits::MAX_SLOT_NAME && self.put(&name, Some(Encoded::new(value))) {
            news.push(slot(kind, name, old));
        } else {
            news.push(News::TooLarge);
        }
    }

    /// Counts the answer to an own change of this slot; whether there was one.
    fn answered(&mut self, name: &str) -> bool {
        let Some(slot) = self.slots.get_mut(name) else {
            return false;
        };
        let was_pending = slot.pending > 0;
        slot.pending = slot.pending.saturating_sub(1);
        was_pending
    }

    /// Gives a slot a value; `false` if it exceeds a limit.
    fn put(&mut self, name: &str, value: Option<Encoded>) -> bool {
        let size =
            |value: &Option<Encoded>| value.as_ref().map_or(0, |value| value.size() + name.len());
        let known = self.slots.get(name);
        let before = known.map_or(0, |slot| size(&slot.value));
        let after = self.bytes - before + size(&value);
        if after > self.limits.bytes || (known.is_none() && self.slots.len() >= self.limits.slots) {
            return false;
        }
        self.bytes = after;
        self.slot(name).value = value;
        true
    }

    fn take(&mut self, name: &str) -> Option<Value> {
        let old = self.get(name);
        self.put(name, None);
        if self.slots.get(name).is_some_and(|slot| slot.pending == 0) {
            self.slots.remove(name);
        }
        old
    }

    fn forget(&mut self) {
        self.slots.clear();
        self.bytes = 0;
    }

    fn slot(&mut self, name: &str) -> &mut Slot {
        self.slots.entry(name.into()).or_default()
    }

    fn message(&self, events: Vec<Event>) -> SharedObjectMessage {
        SharedObjectMessage {
            name: self.name.clone(),
            version: self.version,
            flags: if self.persistent {
                Flags::PERSISTENT
            } else {
                Flags::TEMPORARY
            },
            events,
        }
    }

    /// A slot's value.
    pub fn get(&self, name: &str) -> Option<Value> {
        let slot = self.slots.get(name)?;
        slot.value.as_ref().map(Encoded::value)
    }

    /// The slots that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let slots = self.slots.iter();
        slots.filter_map(|(name, slot)| slot.value.is_some().then_some(&**name))
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last version that the authority has sent.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the authority has accepted the Use.
    pub fn is_in_use(&self) -> bool {
        self.in_use
    }
}

fn slot(kind: NewsKind, name: String, old: Option<Value>) -> News {
    News::Slot { kind, name, old }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> Replica {
        Replica::new("room", false, Limits::default())
    }

    fn hears(replica: &mut Replica, version: u32, events: Vec<Event>) -> Vec<String> {
        let message = SharedObjectMessage {
            name: "room".to_owned(),
            version,
            flags: Flags::TEMPORARY,
            events,
        };
        let shown = |news| match news {
            News::InUse => "in use".to_owned(),
            News::Cleared => "clear".to_owned(),
            News::TooLarge => "too large".to_owned(),
            News::Slot { kind, name, .. } => format!("{} {name}", kind.code()),
            News::Message { handler, arguments } => format!("{handler} {}", arguments.len()),
            News::Status { code, .. } => code,
        };
        replica.handle(message).into_iter().map(shown).collect()
    }

    fn change(name: &str, value: f64) -> Event {
        Event::Change(vec![(name.to_owned(), value.into())])
    }

    fn success(name: &str) -> Event {
        Event::Success {
            name: name.to_owned(),
        }
    }

    fn remove(name: &str) -> Event {
        Event::Remove {
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_member_sees_what_the_authority_says() {
        let mut replica = replica();
        assert_eq!(replica.open().events, [Event::Use]);
        let begins = vec![Event::UseSuccess, Event::Clear, change("a", 1.0)];
        assert_eq!(hears(&mut replica, 3, begins), ["in use", "change a"]);
        assert!(replica.is_in_use());
        assert_eq!((replica.version(), replica.get("a")), (3, Some(1.0.into())));
        let values = vec!["say".into(), 1.0.into()];
        let message = Event::SendMessage { values };
        let odd = Event::SendMessage { values: Vec::new() };
        assert_eq!(hears(&mut replica, 3, vec![message, odd]), ["say 1"]);
        assert_eq!(hears(&mut replica, 4, vec![remove("a")]), ["delete a"]);
        assert_eq!(replica.get("a"), None);
        assert_eq!(hears(&mut replica, 2, vec![change("b", 1.0)]), ["change b"]);
        assert_eq!(replica.version(), 4, "it never goes back");
        assert_eq!(hears(&mut replica, 5, vec![Event::Clear]), ["clear"]);
        assert_eq!(replica.names().count(), 0);
    }

    #[test]
    fn own_changes_show_at_once_and_are_answered() {
        let mut replica = replica();
        for (answer, expected, value) in [
            (success("x"), "success x", Some(2.0)),
            (change("x", 7.0), "reject x", Some(7.0)),
            (remove("x"), "reject x", None),
            (
                Event::ChangeAccepted {
                    name: "x".to_owned(),
                    value: 5.0.into(),
                },
                "success x",
                Some(5.0),
            ),
        ] {
            let request = replica.set("x", &2.0.into()).unwrap();
            assert!(matches!(request.events[..], [Event::RequestChange { .. }]));
            assert_eq!(replica.get("x"), Some(2.0.into()));
            assert_eq!(hears(&mut replica, 9, vec![answer]), [expected]);
            assert_eq!(replica.get("x"), value.map(Value::from));
            // After the answer, changes of other members count as theirs.
            assert_eq!(hears(&mut replica, 9, vec![change("x", 1.0)]), ["change x"]);
        }
        replica.set("y", &1.0.into());
        let cleared = replica.clear().events;
        assert_eq!(cleared.len(), 2);
        assert_eq!(replica.names().count(), 0);
        assert_eq!(replica.remove("x").events.len(), 1);
    }

    #[test]
    fn what_does_not_fit_ends_it() {
        let limits = Limits {
            slots: 2,
            bytes: 200,
            value: 100,
            ..Limits::default()
        };
        let mut replica = Replica::new("room", true, limits);
        assert!(replica.open().flags.is_persistent());
        assert!(replica.set("a", &"v".repeat(200).into()).is_none());
        assert!(replica.set(&"n".repeat(2_000), &1.0.into()).is_none());
        assert!(replica.set("a", &1.0.into()).is_some());
        assert!(replica.set("b", &1.0.into()).is_some());
        assert!(replica.set("c", &1.0.into()).is_none());
        let flood = vec![change("d", 1.0), change("e", 1.0)];
        assert_eq!(hears(&mut replica, 1, flood), ["too large"]);
        assert_eq!(replica.names().count(), 0);
    }
}
