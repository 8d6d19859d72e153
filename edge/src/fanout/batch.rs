//! The next messages of a cursor, gathered once for all viewers at the same place.

use std::time::Duration;

use bytes::Bytes;
use tributary_protocol::{
    MessageStreamId, chunk::shared::SharedHeader, command::ObjectEncoding, ring::Cursor,
};

use super::LiveStream;

/// Messages for one cursor, as bytes for a socket.
#[derive(Debug)]
pub(super) struct Batch {
    stream: MessageStreamId,
    encoding: ObjectEncoding,
    version: u64,
    start: Option<Cursor>,
    end: Option<Cursor>,
    pieces: Vec<Piece>,
    /// All pieces in a row. Reason: one copy for all viewers costs less than a list of slices in
    /// the system call of each.
    wire: Vec<u8>,
    bytes: usize,
    /// Whether the cursor has more messages.
    full: bool,
}

/// One message of a batch.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) header: SharedHeader,
    pub(super) body: Bytes,
    /// The cursor after the piece, with the messages counted that were dropped since the batch's
    /// start.
    pub(super) after: Cursor,
}

/// The batches of one pass. The cursors of most viewers are up to date and equal.
#[derive(Debug)]
pub(super) struct Batches {
    batches: Vec<Batch>,
    /// The next batch to be replaced.
    oldest: usize,
}

/// Messages in one batch.
const MAX_PIECES: usize = 64;

/// Bytes in one batch beyond which no message is added. Reason: a socket takes little more than
/// its bound on unsent bytes at once.
const MAX_BYTES: usize = 256 * 1024;

/// Bytes of buffer that a batch keeps between passes. Most frames fit; a key frame may cost one
/// allocation for all its viewers.
const KEPT_BYTES: usize = 64 * 1024;

/// Batches kept during a pass.
const MAX_BATCHES: usize = 4;

impl Batches {
    pub(super) fn new() -> Self {
        Self {
            batches: Vec::new(),
            oldest: 0,
        }
    }

    /// The batch for `cursor`, on this message stream of a client with this encoding.
    pub(super) fn of(
        &mut self,
        live: &LiveStream,
        cursor: &Cursor,
        (stream, encoding): (MessageStreamId, ObjectEncoding),
        max_lag: Duration,
    ) -> &Batch {
        let version = live.version();
        let known = self.batches.iter().position(|batch| {
            batch.version == version
                && (batch.stream, batch.encoding) == (stream, encoding)
                && batch.start == Some(*cursor)
        });
        let index = known.unwrap_or_else(|| {
            let index = self.place();
            self.batches[index].gather(live, *cursor, (stream, encoding), max_lag);
            index
        });
        &self.batches[index]
    }

    /// Releases all messages; the memory for the next ones stays.
    pub(super) fn clear(&mut self) {
        for batch in &mut self.batches {
            batch.clear();
        }
    }

    fn place(&mut self) -> usize {
        if self.batches.len() < MAX_BATCHES {
            self.batches.push(Batch::empty());
            return self.batches.len() - 1;
        }
        let place = self.oldest;
        self.oldest = (place + 1) % MAX_BATCHES;
        place
    }
}

impl Batch {
    fn empty() -> Self {
        Self {
            stream: MessageStreamId::CONNECTION,
            encoding: ObjectEncoding::Amf0,
            version: 0,
            start: None,
            end: None,
            pieces: Vec::with_capacity(MAX_PIECES),
            wire: Vec::new(),
            bytes: 0,
            full: false,
        }
    }

    fn clear(&mut self) {
        self.start = None;
        self.end = None;
        self.pieces.clear();
        self.wire.clear();
        self.wire.shrink_to(KEPT_BYTES);
        self.bytes = 0;
    }

    fn gather(
        &mut self,
        live: &LiveStream,
        start: Cursor,
        (stream, encoding): (MessageStreamId, ObjectEncoding),
        max_lag: Duration,
    ) {
        self.clear();
        self.stream = stream;
        self.encoding = encoding;
        let mut cursor = start;
        live.with_ring(|ring| {
            // The version is read under the lock, so that it belongs to the gathered messages.
            self.version = live.version();
            while !self.is_full()
                && let Some(delivery) = ring.next(&mut cursor, max_lag)
            {
                let Some(encoded) = delivery.item.get(encoding) else {
                    continue;
                };
                let (header, body) = (encoded.header(stream), encoded.body().clone());
                self.bytes += header.len() + body.len();
                self.pieces.push(Piece {
                    header,
                    body,
                    after: cursor,
                });
            }
        });
        self.wire.reserve(self.bytes);
        for piece in &self.pieces {
            self.wire.extend_from_slice(&piece.header);
            self.wire.extend_from_slice(&piece.body);
        }
        self.full = self.is_full();
        self.start = Some(start);
        self.end = Some(cursor);
    }

    fn is_full(&self) -> bool {
        self.pieces.len() >= MAX_PIECES || self.bytes >= MAX_BYTES
    }

    /// Whether the batch has no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Whether more messages may follow this batch.
    pub(super) fn has_more(&self) -> bool {
        self.full
    }

    /// The cursor after the whole batch, with the dropped messages counted.
    pub(super) fn end(&self) -> Option<Cursor> {
        self.end
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The whole batch as bytes for a socket.
    pub(super) fn wire(&self) -> &[u8] {
        &self.wire
    }
}
