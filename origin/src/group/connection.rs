//! The acts of an application on its connections and their NetStreams.

use std::fmt;

use tributary_protocol::{TransactionId, amf::Value, command::stream::PublishKind};

use super::{
    connections::{OutConnection, acts::ConnectionActs},
    core::Core,
};
use crate::app::{CallToken, ConnectionId, NetStreamId, RemoteObjectId, TooMany};

/// A connection of the application to another instance or server, during one call of it.
pub struct Connection<'a> {
    core: &'a mut Core,
    id: ConnectionId,
}

/// A NetStream of such a connection, during one call of the application: it publishes a stream of
/// this instance there.
pub struct NetStream<'a> {
    acts: ConnectionActs<'a>,
    id: NetStreamId,
}

impl<'a> Connection<'a> {
    /// `None` if it is over.
    pub(super) fn new(core: &'a mut Core, id: ConnectionId) -> Option<Self> {
        core.connections.get(id)?;
        Some(Self { core, id })
    }

    /// Calls a method of the other side. With a token, its answer comes to
    /// [`Application::connection_answered`](crate::app::Application::connection_answered). A call
    /// before the connection is made waits for it. `false` if the connection is over or too much
    /// waits.
    pub fn call(&mut self, name: &str, arguments: &[Value], token: Option<CallToken>) -> bool {
        self.core.connections.call(self.id, name, arguments, token)
    }

    /// Answers a call that was [`Answer::Deferred`](crate::app::Answer::Deferred).
    pub fn respond(&mut self, transaction: TransactionId, answer: Result<Value, Value>) {
        self.core.connections.respond(self.id, transaction, answer);
    }

    /// Makes a NetStream.
    pub fn open_stream(&mut self) -> Result<NetStreamId, TooMany> {
        self.core.connections.open_stream(self.id)
    }

    /// Uses a shared object of the other side; the same one for the same name. Its news comes to
    /// [`Application::remote_object_news`](crate::app::Application::remote_object_news).
    pub fn open_object(&mut self, name: &str, persistent: bool) -> Result<RemoteObjectId, TooMany> {
        let mut acts = self.core.remote_object_acts();
        acts.open(self.id, name, persistent)
    }

    /// Ends the connection and its NetStreams; the application gets NetConnection.Connect.Closed.
    pub fn close(&mut self) {
        self.core.close_connection(self.id);
    }

    /// Whether the other side has accepted it.
    pub fn is_connected(&self) -> bool {
        self.open().is_some_and(|open| open.is_connected)
    }

    /// The URI that it was opened with.
    pub fn uri(&self) -> &str {
        self.open().map_or("", |open| &open.uri)
    }

    fn open(&self) -> Option<&OutConnection> {
        self.core.connections.get(self.id)
    }
}

impl<'a> NetStream<'a> {
    /// `None` if it is over.
    pub(super) fn new(acts: ConnectionActs<'a>, id: NetStreamId) -> Option<Self> {
        let is_open = acts.connections.has_stream(id);
        is_open.then_some(Self { acts, id })
    }

    /// Sets the stream of this instance that it publishes, now or as soon as the stream has a
    /// publisher; none without a name. `false` if too many streams are waited for.
    pub fn attach(&mut self, name: Option<&str>) -> bool {
        self.acts.attach(self.id, name)
    }

    /// Publishes the attached stream under this name, which may have a query. `false` if too much
    /// waits; statuses come to
    /// [`Application::net_stream_status`](crate::app::Application::net_stream_status).
    pub fn publish(&mut self, name: &str, kind: PublishKind) -> bool {
        self.acts.publish(self.id, name, kind)
    }

    /// Stops publishing.
    pub fn unpublish(&mut self) {
        self.acts.connections.unpublish(self.id);
    }

    /// Sends a data message in its publication. `false` if too much waits.
    pub fn send(&mut self, handler: &str, values: &[Value]) -> bool {
        self.acts.connections.send(self.id, handler, values)
    }

    /// Closes it.
    pub fn close(mut self) {
        self.acts.close_stream(self.id);
    }

    /// The name of the attached stream.
    pub fn attached(&self) -> Option<&str> {
        self.acts.connections.attached(self.id).map(|name| &**name)
    }
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for NetStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
