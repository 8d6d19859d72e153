//! A script application's files: a snapshot of its folder, compiled once to see that they are
//! right.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use tributary_node::config;

use super::{
    check,
    failure::ScriptError,
    library::{
        application_xml::ApplicationXml,
        legacy::{self, Extras},
        scriptlib,
    },
    notes, source, words,
};

/// The files of a script application as they were when it was loaded.
///
/// Groups that share a program share its text; what is deployed later makes another program.
pub struct Program {
    name: String,
    folder: PathBuf,
    main: String,
    kind: OnceLock<Kind>,
    files: BTreeMap<String, Arc<str>>,
    settings: config::Application,
    application_xml: ApplicationXml,
    extras: Extras,
    words: Option<HashSet<Box<str>>>,
    notes: Vec<String>,
}

/// How the main file is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a sloppy global script: what Server-Side ActionScript is.
    Script,
    /// As a module, since it has `import` or `export`.
    Module,
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileOwner {
    /// The application has it.
    Application,
    /// The framework that comes with Tributary has it.
    Framework,
}

/// Why a folder is not a script application.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramError {
    /// The folder has no main file.
    NoMain,
    /// A file or the folder cannot be read.
    Unreadable(PathBuf, io::Error),
    /// There is more script text than a program may have.
    TooLarge(PathBuf),
    /// Files do not compile: every error found.
    Wrong(Vec<ScriptError>),
}

/// The most script text of one application. Reason: it is kept in memory, and each group compiles
/// it.
const MAX_TEXT: usize = 8 * 1024 * 1024;

/// The most script files of one application. Reason: as for [`MAX_TEXT`].
const MAX_FILES: usize = 1_024;

/// How deep folders of script files are looked into.
const MAX_FOLDERS: usize = 8;

