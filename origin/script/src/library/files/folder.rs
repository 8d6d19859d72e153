//! One folder of the disk, and the entries below it. No link on the way is followed: each part of a
//! name is opened by itself, below the part before it.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use super::{FileName, name::MAX_FOLDERS};

/// A folder of the disk; it need not exist yet.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
}

/// The entry of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStat {
    pub(crate) is_folder: bool,
    pub(crate) length: u64,
    /// The time of the last write.
    pub(crate) modified: SystemTime,
    /// The time of the last change of its name, its place or its content: the nearest to a time of
    /// creation that every file system has.
    pub(crate) changed: SystemTime,
}

/// The way in which a file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) write: bool,
    pub(super) create: bool,
    pub(super) truncate: bool,
}

/// The content of a folder in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) bytes: u64,
    pub(super) entries: usize,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The server's group may read; others have no access.
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder's path.
    #[cfg(test)]
    pub(super) fn root(&self) -> &std::path::Path {
        &self.root
    }

    /// The entry of `name`; `None` if there is none, or it is neither file nor folder.
    pub(super) fn stat(&self, name: &FileName) -> Option<FileStat> {
        let stat = match name.split() {
            None => rustix::fs::stat(&self.root).ok()?,
            Some((folders, last)) => {
                let folder = self.open_folder(folders).ok()?;
                rustix::fs::statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW).ok()?
            }
        };
        describe(&stat)
    }

    /// Opens a file. With [`Access::create`] its folder must exist.
    pub(super) fn open(&self, name: &FileName, access: Access) -> io::Result<fs::File> {
        let (folders, last) = name.split().ok_or(io::ErrorKind::IsADirectory)?;
        let folder = self.open_folder(folders)?;
        let mut flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        flags |= if access.write {
            OFlags::RDWR
        } else {
            OFlags::RDONLY
        };
        flags.set(OFlags::CREATE, access.create);
        let file = rustix::fs::openat(&folder, last, flags, FILE_MODE)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let file = fs::File::from(file);
        if access.truncate {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// The names in a folder, in no order, at most `most`.
    pub(super) fn list(&self, name: &FileName, most: usize) -> io::Result<Vec<String>> {
        let folder = self.open_folder(name.parts())?;
        Ok(entries(&folder, most)?
            .into_iter()
            .map(|(name, _)| name)
            .collect())
    }

    /// Makes a folder and the missing ones above it.
    pub(super) fn make(&self, parts: &[String]) -> io::Result<()> {
        fs::create_dir_all(&self.root)?;
        let mut folder = self.open_folder(&[])?;
        for part in parts {
            match rustix::fs::mkdirat(&folder, part.as_str(), FOLDER_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = rustix::fs::openat(&folder, part.as_str(), FOLDER, Mode::empty())?;
        }
        Ok(())
    }

    /// Removes a file or an empty folder; with `recursive` also a full one.
    pub(super) fn remove(&self, name: &FileName, recursive: bool) -> io::Result<()> {
        let (folders, last) = name.split().ok_or(io::ErrorKind::PermissionDenied)?;
        let folder = self.open_folder(folders)?;
        let stat = rustix::fs::statat(&folder, last, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        remove_entry(&folder, last, is_folder, recursive, MAX_FOLDERS + 1)
    }

    /// Moves a file or folder; the folder of `to` must exist.
    pub(super) fn rename(&self, from: &FileName, to: &FileName) -> io::Result<()> {
        let refused = io::ErrorKind::PermissionDenied;
        let (from_folders, from_last) = from.split().ok_or(refused)?;
        let (to_folders, to_last) = to.split().ok_or(refused)?;
        let from_folder = self.open_folder(from_folders)?;
        let to_folder = self.open_folder(to_folders)?;
        rustix::fs::renameat(&from_folder, from_last, &to_folder, to_last)?;
        Ok(())
    }

    /// The content below the folder in all, up to `most` entries.
    pub(super) fn usage(&self, most: usize) -> Usage {
        let mut usage = Usage::default();
        if let Ok(folder) = self.open_folder(&[]) {
            add_usage(&folder, most, MAX_FOLDERS + 1, &mut usage);
        }
        usage
    }

    fn open_folder(&self, parts: &[String]) -> io::Result<OwnedFd> {
        // The root itself may be a link: it is the server's, not the script's.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat(CWD, &self.root, flags, Mode::empty())?;
        for part in parts {
            folder = rustix::fs::openat(&folder, part.as_str(), FOLDER, Mode::empty())?;
        }
        Ok(folder)
    }
}

fn describe(stat: &Stat) -> Option<FileStat> {
    let is_folder = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => false,
        FileType::Directory => true,
        _ => return None,
    };
    Some(FileStat {
        is_folder,
        length: u64::try_from(stat.st_size).unwrap_or_default(),
        modified: time(stat.st_mtime),
        changed: time(stat.st_ctime),
    })
}

#[allow(clippy::useless_conversion)] // the field's type differs between systems
fn time(seconds: impl Into<i64>) -> SystemTime {
    let seconds = u64::try_from(seconds.into()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The files and folders in a folder (links and others are left out), and whether each is a folder.
fn entries(folder: &OwnedFd, most: usize) -> io::Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        if matches!(name, "." | "..") {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::RegularFile => false,
            FileType::Directory => true,
            FileType::Unknown => match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
                .ok()
                .and_then(|stat| describe(&stat))
            {
                Some(stat) => stat.is_folder,
                None => continue,
            },
            _ => continue,
        };
        found.push((name.to_owned(), is_folder));
        if found.len() == most {
            break;
        }
    }
    Ok(found)
}

fn remove_entry(
    folder: &OwnedFd,
    name: &str,
    is_folder: bool,
    recursive: bool,
    depth: usize,
) -> io::Result<()> {
    if !is_folder {
        return Ok(rustix::fs::unlinkat(folder, name, AtFlags::empty())?);
    }
    if recursive && depth > 0 {
        let inner = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
        for (name, is_folder) in entries(&inner, usize::MAX)? {
            remove_entry(&inner, &name, is_folder, true, depth - 1)?;
        }
    }
    Ok(rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}

fn add_usage(folder: &OwnedFd, most: usize, depth: usize, usage: &mut Usage) {
    let left = most.saturating_sub(usage.entries);
    if left == 0 || depth == 0 {
        return;
    }
    for (name, is_folder) in entries(folder, left).unwrap_or_default() {
        usage.entries += 1;
        if is_folder {
            if let Ok(inner) = rustix::fs::openat(folder, name.as_str(), FOLDER, Mode::empty()) {
                add_usage(&inner, most, depth - 1, usage);
            }
        } else if let Ok(stat) =
            rustix::fs::statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)
        {
            usage.bytes += u64::try_from(stat.st_size).unwrap_or_default();
        }
    }
}
