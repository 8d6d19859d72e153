//! The acts of an application on a stream that it has opened.

use std::{fmt, time::Duration};

use tributary_protocol::{
    amf::Value,
    command::{DataMessage, Status, stream::PublishKind},
};

use super::{own_streams::OwnStream, publishing::PublishActs};
use crate::app::{PlayRequest, StreamId, StreamStatistics};

/// A stream of the application, during one call of it: a name that the application plays other
/// streams into, and whose state it reads.
pub struct Stream<'a> {
    acts: PublishActs<'a>,
    id: StreamId,
}

impl<'a> Stream<'a> {
    /// `None` if it is closed.
    pub(super) fn new(acts: PublishActs<'a>, id: StreamId) -> Option<Self> {
        acts.own_streams.get(id)?;
        Some(Self { acts, id })
    }

    /// Plays a live stream of this instance into this one, which so gets a publisher, or queues it
    /// behind the one that plays. Viewers see one stream whose time goes on across its sources.
    /// `false` if the play fails; the reason comes to
    /// [`Application::stream_status`](crate::app::Application::stream_status).
    ///
    /// A source without a publisher is waited for. A source that ends gives way to the next in the
    /// list; without a next one the stream waits for the same source again.
    pub fn play(&mut self, request: &PlayRequest) -> bool {
        self.acts.play_own(self.id, request)
    }

    /// Stops playing and empties the list: the stream has no publisher any more. If a client
    /// publishes the name, or may return to it, that publish ends instead: the client gets
    /// NetStream.Publish.BadName and stays connected. `false` if the name had no publisher.
    ///
    /// While the application answers a client's `releaseStream`, `FCPublish` or `FCUnpublish`,
    /// another client's publish ends only if that client may write the name.
    pub fn stop(&mut self) -> bool {
        if self.is_playing() {
            return self.acts.stop_own(self.id);
        }
        let name = self.name().to_owned();
        self.acts.stop(&name)
    }

    /// Sends a data message to all viewers of a stream of this name, also if a client publishes it.
    /// With `@setDataFrame` before a handler's name it is metadata, which later viewers get too.
    /// `false` if it is too long for a message.
    pub fn send(&mut self, handler: &str, values: &[Value]) -> bool {
        self.acts.send_own(self.id, handler, values)
    }

    /// Selects the media that the stream takes over from its sources; `None` leaves a choice as it
    /// is.
    pub fn receive(&mut self, audio: Option<bool>, video: Option<bool>) {
        if let Some(stream) = self.acts.own_streams.get_mut(self.id) {
            let mut filter = stream.filter;
            filter.audio = audio.unwrap_or(filter.audio);
            filter.video = video.unwrap_or(filter.video);
            stream.set_filter(filter);
        }
    }

    /// Asks for a recording. There are none yet: NetStream.Record.NoAccess and `false`.
    pub fn record(&mut self, kind: PublishKind) -> bool {
        if kind == PublishKind::Live {
            return true;
        }
        let name = self.name().to_owned();
        let status = Status::RecordNoAccess;
        self.acts
            .room
            .own_status(self.id, status, "This server does not record.", &name);
        false
    }

    /// Asks for the end of a recording. There are none yet: NetStream.Clear.Failed and `false`.
    pub fn clear(&mut self) -> bool {
        let name = self.name().to_owned();
        let why = "There is no such recorded stream.";
        self.acts
            .room
            .own_status(self.id, Status::ClearFailed, why, &name);
        false
    }

    /// Keeps a buffer time for the application; a live stream needs none.
    pub fn set_buffer_time(&mut self, time: Duration) {
        if let Some(stream) = self.acts.own_streams.get_mut(self.id) {
            stream.buffer = time;
        }
    }

    /// Which stream it is.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.own().map_or("", |own| &own.name)
    }

    /// Whether it plays, and publishes under its name.
    pub fn is_playing(&self) -> bool {
        self.own().is_some_and(OwnStream::is_on_air)
    }

    /// The name that it plays, or waits for.
    pub fn source(&self) -> Option<&str> {
        self.own()?.source().map(|name| &**name)
    }

    /// For how long it has been playing.
    pub fn time(&self) -> Duration {
        self.own()
            .map_or(Duration::ZERO, |own| own.time(self.acts.room.now))
    }

    /// The time that [`Stream::set_buffer_time`] has set.
    pub fn buffer_time(&self) -> Duration {
        self.own().map_or(Duration::ZERO, |own| own.buffer)
    }

    /// The query of the client that publishes this name, without its `?`. While the application
    /// gets the notice of an ended publish, it is the query of that publish.
    pub fn publish_query(&self) -> &str {
        let name = self.name();
        if let Some((unpublished, query)) = self.acts.room.agenda.unpublished.as_deref()
            && **unpublished == *name
        {
            return query;
        }
        let holder = self.acts.streams.holder(name);
        holder.map_or("", |holder| &holder.query)
    }

    /// The metadata that its publisher has sent.
    pub fn metadata(&self) -> Option<Value> {
        let message = self.acts.streams.known(self.name())?.live.metadata()?;
        let data = DataMessage::decode(message.kind, &message.payload).ok()?;
        data.values.into_iter().next()
    }

    /// The figures of the stream, if it has a publisher.
    pub fn statistics(&self) -> Option<StreamStatistics> {
        self.acts
            .streams
            .statistics(self.name(), self.acts.room.now)
    }

    fn own(&self) -> Option<&OwnStream> {
        self.acts.own_streams.get(self.id)
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
