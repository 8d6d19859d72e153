//! Tar archives. Unpacking trusts nothing of an archive.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Read},
    path::Path,
};

use tar::{Archive, EntryType};

use super::folder::{Listing, MAX_DEPTH, MAX_ENTRIES, MAX_PATH, MAX_SIZE};

/// The longest archive, in bytes: the largest application, and a header and padding for each
/// file and folder.
pub(crate) const MAX_ARCHIVE: u64 = MAX_SIZE + MAX_ENTRIES as u64 * ENTRY_COST + ENDING;

/// The bytes of a file in an archive besides its content: a header, up to one block of padding, and
/// a header with the path when it is long.
const ENTRY_COST: u64 = 4 * 512;

/// Two empty blocks, filled up to a record of 10 KiB.
const ENDING: u64 = 20 * 512;

/// Unpacks an archive into an empty folder. On an error it holds a part of it.
pub(super) fn unpack(archive: impl Read, into: &Path) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(Bounded {
        inner: archive,
        left: MAX_ARCHIVE,
    });
    let mut room = MAX_SIZE;
    let mut seen = BTreeSet::new();
    for entry in archive.entries().map_err(ArchiveError::from)? {
        let mut entry = entry?;
        let raw = entry.path_bytes().into_owned();
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let Some(path) = path(&raw)? else {
            continue;
        };
        if seen.len() >= MAX_ENTRIES {
            return Err(ArchiveError::TooMany);
        }
        let ends_as_folder = raw.ends_with(b"/");
        match kind {
            EntryType::Directory => fs::create_dir_all(into.join(&path))?,
            EntryType::Regular | EntryType::Continuous if ends_as_folder => {
                fs::create_dir_all(into.join(&path))?;
            }
            EntryType::Regular | EntryType::Continuous => {
                if entry.size() > room {
                    return Err(ArchiveError::TooLarge);
                }
                room -= entry.size();
                if !seen.insert(path.clone()) {
                    return Err(ArchiveError::Twice(path));
                }
                file(&mut entry, &into.join(&path), &path)?;
                continue;
            }
            _ => return Err(ArchiveError::NotAFile(path)),
        }
        seen.insert(path);
    }
    // Bytes behind the archive are ignored, but they have to end.
    archive.into_inner().drain()?;
    if seen.is_empty() {
        return Err(ArchiveError::Empty);
    }
    Ok(())
}

/// Packs the files of a folder.
pub fn pack(folder: &Path, listing: &Listing) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in &listing.files {
        let content = fs::read(folder.join(&file.path))?;
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, &file.path, content.as_slice())?;
    }
    builder.into_inner()
}

fn file(entry: &mut impl Read, to: &Path, path: &str) -> Result<(), ArchiveError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(|_| ArchiveError::Twice(path.to_owned()))?;
    }
    let mut file = match fs::File::create_new(to) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(ArchiveError::Twice(path.to_owned()));
        }
        opened => opened?,
    };
    io::copy(entry, &mut file)?;
    Ok(())
}

/// The path an entry may be unpacked to; `None` for the folder itself and for hidden names.
fn path(raw: &[u8]) -> Result<Option<String>, ArchiveError> {
    let shown = || String::from_utf8_lossy(&raw[..raw.len().min(MAX_PATH)]).into_owned();
    let bad = || ArchiveError::BadPath(shown());
    let path = std::str::from_utf8(raw).map_err(|_| bad())?;
    if path.len() > MAX_PATH || path.starts_with('/') {
        return Err(bad());
    }
    if path.contains(|c: char| c.is_control() || c == '\\') {
        return Err(bad());
    }
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => return Err(bad()),
            name => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return Err(bad());
    }
    let hidden = names.iter().any(|name| name.starts_with('.'));
    Ok((!names.is_empty() && !hidden).then(|| names.join("/")))
}

