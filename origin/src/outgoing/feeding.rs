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
    live::{LiveStream, Writing, relay::Relay},
};

/// The publication of a NetStream: one stream across its sources.
pub(super) struct Feed {
    pub(super) stream: NetStreamId,
    pub(super) out: Writing,
    pub(super) relay: Relay,
    /// There is one once the other side has accepted the publish.
    cursor: Option<Cursor>,
    /// Rings the session's bell.
    bell: tokio::task::JoinHandle<()>,
}

/// Messages of one NetStream before the others get their turn.
const BATCH: usize = 32;

impl Feed {
    /// A publication that goes through `out`; `bell` is rung whenever there may be messages.
    pub(super) fn new(stream: NetStreamId, out: Writing, bell: &Arc<Notify>) -> Self {
        let (relay, task) = Relay::new(Arc::clone(out.live()), out.writer());
        tokio::spawn(task);
        let ring = ring_on_change(Arc::clone(out.live()), Arc::clone(bell));
        Self {
            stream,
            out,
            relay,
            cursor: None,
            bell: tokio::spawn(ring),
        }
    }

    /// Begins anew, with the next publish.
    pub(super) fn restart(&mut self) {
        self.cursor = None;
    }

    /// Some messages that come next.
    pub(super) fn gather(&mut self) -> Vec<(Class, Message)> {
        let ring = self.out.live().ring();
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
