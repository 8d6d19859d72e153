//! The files of every version that runs: copies that never change, kept until the last group that
//! started with them has ended.
//!
//! ```text
//! DATA/versions/NAME/7/...     the files of version 7
//! DATA/versions/NAME/in-force  "7": what runs after a start if the folder's own version is refused
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::folder;

/// The copies of all applications; one process at a time holds them.
#[derive(Debug)]
pub(super) struct Versions {
    root: PathBuf,
    /// Held as long as this process has the folder.
    _lock: fs::File,
    /// Without a data directory the copies last as long as the process.
    is_temporary: bool,
    trash: Trash,
}

/// One version's files. Dropping the last holder removes them, unless they are to be kept.
#[derive(Debug)]
pub(crate) struct Snapshot {
    path: PathBuf,
    is_kept: AtomicBool,
    trash: Trash,
}

/// Folders to be removed later. Their removal takes time, which the thread that drops a snapshot
/// may not have.
#[derive(Clone, Debug, Default)]
struct Trash(Arc<Mutex<Vec<PathBuf>>>);

/// In an application's folder: the number of the version that was accepted last.
const IN_FORCE: &str = "in-force";

/// The folder that trials write to.
const SCRATCH: &str = ".scratch";

impl Versions {
    /// The copies in a data directory, or in a temporary one.
    pub(super) fn open(data: Option<&Path>) -> io::Result<Self> {
        let root = match data {
            Some(data) => data.join("versions"),
            None => std::env::temp_dir().join(format!("tributary-{:016x}", rand::random::<u64>())),
        };
        fs::create_dir_all(&root)?;
        // The lock also ensures that no other process works here.
        let lock = fs::File::create(root.join(".lock"))?;
        lock.try_lock()
            .map_err(|_| io::Error::other("another process uses this data directory"))?;
        folder::remove(&root.join(SCRATCH));
        Ok(Self {
            root,
            _lock: lock,
            is_temporary: data.is_none(),
            trash: Trash::default(),
        })
    }

    /// The version of an application that was accepted last.
    pub(super) fn in_force(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.root.join(name).join(IN_FORCE)).ok()?;
        let number = text.trim().parse().ok()?;
        self.path(name, number).is_dir().then_some(number)
    }

    /// A number that no version of the application has had here.
    pub(super) fn next(&self, name: &str) -> u64 {
        let highest = self.numbers(name).max().unwrap_or_default();
        highest.max(self.in_force(name).unwrap_or_default()) + 1
    }

    /// Where a version's files are, or will be.
    pub(super) fn path(&self, name: &str, number: u64) -> PathBuf {
        self.root.join(name).join(number.to_string())
    }

    /// A version whose files are there.
    pub(super) fn snapshot(&self, name: &str, number: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            path: self.path(name, number),
            is_kept: AtomicBool::new(false),
            trash: self.trash.clone(),
        })
    }

    /// A folder for the files that a trial writes.
    pub(super) fn scratch(&self) -> io::Result<folder::Temporary> {
        folder::Temporary::new(&self.root.join(SCRATCH))
    }

    /// Records that a version was accepted.
    pub(super) fn accept(&self, name: &str, number: u64) {
        let file = self.root.join(name).join(IN_FORCE);
        let new = file.with_extension("new");
        let written = fs::write(&new, format!("{number}\n"));
        if let Err(error) = written.and_then(|()| fs::rename(new, file)) {
            tracing::warn!(application = name, %error, "cannot note which version is in force");
        }
    }

    /// Removes files of an application that an earlier process has left, except the version in
    /// force.
    pub(super) fn clean(&self, name: &str) {
        let kept = self.in_force(name);
        for number in self.numbers(name).filter(|number| Some(*number) != kept) {
            folder::remove(&self.path(name, number));
        }
    }

    /// Forgets which version was in force; copies that run stay until their groups end.
    pub(super) fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.root.join(name).join(IN_FORCE));
    }

    /// Removes the folders of dropped snapshots.
    pub(super) fn sweep(&self) {
        let unused = std::mem::take(&mut *self.trash.lock());
        for folder in unused {
            folder::remove(&folder);
            // The application's own folder goes too, if that was the last of a removed application.
            if let Some(of) = folder.parent() {
                let _ = fs::remove_dir(of);
            }
        }
    }

    /// The applications of which an earlier process has left files.
    pub(super) fn names(&self) -> Vec<String> {
        let found = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names = found.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| folder::is_name(name)).collect()
    }

    /// Removes all versions of an application.
    pub(super) fn remove(&self, name: &str) {
        folder::remove(&self.root.join(name));
    }

    fn numbers(&self, name: &str) -> impl Iterator<Item = u64> + use<> {
        let found = fs::read_dir(self.root.join(name)).into_iter();
        let names = found.flatten().flatten().map(|entry| entry.file_name());
        names.filter_map(|name| name.to_str()?.parse().ok())
    }
}

