//! Shared objects as entries of a store.
//!
//! | key | value |
//! |---|---|
//! | `h` application 0 instance 0 object 0 | the object's header |
//! | `s` application 0 instance 0 object 0 slot | a slot, or that it was removed |
//! | `f` application 0 | the highest version of its objects that were purged |
//! | `m` | how often the process has crashed, and whether it runs |
//!
//! No name but a slot's can hold a 0. Numbers are big-endian; every value begins with the number
//! of its form.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tributary_protocol::{
    GroupName,
    shared_object::{
        Encoded,
        authority::{Header, Stored, StoredSlot, Ticket, VERSION_WINDOW, Write},
    },
};

use super::{Changes, Kept, Storage, StorageError, Store, writer::OnStored};

/// A shared object of a store, by which its group writes.
pub(crate) struct StoredObject {
    store: Store,
    /// Identifies it to the writer.
    number: u64,
    header: Vec<u8>,
    slots: Vec<u8>,
    used: Arc<AtomicU64>,
    /// The bytes it has in `used`.
    bytes: u64,
    told: OnStored,
    group: GroupName,
    /// Whether the list of groups with data has this group.
    is_known: bool,
}

/// The bytes that each application has stored.
#[derive(Clone, Default)]
pub(super) struct Usage(Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>);

impl Store {
    /// Loads a shared object, with the means to write it. The writing thread calls `told` for each
    /// write, with its ticket and whether it is on the disk.
    pub(crate) fn load(
        &self,
        group: &GroupName,
        name: &str,
        told: impl Fn(Ticket, bool) + Send + Sync + 'static,
    ) -> Result<(StoredObject, Stored), StorageError> {
        let writer = &self.shared.writer;
        let (header_key, slots_key) = (key(HEADER, group, name), key(SLOT, group, name));
        let found = writer.read(&header_key)?.remove(&header_key);
        let mut stored = Stored {
            crashes: self.shared.crashes,
            ..Stored::default()
        };
        if let Some(found) = found {
            let (header, crashes) = read_header(found)?;
            stored.header = Some(header);
            stored.crashes = self.shared.crashes.saturating_sub(crashes);
            stored.slots = read_slots(&slots_key, writer.read(&slots_key)?)?;
        } else {
            stored.floor = self.floor(group.application())?.ok_or_else(damaged)?;
        }
        let object = StoredObject {
            store: self.clone(),
            number: writer.next_object(),
            header: header_key,
            slots: slots_key,
            used: self.shared.usage.of(group.application()),
            bytes: stored.header.map_or(0, |header| header.bytes),
            told: Arc::new(told),
            group: group.clone(),
            is_known: stored.header.is_some(),
        };
        Ok((object, stored))
    }

