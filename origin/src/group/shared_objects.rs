//! The shared objects of a group: by name, each with its members by lane.
//!
//! | module | what it does |
//! |---|---|
//! | `acts` | the parts that acts on shared objects work on |
//! | `life` | objects: made, settled, locked and dropped |
//! | `requests` | the requests of clients: permission, and the object of each |
//! | `rate` | the rate of a client's requests; those that wait are merged |
//! | `sides` | the messages of an object, to one audience for each lane |
//! | `restore` | objects and members of the process before |
//! | `storing` | a persistent object's entries in the store, read and written |
//! | `api` | the acts of an application |
//!
//! The rules of an object itself are the protocol's
//! [`Authority`](tributary_protocol::shared_object::Authority).
//!
//! State of [`Objects`] is the authority of each object with its name, how often it was opened and
//! locked, and the numbers of objects and audiences. A restore makes anew: the access to the store,
//! the audiences on lanes, and the count of stored objects.

use std::{collections::HashMap, sync::Arc};

use tributary_protocol::{
    amf::Value,
    command::Status,
    link::AudienceId,
    shared_object::{Authority, Encoded, Event, Flags, SharedObjectMessage, authority::Change},
};

use crate::{app::ObjectId, session::SessionKey, store::StoredObject};

pub(super) mod acts;
pub(super) mod api;
mod brought;
mod life;
mod rate;
mod requests;
mod restore;
mod sides;
mod storing;

pub(super) use rate::Uses;

use brought::BroughtObjects;
use sides::Sides;

/// The most shared objects of a group that live at a time. Reason: each costs some kilobytes, and
/// an audience on every lane.
pub const MAX_OBJECTS: usize = 4_096;

/// With this many shared objects the application gets a notice, so that it closes those it does not
/// need. Reason: clients are to find room for theirs.
pub const CROWD: usize = MAX_OBJECTS / 4 * 3;

/// The most shared objects one session uses. Reason: a session's end visits each.
pub(super) const MAX_USED: usize = 256;

/// The most shared objects a group has in the store. Reason: their names are read to count and
/// to clear them.
pub(super) const MAX_STORED: usize = 4_096;

/// The most bytes of the slots of all shared objects of a group. Reason: members fill them, and
/// they are kept in memory.
pub const MAX_GROUP_BYTES: usize = 64 * 1024 * 1024;

/// The longest name of a shared object, in bytes. Reason: every message carries it.
pub(super) const MAX_NAME: usize = 512;

/// How long an application may leave an object locked. Reason: its members wait meanwhile.
pub(super) const LOCK_TIME: std::time::Duration = std::time::Duration::from_secs(30);

/// All shared objects of a group.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_name: HashMap<Arc<str>, ObjectId>,
    entries: HashMap<ObjectId, Box<LivingObject>>,
    next_object: u32,
    next_audience: u32,
    /// The bytes of all slots.
    bytes: usize,
    /// Locks that the present call of the application has taken.
    locks: Vec<ObjectId>,
    /// How many objects the group has in the store, once that was counted.
    stored: Option<usize>,
    /// Whether a notice of the crowd is queued.
    crowd: bool,
    /// The edges' copies of temporary objects of the process before, until the group goes on.
    brought: Option<Box<BroughtObjects>>,
}

#[derive(Debug)]
struct LivingObject {
    name: Arc<str>,
    object: Authority<SessionKey>,
    /// The entries in the store, if it is persistent.
    stored: Option<StoredObject>,
    sides: Sides,
    /// How often the application has opened it, less its closes.
    opened: u32,
    /// Counts the locks.
    locks: u32,
    /// The bytes of its slots when the group last counted them.
    bytes: usize,
    /// How many refusals were counted.
    refused: u64,
}

/// A notice of a shared object for the application, after its present call.
#[derive(Debug)]
pub(super) enum ObjectNotice {
    Changed(SessionKey, Vec<Change>),
    Message(SessionKey, Encoded),
    Status(Status),
}

impl Objects {
    pub(super) fn find(&self, name: &str) -> Option<ObjectId> {
        self.by_name.get(name).copied()
    }

    fn get(&self, id: ObjectId) -> Option<&LivingObject> {
        self.entries.get(&id).map(|entry| &**entry)
    }

    fn get_mut(&mut self, id: ObjectId) -> Option<&mut LivingObject> {
        self.entries.get_mut(&id).map(|entry| &mut **entry)
    }

    fn ids(&self) -> Vec<ObjectId> {
        self.entries.keys().copied().collect()
    }

    /// Whether a change is not stored yet.
    pub(super) fn are_dirty(&self) -> bool {
        let mut entries = self.entries.values();
        entries.any(|entry| entry.object.is_dirty())
    }

    fn insert(
        &mut self,
        id: ObjectId,
        name: &str,
        object: Authority<SessionKey>,
        stored: Option<StoredObject>,
    ) {
        let name: Arc<str> = Arc::from(name);
        let bytes = object.contents().bytes();
        self.bytes += bytes;
        self.by_name.insert(Arc::clone(&name), id);
        let entry = LivingObject {
            name,
            object,
            stored,
            sides: Sides::default(),
            opened: 0,
            locks: 0,
            bytes,
            refused: 0,
        };
        self.entries.insert(id, Box::new(entry));
    }

    fn next_id(&mut self) -> ObjectId {
        self.next_object = self.next_object.wrapping_add(1);
        ObjectId(self.next_object)
    }

    fn remove(&mut self, id: ObjectId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.bytes;
            self.by_name.remove(&entry.name);
        }
        if self.entries.is_empty() {
            self.entries = HashMap::new();
            self.by_name = HashMap::new();
        }
    }

    fn next_audience(&mut self) -> AudienceId {
        self.next_audience = self.next_audience.wrapping_add(1);
        AudienceId(self.next_audience)
    }

    /// Notes that the application gets the notice of the crowd.
    pub(super) fn crowd_told(&mut self) {
        self.crowd = false;
    }

    /// No objects, but their numbers go on: an edge may still have an audience of an older one.
    pub(super) fn reset(&mut self) {
        *self = Self {
            next_object: self.next_object,
            next_audience: self.next_audience,
            stored: self.stored,
            ..Self::default()
        };
    }

    /// Forgets the locks of the last call of the application.
    pub(super) fn begin_call(&mut self) {
        if !self.locks.is_empty() {
            self.locks = Vec::new();
        }
    }
}

/// The name without leading slashes: `/a/b` and `a/b` are one object, as they are one stream.
pub fn object_name(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// Whether an object can have this name.
fn is_name(name: &str) -> bool {
    let hostile = |part: &str| matches!(part, "" | "." | "..") || part.contains('\\');
    name.len() <= MAX_NAME && !name.chars().any(char::is_control) && !name.split('/').any(hostile)
}

/// The request by which a member begins to use an object.
pub(super) fn use_of(name: &str, flags: Flags) -> SharedObjectMessage {
    SharedObjectMessage {
        name: name.to_owned(),
        version: 0,
        flags,
        events: vec![Event::Use],
    }
}

/// The handler's name and the arguments of a message to the members.
pub(super) fn handler(values: &Encoded) -> Option<(String, Vec<Value>)> {
    let mut values = values.values();
    if values.is_empty() {
        return None;
    }
    match values.remove(0) {
        Value::String(name) => Some((name, values)),
        _ => None,
    }
}