/// Fails where there are more bytes than there may be.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    fn drain(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(|_| ())
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.left = match self.left.checked_sub(read as u64) {
            Some(left) => left,
            None => return Err(io::Error::from(io::ErrorKind::FileTooLarge)),
        };
        Ok(read)
    }
}

/// An archive that is refused.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum ArchiveError {
    /// It is no tar archive, or ends too early, or could not be written.
    Io(io::Error),
    /// It has no files.
    Empty,
    /// A path is absolute, leads out of the folder, is too long or too deep, or has characters
    /// that no path should have.
    BadPath(String),
    /// A link or a device.
    NotAFile(String),
    /// The same path twice, or a file in the place of a folder.
    Twice(String),
    /// More files and folders than [`MAX_ENTRIES`].
    TooMany,
    /// More bytes than [`MAX_SIZE`], or an archive longer than [`MAX_ARCHIVE`].
    TooLarge,
}

impl From<io::Error> for ArchiveError {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref().and_then(|inner| {
            let inner = inner as &(dyn std::error::Error + 'static);
            std::iter::successors(Some(inner), |error| error.source())
                .find_map(|error| error.downcast_ref::<io::Error>())
                .map(io::Error::kind)
        });
        if [Some(error.kind()), cause].contains(&Some(io::ErrorKind::FileTooLarge)) {
            Self::TooLarge
        } else {
            Self::Io(error)
        }
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Empty => f.write_str("the archive holds no files"),
            Self::BadPath(path) => write!(
                f,
                "the path {path:?} is absolute, leads out of the folder, is longer than \
                 {MAX_PATH} bytes or deeper than {MAX_DEPTH} folders, or is not plain text"
            ),
            Self::NotAFile(path) => write!(f, "{path} is a link or a device"),
            Self::Twice(path) => write!(f, "{path} stands in the archive twice"),
            Self::TooMany => write!(f, "it holds more than {MAX_ENTRIES} files and folders"),
            Self::TooLarge => write!(f, "it holds more than {} MiB", MAX_SIZE >> 20),
        }
    }
}

