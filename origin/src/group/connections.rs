//! The connections that an application opens, and their NetStreams.
//!
//! The work is done by tasks on the media thread ([`outgoing`](crate::outgoing)); the group orders
//! and is told.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use tributary_protocol::{
    amf::Value,
    command::{Status, stream::PublishKind},
    handshake,
};

use super::{
    Groups, Item,
    core::Core,
    refusal::OpenRefused,
    streams::{Place, Watch},
    turn::Turn,
};
use crate::{
    app::{
        Answer, CallToken, ConnectTo, ConnectionCall, ConnectionId, Level, NetStreamId, StreamId,
        TooMany,
    },
    live::LiveStream,
    outgoing::{
        self, Connect, Happening, Order, Outgoing, Told,
        memory::{self, Join},
        rtmp::{self, Dial},
        target::Target,
    },
};

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

impl Core {
    /// Opens a connection. Whether it succeeds comes later, however soon it is known.
    pub(super) fn open_connection(&mut self, to: ConnectTo) -> Result<ConnectionId, TooMany> {
        if self.connections.table.len() >= MAX_CONNECTIONS {
            return Err(TooMany);
        }
        let id = ConnectionId(self.connections.next());
        let mailbox = self.mailbox.clone();
        let tell = move |told: Told, weight: usize| {
            let item = Item::Connection(id, told);
            let is_last = matches!(&item, Item::Connection(_, told) if told.is_last());
            match is_last {
                true => mailbox.push_final(item).is_ok(),
                false => mailbox.push(item, weight).is_ok(),
            }
        };
        let (outgoing, inbox) = outgoing::open(Box::new(tell));
        self.connections.table.insert(
            id,
            Connection {
                uri: to.uri.clone(),
                is_connected: false,
                outgoing: Some(outgoing),
                calls: Vec::new(),
            },
        );
        match self.route(&to) {
            Ok(Route::Here(join)) => self.shared.media.spawn(memory::run(join, inbox)),
            Ok(Route::There(dial)) => self.shared.media.spawn(rtmp::run(*dial, inbox)),
            Err((status, why)) => inbox.close(status.info(Some(why), None).into()),
        }
        Ok(id)
    }

    /// Where a connection goes, if it may.
    fn route(&self, to: &ConnectTo) -> Result<Route, (Status, &'static str)> {
        let target = Target::parse(&to.uri).ok_or((Status::ConnectFailed, BAD_URI))?;
        let connect = |tc_url: &str| {
            let arguments = to.arguments.clone();
            Connect::new(&target.app, tc_url, &to.properties, arguments)
        };
        if target.is_here() {
            let lane = self.shared.own_lane();
            let groups = Groups {
                shared: Arc::clone(&self.shared),
            };
            let group = groups
                .open(&target.group, lane)
                .map_err(|refused| (refused_status(&refused), NOT_TAKEN))?;
            return Ok(Route::Here(Join {
                group,
                lane,
                connect: connect(&to.uri),
            }));
        }
        if !self
            .registered
            .settings
            .may_connect(target.host(), target.port())
        {
            let text = format!(
                "a connection to {} was refused: applications.{}.outgoing does not name it",
                target.authority(),
                self.name.application(),
            );
            tracing::warn!(group = %self.name, "{text}");
            self.log(Level::Warning, &text);
            return Err((Status::ConnectFailed, NOT_NAMED));
        }
        let mut random = [0; handshake::RANDOM];
        rand::fill(&mut random);
        let connect = connect(&to.uri);
        Ok(Route::There(Box::new(Dial {
            target,
            connect,
            random,
            live_ids: Arc::clone(&self.shared.live_ids),
        })))
    }

    /// Ends a connection: the application hears NetConnection.Connect.Closed.
    pub(super) fn close_connection(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.table.get_mut(&id) {
            connection.is_connected = false;
            connection.outgoing = None;
        }
        self.end_streams_of(id);
        self.remote_objects.end(id);
    }

    fn end_streams_of(&mut self, id: ConnectionId) {
        let of = |(&stream, found): (&NetStreamId, &NetStream)| {
            (found.connection == id).then_some(stream)
        };
        let streams: Vec<_> = self.connections.streams.iter().filter_map(of).collect();
        for stream in streams {
            match self
                .connections
                .streams
                .remove(&stream)
                .map(|found| found.role)
            {
                Some(Role::Source(own)) => self.remote_lost(own, stream),
                Some(Role::Publisher {
                    attached: Some(name),
                }) => self.streams.unwatch(&name, Place::of_net_stream(stream)),
                _ => {}
            }
        }
    }

    /// Makes a NetStream for the application to publish on.
    pub(super) fn open_net_stream(&mut self, id: ConnectionId) -> Result<NetStreamId, TooMany> {
        let role = Role::Publisher { attached: None };
        self.connections.add_stream(id, role)
    }

    pub(super) fn close_net_stream(&mut self, stream: NetStreamId) {
        if self.connections.has_stream(stream) {
            self.attach(stream, None);
            self.connections.close_source(stream);
        }
    }

    /// What a NetStream publishes: a stream of this group, by name.
    pub(super) fn attach(&mut self, stream: NetStreamId, name: Option<&str>) -> bool {
        let place = Place::of_net_stream(stream);
        let Some(NetStream {
            role: Role::Publisher { attached },
            ..
        }) = self.connections.streams.get_mut(&stream)
        else {
            return false;
        };
        if let Some(old) = attached.take() {
            self.streams.unwatch(&old, place);
        }
        let Some(name) = name else {
            self.feed(stream, None);
            return true;
        };
        let (name, watch) = self.streams.watch(name, place);
        let live = match watch {
            Watch::Live(live) => Some(live),
            Watch::Wait => None,
            Watch::Full => return false,
        };
        if let Some(NetStream {
            role: Role::Publisher { attached },
            ..
        }) = self.connections.streams.get_mut(&stream)
        {
            *attached = Some(name);
        }
        self.feed(stream, live);
        true
    }

