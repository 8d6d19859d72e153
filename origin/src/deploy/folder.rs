//! The files of an application's folder. Reading trusts nothing of a folder.

use std::{
    fmt, fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read as _, Write as _},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};

/// The content of a folder, without having read its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The files by their paths within the folder, in order.
    pub files: Vec<Entry>,
    /// Top-level folders that Flash Media Server kept data in, which were left out.
    pub data_folders: Vec<String>,
}

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Within the folder, with `/` between the names.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Changes whenever the file does: the time of its last change.
    changed: (i64, i64),
    inode: u64,
}

/// The mark of a folder's state: another mark means that the folder has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

/// The digest of a folder's content, wherever and whenever it was written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// The most files and folders of an application. Reason: an application is scripts and their data;
/// each of its versions is kept as a copy while groups run it.
pub const MAX_ENTRIES: usize = 4_096;

/// The most bytes of all files of an application.
pub const MAX_SIZE: u64 = 64 * 1024 * 1024;

/// The longest path within an application, in bytes.
pub const MAX_PATH: usize = 512;

/// How deep folders may lie in each other.
pub const MAX_DEPTH: usize = 16;

/// Where Flash Media Server kept recordings and persistent objects in an application's folder.
const DATA_FOLDERS: [&str; 2] = ["streams", "sharedobjects"];

impl Listing {
    /// Lists a folder. Names that begin with a dot are left out, and folders of recordings and
    /// persistent objects.
    pub fn of(folder: &Path) -> Result<Self, FolderError> {
        let mut listing = Self::default();
        let mut entries = 0;
        let mut waiting = vec![(folder.to_owned(), String::new(), 0)];
        while let Some((at, prefix, depth)) = waiting.pop() {
            let unreadable = |source| FolderError::Io {
                path: prefix.clone(),
                source,
            };
            for found in fs::read_dir(&at).map_err(unreadable)? {
                let found = found.map_err(unreadable)?;
                let name = found.file_name();
                if name.as_encoded_bytes().starts_with(b".") {
                    continue;
                }
                let path = member(&prefix, name.to_str())?;
                let data = found.metadata().map_err(|source| FolderError::Io {
                    path: path.clone(),
                    source,
                })?;
                if depth == 0 && data.is_dir() && DATA_FOLDERS.contains(&path.as_str()) {
                    listing.data_folders.push(path);
                    continue;
                }
                entries += 1;
                if entries > MAX_ENTRIES {
                    return Err(FolderError::TooMany);
                }
                if data.is_dir() {
                    if depth + 1 >= MAX_DEPTH {
                        return Err(FolderError::TooDeep(path));
                    }
                    waiting.push((found.path(), path, depth + 1));
                } else if data.is_file() {
                    listing.files.push(Entry::new(path, &data));
                } else {
                    return Err(FolderError::NotAFile(path));
                }
            }
        }
        listing.files.sort_by(|a, b| a.path.cmp(&b.path));
        listing.data_folders.sort();
        if listing.size() > MAX_SIZE {
            return Err(FolderError::TooLarge);
        }
        Ok(listing)
    }

    /// The bytes of all files.
    pub fn size(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut hasher = DefaultHasher::new();
        self.files.hash(&mut hasher);
        Fingerprint(hasher.finish())
    }

    /// For how long no file has changed; a change in the future counts as long ago.
    pub(super) fn unchanged_for(&self, now: SystemTime) -> Duration {
        let newest = self.files.iter().map(|file| file.changed).max();
        let (seconds, nanoseconds) = newest.unwrap_or_default();
        let since = Duration::new(
            u64::try_from(seconds).unwrap_or_default(),
            u32::try_from(nanoseconds).unwrap_or_default(),
        );
        let at = SystemTime::UNIX_EPOCH + since;
        now.duration_since(at).unwrap_or(Duration::MAX)
    }
}

