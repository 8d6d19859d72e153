//! The script files of an application, and the names by which they load each other.

use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::library::scriptlib;

/// The script files of an application with their texts, as the engine gets them.
pub(crate) struct ScriptFiles {
    main: String,
    texts: BTreeMap<String, Arc<str>>,
    /// Folders that `load()` searches besides the application's own.
    places: Vec<String>,
}

/// The owner of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileOwner {
    Application,
    /// The framework that comes with Tributary.
    Framework,
}

/// The folder for scripts besides the application's own.
const SCRIPTS: &str = "scripts";

/// Flash Media Server's folder of the framework, of which an application may have a copy.
const SCRIPTLIB: &str = "scriptlib";

impl ScriptFiles {
    /// The files of the application called `application`; `None` without a main file. `places` are
    /// the folders in its `Application.xml`.
    pub(crate) fn new(
        application: &str,
        texts: BTreeMap<String, Arc<str>>,
        places: Vec<String>,
    ) -> Option<Self> {
        let main = main_file(application, &texts)?;
        Some(Self {
            main,
            texts,
            places,
        })
    }

    pub(crate) fn main(&self) -> &str {
        &self.main
    }

    /// The files, relative to the folder, with their texts.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(file, text)| (&**file, &**text))
    }

    /// The text of a file, by its name in errors and in results of [`ScriptFiles::find`].
    pub(crate) fn source(&self, file: &str) -> Option<&str> {
        let own = self.texts.get(file).map(|text| &**text);
        own.or_else(|| scriptlib::find(file).map(|(_, text)| text))
    }

    /// The file of a `load(name)` in the file `loader`: beside that file, in the application's
    /// folder, in its `scripts/` or `scriptlib/`, in a folder of its `Application.xml`, or in the
    /// framework.
    pub(crate) fn find(&self, loader: &str, name: &str) -> Option<&str> {
        let name = name.replace('\\', "/");
        let beside = beside(loader, &name);
        if let Some((found, _)) = beside.and_then(|path| self.texts.get_key_value(&path)) {
            return Some(found);
        }
        let name = normal(&name)?;
        let named = self.places.iter().map(String::as_str);
        let places = ["", SCRIPTS, SCRIPTLIB].into_iter().chain(named);
        let mut paths = places.filter_map(|place| normal(&format!("{place}/{name}")));
        let own = paths.find_map(|path| self.texts.get_key_value(&path));
        own.map(|(name, _)| name.as_str())
            .or_else(|| scriptlib::find(&name).map(|(name, _)| name))
    }

    /// The owner of a file that [`ScriptFiles::find`] has found.
    pub(crate) fn owner(&self, file: &str) -> FileOwner {
        if self.texts.contains_key(file) {
            FileOwner::Application
        } else {
            FileOwner::Framework
        }
    }

    /// The file of an `import` of `name` in the file `base`.
    pub(crate) fn import(&self, base: &str, name: &str) -> Option<&str> {
        let path = normal(&format!("{}/{name}", folder_of(base)))?;
        self.texts
            .get_key_value(&path)
            .map(|(name, _)| name.as_str())
    }
}

impl fmt::Debug for ScriptFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptFiles")
            .field("main", &self.main)
            .field("texts", &self.texts.len())
            .finish_non_exhaustive()
    }
}

/// The main file, in Flash Media Server's order: `main.asc`, `main.js`, then a file named for the
/// application; each in `scripts/` before the folder itself.
fn main_file(application: &str, files: &BTreeMap<String, Arc<str>>) -> Option<String> {
    let stems = ["main", application];
    let names = stems
        .iter()
        .flat_map(|stem| ["asc", "js"].map(|extension| format!("{stem}.{extension}")));
    let mut places = names.flat_map(|name| [format!("{SCRIPTS}/{name}"), name]);
    places.find(|path| files.contains_key(path))
}

/// The path of a name beside the file `loader`; a leading slash is the application's folder.
pub(crate) fn beside(loader: &str, name: &str) -> Option<String> {
    if name.starts_with('/') {
        return None;
    }
    normal(&format!("{}/{name}", folder_of(loader)))
}

fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path without `.`, `..` and empty segments; `None` if it leaves the folder.
fn normal(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop()?;
            }
            _ => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_folder() {
        for (path, expected) in [
            ("a.asc", Some("a.asc")),
            ("./lib//a.asc", Some("lib/a.asc")),
            ("/lib/../a.asc", Some("a.asc")),
            ("../a.asc", None),
            ("lib/../../a.asc", None),
        ] {
            assert_eq!(normal(path).as_deref(), expected, "{path}");
        }
    }
}
