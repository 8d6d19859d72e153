//! What the process gives to script applications.

use std::path::PathBuf;

use super::library::outbound::Outbound;

/// What the process gives to script applications.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// Where the application keeps what it writes: `DATA/apps/NAME`. Without it scripts have no
    /// files of their own.
    pub data: Option<PathBuf>,
    /// What scripts connect to web servers with; clones of one share its thread.
    pub outbound: Outbound,
    /// The instance is only tried out: it reaches no web server.
    pub is_trial: bool,
}