    /// The names of a group's stored objects, in order.
    pub(crate) fn names(&self, group: &GroupName) -> Result<Vec<String>, StorageError> {
        let prefix = group_key(HEADER, group);
        let found = self.shared.writer.read(&prefix)?;
        let names = found.keys().map(|key| &key[prefix.len()..key.len() - 1]);
        Ok(names
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    /// The changes that remove all entries of an application, and leave the version from which
    /// later objects go on.
    pub(super) fn without(&self, application: &str) -> Result<Changes, StorageError> {
        let headers = application_key(HEADER, application);
        // Damaged headers do not hinder a removal.
        let mut floor = self.floor(application)?.unwrap_or(0);
        for value in self.shared.writer.read(&headers)?.into_values() {
            if let Ok((header, crashes)) = read_header(value) {
                floor = floor.max(self.last_version(&header, crashes));
            }
        }
        let mut changes = Changes::new();
        changes.clear(headers);
        changes.clear(application_key(SLOT, application));
        if floor > 0 {
            changes.put(
                application_key(FLOOR, application),
                Some(write_floor(floor)),
            );
        }
        Ok(changes)
    }

    /// The highest version of an object that a member may have received.
    fn last_version(&self, header: &Header, crashes: u32) -> u32 {
        let crashes = self.shared.crashes.saturating_sub(crashes);
        // Versions of this process may be missing in the store, too.
        let windows = crashes.saturating_add(1);
        let stored = header.version.max(header.reserve);
        stored.saturating_add((VERSION_WINDOW + 1).saturating_mul(windows))
    }

    /// The highest version that a purged object of the application can have had; `None` if its
    /// entry is damaged.
    fn floor(&self, application: &str) -> Result<Option<u32>, StorageError> {
        let key = application_key(FLOOR, application);
        let found = self.shared.writer.read(&key)?.remove(&key);
        Ok(found.map_or(Some(0), read_floor))
    }

    /// The bytes that an application has stored.
    pub(crate) fn used(&self, application: &str) -> u64 {
        self.shared.usage.of(application).load(Ordering::Relaxed)
    }
}

impl StoredObject {
    /// Queues a write.
    pub(crate) fn write(&mut self, write: Write) {
        let mut changes = Changes::new();
        if write.clear {
            changes.clear(self.slots.clone());
        }
        for (name, slot) in write.slots {
            let mut key = self.slots.clone();
            key.extend_from_slice(name.as_bytes());
            changes.put(key, slot.map(|slot| write_slot(&slot)));
        }
        if !std::mem::replace(&mut self.is_known, true) {
            self.store.shared.kept.add(&self.group);
        }
        let crashes = self.store.shared.crashes;
        let header = write_header(&write.header, crashes);
        changes.put(self.header.clone(), Some(header));
        let before = std::mem::replace(&mut self.bytes, write.header.bytes);
        self.used.fetch_add(self.bytes, Ordering::Relaxed);
        self.used.fetch_sub(before, Ordering::Relaxed);
        self.store
            .shared
            .writer
            .write(changes, self.number, write.ticket, &self.told);
    }
}

impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredObject").field(&self.number).finish()
    }
}

/// Adds up the stored bytes, and lists the groups that have any.
pub(super) fn survey(storage: &dyn Storage) -> Result<(Usage, Kept), StorageError> {
    let (usage, kept) = (Usage::default(), Kept::new());
    for (key, value) in storage.read(&[HEADER])? {
        let group = group_of(&key).ok_or_else(damaged)?;
        let (header, _) = read_header(value)?;
        usage
            .of(group.application())
            .fetch_add(header.bytes, Ordering::Relaxed);
        kept.add(&group);
    }
    Ok((usage, kept))
}

impl Usage {
    /// A copy of the numbers, which changes apart from these.
    pub(super) fn apart(&self) -> Self {
        let usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let copied = usage.iter().map(|(application, used)| {
            let used = AtomicU64::new(used.load(Ordering::Relaxed));
            (application.clone(), Arc::new(used))
        });
        Self(Arc::new(Mutex::new(copied.collect())))
    }

    /// Forgets an application that has no data any more.
    pub(super) fn forget(&self, application: &str) {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        usage.remove(application);
    }

    fn of(&self, application: &str) -> Arc<AtomicU64> {
        let mut usage = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match usage.get(application) {
            Some(used) => Arc::clone(used),
            None => {
                let used = Arc::default();
                usage.insert(application.to_owned(), Arc::clone(&used));
                used
            }
        }
    }
}

/// Records that a process runs on the storage. Returns how often a process has ended without a
/// record of its end.
pub(super) fn begin(storage: &dyn Storage) -> Result<u32, StorageError> {
    let found = storage.read(&[META])?;
    let mut crashes = 0;
    if let Some((_, value)) = found.first() {
        let mut value = &value[..];
        if value.len() < META_LENGTH || value.get_u8() != FORM {
            return Err(StorageError("the store is of another form".to_owned()));
        }
        crashes = value.get_u32();
        if value.get_u8() == RUNS {
            crashes = crashes.saturating_add(1);
        }
    }
    let mut changes = Changes::new();
    changes.put(vec![META], Some(meta(crashes, RUNS)));
    storage.commit(&changes)?;
    Ok(crashes)
}

/// The entry for a process that has ended with everything stored.
pub(super) fn end(crashes: u32) -> (Vec<u8>, Bytes) {
    (vec![META], meta(crashes, ENDED))
}

fn meta(crashes: u32, state: u8) -> Bytes {
    let mut value = BytesMut::with_capacity(META_LENGTH);
    value.put_u8(FORM);
    value.put_u32(crashes);
    value.put_u8(state);
    value.freeze()
}

