//! The bounds of requests and responses.

use std::time::Duration;

/// The bounds of one caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerBounds {
    /// Requests that run at a time; the others wait.
    pub running: usize,
    /// Requests in all, waiting ones included.
    pub requests: usize,
    /// Bytes of a response's body.
    pub response_body: usize,
    /// Redirects of one request; with none, a redirect is a response as any other.
    pub redirects: usize,
    /// Whether a connection stays open for later requests. A server may close such a connection at the
    /// moment of a request, which then fails.
    pub reuse: bool,
}

impl Default for CallerBounds {
    fn default() -> Self {
        Self {
            running: MAX_CALLER_RUNNING,
            requests: MAX_CALLER_REQUESTS,
            response_body: MAX_RESPONSE_BODY,
            redirects: MAX_REDIRECTS,
            reuse: true,
        }
    }
}

/// Requests that a caller runs at a time; the others wait.
pub const MAX_CALLER_RUNNING: usize = 8;

/// Requests of a caller in all, waiting ones included. Reason: each holds its body and a callback.
pub const MAX_CALLER_REQUESTS: usize = 128;

/// Requests that the process runs at a time; the others wait.
pub const MAX_RUNNING: usize = 256;

/// Bytes of a request's body.
pub const MAX_REQUEST_BODY: usize = 2 * 1024 * 1024;

/// Bytes of a response's body. Reason: the caller keeps it in memory, and a script's memory is
/// bounded as well.
pub const MAX_RESPONSE_BODY: usize = 2 * 1024 * 1024;

/// Bytes of a response's head.
pub const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// Header lines of a request, those of its caller.
pub const MAX_REQUEST_HEADERS: usize = 64;

/// Redirects of one request.
pub const MAX_REDIRECTS: usize = 5;

/// The time from the call to the whole response, waiting included.
pub const TIME: Duration = Duration::from_secs(30);

/// The time for a TCP connection.
pub const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The time for which a connection without a request stays open.
pub(crate) const IDLE_TIME: Duration = Duration::from_secs(15);

/// Connections without a request to one host.
pub(crate) const IDLE_PER_HOST: usize = 8;
