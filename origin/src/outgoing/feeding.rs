//! The publications of a connection to another server: live streams on their way into RTMP messages.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tributary_node::feed::MAX_LAG;
use tributary_protocol::{
    Message, MessageStreamId, MessageType,
    command::{ObjectEncoding, data},
    media::{Class, Kind},
    ring::{Cursor, Start},
    session::ClientConnection,
};

use crate::{
    app::NetStreamId,
    live::{LiveStream, Reading, Writing, relay::Relay},
};

/// The publication of a NetStream.
pub(super) struct Feed {
    pub(super) stream: NetStreamId,
    source: Source,
    /// There is one once the other side has accepted the publish.
    cursor: Option<Cursor>,
    /// The place in the ring at which a publication ends that is to be finished.
    end: Option<u64>,
    /// Rings the session's bell.
    bell: tokio::task::JoinHandle<()>,
}

/// The media of a publication.
enum Source {
    /// One stream of its own, which other streams are played into.
    Mixed { out: Writing, relay: Relay },
    /// A live stream as it is.
    Whole(Reading),
}

/// Messages of one NetStream before the others get their turn.
const BATCH: usize = 32;

impl Feed {
    /// A publication that goes through `out`; `bell` is rung whenever there may be messages.
    pub(super) fn mixed(stream: NetStreamId, out: Writing, bell: &Arc<Notify>) -> Self {
        let (relay, task) = Relay::new(Arc::clone(out.live()), out.writer());
        tokio::spawn(task);
        Self::new(stream, Source::Mixed { out, relay }, bell)
    }

    /// The publication of a live stream.
    pub(super) fn whole(stream: NetStreamId, live: Arc<LiveStream>, bell: &Arc<Notify>) -> Self {
        Self::new(stream, Source::Whole(Reading::begin(live)), bell)
    }

    fn new(stream: NetStreamId, source: Source, bell: &Arc<Notify>) -> Self {
        let ring = ring_on_change(Arc::clone(source.live()), Arc::clone(bell));
        Self {
            stream,
            source,
            cursor: None,
            end: None,
            bell: tokio::spawn(ring),
        }
    }

    /// The stream that is published.
    pub(super) fn live(&self) -> &Arc<LiveStream> {
        self.source.live()
    }

    /// Plays another stream into the publication, unless that is a live stream as it is.
    pub(super) fn play(&self, live: Option<Arc<LiveStream>>) {
        if let Source::Mixed { relay, .. } = &self.source {
            relay.play(live);
        }
    }

    /// Begins anew, with the next publish.
    pub(super) fn restart(&mut self) {
        self.cursor = None;
    }

    /// Ends with what the stream holds now.
    pub(super) fn finish(&mut self) {
        let end = self.live().ring().head();
        self.end = Some(end);
    }

    /// Whether the end of a publication that is to be finished is reached. Without an accepted
    /// publish it is.
    pub(super) fn is_finished(&self) -> bool {
        let at = self.cursor.as_ref().map(Cursor::position);
        self.end.is_some_and(|end| at.is_none_or(|at| at >= end))
    }

    /// Some messages that come next.
    pub(super) fn gather(&mut self) -> Vec<(Class, Message)> {
        let ring = self.source.live().ring();
        let cursor = self
            .cursor
            .get_or_insert_with(|| ring.join(Start::KeyFrame));
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(delivery) = ring.next(cursor, MAX_LAG)
        {
            batch.push((delivery.class, delivery.item.into_owned()));
        }
        batch
    }
}

impl Source {
    fn live(&self) -> &Arc<LiveStream> {
        match self {
            Self::Mixed { out, .. } => out.live(),
            Self::Whole(reading) => reading.live(),
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.bell.abort();
    }
}

/// Rings whenever a message comes into a stream.
async fn ring_on_change(live: Arc<LiveStream>, bell: Arc<Notify>) {
    loop {
        // The future is made before the ring: a message that comes while the bell's owner looks
        // rings again.
        let changed = live.changed();
        bell.notify_one();
        changed.await;
    }
}

/// Sends a message of a publish as encoders do.
pub(super) fn send(
    connection: &mut ClientConnection,
    encoding: ObjectEncoding,
    stream: MessageStreamId,
    class: Class,
    message: Message,
) {
    let Message {
        kind,
        timestamp,
        payload,
        ..
    } = message;
    if !kind.is_data() {
        return connection.send_media(stream, kind, timestamp, payload);
    }
    let (kind, body) = match data::forms(kind, &payload) {
        Ok(forms) => match forms.amf3 {
            Some(amf3) if encoding == ObjectEncoding::Amf3 => (MessageType::DATA_AMF3, amf3),
            _ => (MessageType::DATA_AMF0, forms.amf0),
        },
        // The message cannot be read as AMF3, so it has no AMF0 form.
        Err(_) if kind == MessageType::DATA_AMF3 && encoding == ObjectEncoding::Amf0 => return,
        Err(_) => (kind, payload),
    };
    let payload = match class.kind {
        Kind::Metadata => set_data_frame(kind, &body),
        _ => body,
    };
    connection.send_media(stream, kind, timestamp, payload);
}

/// Metadata in the wrapping that makes servers keep it.
fn set_data_frame(kind: MessageType, body: &Bytes) -> Bytes {
    let lead = usize::from(kind == MessageType::DATA_AMF3).min(body.len());
    [&body[..lead], SET_DATA_FRAME, &body[lead..]]
        .concat()
        .into()
}

/// The AMF0 string `@setDataFrame`.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";
