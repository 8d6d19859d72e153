//! The script's objects for its streams, connections and NetStreams.

use std::collections::HashMap;

use tributary_origin::app::{ConnectionId, NetStreamId, RemoteObjectId, StreamId};

use super::kept::Kept;

/// Objects whose handlers are called with the events of streams and connections.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// `Stream` objects of open streams, in the order of opening.
    streams: Vec<(StreamId, Kept)>,
    /// The streams that played something at the last sweep.
    left: usize,
    connections: HashMap<ConnectionId, Kept>,
    net_streams: HashMap<NetStreamId, Kept>,
    remote_objects: HashMap<RemoteObjectId, Kept>,
    last_connection: u64,
    /// The present connection of each `NetConnection` object, by the object's number.
    by_object: HashMap<u64, ConnectionId>,
}

/// Streams that play nothing and keep their `Stream` object. Reason: a script that asks for the
/// stream of each publisher would collect them all; a dropped object is made anew when the script
/// asks for it.
pub(crate) const MAX_IDLE_STREAMS: usize = 64;

impl Media {
    /// The object of a stream.
    pub(crate) fn stream(&self, id: StreamId) -> Option<&Kept> {
        let found = self.streams.iter().find(|(known, _)| *known == id);
        found.map(|(_, object)| object)
    }

    pub(crate) fn add_stream(&mut self, id: StreamId, object: Kept) {
        self.streams.push((id, object));
    }

    pub(crate) fn remove_stream(&mut self, id: StreamId) -> Option<Kept> {
        let place = self.streams.iter().position(|(known, _)| *known == id)?;
        Some(self.streams.remove(place).1)
    }

    /// The streams with an object, the oldest first, if there are many.
    pub(crate) fn crowd(&self) -> Option<Vec<StreamId>> {
        let many = self.streams.len() >= self.left + 2 * MAX_IDLE_STREAMS;
        many.then(|| self.streams.iter().map(|(id, _)| *id).collect())
    }

    /// Notes the end of a sweep.
    pub(crate) fn swept(&mut self) {
        self.left = self.streams.len().saturating_sub(MAX_IDLE_STREAMS);
    }

    /// A number for a new `NetConnection` object.
    pub(crate) fn number_connection(&mut self) -> u64 {
        self.last_connection += 1;
        self.last_connection
    }

    /// The present connection of an object.
    pub(crate) fn connection_of(&self, object: u64) -> Option<ConnectionId> {
        self.by_object.get(&object).copied()
    }

    pub(crate) fn add_connection(&mut self, object: u64, id: ConnectionId, kept: Kept) {
        self.by_object.insert(object, id);
        self.connections.insert(id, kept);
    }

    /// Takes the connection from its object; the events of its end still reach the object.
    pub(crate) fn part(&mut self, object: u64) -> Option<ConnectionId> {
        self.by_object.remove(&object)
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&Kept> {
        self.connections.get(&id)
    }

    /// Removes a connection that is over.
    pub(crate) fn remove_connection(&mut self, id: ConnectionId) -> Option<Kept> {
        self.by_object.retain(|_, known| *known != id);
        self.connections.remove(&id)
    }

    pub(crate) fn net_stream(&self, id: NetStreamId) -> Option<&Kept> {
        self.net_streams.get(&id)
    }

    pub(crate) fn add_net_stream(&mut self, id: NetStreamId, object: Kept) {
        self.net_streams.insert(id, object);
    }

    pub(crate) fn remote_object(&self, id: RemoteObjectId) -> Option<&Kept> {
        self.remote_objects.get(&id)
    }

    pub(crate) fn add_remote_object(&mut self, id: RemoteObjectId, object: Kept) {
        self.remote_objects.insert(id, object);
    }

    pub(crate) fn remove_remote_object(&mut self, id: RemoteObjectId) -> Option<Kept> {
        self.remote_objects.remove(&id)
    }

    /// Removes shared objects of connections that are over.
    pub(crate) fn take_remote_objects(
        &mut self,
        mut is_over: impl FnMut(RemoteObjectId) -> bool,
    ) -> Vec<Kept> {
        let over: Vec<_> = self.remote_objects.keys().copied().collect();
        let over = over.into_iter().filter(|id| is_over(*id));
        over.filter_map(|id| self.remote_objects.remove(&id))
            .collect()
    }

    /// Removes NetStreams of connections that are over.
    pub(crate) fn take_net_streams(
        &mut self,
        mut is_over: impl FnMut(NetStreamId) -> bool,
    ) -> Vec<Kept> {
        let over: Vec<_> = self.net_streams.keys().copied().collect();
        let over = over.into_iter().filter(|id| is_over(*id));
        over.filter_map(|id| self.net_streams.remove(&id)).collect()
    }
}