impl Program {
    /// Reads the application in a folder, which is named for it, and compiles every file that its
    /// main file reaches by `load()` or `import`.
    pub fn load(folder: &Path, settings: &config::Application) -> Result<Arc<Self>, ProgramError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        Self::load_as(&name, folder, settings)
    }

    /// Reads the application called `name`, wherever its folder is.
    pub fn load_as(
        name: &str,
        folder: &Path,
        settings: &config::Application,
    ) -> Result<Arc<Self>, ProgramError> {
        let mut files = BTreeMap::new();
        read_folder(folder, "", &mut files, &mut 0)?;
        Self::of_files(name, folder, files, settings)
    }

    /// A program of one file, for tests and experiments.
    pub fn of_text(
        name: &str,
        text: &str,
        settings: &config::Application,
    ) -> Result<Arc<Self>, ProgramError> {
        let files = BTreeMap::from([("main.asc".to_owned(), Arc::from(text))]);
        Self::of_files(name, Path::new(""), files, settings)
    }

    pub(super) fn of_files(
        name: &str,
        folder: &Path,
        files: BTreeMap<String, Arc<str>>,
        settings: &config::Application,
    ) -> Result<Arc<Self>, ProgramError> {
        let mut files = files;
        let application_xml = take_application_xml(&mut files)?;
        let main = main_file(name, &files).ok_or(ProgramError::NoMain)?;
        let mut notes: Vec<_> = application_xml
            .ignored
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut extras = Extras::default();
        for (file, text) in &mut files {
            extras = extras.and(Extras::of(text));
            notes.extend(
                legacy::findings(text)
                    .iter()
                    .map(|found| found.in_file(file)),
            );
            if let Cow::Owned(translated) = legacy::translate(text) {
                *text = translated.into();
            }
        }
        let words = words::of(&files);
        let mut program = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            main,
            kind: OnceLock::new(),
            files,
            settings: application_xml.over(settings),
            application_xml,
            extras,
            words,
            notes,
        };
        program.notes.extend(notes::of(&program));
        let program = Arc::new(program);
        let kind = check::check(&program).map_err(ProgramError::Wrong)?;
        program.kind.get_or_init(|| kind);
        Ok(program)
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder it was read from.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The main file, relative to the folder.
    pub fn main(&self) -> &str {
        &self.main
    }

    /// How the main file is evaluated.
    pub fn kind(&self) -> Kind {
        self.kind.get().copied().unwrap_or(Kind::Script)
    }

    /// The script files, relative to the folder.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The script files with their texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(file, text)| (&**file, &**text))
    }

    /// What is worth knowing and no error: elements of `Application.xml` that mean nothing here,
    /// uses of the old language that do not work or work otherwise, files that are to be loaded and
    /// missing, names that the main file needs too early.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What `Application.xml` says.
    pub fn application_xml(&self) -> &ApplicationXml {
        &self.application_xml
    }

    /// What the files use of the old language that is added to the engine.
    pub(super) fn extras(&self) -> Extras {
        self.extras
    }

    /// Whether the program may name this: a global of the host, a method of the language. `false`
    /// only if the word is nowhere in its text, and nothing there makes code or names of others.
    pub(super) fn may_name(&self, word: &str) -> bool {
        let words = self.words.as_ref();
        words.is_none_or(|words| words.contains(word))
    }

    /// The application's settings, with those of its `Application.xml`.
    pub fn settings(&self) -> &config::Application {
        &self.settings
    }

    /// The text of a file, by its name as errors and [`Program::find`] give it.
    pub(super) fn source(&self, file: &str) -> Option<&str> {
        let own = self.files.get(file).map(|text| &**text);
        own.or_else(|| scriptlib::find(file).map(|(_, text)| text))
    }

    /// The file that `load(name)` in the file `loader` means: beside that file, in the
    /// application's folder, in its `scripts/` or `scriptlib/`, in a folder that its
    /// `Application.xml` names, or a file of the framework.
    pub(super) fn find(&self, loader: &str, name: &str) -> Option<&str> {
        let name = name.replace('\\', "/");
        let beside = beside(loader, &name);
        if let Some((found, _)) = beside.and_then(|path| self.files.get_key_value(&path)) {
            return Some(found);
        }
        let name = normal(&name)?;
        let named = self
            .application_xml
            .script_lib_path
            .iter()
            .map(String::as_str);
        let places = ["", SCRIPTS, SCRIPTLIB].into_iter().chain(named);
        let mut paths = places.filter_map(|place| normal(&format!("{place}/{name}")));
        let own = paths.find_map(|path| self.files.get_key_value(&path));
        own.map(|(name, _)| name.as_str())
            .or_else(|| scriptlib::find(&name).map(|(name, _)| name))
    }

    /// Whose a file is that [`Program::find`] has found.
    pub(super) fn owner(&self, file: &str) -> FileOwner {
        if self.files.contains_key(file) {
            FileOwner::Application
        } else {
            FileOwner::Framework
        }
    }

    /// The file that `import` of `name` in the file `base` means.
    pub(super) fn import(&self, base: &str, name: &str) -> Option<&str> {
        let path = normal(&format!("{}/{name}", folder_of(base)))?;
        self.files
            .get_key_value(&path)
            .map(|(name, _)| name.as_str())
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("main", &self.main)
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMain => {
                f.write_str("there is no main.asc, main.js, NAME.asc or NAME.js (named like the folder), in scripts/ or here")
            }
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::TooLarge(path) => write!(
                f,
                "{}: more than {MAX_FILES} script files or {} MiB of them",
                path.display(),
                MAX_TEXT >> 20
            ),
            Self::Wrong(errors) => {
                for (index, error) in errors.iter().enumerate() {
                    if index > 0 {
                        f.write_str("\n")?;
                    }
                    write!(f, "{error}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ProgramError {}

/// The main file, in the order of Flash Media Server: `main.asc`, `main.js`, then a file named for
/// the application; each in `scripts/` before the folder itself.
fn main_file(application: &str, files: &BTreeMap<String, Arc<str>>) -> Option<String> {
    let stems = ["main", application];
    let names = stems
        .iter()
        .flat_map(|stem| ["asc", "js"].map(|extension| format!("{stem}.{extension}")));
    let mut places = names.flat_map(|name| [format!("{SCRIPTS}/{name}"), name]);
    places.find(|path| files.contains_key(path))
}

/// Where scripts may stand besides the folder itself.
const SCRIPTS: &str = "scripts";

/// Where Flash Media Server has its framework, and an application may have a copy.
const SCRIPTLIB: &str = "scriptlib";

/// Takes the `Application.xml` out of the files and reads it.
fn take_application_xml(
    files: &mut BTreeMap<String, Arc<str>>,
) -> Result<ApplicationXml, ProgramError> {
    let name = files.keys().find(|name| is_application_xml(name)).cloned();
    let Some((name, text)) = name.and_then(|name| files.remove_entry(&name)) else {
        return Ok(ApplicationXml::default());
    };
    ApplicationXml::parse(&text).map_err(|error| {
        let source_line = source::line(&text, error.line).map(str::to_owned);
        ProgramError::Wrong(vec![ScriptError {
            message: error.message,
            file: Some(name),
            line: Some(error.line),
            source_line,
        }])
    })
}

fn is_application_xml(name: &str) -> bool {
    name.eq_ignore_ascii_case(ApplicationXml::NAME)
}

/// The path that a name has beside the file `loader`; a name that begins with a slash is that of
/// the application's folder.
pub(super) fn beside(loader: &str, name: &str) -> Option<String> {
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

fn read_folder(
    folder: &Path,
    under: &str,
    files: &mut BTreeMap<String, Arc<str>>,
    size: &mut usize,
) -> Result<(), ProgramError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |error| ProgramError::Unreadable(path, error)
    };
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let path = entry.path();
        // Links are not followed: they may lead out of the folder.
        let kind = entry.file_type().map_err(unreadable(&path))?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let name = if under.is_empty() {
            name
        } else {
            format!("{under}/{name}")
        };
        if kind.is_dir() && name.split('/').count() <= MAX_FOLDERS {
            read_folder(&path, &name, files, size)?;
        } else if kind.is_file() && (is_script(&name) || is_application_xml(&name)) {
            let bytes = entry.metadata().map_err(unreadable(&path))?.len();
            *size = size.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
            if *size > MAX_TEXT || files.len() >= MAX_FILES {
                return Err(ProgramError::TooLarge(path));
            }
            let bytes = fs::read(&path).map_err(unreadable(&path))?;
            let (text, encoding) = source::decode(&bytes);
            if let Some(encoding) = encoding {
                tracing::warn!(file = %path.display(), encoding, "a script is not UTF-8");
            }
            files.insert(name, text.into());
        }
    }
    Ok(())
}

fn is_script(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["asc", "js", "mjs"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
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