fn application_key(kind: u8, application: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(64 + application.len());
    key.push(kind);
    key.extend_from_slice(application.as_bytes());
    key.push(0);
    key
}

fn group_key(kind: u8, group: &GroupName) -> Vec<u8> {
    let mut key = application_key(kind, group.application());
    key.extend_from_slice(group.instance().as_bytes());
    key.push(0);
    key
}

/// The group of an object's key.
fn group_of(key: &[u8]) -> Option<GroupName> {
    let mut names = key.get(1..)?.split(|&byte| byte == 0);
    let mut name = || std::str::from_utf8(names.next()?).ok();
    let (application, instance) = (name()?, name()?);
    GroupName::from_app(&format!("{application}/{instance}")).ok()
}

fn key(kind: u8, group: &GroupName, object: &str) -> Vec<u8> {
    let mut key = group_key(kind, group);
    key.extend_from_slice(object.as_bytes());
    key.push(0);
    key
}

fn write_header(header: &Header, crashes: u32) -> Bytes {
    let mut value = BytesMut::with_capacity(HEADER_LENGTH);
    value.put_u8(FORM);
    value.put_u32(crashes);
    value.put_u64(header.incarnation);
    value.put_u32(header.version);
    value.put_u32(header.horizon);
    value.put_u32(header.forgotten);
    value.put_u32(header.reserve);
    value.put_u32(header.slots);
    value.put_u64(header.bytes);
    value.freeze()
}

fn read_header(mut value: Bytes) -> Result<(Header, u32), StorageError> {
    if value.len() < HEADER_LENGTH || value.get_u8() != FORM {
        return Err(damaged());
    }
    let crashes = value.get_u32();
    let header = Header {
        incarnation: value.get_u64(),
        version: value.get_u32(),
        horizon: value.get_u32(),
        forgotten: value.get_u32(),
        reserve: value.get_u32(),
        slots: value.get_u32(),
        bytes: value.get_u64(),
    };
    Ok((header, crashes))
}

fn write_floor(floor: u32) -> Bytes {
    let mut value = BytesMut::with_capacity(FLOOR_LENGTH);
    value.put_u8(FORM);
    value.put_u32(floor);
    value.freeze()
}

fn read_floor(mut value: Bytes) -> Option<u32> {
    let is_whole = value.len() >= FLOOR_LENGTH && value.get_u8() == FORM;
    is_whole.then(|| value.get_u32())
}

fn write_slot(slot: &StoredSlot) -> Bytes {
    let full = slot.value.as_ref().map(Encoded::full);
    let mut value = BytesMut::with_capacity(SLOT_LENGTH + full.map_or(0, Bytes::len));
    value.put_u8(FORM);
    value.put_u32(slot.version);
    value.put_u8(u8::from(full.is_some()));
    if let Some(full) = full {
        value.put_slice(full);
    }
    value.freeze()
}

fn read_slots(
    prefix: &[u8],
    entries: BTreeMap<Vec<u8>, Bytes>,
) -> Result<BTreeMap<Arc<str>, StoredSlot>, StorageError> {
    let slot = |(key, mut value): (Vec<u8>, Bytes)| {
        if value.len() < SLOT_LENGTH || value.get_u8() != FORM {
            return Err(damaged());
        }
        let version = value.get_u32();
        let value = match value.get_u8() {
            0 => None,
            _ => Some(Encoded::from_full(value).ok_or_else(damaged)?),
        };
        let name = std::str::from_utf8(&key[prefix.len()..]).map_err(|_| damaged())?;
        Ok((Arc::from(name), StoredSlot { version, value }))
    };
    entries.into_iter().map(slot).collect()
}

fn damaged() -> StorageError {
    StorageError("the stored object is damaged".to_owned())
}

const HEADER: u8 = b'h';
const SLOT: u8 = b's';
const FLOOR: u8 = b'f';
const META: u8 = b'm';

/// The form of every value.
const FORM: u8 = 1;

const RUNS: u8 = 1;
const ENDED: u8 = 0;

const META_LENGTH: usize = 1 + 4 + 1;
const HEADER_LENGTH: usize = 1 + 4 + 8 + 5 * 4 + 8;
const SLOT_LENGTH: usize = 1 + 4 + 1;
const FLOOR_LENGTH: usize = 1 + 4;
