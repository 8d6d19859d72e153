//! The access of clients: folders of names that a client may read and write.

mod client;

/// A list of folders, of streams and shared objects alike: `/`, which is everything, or paths
/// with `;` between them. A name is in a folder, or in one below it; a single name cannot be
/// listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access(
    /// None for everything, which nearly all clients have.
    Option<Box<str>>,
);

impl Access {
    pub(super) fn new(list: &str) -> Self {
        Self((list != EVERYTHING).then(|| list.into()))
    }

    pub(super) fn list(&self) -> &str {
        self.0.as_deref().unwrap_or(EVERYTHING)
    }

    /// Whether this name is in one of the folders.
    pub(super) fn allows(&self, name: &str) -> bool {
        let Some(list) = &self.0 else { return true };
        let name = name.trim_start_matches('/');
        list.split(';').any(|folder| is_in(name, folder.trim()))
    }
}

fn is_in(name: &str, folder: &str) -> bool {
    if folder.is_empty() {
        return false;
    }
    let folder = folder.trim_matches('/');
    folder.is_empty()
        || name
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

const EVERYTHING: &str = "/";

/// The streams whose sound and pictures a player may read; Flash Player withholds those of all
/// others. Hardly any client has one.
#[derive(Debug)]
pub(super) struct SampleAccess {
    audio: Access,
    video: Access,
}

impl Default for SampleAccess {
    fn default() -> Self {
        Self {
            audio: Access::new(""),
            video: Access::new(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_folders_of_the_list() {
        for (list, name, allowed) in [
            ("/", "cam", true),
            ("/", "a/b", true),
            ("", "cam", false),
            (";", "cam", false),
            ("/a", "a/cam", true),
            ("a", "a/cam", true),
            ("a/", "a/b/cam", true),
            ("/a", "/a/cam", true),
            ("/a", "cam", false),
            ("/a", "a", false),
            ("/a", "ab/cam", false),
            ("/a/b", "a/cam", false),
            ("/a/b", "a/b/cam", true),
            ("/a; /b", "b/cam", true),
            ("/a;/b", "c/cam", false),
            ("/c;/", "cam", true),
            ("/A", "a/cam", false),
        ] {
            assert_eq!(Access::new(list).allows(name), allowed, "{list} {name}");
            assert_eq!(Access::new(list).list(), list);
        }
    }
}
