//! The host's side of one script: the values it keeps, and the means of the process.
//!
//! [`state::State`] holds all of it; the other files are its parts and do not use it.

pub(crate) mod allowance;
pub(crate) mod calls;
pub(crate) mod clients;
pub(crate) mod gateways;
pub(crate) mod kept;
pub(crate) mod later;
pub(crate) mod library;
pub(crate) mod loads;
pub(crate) mod media;
pub(crate) mod objects;
pub(crate) mod pace;
pub(crate) mod shape;
pub(crate) mod state;
pub(crate) mod timers;

use std::path::PathBuf;

pub use allowance::THREAD_STACK;

use crate::library::outbound::Outbound;

/// The means that the process gives to script applications.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The folder for the application's files: `DATA/apps/NAME`. Without it scripts have no files
    /// of their own.
    pub data: Option<PathBuf>,
    /// The connections to web servers; clones share one thread.
    pub outbound: Outbound,
    /// The instance is a trial: it connects to no web server.
    pub is_trial: bool,
}
