//! The reasons for which a deployment did not take place, or deploying could not begin.

use std::{fmt, io, path::PathBuf};

use super::{
    MAX_APPLICATIONS,
    archive::ArchiveError,
    folder::MAX_NAME,
    status::{DeployStage, Refused},
};

/// Why a deployment, a removal or a restart did not take place. Nothing has changed.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum DeployError {
    /// There is no such application.
    Unknown,
    /// It is built in and has no folder.
    BuiltIn,
    /// No application can have this name.
    BadName,
    /// The origin has no applications directory.
    NoDirectory,
    /// There are as many applications as there may be.
    TooMany,
    /// Another archive is coming in.
    Busy,
    /// The archive is none, or is not permitted.
    Archive(ArchiveError),
    /// The version did not pass.
    Refused(Refused),
    /// Its groups do not end.
    StillRunning,
    /// A file or folder of the origin could not be read or written.
    Io(io::Error),
}

impl DeployError {
    /// Advice for the operator.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Unknown => "see which there are with: tributary apps list",
            Self::BuiltIn => "deploy a folder of its name to replace it",
            Self::BadName => "use 1 to 64 letters, digits, dots, hyphens and underscores",
            Self::NoDirectory => "start the origin with --apps DIR, or set origin.apps",
            Self::TooMany => "remove some that are not needed",
            Self::Busy => "try again in a moment",
            Self::Archive(_) => "send a plain tar archive of the folder's content",
            Self::Refused(refused) => match refused.stage {
                DeployStage::Files => "put it right and deploy it again",
                DeployStage::Compile => "put the files right and deploy them again",
                DeployStage::Trial => "put it right, or deploy it with --force (?force=true)",
            },
            Self::StillRunning => "try again; the folder is gone, its stored data is not",
            Self::Io(_) => "see that the origin may write its applications and data directories",
        }
    }
}

impl fmt::Display for DeployError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no such application"),
            Self::BuiltIn => f.write_str("it is built in: there is no folder to remove"),
            Self::BadName => write!(
                f,
                "no application can be called so, or by more than {MAX_NAME} characters"
            ),
            Self::NoDirectory => f.write_str("the origin has no applications directory"),
            Self::TooMany => write!(f, "there are {MAX_APPLICATIONS} applications already"),
            Self::Busy => f.write_str("another upload is under way"),
            Self::Archive(error) => error.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::StillRunning => f.write_str("its groups do not end"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DeployError {}

/// Deploying could not begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum DeployStartError {
    /// The applications directory cannot be read.
    Apps { apps: PathBuf, source: io::Error },
    /// The copies of the versions have no folder.
    Versions(io::Error),
    /// The thread that watches the directory did not start.
    Thread(io::Error),
}

impl fmt::Display for DeployStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apps { apps, source } => write!(
                f,
                "the applications directory {}: {source}; make it, or name another with --apps",
                apps.display()
            ),
            Self::Versions(error) => {
                write!(
                    f,
                    "no place for the applications that run: {error}; see --data"
                )
            }
            Self::Thread(error) => write!(f, "cannot start the thread of deployments: {error}"),
        }
    }
}

impl std::error::Error for DeployStartError {}
