//! Requests to an application, and its decisions.

use std::{any::Any, fmt, time::Duration};

use tributary_protocol::{MessageStreamId, TransactionId, amf::Value};

use crate::session::SessionKey;

/// A client of a group, never used twice by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) SessionKey);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.lane.0, self.0.session)
    }
}

/// The decision about a connect.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    Accept,
    /// NetConnection.Connect.Rejected, then the connection closes.
    Reject(Rejection),
    /// NetConnection.Connect.Rejected with `ex.code` 302 and `ex.redirect`, then a close.
    Redirect {
        /// Where the client may try instead.
        uri: String,
    },
    /// The application decides later, by [`Context::accept`](super::Context::accept),
    /// [`Context::reject`](super::Context::reject) or
    /// [`Context::redirect`](super::Context::redirect). Messages of the client wait until then.
    Pending,
}

/// Why a connect is rejected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejection {
    /// The info object's description; the status code's own if there is none.
    pub description: Option<String>,
    /// `info.application` of the rejection.
    pub application: Option<Value>,
}

/// A method call of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The call's name in [`Context::respond`](super::Context::respond), if the answer comes later.
    pub responder: Responder,
    /// The method's name as it came.
    pub name: String,
    /// The arguments; [`Call::read`] gives them as Rust values.
    pub arguments: Vec<Value>,
}

/// Names one call of one client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Responder {
    pub client: ClientId,
    pub transaction: TransactionId,
    /// How often the client had come back before the call: a later connection does not wait for the answer.
    pub(crate) returns: u32,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `_result` with this value.
    Result(Value),
    /// `_error` with this value.
    Error(Value),
    /// There is no such method: `_error` with NetConnection.Call.Failed.
    Unknown,
    /// The application answers by [`Context::respond`](super::Context::respond), or never.
    Deferred,
}

/// Chosen by the application for a call to a client; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallToken(pub u64);

/// A request to publish or to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// The request's name in [`Context::decide_publish`](super::Context::decide_publish) and
    /// [`Context::decide_play`](super::Context::decide_play).
    pub id: RequestId,
    /// The stream's name, query cut off.
    pub name: String,
    /// The query that came with the name, without the `?`; it may hold a key.
    pub query: String,
    /// `live`, `record` or `append` for a publish; empty for a play.
    pub kind: String,
}

/// Names one request of one message stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub client: ClientId,
    pub stream: MessageStreamId,
    /// Counts the requests of this message stream.
    pub(crate) serial: u32,
}

/// The decision about a publish or play request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    Accept(T),
    /// NetStream.Publish.BadName or NetStream.Play.Failed, with this description.
    Refuse(String),
    /// The application decides later, by [`Context::decide_publish`](super::Context::decide_publish) or
    /// [`Context::decide_play`](super::Context::decide_play); after [`DECISION_TIME`] it is refused.
    Pending,
}

/// The properties of a publisher that the application accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishGrant {
    /// Another publisher with the same identity may take over from this one. Without an identity,
    /// the publish name with its query identifies it, if it has a query.
    pub identity: Option<Identity>,
}

/// The identity of a publisher; publishers with equal identities are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The user that the client's edge has verified, such as the subject of a token.
    Subject(String),
    /// The result of the application's hook.
    Application(String),
    /// The exact publish name with its query.
    NameWithQuery(String),
    /// The pull of the settings, or one that was asked for, with this number in its group.
    Pull(u64),
}

/// An event that comes into a group from outside.
pub struct Event(pub Box<dyn Any + Send>);

/// An application could not start; the text goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppStartError(pub String);

impl fmt::Display for AppStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AppStartError {}

/// Why an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has been without clients for its idle time.
    Idle,
    /// The process shuts down, or the instance is restarted, maybe with a newer version.
    Shutdown,
    /// The instance goes on elsewhere with its clients: at the next process of its origin, or at another.
    /// Nothing that it sends reaches a client any more.
    HandOver,
}

/// The reason for which clients of another instance go on in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restored<'a> {
    /// The process of that instance was lost.
    Crashed,
    /// That instance has stopped in order, to go on here.
    HandedOver {
        /// The bytes that it has left: see [`Application::hand_over`](super::Application::hand_over).
        state: &'a [u8],
    },
}

/// How long a pending publish or play request waits for the application.
pub const DECISION_TIME: Duration = Duration::from_secs(10);
