//! A store in one file, by `redb`.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Changes, Storage, StorageError};

/// One table in one file.
pub(crate) struct RedbStorage {
    /// The file to open again after a failure; a backend of a test has none.
    file: Option<PathBuf>,
    /// None while the file cannot be opened again after a failure.
    database: RwLock<Option<Database>>,
}

const TABLE: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

/// The bytes of the file that redb keeps in memory. Reason: objects in use are in their groups;
/// this is for the inner pages of the tree.
const CACHE: usize = 16 * 1024 * 1024;

impl RedbStorage {
    /// Opens a file, or makes it.
    pub(crate) fn open(file: &Path) -> Result<Self, StorageError> {
        let storage = Self {
            file: Some(file.to_owned()),
            database: RwLock::new(Some(open(file)?)),
        };
        storage.make_table()?;
        Ok(storage)
    }

    /// Opens a storage on a backend.
    #[cfg(test)]
    pub(crate) fn with_backend(backend: impl redb::StorageBackend) -> Result<Self, StorageError> {
        let database = redb::Builder::new()
            .set_cache_size(CACHE)
            .create_with_backend(backend)
            .map_err(failed)?;
        let storage = Self {
            file: None,
            database: RwLock::new(Some(database)),
        };
        storage.make_table()?;
        Ok(storage)
    }

    fn make_table(&self) -> Result<(), StorageError> {
        self.commit(&Changes::new())
    }

    fn with<R>(
        &self,
        work: impl FnOnce(&Database) -> Result<R, StorageError>,
    ) -> Result<R, StorageError> {
        // A panic of another reader or writer leaves the database as it was.
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match &*database {
            Some(database) => work(database),
            None => Err(StorageError("the file is not open".to_owned())),
        }
    }

    /// After a failed write redb refuses all others until its file is opened anew.
    fn reopen(&self) {
        let Some(file) = &self.file else {
            return;
        };
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        // The open file is locked, so it is closed first.
        *database = None;
        match open(file) {
            Ok(opened) => *database = Some(opened),
            Err(error) => tracing::error!(file = %file.display(), %error, "store is not opened"),
        }
    }
}

impl Storage for RedbStorage {
    fn read(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, StorageError> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed)?;
            let table = transaction.open_table(TABLE).map_err(failed)?;
            let mut found = Vec::new();
            for entry in table.range(prefix..).map_err(failed)? {
                let (key, value) = entry.map_err(failed)?;
                if !key.value().starts_with(prefix) {
                    break;
                }
                let value = Bytes::copy_from_slice(value.value());
                found.push((key.value().to_vec(), value));
            }
            Ok(found)
        })
    }

    fn commit(&self, changes: &Changes) -> Result<(), StorageError> {
        let done = self.with(|database| write(database, changes));
        if done.is_err() {
            self.reopen();
        }
        done
    }
}

fn open(file: &Path) -> Result<Database, StorageError> {
    let mut builder = redb::Builder::new();
    let opened = builder.set_cache_size(CACHE).create(file);
    opened.map_err(|error| StorageError(format!("{}: {error}", file.display())))
}

fn write(database: &Database, changes: &Changes) -> Result<(), StorageError> {
    let transaction = database.begin_write().map_err(failed)?;
    {
        let mut table = transaction.open_table(TABLE).map_err(failed)?;
        for prefix in changes.cleared() {
            let end = end_of(prefix);
            let done = match &end {
                Some(end) => table.retain_in(prefix..end.as_slice(), |_, _| false),
                None => table.retain_in(prefix.., |_, _| false),
            };
            done.map_err(failed)?;
        }
        for (key, value) in changes.entries() {
            match value {
                Some(value) => table.insert(key, &**value).map_err(failed)?,
                None => table.remove(key).map_err(failed)?,
            };
        }
    }
    // Immediate durability is the default: it returns when the file is synced.
    transaction.commit().map_err(failed)
}

/// The first key behind all that begin with this.
fn end_of(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

fn failed(error: impl fmt::Display) -> StorageError {
    StorageError(error.to_string())
}

impl fmt::Debug for RedbStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbStorage")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        for (prefix, end) in [
            (&b"a"[..], Some(&b"b"[..])),
            (b"a\xff", Some(b"b")),
            (b"a\0", Some(b"a\x01")),
            (b"\xff\xff", None),
            (b"", None),
        ] {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
        }
    }
}
