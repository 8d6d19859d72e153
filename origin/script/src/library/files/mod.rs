//! Files of a script: confined to two folders, within allowances.
//!
//! A script sees one tree. The script's writes go to a folder of its instance. Its reads look there
//! first, then in the application's deployed folder, which it cannot change: a deployed file is
//! copied before it is opened for writing, and is never removed.
//!
//! The group's thread reads and writes the files, so each turn has an allowance of bytes and of
//! time. A disk that is too slow ends the script's work on files and not the other groups' turns.

use std::{
    collections::BTreeSet,
    fmt, io,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::folder::{Access, Folder, Usage};

mod folder;
mod name;
mod open;

#[cfg(test)]
mod tests;

pub(crate) use folder::FileStat;
pub(crate) use name::FileName;
pub(crate) use open::{OpenFile, Text};

/// The files of one instance.
#[derive(Debug)]
pub(crate) struct Files {
    writes: bool,
    written: Folder,
    readable: Vec<Folder>,
    /// The content of `written`; counted at the first write.
    usage: Option<Usage>,
    allowance: FileAllowance,
    open: usize,
}

/// The reason why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileError {
    /// A script may not use this path.
    BadName,
    /// `File.open` has no such type or mode.
    BadMode,
    /// The process has no data directory (`origin.data`), so scripts write no files.
    NoData,
    /// The name has no entry, or a folder.
    NotFound,
    /// The name has an entry already.
    Exists,
    /// The file is not open for this.
    NotOpenFor(&'static str),
    /// A limit is reached; its name.
    Limit(&'static str),
    /// The turn's allowance of bytes or time is used up.
    Allowance,
    /// The system's error.
    System(io::ErrorKind),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("the name is not one of a file of the application"),
            Self::BadMode => f.write_str("no such type or mode"),
            Self::NoData => f.write_str("there is no directory for data: origin.data is not set"),
            Self::NotFound => f.write_str("there is no such file"),
            Self::Exists => f.write_str("there is such a file already"),
            Self::NotOpenFor(what) => write!(f, "the file is not open for {what}"),
            Self::Limit(name) => write!(f, "the limit {name} is reached"),
            Self::Allowance => write!(
                f,
                "the turn's allowance for files ({} MiB, {} ms) is used up",
                TURN_BYTES >> 20,
                TURN_TIME.as_millis()
            ),
            Self::System(kind) => write!(f, "{kind}"),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound,
            io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => Self::Exists,
            kind => Self::System(kind),
        }
    }
}

/// Files that a group has open at a time. Reason: all groups of the process share its descriptors.
pub(crate) const MAX_OPEN_FILES: usize = 32;

/// Bytes that an instance keeps on the disk.
pub(crate) const MAX_STORED: u64 = 256 * 1024 * 1024;

/// Files and folders that an instance keeps; also the longest listing.
pub(crate) const MAX_ENTRIES: usize = 10_000;

/// Bytes read and written in one turn.
pub(crate) const TURN_BYTES: usize = 16 * 1024 * 1024;

/// Time spent on files in one turn, in wall-clock time: the worker waits for the disk.
pub(crate) const TURN_TIME: Duration = Duration::from_millis(500);

/// A mode of `File.open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode {
    /// `read`, `readWrite`, `readAppend`.
    pub(crate) read: bool,
    /// `readWrite`, `create`.
    pub(crate) write: bool,
    /// `append`, `readAppend`.
    pub(crate) append: bool,
    /// `create`: the old content is removed.
    pub(crate) create: bool,
}

impl Mode {
    /// Reads `File.open`'s second argument: one word, or several separated by commas.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut mode = Self::default();
        for word in text.split(',').map(str::trim) {
            match word.to_ascii_lowercase().as_str() {
                "read" => mode.read = true,
                "readwrite" => (mode.read, mode.write) = (true, true),
                "readappend" => (mode.read, mode.append) = (true, true),
                "append" => mode.append = true,
                "create" => (mode.read, mode.write, mode.create) = (true, true, true),
                _ => return None,
            }
        }
        Some(mode)
    }

    fn changes(self) -> bool {
        self.write || self.append
    }
}

impl Files {
    /// Writes go to `written`, which is made at the first write; `None` refuses them. Reads look
    /// there, then in each of `readable`.
    pub(crate) fn new(
        written: Option<PathBuf>,
        readable: impl IntoIterator<Item = PathBuf>,
    ) -> Self {
        Self {
            writes: written.is_some(),
            // The empty path has no entries.
            written: Folder::new(written.unwrap_or_default()),
            readable: readable.into_iter().map(Folder::new).collect(),
            usage: None,
            allowance: FileAllowance::full(),
            open: 0,
        }
    }

