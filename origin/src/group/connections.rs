//! The connections that an application opens, and their NetStreams.
//!
//! Tasks on the media thread ([`outgoing`](crate::outgoing)) do the work; the group sends orders
//! and gets reports.
//!
//! State is each connection's URI, its calls without an answer, and the roles of its NetStreams.
//! `outgoing` is a handle: a restored group dials anew, or notifies its application that the
//! connection is closed.

use std::{collections::HashMap, sync::Arc};

use tributary_protocol::{TransactionId, amf::Value};

use crate::{
    app::{CallToken, ConnectionId, NetStreamId, StreamId, TooMany},
    live::LiveStream,
    outgoing::{Outgoing, OutgoingOrder},
};

pub(super) mod acts;
mod turn;

/// The connections of an application and their NetStreams.
#[derive(Default)]
pub(super) struct Connections {
    table: HashMap<ConnectionId, OutConnection>,
    streams: HashMap<NetStreamId, OutStream>,
    last: u64,
}

/// A connection of the application.
pub(super) struct OutConnection {
    pub(super) uri: String,
    pub(super) is_connected: bool,
    /// `None` once the application has closed it.
    outgoing: Option<Outgoing>,
    /// Calls without an answer.
    calls: Vec<CallToken>,
}

/// A NetStream of a connection.
struct OutStream {
    connection: ConnectionId,
    role: OutRole,
}

/// The use of a NetStream.
enum OutRole {
    /// The application publishes on it.
    Publisher {
        /// The name of the attached stream of this group.
        attached: Option<Arc<str>>,
    },
    /// A stream of the application plays from it.
    Source(StreamId),
}

/// Connections that one application instance may have open. Reason: each is a socket or a session
/// of another instance.
pub(super) const MAX_CONNECTIONS: usize = 64;

/// NetStreams of all of them together. Reason: each that plays or publishes has a ring.
pub(super) const MAX_NET_STREAMS: usize = 256;

impl Connections {
    pub(super) fn get(&self, id: ConnectionId) -> Option<&OutConnection> {
        self.table.get(&id)
    }

    /// No connections, but their numbers go on: a report of an older one may be on its way.
    pub(super) fn reset(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Gives an order to a connection; `false` if it is over or too much waits.
    pub(super) fn order(&self, id: ConnectionId, order: OutgoingOrder) -> bool {
        let outgoing = self.table.get(&id).and_then(|open| open.outgoing.as_ref());
        outgoing.is_some_and(|outgoing| outgoing.order(order))
    }

    /// Calls a method of the other side; `false` if the connection is over or too much waits.
    pub(super) fn call(
        &mut self,
        id: ConnectionId,
        name: &str,
        arguments: &[Value],
        token: Option<CallToken>,
    ) -> bool {
        let order = OutgoingOrder::Call {
            name: name.to_owned(),
            arguments: arguments.to_vec(),
            token,
        };
        if !self.order(id, order) {
            return false;
        }
        if let (Some(token), Some(connection)) = (token, self.table.get_mut(&id)) {
            connection.calls.push(token);
        }
        true
    }

    /// Answers a call that came on a connection, if its caller waits.
    pub(super) fn respond(
        &self,
        id: ConnectionId,
        transaction: TransactionId,
        answer: Result<Value, Value>,
    ) {
        if transaction.expects_answer() {
            let order = OutgoingOrder::Respond {
                transaction,
                answer,
            };
            self.order(id, order);
        }
    }

    /// Whether a connection takes orders now.
    pub(super) fn has_room(&self, id: ConnectionId) -> bool {
        let outgoing = self.table.get(&id).and_then(|open| open.outgoing.as_ref());
        outgoing.is_some_and(Outgoing::has_room)
    }

    pub(super) fn order_final(&self, id: ConnectionId, order: OutgoingOrder) {
        let outgoing = self.table.get(&id).and_then(|open| open.outgoing.as_ref());
        if let Some(outgoing) = outgoing {
            outgoing.order_final(order);
        }
    }

    /// Makes a NetStream for the application to publish on.
    pub(super) fn open_stream(&mut self, id: ConnectionId) -> Result<NetStreamId, TooMany> {
        self.add_stream(id, OutRole::Publisher { attached: None })
    }

    /// Stops publishing; the NetStream can publish again.
    pub(super) fn unpublish(&self, stream: NetStreamId) {
        if let Some(connection) = self.connection_of(stream) {
            self.order_final(connection, OutgoingOrder::Close { stream });
        }
    }

    /// Sends a data message in a NetStream's publication; `false` if too much waits.
    pub(super) fn send(&self, stream: NetStreamId, handler: &str, values: &[Value]) -> bool {
        let order = OutgoingOrder::Data {
            stream,
            handler: handler.to_owned(),
            values: values.to_vec(),
        };
        self.connection_of(stream)
            .is_some_and(|connection| self.order(connection, order))
    }

    /// Publishes this live stream on a NetStream from here on.
    pub(super) fn feed(&self, stream: NetStreamId, live: Option<Arc<LiveStream>>) {
        let connection = self.connection_of(stream);
        let open = connection.and_then(|id| self.table.get(&id));
        if let Some(outgoing) = open.and_then(|open| open.outgoing.as_ref()) {
            outgoing.order_feed(stream, live);
        }
    }

    fn connection_of(&self, stream: NetStreamId) -> Option<ConnectionId> {
        let found = self.streams.get(&stream)?;
        Some(found.connection)
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn add_stream(
        &mut self,
        connection: ConnectionId,
        role: OutRole,
    ) -> Result<NetStreamId, TooMany> {
        let open = self.table.get(&connection);
        let is_open = open.is_some_and(|open| open.outgoing.is_some());
        if !is_open || self.streams.len() >= MAX_NET_STREAMS {
            return Err(TooMany);
        }
        let id = NetStreamId(self.next());
        self.streams.insert(id, OutStream { connection, role });
        Ok(id)
    }

    /// Closes a NetStream that a stream of the application played from.
    pub(super) fn close_source(&mut self, stream: NetStreamId) {
        if let Some(OutStream { connection, .. }) = self.streams.remove(&stream) {
            self.order_final(connection, OutgoingOrder::Close { stream });
        }
    }

    /// Plays a stream of the other side for a stream of the application.
    pub(super) fn open_source(
        &mut self,
        connection: ConnectionId,
        own: StreamId,
        name: &str,
        start: f64,
    ) -> Option<NetStreamId> {
        let stream = self.add_stream(connection, OutRole::Source(own)).ok()?;
        let name = name.to_owned();
        let play = OutgoingOrder::Play {
            stream,
            name,
            start,
        };
        if self.order(connection, play) {
            return Some(stream);
        }
        self.streams.remove(&stream);
        None
    }

    /// The name of the stream attached to a publishing NetStream.
    pub(super) fn attached(&self, stream: NetStreamId) -> Option<&Arc<str>> {
        match &self.streams.get(&stream)?.role {
            OutRole::Publisher { attached } => attached.as_ref(),
            OutRole::Source(_) => None,
        }
    }

    /// Whether the application has this NetStream.
    pub(super) fn has_stream(&self, stream: NetStreamId) -> bool {
        let found = self.streams.get(&stream);
        found.is_some_and(|found| matches!(found.role, OutRole::Publisher { .. }))
    }
}
