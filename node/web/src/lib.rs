//! An HTTP client for scripts and hooks.
//!
//! A process has one [`HttpClient`] on one [`OutboundThread`]; each group or hook that sends
//! requests has an [`HttpCaller`] of its own. A caller runs a few requests at a time, the others
//! wait; each request has a time limit, and a body a bound. A caller reaches only permitted
//! targets, redirects included.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tributary_web::{HttpClient, OutboundThread, Request, Roots};
//!
//! let client = HttpClient::new(OutboundThread::default(), Roots::System);
//! let caller = client.caller(Arc::new(|host, port| (host, port) == ("api.example.com", 443)));
//! let request = Request {
//!     method: "GET".to_owned(),
//!     url: "https://elsewhere.example.com/".to_owned(),
//!     ..Request::default()
//! };
//! let (sender, answers) = std::sync::mpsc::sync_channel(1);
//! caller.send(request, move |answer| {
//!     let _ = sender.send(answer.result);
//! });
//! let refused = answers.recv()?.expect_err("the target is not permitted");
//! assert!(refused.to_string().starts_with("elsewhere.example.com:443"));
//! # Ok::<(), std::sync::mpsc::RecvError>(())
//! ```
//!
//! | module | content |
//! |---|---|
//! | `client` | callers and their turns |
//! | `perform` | one request from its first byte to the end of its response |
//! | `target` | addresses, and which of them may be reached |
//! | `connect` | connections, and which servers are trusted |
//! | `message` | requests, responses, errors |
//! | `limits` | the bounds |
//! | `thread` | the thread of the client |

mod client;
mod connect;
mod limits;
mod message;
mod perform;
mod target;
#[cfg(any(test, feature = "test"))]
pub mod test;
mod thread;

#[cfg(test)]
mod tests;

pub use client::{Answer, HttpCaller, HttpClient};
pub use connect::Roots;
pub use limits::{
    CONNECT_TIME, CallerBounds, MAX_CALLER_REQUESTS, MAX_CALLER_RUNNING, MAX_REDIRECTS,
    MAX_REQUEST_BODY, MAX_REQUEST_HEADERS, MAX_RESPONSE_BODY, MAX_RESPONSE_HEAD, MAX_RUNNING, TIME,
};
pub use message::{HttpError, Request, Response};
pub use target::Allowed;
pub use thread::OutboundThread;