impl Fingerprint {
    /// The fingerprint of a folder that cannot be listed: the same error is the same state.
    pub(super) fn of_error(error: &FolderError) -> Self {
        let mut hasher = DefaultHasher::new();
        error.to_string().hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Entry {
    fn new(path: String, data: &fs::Metadata) -> Self {
        Self {
            path,
            size: data.len(),
            changed: (data.ctime(), data.ctime_nsec()),
            inode: data.ino(),
        }
    }
}

/// Copies the files of a folder into a new one. Returns the digest of the content.
pub(super) fn copy(from: &Path, listing: &Listing, to: &Path) -> Result<Digest, FolderError> {
    fs::create_dir_all(to).map_err(|source| FolderError::Io {
        path: String::new(),
        source,
    })?;
    digest(from, listing, |file, content| {
        let target = to.join(&file.path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::File::create_new(target)?.write_all(content)
    })
}

/// The digest of a folder's content; `each` gets every file with its content.
pub(super) fn digest(
    folder: &Path,
    listing: &Listing,
    mut each: impl FnMut(&Entry, &[u8]) -> io::Result<()>,
) -> Result<Digest, FolderError> {
    let mut sum = Sha256::new();
    let mut content = Vec::new();
    for file in &listing.files {
        let failed = |source| FolderError::Io {
            path: file.path.clone(),
            source,
        };
        read(&folder.join(&file.path), file.size, &mut content).map_err(failed)?;
        for part in [file.path.as_bytes(), content.as_slice()] {
            sum.update((part.len() as u64).to_be_bytes());
            sum.update(part);
        }
        each(file, &content).map_err(failed)?;
    }
    Ok(Digest(sum.finalize().into()))
}

/// Reads a file that should be this long, and is not a link.
fn read(path: &Path, size: u64, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    let changed = || io::Error::other("changed while it was read");
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(changed());
    }
    fs::File::open(path)?.take(size + 1).read_to_end(into)?;
    if into.len() as u64 == size {
        Ok(())
    } else {
        Err(changed())
    }
}

/// The path of a member, if it is one that an application may have.
fn member(prefix: &str, name: Option<&str>) -> Result<String, FolderError> {
    let name = name.filter(|name| !name.contains(|c: char| c.is_control() || c == '\\'));
    let Some(name) = name else {
        return Err(FolderError::BadName(prefix.to_owned()));
    };
    let path = if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    };
    if path.len() > MAX_PATH {
        return Err(FolderError::LongPath(
            path[..path.floor_char_boundary(64)].to_owned(),
        ));
    }
    Ok(path)
}

/// Whether an application may have this name: it is a folder, and part of an address.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// The longest name of a deployed application, in bytes.
pub const MAX_NAME: usize = 64;

/// Removes a folder with its content, if it is there.
pub(super) fn remove(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder cannot be removed");
    }
}

/// A folder that cannot be an application.
#[derive(Debug)]
#[non_exhaustive]
pub enum FolderError {
    /// A file or folder cannot be read or written.
    Io {
        /// Within the application's folder; empty for the folder itself.
        path: String,
        source: io::Error,
    },
    /// The path is neither a file nor a folder: it is a link, a pipe or a socket.
    NotAFile(String),
    /// The folder holds a name that is not UTF-8, or has control characters or backslashes.
    BadName(String),
    /// A path begins like this and is longer than [`MAX_PATH`].
    LongPath(String),
    /// The folder lies deeper than [`MAX_DEPTH`].
    TooDeep(String),
    /// More files and folders than [`MAX_ENTRIES`].
    TooMany,
    /// More bytes than [`MAX_SIZE`].
    TooLarge,
}

impl FolderError {
    /// The path within the folder that is at fault, if it is one.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Io { path, .. }
            | Self::NotAFile(path)
            | Self::BadName(path)
            | Self::LongPath(path)
            | Self::TooDeep(path) => Some(path),
            Self::TooMany | Self::TooLarge => None,
        }
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } if path.is_empty() => write!(f, "the folder: {source}"),
            Self::Io { path, source } => write!(f, "{path}: {source}"),
            Self::NotAFile(path) => write!(
                f,
                "{path} is a link or a device; put the file itself in its place"
            ),
            Self::BadName(path) => write!(
                f,
                "a name in /{path} is not UTF-8, or has a backslash or control character"
            ),
            Self::LongPath(path) => write!(f, "{path}... is longer than {MAX_PATH} bytes"),
            Self::TooDeep(path) => write!(f, "{path} is deeper than {MAX_DEPTH} folders"),
            Self::TooMany => write!(f, "there are more than {MAX_ENTRIES} files and folders"),
            Self::TooLarge => write!(f, "it holds more than {} MiB", MAX_SIZE >> 20),
        }
    }
}

