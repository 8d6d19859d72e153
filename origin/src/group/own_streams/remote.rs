//! The sources of streams of the application on the other side of a connection.

use std::sync::Arc;

use tributary_protocol::{
    amf::Value,
    command::{Status, stream::PlayStart},
};

use super::{
    Found,
    sources::{Air, SourceActs},
};
use crate::{
    app::{ConnectionId, NetStreamId, StreamId},
    live::LiveStream,
};

impl SourceActs<'_> {
    /// A source on the other side of a connection; its media comes later.
    pub(super) fn find_remote(
        &mut self,
        connection: ConnectionId,
        id: StreamId,
        name: &str,
        start: f64,
    ) -> Found {
        let stream = self.connections.open_source(connection, id, name, start);
        stream.map_or(Err(NOT_CONNECTED), |stream| Ok((Some(stream), None)))
    }

    /// Media of a source on the other side of a connection, or its end.
    pub(in crate::group) fn remote_media(
        &mut self,
        id: StreamId,
        stream: NetStreamId,
        live: Option<Arc<LiveStream>>,
    ) {
        if !self.own_streams.plays_from(id, stream) {
            return;
        }
        match live {
            Some(live) => self.play_media(id, &live),
            None => {
                if let Some(on_air) = self.own_streams.on_air(id) {
                    on_air.relay.play(None);
                    if let Some(playing) = &mut on_air.playing {
                        playing.live = None;
                    }
                }
            }
        }
    }

    /// Handles a status of the other side about a source. The group itself has reported the
    /// beginning.
    pub(in crate::group) fn remote_status(
        &mut self,
        id: StreamId,
        stream: NetStreamId,
        info: &Value,
    ) -> Air {
        if !self.own_streams.plays_from(id, stream) {
            return Air::Stays;
        }
        let text = |name| info.get(name).and_then(Value::as_str).unwrap_or_default();
        let Some(status) = Status::from_code(text("code")) else {
            return Air::Stays;
        };
        if matches!(status, Status::PlayReset | Status::PlayStart) {
            return Air::Stays;
        }
        self.room
            .own_status(id, status, text("description"), text("details"));
        match status {
            Status::PlayUnpublishNotify | Status::PlayStop | Status::PlayComplete => {
                self.give_way(id)
            }
            Status::PlayFailed | Status::PlayStreamNotFound | Status::StreamFailed => {
                self.end(id);
                self.next(id)
            }
            _ => Air::Stays,
        }
    }

    /// Ends a source whose connection is over.
    pub(in crate::group) fn remote_lost(&mut self, id: StreamId, stream: NetStreamId) -> Air {
        if !self.own_streams.plays_from(id, stream) {
            return Air::Stays;
        }
        self.end(id);
        self.next(id)
    }
}

/// The start of a play command, in seconds.
pub(super) fn start(start: PlayStart) -> f64 {
    match start {
        PlayStart::LiveOrRecorded => -2.0,
        PlayStart::Live => -1.0,
        PlayStart::Recorded(milliseconds) => f64::from(milliseconds) / 1000.0,
    }
}

const NOT_CONNECTED: &str = "There is no connection to play it from.";