    /// Gives the turn a new allowance.
    pub(crate) fn begin_turn(&mut self) {
        self.allowance = FileAllowance::full();
    }

    /// The entry of `name`.
    pub(crate) fn stat(&mut self, name: &FileName) -> Result<Option<FileStat>, FileError> {
        let started = self.allowance.check(0)?;
        let found = self.layers().find_map(|layer| layer.stat(name));
        self.allowance.spend(0, started);
        Ok(found)
    }

    /// Opens a file.
    pub(crate) fn open(&mut self, name: &FileName, mode: Mode) -> Result<OpenFile, FileError> {
        if self.open == MAX_OPEN_FILES {
            return Err(FileError::Limit("MAX_OPEN_FILES"));
        }
        let started = self.allowance.check(0)?;
        let file = if mode.changes() {
            self.open_for_change(name, mode)?
        } else {
            let open = |layer: &Folder| layer.open(name, Access::default()).ok();
            self.layers().find_map(open).ok_or(FileError::NotFound)?
        };
        self.allowance.spend(0, started);
        self.open += 1;
        OpenFile::new(file, mode)
    }

    /// Notes the end of a file of [`Files::open`].
    pub(crate) fn closed(&mut self) {
        self.open = self.open.saturating_sub(1);
    }

    /// The names in a folder, sorted.
    pub(crate) fn list(&mut self, name: &FileName) -> Result<Vec<String>, FileError> {
        let started = self.allowance.check(0)?;
        let mut names = BTreeSet::new();
        let mut found = false;
        for layer in self.layers() {
            if let Ok(listed) = layer.list(name, MAX_ENTRIES) {
                found = true;
                names.extend(listed);
            }
        }
        self.allowance.spend(names.len() * LISTED_WEIGHT, started);
        // The written folder is made at the first write and is empty until then.
        if found || name.split().is_none() {
            Ok(names.into_iter().take(MAX_ENTRIES).collect())
        } else {
            Err(FileError::NotFound)
        }
    }

    /// Makes a folder and the missing ones above it.
    pub(crate) fn make_folder(&mut self, name: &FileName) -> Result<(), FileError> {
        let started = self.allowance.check(0)?;
        self.may_write()?;
        if self.layers().any(|layer| layer.stat(name).is_some()) {
            return Err(FileError::Exists);
        }
        self.reserve_entries(name.parts().len())?;
        self.written.make(name.parts())?;
        self.allowance.spend(0, started);
        Ok(())
    }

    /// Removes a written file or folder.
    pub(crate) fn remove(&mut self, name: &FileName, recursive: bool) -> Result<(), FileError> {
        let started = self.allowance.check(0)?;
        self.may_write()?;
        let removed = self.written.remove(name, recursive);
        // The size of the removed entry is not known: the next write counts anew.
        self.usage = None;
        self.allowance.spend(0, started);
        Ok(removed?)
    }

    /// Moves a written file or folder to a free name.
    pub(crate) fn rename(&mut self, from: &FileName, to: &FileName) -> Result<(), FileError> {
        let started = self.allowance.check(0)?;
        self.may_write()?;
        if self.layers().any(|layer| layer.stat(to).is_some()) {
            return Err(FileError::Exists);
        }
        let (folders, _) = to.split().ok_or(FileError::BadName)?;
        self.reserve_entries(folders.len())?;
        self.written.make(folders)?;
        let moved = self.written.rename(from, to);
        self.allowance.spend(0, started);
        Ok(moved?)
    }

    /// Copies a file, over an existing file of the other name.
    pub(crate) fn copy(&mut self, from: &FileName, to: &FileName) -> Result<(), FileError> {
        let mut source = self.open(from, Mode::READ)?;
        let copied = self.copy_open(&mut source, to);
        self.closed();
        copied
    }