impl std::error::Error for FolderError {}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A folder that is removed when its last holder drops it.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    /// A new folder in `within`, under a free name.
    pub(super) fn new(within: &Path) -> io::Result<Self> {
        let path = within.join(format!("{:016x}", rand::random::<u64>()));
        fs::create_dir_all(within)?;
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn paths(listing: &Listing) -> Vec<&str> {
        listing
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect()
    }

    #[test]
    fn hidden_files_and_old_data_are_left_out() {
        let folder = folder(&[
            ("main.asc", "1"),
            (".git/config", "x"),
            ("scripts/.main.asc.swp", "x"),
            ("scripts/lib.asc", "22"),
            ("streams/_definst_/a.flv", "x"),
            ("scripts/streams/kept.txt", "333"),
        ]);
        let listing = Listing::of(folder.path()).unwrap();
        let expected = ["main.asc", "scripts/lib.asc", "scripts/streams/kept.txt"];
        assert_eq!(paths(&listing), expected);
        assert_eq!(listing.data_folders, ["streams"]);
        assert_eq!(listing.size(), 6);
    }

    #[test]
    fn what_an_application_cannot_be_is_refused() {
        let outside = folder(&[("secret", "x")]);
        for (name, make) in [
            (
                "link",
                Box::new(|at: &Path| symlink(outside.path().join("secret"), at.join("link")))
                    as Box<dyn Fn(&Path) -> io::Result<()>>,
            ),
            (
                "folder",
                Box::new(|at: &Path| symlink(outside.path(), at.join("folder"))),
            ),
            (
                "back\\slash",
                Box::new(|at: &Path| fs::write(at.join("back\\slash"), "x")),
            ),
            (
                "deep",
                Box::new(|at: &Path| fs::create_dir_all(at.join("d/".repeat(MAX_DEPTH)))),
            ),
            (
                "large",
                Box::new(|at: &Path| fs::File::create(at.join("large"))?.set_len(MAX_SIZE + 1)),
            ),
            (
                "many",
                Box::new(|at: &Path| {
                    (0..=MAX_ENTRIES).try_for_each(|n| fs::write(at.join(n.to_string()), ""))
                }),
            ),
        ] {
            let folder = folder(&[("main.asc", "1")]);
            make(folder.path()).unwrap();
            let error = Listing::of(folder.path()).expect_err(name);
            println!("{name}: {error}");
        }
    }

    #[test]
    fn a_copy_has_the_digest_of_its_content_alone() {
        let files = [("main.asc", "one"), ("a/b.txt", "two")];
        let (first, second) = (folder(&files), folder(&files));
        let to = tempfile::tempdir().unwrap();
        let listing = Listing::of(first.path()).unwrap();
        let copied = copy(first.path(), &listing, &to.path().join("x")).unwrap();
        let there = Listing::of(&to.path().join("x")).unwrap();
        assert_eq!(paths(&there), ["a/b.txt", "main.asc"]);
        let again = Listing::of(second.path()).unwrap();
        let plain = digest(second.path(), &again, |_, _| Ok(())).unwrap();
        assert_eq!(copied, plain);
        assert_ne!(listing.fingerprint(), again.fingerprint());
        // The same bytes in another file.
        let moved = folder(&[("main.asc", "onetwo"), ("a/b.txt", "")]);
        let other = Listing::of(moved.path()).unwrap();
        assert_ne!(copied, digest(moved.path(), &other, |_, _| Ok(())).unwrap());
    }

    #[test]
    fn names_are_plain() {
        for name in ["chat", "a", "my-app_2.0", &"x".repeat(MAX_NAME)] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "ä",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
