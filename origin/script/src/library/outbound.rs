//! What a process's scripts connect with.

use std::fmt;

use tributary_web::{HttpClient, OutboundThread, Roots};

use super::socket::Sockets;

/// The process's way out for scripts: one thread, one HTTP client. Clones are the same one; it
/// costs nothing until a script connects somewhere.
#[derive(Clone)]
pub struct Outbound {
    http: HttpClient,
    sockets: Sockets,
}

impl Outbound {
    /// A way out that trusts these certificates for `https`.
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
