//! The reading of folders into applications.

use std::{fmt, path::Path, path::PathBuf, sync::Arc};

use serde::Serialize;
use tributary_node::config;
use tributary_protocol::GroupName;

use crate::{app::Application, group::Settings};

/// Reads folders. The program's own reads script applications.
pub trait Loader: Send + Sync {
    /// Reads the application called `name` in a folder that no longer changes.
    fn load(
        &self,
        name: &str,
        folder: &Path,
        settings: &config::Application,
    ) -> Result<Loaded, Vec<Problem>>;

    /// The stack that a thread needs to run the applications it reads, in bytes.
    fn stack(&self) -> usize {
        Settings::DEFAULT_STACK
    }
}

/// Reads no folder: for a program whose applications are all its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLoader;

impl Loader for NoLoader {
    fn load(&self, _: &str, _: &Path, _: &config::Application) -> Result<Loaded, Vec<Problem>> {
        Err(vec![Problem {
            message: "this program reads no applications from folders".to_owned(),
            ..Problem::default()
        }])
    }
}

/// An application that was read and not yet started.
pub struct Loaded {
    /// The application's settings; those of its folder take precedence.
    pub settings: config::Application,
    /// Remarks on the folder, which is usable all the same.
    pub notes: Vec<String>,
    /// The fate of its clients when the process of its origin is lost, in a cluster.
    pub in_cluster: Vec<String>,
    /// Makes instances.
    pub make: Arc<Make>,
}

/// Makes an instance of a group.
pub type Make = dyn Fn(&GroupName, &Place) -> Box<dyn Application> + Send + Sync;

/// Where an instance lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder for the files that instances of the application write, with a folder for each
    /// instance.
    pub files: Option<PathBuf>,
    /// The instance is only tried out: nothing may leave it.
    pub is_trial: bool,
}

/// A problem of a folder that keeps it from being an application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Problem {
    pub message: String,
    /// The file, relative to the application's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The text of that line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, "\n    {}", source.trim())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}
