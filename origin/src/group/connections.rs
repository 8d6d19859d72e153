//! The connections that an application opens, and their NetStreams.
//!
//! The work is done by tasks on the media thread ([`outgoing`](crate::outgoing)); the group orders
//! and is told.

use std::{collections::HashMap, rc::Rc};

use tributary_protocol::amf::Value;

use crate::{
    app::{CallToken, ConnectionId, NetStreamId, StreamId, TooMany},
    outgoing::{Order, Outgoing},
};

mod acts;
mod turn;

/// The connections of an application and their NetStreams.
#[derive(Default)]
pub(super) struct Connections {
    table: HashMap<ConnectionId, Connection>,
    streams: HashMap<NetStreamId, NetStream>,
    last: u64,
}

/// A connection of the application.
pub(super) struct Connection {
    pub(super) uri: String,
    pub(super) is_connected: bool,
    /// `None` once the application has closed it.
    outgoing: Option<Outgoing>,
    /// Calls without an answer.
    calls: Vec<CallToken>,
}

/// A NetStream of a connection.
struct NetStream {
    connection: ConnectionId,
    role: Role,
}

/// What a NetStream is for.
enum Role {
    /// The application publishes on it.
    Publisher {
        /// The name of the stream of this group that it publishes.
        attached: Option<Rc<str>>,
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
    pub(super) fn get(&self, id: ConnectionId) -> Option<&Connection> {
        self.table.get(&id)
    }

    /// No connections, but their numbers go on: something may be on its way from an older one.
    pub(super) fn reset(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Orders something of a connection; `false` if it is over or too much waits.
    pub(super) fn order(&self, id: ConnectionId, order: Order) -> bool {
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
        let order = Order::Call {
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

    /// Whether a connection takes orders now.
    pub(super) fn has_room(&self, id: ConnectionId) -> bool {
        let outgoing = self.table.get(&id).and_then(|open| open.outgoing.as_ref());
        outgoing.is_some_and(Outgoing::has_room)
    }

    pub(super) fn order_final(&self, id: ConnectionId, order: Order) {
        let outgoing = self.table.get(&id).and_then(|open| open.outgoing.as_ref());
        if let Some(outgoing) = outgoing {
            outgoing.order_final(order);
        }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn add_stream(&mut self, connection: ConnectionId, role: Role) -> Result<NetStreamId, TooMany> {
        let open = self.table.get(&connection);
        let is_open = open.is_some_and(|open| open.outgoing.is_some());
        if !is_open || self.streams.len() >= MAX_NET_STREAMS {
            return Err(TooMany);
        }
        let id = NetStreamId(self.next());
        self.streams.insert(id, NetStream { connection, role });
        Ok(id)
    }

    /// Gives up a NetStream that a stream of the application played from.
    pub(super) fn close_source(&mut self, stream: NetStreamId) {
        if let Some(NetStream { connection, .. }) = self.streams.remove(&stream) {
            self.order_final(connection, Order::Close { stream });
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
        let stream = self.add_stream(connection, Role::Source(own)).ok()?;
        let name = name.to_owned();
        let play = Order::Play {
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

    /// What a publishing NetStream is attached to.
    pub(super) fn attached(&self, stream: NetStreamId) -> Option<&Rc<str>> {
        match &self.streams.get(&stream)?.role {
            Role::Publisher { attached } => attached.as_ref(),
            Role::Source(_) => None,
        }
    }

    /// Whether the application has this NetStream.
    pub(super) fn has_stream(&self, stream: NetStreamId) -> bool {
        let found = self.streams.get(&stream);
        found.is_some_and(|found| matches!(found.role, Role::Publisher { .. }))
    }
}
