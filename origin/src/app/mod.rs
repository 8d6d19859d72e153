//! Applications: what decides for a group, and how the group asks it.
//!
//! An [`Application`] is one application instance's behaviour. Its group owns it, calls it on one
//! thread, one call at a time, and does everything else: the sessions, the streams, the order of
//! messages, the limits. Whatever an application wants to happen it says through [`Context`];
//! whatever it hears later from elsewhere (a database, another thread) it brings into the group
//! through a [`Poster`].
//!
//! ```text
//! start ─► connect ─► Accept ──► call, publish, play ... ─► disconnect ─► stop
//!             │  └──► Reject, Redirect
//!             └─────► Pending ─► Context::accept, Context::reject
//! ```

use std::{any::Any, fmt, time::Duration};

use tributary_protocol::{
    MessageStreamId, TransactionId,
    amf::Value,
    command::{Connect, Status},
    link::CloseReason,
};

pub mod counter;
pub mod embed;
pub mod live;

mod arguments;
mod connections;
mod log;
mod registry;
mod shared_object;
mod streams;

pub use crate::group::{
    Client, Connection, Context, NetStream, Poster, Rates, RemoteObject, SharedObject,
    SharedObjectMut, Stream,
};
pub use arguments::{FromArguments, FromValue, WrongArgument, read_arguments};
pub use connections::{
    ConnectTo, ConnectionCall, ConnectionId, NetStreamId, RemoteObjectId, TooMany,
};
pub use log::{
    Level, Line, Log, MAX_BYTES as MAX_LOG_BYTES, MAX_LINE as MAX_LOG_LINE,
    MAX_LINES as MAX_LOG_LINES,
};
#[cfg(test)]
pub(crate) use registry::WAITING_NAMES;
pub use registry::{Applications, Factory, Summary};
pub(crate) use registry::{InUse, Instance, Registered};
pub use shared_object::{ChangeKind, Encoded, ObjectChange, ObjectError, ObjectId, Refused};
pub use streams::{
    ClientStream, PlayRequest, Publisher, StreamError, StreamId, StreamStatistics, StreamStatus,
};

pub use tributary_protocol::shared_object::replica::{Kind as NewsKind, News};

use crate::session::SessionKey;

/// One application instance.
///
/// Calls are never nested: what a call causes (a disconnect, a message that was held) is
/// delivered after it has returned. A panic ends the group's sessions and starts the application
/// anew, at most twice in 300 s.
pub trait Application {
    /// The instance begins. An error refuses its clients with NetConnection.Connect.AppShutdown.
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), StartError> {
        let _ = context;
        Ok(())
    }

    /// A client asks to connect.
    fn connect(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
    ) -> Admission {
        let _ = (context, client, connect);
        Admission::Accept
    }

    /// An accepted client is gone: exactly once for each.
    fn disconnect(&mut self, context: &mut Context<'_>, client: ClientId, reason: CloseReason) {
        let _ = (context, client, reason);
    }

    /// A client calls a method that is no NetConnection or NetStream command.
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let _ = (context, call);
        Answer::Unknown
    }

    /// A client answered a [`Context::call`] that carried a token; `Err` if it answered with an
    /// error or left without an answer.
    fn answered(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let _ = (context, client, token, answer);
    }

    /// A client asks to publish a live stream. Stream policy (is the name taken, by whom) comes
    /// after this.
    fn publish(
        &mut self,
        context: &mut Context<'_>,
        request: &StreamRequest,
    ) -> Decision<PublishGrant> {
        let _ = (context, request);
        Decision::Accept(PublishGrant::default())
    }

    /// Whether a play from a place (a start of 0 or more) plays the live stream of the name, if it is
    /// published and there is no recording of it. Players that know nothing of live streams ask so.
    fn plays_live_from_any_start(&self) -> bool {
        false
    }

    /// A client asks to play a stream.
    fn play(&mut self, context: &mut Context<'_>, request: &StreamRequest) -> Decision<()> {
        let _ = (context, request);
        Decision::Accept(())
    }

    /// A client publishes a stream now: a name that was free, one that it takes over from another
    /// client, or one whose publisher was lost. Its media and the news of it reach nobody before
    /// this has returned, and nobody at all if this disconnects the client or takes the name from
    /// it. A client that goes on publishing a name on another message stream is not announced.
    fn published(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let _ = (context, client, name);
    }

    /// A client publishes a stream no more: exactly once for each [`Application::published`], and
    /// before that of the next publisher. It comes at once when the client is lost, before
    /// [`Application::disconnect`]; viewers wait for the name's next publisher until `return_time`
    /// is over. [`Context::client`] knows a client that is gone no more.
    fn unpublished(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let _ = (context, client, name);
    }

    /// Something happened to a stream of the application: see [`Context::open_stream`].
    fn stream_status(
        &mut self,
        context: &mut Context<'_>,
        stream: StreamId,
        status: &StreamStatus,
    ) {
        let _ = (context, stream, status);
    }

    /// Something happened to a connection of the application: the info object of
    /// `NetConnection.onStatus`. After NetConnection.Connect.Closed, Failed, Rejected, InvalidApp
    /// and AppShutdown it is over. See [`Context::open_connection`].
    fn connection_status(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        info: &Value,
    ) {
        let _ = (context, connection, info);
    }

    /// The other side of a connection of the application calls a method.
    fn connection_call(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        call: &ConnectionCall,
    ) -> Answer {
        let _ = (context, connection, call);
        Answer::Unknown
    }

    /// The other side of a connection of the application has answered a [`Connection::call`] that
    /// carried a token; `Err` if it answered with an error, or the connection ended without an
    /// answer. Exactly once for each.
    fn connection_answered(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let _ = (context, connection, token, answer);
    }

    /// Something happened to a shared object of the other side of a connection: see
    /// [`Connection::open_object`].
    fn remote_object_news(
        &mut self,
        context: &mut Context<'_>,
        object: RemoteObjectId,
        news: &[News],
    ) {
        let _ = (context, object, news);
    }

    /// Something happened to a NetStream of the application: the info object of
    /// `NetStream.onStatus`.
    fn net_stream_status(&mut self, context: &mut Context<'_>, stream: NetStreamId, info: &Value) {
        let _ = (context, stream, info);
    }

    /// A client has changed slots of a shared object that the application has opened: those of one
    /// message, each with what the slot held before.
    fn shared_object_changed(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        client: ClientId,
        changes: &[ObjectChange],
    ) {
        let _ = (context, object, client, changes);
    }

    /// A client has sent a message to all members of a shared object that the application has
    /// opened.
    fn shared_object_message(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        client: ClientId,
        handler: &str,
        arguments: &[Value],
    ) {
        let _ = (context, object, client, handler, arguments);
    }

    /// Something of a shared object has failed: SharedObject.Flush.Failed.
    fn shared_object_status(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        status: Status,
    ) {
        let _ = (context, object, status);
    }

    /// Three quarters of the shared objects that an instance may have live: one that holds on to
    /// objects lets go of what it does not need. It may come again with each object that is made.
    fn shared_objects_crowd(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// Something a [`Poster`] brought in.
    fn event(&mut self, context: &mut Context<'_>, event: Event) {
        let _ = (context, event);
    }

    /// The deadline set by [`Context::set_deadline`] has come.
    fn deadline(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// The instance ends. `false` keeps an idle one for another idle time; it means nothing
    /// otherwise.
    fn stop(&mut self, context: &mut Context<'_>, reason: StopReason) -> bool {
        let _ = (context, reason);
        true
    }
}

/// A client of a group, never used twice by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) SessionKey);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.lane.0, self.0.session)
    }
}

