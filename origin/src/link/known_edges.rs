//! The names of the edges of an origin in a cluster, on the disk: after a start they say which edges may bring
//! sessions.

use std::{
    cell::Cell,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The file with the names.
pub(super) struct KnownEdges {
    file: PathBuf,
    /// How often the names have been written, and the number of the newest list in the file.
    lists: Cell<u64>,
    written: Arc<Mutex<u64>>,
}

impl KnownEdges {
    pub(super) fn new(file: PathBuf) -> Self {
        Self {
            file,
            lists: Cell::new(0),
            written: Arc::default(),
        }
    }

    /// The names from before; none if there is no file.
    pub(super) fn read(file: &Path) -> Vec<String> {
        match fs::read_to_string(file) {
            Ok(text) => text.lines().map(str::to_owned).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let file = file.display();
                tracing::error!(
                    %file,
                    %error,
                    "the names of the edges cannot be read: new clients do not wait for their sessions"
                );
                Vec::new()
            }
        }
    }

    /// Writes the names, on a thread that may wait for the disk.
    pub(super) fn write(&self, names: Vec<String>) {
        let list = self.lists.get() + 1;
        self.lists.set(list);
        let (file, written) = (self.file.clone(), Arc::clone(&self.written));
        tokio::task::spawn_blocking(move || {
            // One at a time, and no older list after a newer one.
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > list {
                return;
            }
            *written = list;
            if let Err(error) = replace(&file, &names) {
                let file = file.display();
                tracing::error!(
                    %file,
                    %error,
                    "the names of the edges are not kept: after a crash new clients do not wait for their \
                     sessions; see that the data directory can be written and has room"
                );
            }
        });
    }
}

/// Replaces the file: a reader finds all of the names before or after.
fn replace(file: &Path, names: &[String]) -> io::Result<()> {
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    let new = file.with_extension("new");
    let mut written = fs::File::create(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)
}
