//! Connections and NetStreams, opened and ordered.

use std::sync::Arc;

use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::{Status, stream::PublishKind},
    handshake,
};

use super::{Connection, MAX_CONNECTIONS, NetStream, Role};
use crate::{
    app::{ConnectTo, ConnectionId, Level, NetStreamId, TooMany},
    group::{
        core::Core,
        mailbox::Item,
        open_refused::OpenRefused,
        streams::{Place, Watch},
    },
    live::LiveStream,
    outgoing::{
        self, Connect, Order, Told,
        memory::{self, Join},
        rtmp::{self, Dial},
        target::Target,
    },
};

impl Core {
    /// Opens a connection. Whether it succeeds comes later, however soon it is known.
    pub(in crate::group) fn open_connection(
        &mut self,
        to: ConnectTo,
    ) -> Result<ConnectionId, TooMany> {
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
            Ok(Route::Here(join)) => self.process.media.spawn(memory::run(join, inbox)),
            Ok(Route::There(dial)) => self.process.media.spawn(rtmp::run(*dial, inbox)),
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
            let lane = self.process.own_lane();
            let group = self
                .process
                .open(&target.group, lane)
                .map_err(|refused| (refused_status(&refused), NOT_TAKEN))?;
            return Ok(Route::Here(Join {
                group,
                lane,
                connect: connect(&to.uri),
            }));
        }
        if !self
            .version
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
            live_ids: Arc::clone(&self.process.live_ids),
        })))
    }

    /// Ends a connection: the application hears NetConnection.Connect.Closed.
    pub(in crate::group) fn close_connection(&mut self, id: ConnectionId) {
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
    pub(in crate::group) fn open_net_stream(
        &mut self,
        id: ConnectionId,
    ) -> Result<NetStreamId, TooMany> {
        let role = Role::Publisher { attached: None };
        self.connections.add_stream(id, role)
    }

    pub(in crate::group) fn close_net_stream(&mut self, stream: NetStreamId) {
        if self.connections.has_stream(stream) {
            self.attach(stream, None);
            self.connections.close_source(stream);
        }
    }

    /// What a NetStream publishes: a stream of this group, by name.
    pub(in crate::group) fn attach(&mut self, stream: NetStreamId, name: Option<&str>) -> bool {
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
    pub(in crate::group) fn publish_net_stream(
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
    pub(in crate::group) fn unpublish_net_stream(&mut self, stream: NetStreamId) {
        if let Some(connection) = self.connection_of(stream) {
            self.connections
                .order_final(connection, Order::Close { stream });
        }
    }

    pub(in crate::group) fn send_net_stream(
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
    pub(in crate::group) fn net_stream_begins(
        &mut self,
        stream: NetStreamId,
        live: &Arc<LiveStream>,
    ) {
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

impl Core {
    /// Answers a call that came on a connection, if its caller waits.
    pub(in crate::group) fn respond_on(
        &self,
        id: ConnectionId,
        transaction: TransactionId,
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