impl std::error::Error for ArchiveError {}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    /// An entry written without the checks of the library.
    fn raw(path: &str, kind: EntryType, size: u64, link: Option<&str>) -> Header {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o777);
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_cksum();
        header
    }

    /// Path, kind, content, and where a link leads.
    type Member<'a> = (&'a str, EntryType, &'a str, Option<&'a str>);

    fn archive(entries: &[Member<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, text, link) in entries {
            let header = raw(path, *kind, text.len() as u64, *link);
            builder.append(&header, text.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(archive: &[u8]) -> Result<Vec<String>, ArchiveError> {
        let outside = tempfile::tempdir().unwrap();
        let into = outside.path().join("app");
        fs::create_dir(&into).unwrap();
        let result = unpack(archive, &into);
        let names: Vec<_> = fs::read_dir(outside.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing outside the folder");
        result?;
        let listing = Listing::of(&into).unwrap();
        Ok(listing.files.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}/deep.txt", "d".repeat(200));
        for (path, text) in [("main.asc", "x"), ("a/b.txt", ""), (&long, "long")] {
            fs::create_dir_all(folder.path().join(path).parent().unwrap()).unwrap();
            fs::write(folder.path().join(path), text).unwrap();
        }
        let listing = Listing::of(folder.path()).unwrap();
        let packed = pack(folder.path(), &listing).unwrap();
        assert_eq!(unpacked(&packed).unwrap(), ["a/b.txt", &long, "main.asc"]);
    }

    #[test]
    fn folders_dots_and_hidden_names_are_no_matter() {
        use EntryType as Kind;
        let archive = archive(&[
            ("./", Kind::Directory, "", None),
            ("pax_global_header", Kind::XGlobalHeader, "", None),
            ("./main.asc", Kind::Regular, "x", None),
            (".git/config", Kind::Regular, "x", None),
            ("._main.asc", Kind::Regular, "x", None),
            ("empty/", Kind::Directory, "", None),
            ("old/", Kind::Regular, "", None),
            ("a//b/./c.txt", Kind::Continuous, "x", None),
        ]);
        assert_eq!(unpacked(&archive).unwrap(), ["a/b/c.txt", "main.asc"]);
    }

    #[test]
    fn attacks_are_refused_and_leave_nothing_outside() {
        use EntryType as Kind;
        let deep = "d/".repeat(MAX_DEPTH) + "x";
        let cases: [(&str, &[Member<'_>]); 13] = [
            ("absolute", &[("/tmp/x", Kind::Regular, "x", None)]),
            ("up", &[("../x", Kind::Regular, "x", None)]),
            ("up inside", &[("a/../../x", Kind::Regular, "x", None)]),
            ("up at the end", &[("a/..", Kind::Directory, "", None)]),
            ("backslash", &[("..\\x", Kind::Regular, "x", None)]),
            ("control", &[("a\nb", Kind::Regular, "x", None)]),
            ("deep", &[(&deep, Kind::Regular, "x", None)]),
            ("symbolic link", &[("l", Kind::Symlink, "", Some("/etc"))]),
            ("hard link", &[("l", Kind::Link, "", Some("/etc/passwd"))]),
            ("device", &[("d", Kind::Char, "", None)]),
            ("pipe", &[("p", Kind::Fifo, "", None)]),
            (
                "through a link",
                &[
                    ("l", Kind::Symlink, "", Some("..")),
                    ("l/x", Kind::Regular, "x", None),
                ],
            ),
            (
                "twice",
                &[
                    ("a", Kind::Regular, "x", None),
                    ("./a", Kind::Regular, "y", None),
                ],
            ),
        ];
        for (name, entries) in cases {
            let error = unpacked(&archive(entries)).expect_err(name);
            println!("{name}: {error}");
        }
        let file_and_folder = archive(&[
            ("a", Kind::Regular, "x", None),
            ("a/b", Kind::Regular, "x", None),
        ]);
        let error = unpacked(&file_and_folder).unwrap_err();
        assert!(matches!(error, ArchiveError::Twice(_)), "{error}");
    }

    #[test]
    fn too_much_is_refused() {
        // A size that is only stated.
        let header = raw("big", EntryType::Regular, MAX_SIZE + 1, None);
        let error = unpacked(header.as_bytes()).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge), "{error}");
        let sparse = raw("sparse", EntryType::GNUSparse, u64::from(u32::MAX), None);
        let error = unpacked(sparse.as_bytes()).unwrap_err();
        assert!(!matches!(error, ArchiveError::Empty), "{error}");

        let mut builder = Builder::new(Vec::new());
        for number in 0..=MAX_ENTRIES {
            let header = raw(&format!("f{number}"), EntryType::Regular, 0, None);
            builder.append(&header, io::empty()).unwrap();
        }
        let error = unpacked(&builder.into_inner().unwrap()).unwrap_err();
        assert!(matches!(error, ArchiveError::TooMany), "{error}");

        // Bytes without end, in and behind an archive.
        let good = archive(&[("main.asc", EntryType::Regular, "x", None)]);
        for endless in [io::repeat(b'x'), io::repeat(0)] {
            let into = tempfile::tempdir().unwrap();
            let error = unpack(good.chain(endless), into.path()).unwrap_err();
            assert!(matches!(error, ArchiveError::TooLarge), "{error}");
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let good = archive(&[("main.asc", EntryType::Regular, "hello", None)]);
        for (name, bytes) in [
            ("nothing", &b""[..]),
            ("zeroes", &[0; 1024]),
            ("text", &[b'x'; 2048]),
            ("gzip", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
            ("cut", &good[..514]),
            ("cut in the header", &good[..100]),
        ] {
            let error = unpacked(bytes).expect_err(name);
            println!("{name}: {error}");
        }
    }
}
