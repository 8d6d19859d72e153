//! Connections and NetStreams, opened and ordered.

use std::sync::Arc;

use tributary_protocol::{
    command::{Status, stream::PublishKind},
    handshake,
};

use super::{Connections, MAX_CONNECTIONS, OutConnection, OutRole, OutStream};
use crate::{
    app::{ConnectTo, ConnectionId, Level, NetStreamId, StreamId, TooMany},
    group::{
        mailbox::Item,
        open_refused::OpenRefused,
        room::Room,
        streams::{StreamSlot, Streams, Viewing},
    },
    outgoing::{
        self, Connect, OutgoingOrder, Told,
        memory::{self, Join},
        rtmp::{self, Dial},
        socket::Meter,
        target::Target,
    },
};

/// An application's connections at work, and the live streams that they publish elsewhere.
pub(in crate::group) struct ConnectionActs<'a> {
    pub(in crate::group) room: &'a mut Room,
    pub(in crate::group) streams: &'a mut Streams,
    pub(in crate::group) connections: &'a mut Connections,
}

impl ConnectionActs<'_> {
    /// Opens a connection. The result comes later, however soon it is known.
    pub(in crate::group) fn open(&mut self, to: ConnectTo) -> Result<ConnectionId, TooMany> {
        if self.connections.table.len() >= MAX_CONNECTIONS {
            return Err(TooMany);
        }
        let id = ConnectionId(self.connections.next());
        let mailbox = self.room.mailbox.clone();
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
            OutConnection {
                uri: to.uri.clone(),
                is_connected: false,
                outgoing: Some(outgoing),
                calls: Vec::new(),
            },
        );
        match self.route(&to) {
            Ok(Route::Here(join)) => self.room.process.media.spawn(memory::run(join, inbox)),
            Ok(Route::There(dial)) => self.room.process.media.spawn(rtmp::run(*dial, inbox)),
            Err((status, why)) => inbox.close(status.info(Some(why), None).into()),
        }
        Ok(id)
    }

    /// The route of a connection, if the settings permit it.
    fn route(&self, to: &ConnectTo) -> Result<Route, (Status, &'static str)> {
        let target = Target::parse(&to.uri).ok_or((Status::ConnectFailed, BAD_URI))?;
        let connect = |tc_url: &str| {
            let arguments = to.arguments.clone();
            Connect::new(&target.app, tc_url, &to.properties, arguments)
        };
        if target.is_here() {
            let lane = self.room.process.own_lane();
            let group = self
                .room
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
            .room
            .version
            .settings()
            .may_connect(target.host(), target.port())
        {
            let text = format!(
                "a connection to {} was refused: applications.{}.outgoing does not name it",
                target.authority(),
                self.room.name.application(),
            );
            tracing::warn!(group = %self.room.name, "{text}");
            self.room.log(Level::Warning, &text);
            return Err((Status::ConnectFailed, NOT_NAMED));
        }
        let mut random = [0; handshake::RANDOM];
        rand::fill(&mut random);
        let connect = connect(&to.uri);
        Ok(Route::There(Box::new(Dial {
            target,
            connect,
            random,
            roots: self.room.process.roots.clone(),
            live_ids: Arc::clone(&self.room.process.live_ids),
            meter: Meter::default(),
        })))
    }

    /// Ends a connection and its NetStreams. Returns the streams of the application that played from
    /// it, each with the NetStream that brought its source.
    pub(in crate::group) fn end(&mut self, id: ConnectionId) -> Vec<(StreamId, NetStreamId)> {
        if let Some(connection) = self.connections.table.get_mut(&id) {
            connection.is_connected = false;
            connection.outgoing = None;
        }
        let over = self
            .connections
            .streams
            .extract_if(|_, of| of.connection == id);
        let mut lost = Vec::new();
        for (stream, OutStream { role, .. }) in over {
            match role {
                OutRole::Source(own) => lost.push((own, stream)),
                OutRole::Publisher {
                    attached: Some(name),
                } => self
                    .streams
                    .unwatch(&name, StreamSlot::of_net_stream(stream)),
                OutRole::Publisher { attached: None } => {}
            }
        }
        lost
    }

    pub(in crate::group) fn close_stream(&mut self, stream: NetStreamId) {
        if self.connections.has_stream(stream) {
            self.attach(stream, None);
            self.connections.close_source(stream);
        }
    }

    /// Attaches a stream of this group to a NetStream, by name.
    pub(in crate::group) fn attach(&mut self, stream: NetStreamId, name: Option<&str>) -> bool {
        let slot = StreamSlot::of_net_stream(stream);
        let Some(OutStream {
            role: OutRole::Publisher { attached },
            ..
        }) = self.connections.streams.get_mut(&stream)
        else {
            return false;
        };
        if let Some(old) = attached.take() {
            self.streams.unwatch(&old, slot);
        }
        let Some(name) = name else {
            self.connections.feed(stream, None);
            return true;
        };
        let (name, watch) = self.streams.watch(name, slot);
        let live = match watch {
            Viewing::Live(live) => Some(live),
            Viewing::Wait => None,
            Viewing::Full => return false,
        };
        if let Some(OutStream {
            role: OutRole::Publisher { attached },
            ..
        }) = self.connections.streams.get_mut(&stream)
        {
            *attached = Some(name);
        }
        self.connections.feed(stream, live);
        true
    }

    /// Publishes on a NetStream; `false` if it is over or too much waits.
    pub(in crate::group) fn publish(
        &mut self,
        stream: NetStreamId,
        name: &str,
        kind: PublishKind,
    ) -> bool {
        let Some(connection) = self.connections.connection_of(stream) else {
            return false;
        };
        let order = OutgoingOrder::Publish {
            stream,
            name: name.to_owned(),
            kind,
        };
        if !self.connections.order(connection, order) {
            return false;
        }
        let attached = self.connections.attached(stream).cloned();
        let known = attached.and_then(|name| Some(Arc::clone(self.streams.known(&name)?.live)));
        self.connections.feed(stream, known);
        true
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
