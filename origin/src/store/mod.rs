//! The store: data that outlives the process, which is persistent shared objects.
//!
//! | module | what it is |
//! |---|---|
//! | [`storage`] | the trait of a storage: entries by key, and changes of them |
//! | [`redb`] | the storage in use: a file in the origin's data directory |
//! | `writer` | one thread that writes, many changes at a time |
//! | `objects` | shared objects as entries |
//! | `kept` | the groups with data in the store |
//! | `scratch` | a store on top of another, whose writes go nowhere |
//!
//! Groups read on their own threads, which takes microseconds as long as the system has the file in
//! memory. A group reads its own writes at once, whether or not they are on the disk.

use std::{fmt, path::Path, sync::Arc};

mod redb;
mod storage;

mod kept;
mod objects;
mod scratch;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use kept::Extent;
pub(crate) use objects::StoredObject;
pub use storage::StorageError;
pub(crate) use storage::{Changes, Storage};

use kept::Kept;
use objects::Usage;
use scratch::Scratch;
use writer::Writer;

/// A store; clones are the same.
#[derive(Clone)]
pub(crate) struct Store {
    shared: Arc<StoreShared>,
}

struct StoreShared {
    writer: Writer,
    usage: Usage,
    kept: Kept,
    /// How often the process has ended without storing everything, before this start.
    crashes: u32,
}

/// The file of an origin's store, in its data directory.
pub(crate) const FILE: &str = "objects.redb";

impl Store {
    /// Opens the store of a data directory, which is made if it does not exist.
    pub(crate) fn open(data: &Path) -> Result<Self, StorageError> {
        let failed = |error: std::io::Error| StorageError(error.to_string());
        std::fs::create_dir_all(data).map_err(failed)?;
        let storage = redb::RedbStorage::open(&data.join(FILE))?;
        Self::on(Arc::new(storage))
    }

    /// A store on a storage, whose writing thread it starts.
    pub(crate) fn on(storage: Arc<dyn Storage>) -> Result<Self, StorageError> {
        let crashes = objects::begin(&*storage)?;
        let (usage, kept) = objects::survey(&*storage)?;
        let writer = Writer::start(storage)?;
        let shared = StoreShared {
            writer,
            usage,
            kept,
            crashes,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// A store that begins with the entries of this one and keeps its writes to itself.
    pub(crate) fn scratch(&self) -> Result<Self, StorageError> {
        let shared = StoreShared {
            writer: Writer::start(Arc::new(Scratch::new(self.clone())))?,
            usage: self.shared.usage.apart(),
            kept: Kept::new(),
            crashes: self.shared.crashes,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Removes all entries of an application, and waits until they are gone from the disk, or the
    /// removal has failed. Later objects of the application have later versions. None of its groups
    /// may run. Blocks.
    pub(crate) fn purge(&self, application: &str) -> Result<(), StorageError> {
        self.shared.writer.change(self.without(application)?);
        self.shared.usage.forget(application);
        self.shared.kept.forget(application);
        self.shared.writer.wait();
        Ok(())
    }

    /// Whether so many bytes wait to be written that clients' changes should stop.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.writer.is_full()
    }

    /// The groups with data here.
    pub(crate) fn kept(&self) -> &Kept {
        &self.shared.kept
    }

    /// Waits until all queued writes are on the disk, or have failed.
    pub(crate) fn synced(&self) -> impl Future<Output = ()> + use<> {
        self.shared.writer.synced()
    }

    /// Writes the rest and ends the writing thread. Later writes are lost.
    pub(crate) fn close(&self) {
        self.shared.writer.close(objects::end(self.shared.crashes));
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("crashes", &self.shared.crashes)
            .finish_non_exhaustive()
    }
}