impl Drop for Versions {
    fn drop(&mut self) {
        if self.is_temporary {
            folder::remove(&self.root);
        }
    }
}

impl Snapshot {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// It is in force: its files outlive the process.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Release);
    }

    /// It is no longer in force: its files go when the last group that has it ends.
    pub(super) fn retire(&self) {
        self.is_kept.store(false, Ordering::Release);
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if !self.is_kept.load(Ordering::Acquire) {
            self.trash.lock().push(std::mem::take(&mut self.path));
        }
    }
}

impl Trash {
    fn lock(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        // Whole paths come and go under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(versions: &Versions, name: &str) -> (u64, Arc<Snapshot>) {
        let number = versions.next(name);
        fs::create_dir_all(versions.path(name, number)).unwrap();
        (number, versions.snapshot(name, number))
    }

    #[test]
    fn files_stay_until_their_last_holder_is_gone() {
        let data = tempfile::tempdir().unwrap();
        let versions = Versions::open(Some(data.path())).unwrap();
        let (one, snapshot) = make(&versions, "chat");
        versions.accept("chat", one);
        snapshot.keep();
        let group = Arc::clone(&snapshot);
        let (two, newer) = make(&versions, "chat");
        assert_eq!((one, two), (1, 2));
        versions.accept("chat", two);
        snapshot.retire();
        drop(snapshot);
        versions.sweep();
        assert!(group.path().is_dir(), "a group runs it");
        drop(group);
        versions.sweep();
        assert!(!versions.path("chat", one).exists());
        assert!(newer.path().is_dir());
        // Gone, and the last group with it.
        versions.forget("chat");
        newer.retire();
        drop(newer);
        versions.sweep();
        assert!(versions.names().is_empty());
    }

    #[test]
    fn the_next_process_finds_the_version_in_force() {
        let data = tempfile::tempdir().unwrap();
        let first = Versions::open(Some(data.path())).unwrap();
        assert!(
            Versions::open(Some(data.path())).is_err(),
            "one process at a time"
        );
        let (_, old) = make(&first, "chat");
        let (two, newer) = make(&first, "chat");
        newer.keep();
        first.accept("chat", two);
        let (three, unfinished) = make(&first, "chat");
        // As a process that is killed leaves it.
        std::mem::forget(unfinished);
        drop((old, newer, first));
        let second = Versions::open(Some(data.path())).unwrap();
        assert_eq!(second.in_force("chat"), Some(two));
        second.clean("chat");
        assert_eq!(second.numbers("chat").collect::<Vec<_>>(), [two]);
        assert_eq!((three, second.next("chat")), (3, 3));
        assert_eq!(second.in_force("other"), None);
    }

    #[test]
    fn without_a_data_directory_nothing_stays() {
        let versions = Versions::open(None).unwrap();
        let root = versions.root.clone();
        make(&versions, "chat");
        drop(versions);
        assert!(!root.exists());
    }
}
