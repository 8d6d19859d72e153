//! Names of files as scripts write them.

use super::FileError;

/// The place of a file below the application's folder: its folders, then its name. The folder
/// itself has the empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileName(Vec<String>);

/// Folders above a file. Reason: each costs a system call at every use.
pub(crate) const MAX_FOLDERS: usize = 16;

/// Bytes of one part of a name. Reason: file systems take no more.
pub(crate) const MAX_PART: usize = 255;

impl FileName {
    /// Reads a path. A leading `/` is the application's folder; `.`, `..` and a backslash are
    /// refused anywhere, as in Flash Media Server.
    pub(crate) fn parse(path: &str) -> Result<Self, FileError> {
        if path.contains(|char: char| char == '\\' || char.is_control()) {
            return Err(FileError::BadName);
        }
        let parts: Vec<_> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect();
        let bad = |part: &String| matches!(part.as_str(), "." | "..") || part.len() > MAX_PART;
        if parts.iter().any(bad) || parts.len() > MAX_FOLDERS + 1 {
            return Err(FileError::BadName);
        }
        Ok(Self(parts))
    }

    /// The folders, and the last name; `None` for the application's folder.
    pub(super) fn split(&self) -> Option<(&[String], &str)> {
        let (last, folders) = self.0.split_last()?;
        Some((folders, last))
    }

    /// Every part.
    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }

    /// The path, from the application's folder.
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.0.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_or_refused() {
        let table: &[(&str, Option<&str>)] = &[
            ("a.txt", Some("/a.txt")),
            ("/logs//a.txt", Some("/logs/a.txt")),
            ("logs/", Some("/logs")),
            ("/", Some("/")),
            ("", Some("/")),
            ("/etc/passwd", Some("/etc/passwd")),
            ("...", Some("/...")),
            ("日本.txt", Some("/日本.txt")),
            ("..", None),
            ("../a", None),
            ("a/../b", None),
            ("a/./b", None),
            ("a\\b", None),
            ("C:\\a", None),
            ("a\0b", None),
            ("a\nb", None),
        ];
        for (path, expected) in table {
            let name = FileName::parse(path).map(|name| name.path());
            assert_eq!(name.ok().as_deref(), *expected, "{path:?}");
        }
        assert!(FileName::parse(&"a/".repeat(MAX_FOLDERS + 1)).is_ok());
        assert!(FileName::parse(&"a/".repeat(MAX_FOLDERS + 2)).is_err());
        assert!(FileName::parse(&"a".repeat(MAX_PART + 1)).is_err());
    }
}
