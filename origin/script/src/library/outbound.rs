//! Connections of a process's scripts to other servers.

use std::fmt;

use tributary_web::{HttpClient, OutboundThread, Roots};

use super::socket::Sockets;

/// The outbound connections of a process's scripts: one thread, one HTTP client, which clones
/// share. It costs nothing until a script connects somewhere.
#[derive(Clone)]
pub struct Outbound {
    http: HttpClient,
    sockets: Sockets,
}

impl Outbound {
    /// As the default, with these certificates for `https`.
    pub(crate) fn new(roots: Roots) -> Self {
        let thread = OutboundThread::default();
        Self {
            http: HttpClient::new(thread.clone(), roots),
            sockets: Sockets::new(thread),
        }
    }

    pub(crate) fn http(&self) -> &HttpClient {
        &self.http
    }

    pub(crate) fn sockets(&self) -> &Sockets {
        &self.sockets
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new(Roots::System)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Outbound")
    }
}