    /// Publishes on a NetStream; `false` if it is over or too much waits.
    pub(super) fn publish_net_stream(
        &mut self,
        stream: NetStreamId,
        name: &str,
        kind: PublishKind,
    ) -> bool {
        let Some(connection) = self.connection_of(stream) else {
            return false;
        };
        let order = Order::Publish {
            stream,
            name: name.to_owned(),
            kind,
        };
        if !self.connections.order(connection, order) {
            return false;
        }
        let attached = self.connections.attached(stream).cloned();
        let known = attached.and_then(|name| Some(Arc::clone(self.streams.known(&name)?.live)));
        self.feed(stream, known);
        true
    }

    /// Stops publishing; the NetStream can publish again.
    pub(super) fn unpublish_net_stream(&mut self, stream: NetStreamId) {
        if let Some(connection) = self.connection_of(stream) {
            self.connections
                .order_final(connection, Order::Close { stream });
        }
    }

    pub(super) fn send_net_stream(
        &mut self,
        stream: NetStreamId,
        handler: &str,
        values: &[Value],
    ) -> bool {
        let order = Order::Data {
            stream,
            handler: handler.to_owned(),
            values: values.to_vec(),
        };
        self.connection_of(stream)
            .is_some_and(|connection| self.connections.order(connection, order))
    }

    /// What a NetStream is attached to has a publisher.
    pub(super) fn net_stream_begins(&mut self, stream: NetStreamId, live: &Arc<LiveStream>) {
        self.feed(stream, Some(Arc::clone(live)));
    }

    fn feed(&self, stream: NetStreamId, live: Option<Arc<LiveStream>>) {
        let connection = self.connection_of(stream);
        let open = connection.and_then(|id| self.connections.table.get(&id));
        if let Some(outgoing) = open.and_then(|open| open.outgoing.as_ref()) {
            outgoing.order_feed(stream, live);
        }
    }

    fn connection_of(&self, stream: NetStreamId) -> Option<ConnectionId> {
        let found = self.connections.streams.get(&stream)?;
        Some(found.connection)
    }
}

impl Turn<'_> {
    /// Something that a connection has told.
    pub(super) fn connection(&mut self, id: ConnectionId, told: Told) {
        if self.core.connections.get(id).is_some() {
            self.told(id, told.what);
        }
        self.settle();
    }

    fn told(&mut self, id: ConnectionId, what: Happening) {
        match what {
            Happening::Connected(info) => {
                if let Some(connection) = self.core.connections.table.get_mut(&id) {
                    connection.is_connected = connection.outgoing.is_some();
                }
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Status(info) => {
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Closed(info) => {
                self.core.close_connection(id);
                let over = self.core.connections.table.remove(&id);
                for token in over.into_iter().flat_map(|over| over.calls) {
                    let failed = Err(Status::CallFailed.info(None, None).into());
                    self.ask(|app, context| app.connection_answered(context, id, token, failed));
                }
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Answered { token, answer } => {
                if let Some(connection) = self.core.connections.table.get_mut(&id) {
                    connection.calls.retain(|open| *open != token);
                }
                self.ask(|app, context| app.connection_answered(context, id, token, answer));
            }
            Happening::Called {
                name,
                transaction,
                arguments,
            } => {
                let call = ConnectionCall {
                    name,
                    transaction,
                    arguments,
                };
                self.called(id, &call);
            }
            Happening::StreamStatus { stream, info } => {
                let role = self.core.connections.streams.get(&stream);
                match role.map(|found| &found.role) {
                    Some(&Role::Source(own)) => self.core.remote_status(own, stream, &info),
                    Some(Role::Publisher { .. }) => {
                        self.ask(|app, context| app.net_stream_status(context, stream, &info));
                    }
                    None => {}
                }
            }
            Happening::Object(message) => self.remote_object(id, message),
            Happening::Media { stream, live } => {
                let role = self.core.connections.streams.get(&stream);
                if let Some(&Role::Source(own)) = role.map(|found| &found.role) {
                    self.core.remote_media(own, stream, live);
                }
            }
        }
    }

    fn called(&mut self, id: ConnectionId, call: &ConnectionCall) {
        let answer = self.ask(|app, context| app.connection_call(context, id, call));
        let answer = match answer {
            Answer::Result(value) => Ok(value),
            Answer::Error(value) => Err(value),
            Answer::Unknown => Err(Value::Object(super::answer::call_failed(&call.name))),
            Answer::Deferred => return,
        };
        self.core.respond_on(id, call.transaction, answer);
    }
}

impl Core {
    /// Answers a call that came on a connection, if its caller waits.
    pub(super) fn respond_on(
        &self,
        id: ConnectionId,
        transaction: tributary_protocol::TransactionId,
        answer: Result<Value, Value>,
    ) {
        if transaction.expects_answer() {
            let order = Order::Respond {
                transaction,
                answer,
            };
            self.connections.order(id, order);
        }
    }
}

enum Route {
    Here(Join),
    There(Box<Dial>),
}

fn refused_status(refused: &OpenRefused) -> Status {
    match refused {
        OpenRefused::InvalidApp | OpenRefused::NoVersion => Status::ConnectInvalidApp,
        OpenRefused::DoesNotStart | OpenRefused::Shutdown => Status::ConnectAppShutdown,
        _ => Status::ConnectRejected,
    }
}

const BAD_URI: &str = "The URI is none of RTMP.";
const NOT_TAKEN: &str = "The instance takes no connections.";
const NOT_NAMED: &str = "The application's setting `outgoing` does not name this server.";
