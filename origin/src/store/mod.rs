//! What outlives the process: persistent shared objects.
//!
//! | module | what it is |
//! |---|---|
//! | [`storage`] | the trait behind which a store is: entries by key, and changes of them |
//! | [`redb`] | the one that is there: a file in the origin's data directory |
//! | `writer` | one thread that writes, many changes at a time |
//! | `objects` | shared objects as entries |
//! | `kept` | which groups have any |
//! | `scratch` | a store on top of another, whose writes go nowhere |
//!
//! Groups read on their own threads, which takes microseconds as long as the system has the file
//! in memory. What a group has written it reads at once, whether or not it is on the disk.

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
    shared: Arc<Shared>,
}

struct Shared {
    writer: Writer,
    usage: Usage,
    kept: Kept,
    /// How often the process has ended without storing everything, this time not counted.
    crashes: u32,
}

/// The file of an origin's store, in its data directory.
pub(crate) const FILE: &str = "objects.redb";

impl Store {
    /// Opens the store of a data directory, which is made if it is not there.
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
        let shared = Shared {
            writer,
            usage,
            kept,
            crashes,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// A store that begins with what this one has and keeps what is written to itself.
    pub(crate) fn scratch(&self) -> Result<Self, StorageError> {
        let shared = Shared {
            writer: Writer::start(Arc::new(Scratch::new(self.clone())))?,
            usage: self.shared.usage.apart(),
            kept: Kept::new(),
            crashes: self.shared.crashes,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Removes everything that an application has stored, and waits until it is gone from the
    /// disk, or could not be taken from it. What it stores after that has later versions. None of
    /// its groups may run. Blocks.
    pub(crate) fn purge(&self, application: &str) -> Result<(), StorageError> {
        self.shared.writer.change(self.without(application)?);
        self.shared.usage.forget(application);
        self.shared.kept.forget(application);
        self.shared.writer.wait();
        Ok(())
    }

    /// Whether so much waits to be written that no more should come.
    pub(crate) fn is_full(&self) -> bool {
        self.shared.writer.is_full()
    }

    /// The groups that have something here.
    pub(crate) fn kept(&self) -> &Kept {
        &self.shared.kept
    }

    /// Waits until what is written now is on the disk, or could not be put there.
    pub(crate) fn synced(&self) -> impl Future<Output = ()> + use<> {
        self.shared.writer.synced()
    }

    /// Writes what is left and ends the writing thread. What is written after this is lost.
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
