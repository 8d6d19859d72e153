//! A script application's files: a snapshot of its folder, compiled once to find errors.

pub(crate) mod check;
pub(crate) mod failure;
pub(crate) mod globals;
pub(crate) mod modules;
mod notes;
pub(crate) mod script_files;
pub(crate) mod source;
mod words;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tributary_node::config;

use crate::library::{
    application_xml::ApplicationXml,
    legacy::{self, Extras},
};

pub use check::Kind;
pub use failure::ScriptError;

use script_files::ScriptFiles;

/// The files of a script application at the time of loading.
///
/// Groups of a program share its text; a later deployment makes another program.
pub struct Program {
    name: String,
    folder: PathBuf,
    kind: Kind,
    scripts: Arc<ScriptFiles>,
    settings: config::Application,
    application_xml: ApplicationXml,
    extras: Extras,
    words: Option<HashSet<Box<str>>>,
    notes: Vec<String>,
}

/// The reason why a folder is not a script application.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramError {
    /// The folder has no main file.
    NoMain,
    /// A file or the folder cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The script text is longer than the bound of a program.
    TooLarge(PathBuf),
    /// Files do not compile; all their errors.
    Wrong(Vec<ScriptError>),
}

/// The most script text of one application. Reason: it is kept in memory, and each group compiles
/// it.
const MAX_TEXT: usize = 8 * 1024 * 1024;

/// The most script files of one application. Reason: as for [`MAX_TEXT`].
const MAX_FILES: usize = 1_024;

/// The deepest folder that is searched for script files.
const MAX_FOLDERS: usize = 8;

impl Program {
    /// Reads the application in the folder of its name, and compiles every file that its main file
    /// reaches by `load()` or `import`.
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

    pub(crate) fn of_files(
        name: &str,
        folder: &Path,
        files: BTreeMap<String, Arc<str>>,
        settings: &config::Application,
    ) -> Result<Arc<Self>, ProgramError> {
        let mut files = files;
        let application_xml = take_application_xml(&mut files)?;
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
        let places = application_xml.script_lib_path.clone();
        let scripts = ScriptFiles::new(name, files, places).ok_or(ProgramError::NoMain)?;
        notes.extend(notes::of(&scripts));
        let scripts = Arc::new(scripts);
        let kind = check::check(&scripts).map_err(ProgramError::Wrong)?;
        Ok(Arc::new(Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            kind,
            scripts,
            settings: application_xml.over(settings),
            application_xml,
            extras,
            words,
            notes,
        }))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The main file, relative to the folder.
    pub fn main(&self) -> &str {
        self.scripts.main()
    }

    /// The way in which the main file is evaluated.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The script files, relative to the folder.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.scripts.texts().map(|(file, _)| file)
    }

    /// The script files with their texts.
    pub(crate) fn scripts(&self) -> &Arc<ScriptFiles> {
        &self.scripts
    }

    /// Notes that are no errors: elements of `Application.xml` without an effect, uses of the old
    /// language that do not work or work otherwise, missing files of `load()`, names that the main
    /// file needs too early.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The fate of the application's clients when the process of its origin is lost, in a cluster.
    pub fn in_cluster(&self) -> Vec<String> {
        notes::in_cluster(&self.name, &self.scripts, self.settings.restore)
    }

    /// The settings of `Application.xml`.
    pub fn application_xml(&self) -> &ApplicationXml {
        &self.application_xml
    }

    /// The members of the old language that the files use.
    pub(crate) fn extras(&self) -> Extras {
        self.extras
    }

    /// Whether the program may use this name of a global or of a method. `false` only if the word
    /// is nowhere in its text, and the text makes neither code nor names at run time.
    pub(crate) fn may_name(&self, word: &str) -> bool {
        let words = self.words.as_ref();
        words.is_none_or(|words| words.contains(word))
    }

    /// The application's settings, with those of its `Application.xml`.
    pub fn settings(&self) -> &config::Application {
        &self.settings
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("scripts", &self.scripts)
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
        // Links may lead out of the folder, so they are not followed.
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
