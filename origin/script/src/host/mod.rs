//! The host's side of one script: the values it remembers, and the means the process gives it.
//!
//! [`state::State`] holds all of it; the other files are its parts, and know nothing of it.

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
    /// Where the application keeps what it writes: `DATA/apps/NAME`. Without it scripts have no
    /// files of their own.
    pub data: Option<PathBuf>,
    /// The way to web servers; clones of one share its thread.
    pub outbound: Outbound,
    /// The instance is only tried out: it reaches no web server.
    pub is_trial: bool,
}