/// What a connect gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Admission {
    /// The client is in.
    Accept,
    /// NetConnection.Connect.Rejected, then the connection closes.
    Reject(Rejection),
    /// NetConnection.Connect.Rejected with `ex.code` 302 and `ex.redirect`, then a close.
    Redirect {
        /// Where the client may try instead.
        uri: String,
    },
    /// The application decides later, by [`Context::accept`], [`Context::reject`] or
    /// [`Context::redirect`]. What the client sends meanwhile waits.
    Pending,
}

/// Why a connect is rejected.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejection {
    /// The info object's description; the status code's own if there is none.
    pub description: Option<String>,
    /// What arrives as `info.application`.
    pub application: Option<Value>,
}

/// A method call of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Who called, and the way to answer later.
    pub responder: Responder,
    /// The method's name as it came.
    pub name: String,
    /// The arguments; [`Call::read`] gives them as Rust values.
    pub arguments: Vec<Value>,
}

/// Names one call of one client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Responder {
    /// The caller.
    pub client: ClientId,
    /// The call's transaction id.
    pub transaction: TransactionId,
}

/// What a call gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// `_result` with this value.
    Result(Value),
    /// `_error` with this value.
    Error(Value),
    /// There is no such method: `_error` with NetConnection.Call.Failed.
    Unknown,
    /// The application answers by [`Context::respond`], or never.
    Deferred,
}

/// Chosen by the application for a call to a client; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallToken(pub u64);

/// A request to publish or to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Who asks, and the way to decide later.
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
    /// Who asks.
    pub client: ClientId,
    /// The client's message stream.
    pub stream: MessageStreamId,
    /// Which request of this message stream.
    pub(crate) serial: u32,
}

/// What a publish or play request gets from the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<T> {
    /// It may.
    Accept(T),
    /// NetStream.Publish.BadName or NetStream.Play.Failed, with this description.
    Refuse(String),
    /// The application decides later, by [`Context::decide_publish`] or
    /// [`Context::decide_play`]; after [`DECISION_TIME`] it is refused.
    Pending,
}

/// What an application says of a publisher it lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishGrant {
    /// Who the publisher is: whoever comes with the same identity may take over from it. Without
    /// one, the publish name with its query identifies it, if it has a query.
    pub identity: Option<Identity>,
}

/// Who publishes: two publishers with equal identities are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The subject of a verified token.
    Subject(String),
    /// What the application's hook returned.
    Application(String),
    /// The exact publish name with its query.
    NameWithQuery(String),
}

/// Something brought into a group from outside.
pub struct Event(pub Box<dyn Any + Send>);

/// An application could not start; the text goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Why an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It has been without clients for its idle time.
    Idle,
    /// The process shuts down, or the instance is restarted, maybe with a newer version.
    Shutdown,
}

/// How long a pending publish or play request waits for the application.
pub const DECISION_TIME: Duration = Duration::from_secs(10);