    fn copy_open(&mut self, source: &mut OpenFile, to: &FileName) -> Result<(), FileError> {
        let mut target = self.open(to, Mode::CREATE)?;
        let copied = loop {
            match source.read(self, COPY) {
                Ok(bytes) if bytes.is_empty() => break Ok(()),
                Ok(bytes) => {
                    if let Err(error) = target.write(self, &bytes) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        self.closed();
        copied
    }

    fn layers(&self) -> impl Iterator<Item = &Folder> {
        std::iter::once(&self.written).chain(&self.readable)
    }

    fn open_for_change(&mut self, name: &FileName, mode: Mode) -> Result<std::fs::File, FileError> {
        self.may_write()?;
        let access = Access {
            write: true,
            create: false,
            truncate: mode.create,
        };
        if let Some(stat) = self.written.stat(name) {
            let file = self.written.open(name, access)?;
            if mode.create {
                self.shrink(stat.length);
            }
            return Ok(file);
        }
        let deployed = self.readable.iter().any(|layer| layer.stat(name).is_some());
        if !mode.create && !mode.append && !deployed {
            return Err(FileError::NotFound);
        }
        let (folders, _) = name.split().ok_or(FileError::BadName)?;
        self.reserve_entries(folders.len() + 1)?;
        self.written.make(folders)?;
        let create = Access {
            create: true,
            ..access
        };
        if deployed && !mode.create {
            self.copy_deployed(name, create)?;
        }
        Ok(self.written.open(name, create)?)
    }

    /// Makes the written copy of a deployed file.
    fn copy_deployed(&mut self, name: &FileName, create: Access) -> Result<(), FileError> {
        let open = |layer: &Folder| layer.open(name, Access::default()).ok();
        let source = self
            .readable
            .iter()
            .find_map(open)
            .ok_or(FileError::NotFound)?;
        let target = self.written.open(name, create)?;
        let mut source = OpenFile::new(source, Mode::READ)?;
        let mut target = OpenFile::new(target, Mode::CREATE)?;
        let copied = loop {
            match source.read(self, COPY) {
                Ok(bytes) if bytes.is_empty() => return Ok(()),
                Ok(bytes) => {
                    if let Err(error) = target.write(self, &bytes) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        // Half a copy would hide the whole file.
        let _ = self.written.remove(name, false);
        self.usage = None;
        copied
    }

    fn may_write(&self) -> Result<(), FileError> {
        if self.writes {
            Ok(())
        } else {
            Err(FileError::NoData)
        }
    }

    /// Reserves `more` bytes on the disk.
    fn reserve(&mut self, more: u64) -> Result<(), FileError> {
        let usage = self.usage();
        if usage.bytes.saturating_add(more) > MAX_STORED {
            return Err(FileError::Limit("MAX_STORED"));
        }
        usage.bytes += more;
        Ok(())
    }

    fn shrink(&mut self, less: u64) {
        let usage = self.usage();
        usage.bytes = usage.bytes.saturating_sub(less);
    }

    fn reserve_entries(&mut self, more: usize) -> Result<(), FileError> {
        let usage = self.usage();
        if usage.entries + more > MAX_ENTRIES {
            return Err(FileError::Limit("MAX_ENTRIES"));
        }
        usage.entries += more;
        Ok(())
    }

    fn usage(&mut self) -> &mut Usage {
        let written = &self.written;
        self.usage.get_or_insert_with(|| written.usage(MAX_ENTRIES))
    }

    /// The folder for writes.
    #[cfg(test)]
    fn written(&self) -> &std::path::Path {
        self.written.root()
    }
}

impl Mode {
    const READ: Self = Self {
        read: true,
        write: false,
        append: false,
        create: false,
    };
    const CREATE: Self = Self {
        read: true,
        write: true,
        append: false,
        create: true,
    };
}

/// Bytes copied at a time.
const COPY: usize = 64 * 1024;

/// The bytes that a listed name takes from the turn's allowance.
const LISTED_WEIGHT: usize = 64;

/// The rest of a turn's allowance.
#[derive(Clone, Copy, Debug)]
struct FileAllowance {
    bytes: usize,
    time: Duration,
}

impl FileAllowance {
    fn full() -> Self {
        Self {
            bytes: TURN_BYTES,
            // A test must not fail because the machine is busy with others.
            time: if cfg!(test) {
                TURN_TIME * 100
            } else {
                TURN_TIME
            },
        }
    }

    /// Checks that work on `bytes` may begin; returns its start.
    fn check(&self, bytes: usize) -> Result<Instant, FileError> {
        if bytes > self.bytes || self.time.is_zero() {
            return Err(FileError::Allowance);
        }
        Ok(Instant::now())
    }

    fn spend(&mut self, bytes: usize, started: Instant) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.time = self.time.saturating_sub(started.elapsed());
    }
}
