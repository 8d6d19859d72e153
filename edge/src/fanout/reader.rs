//! One reader of a live stream: a cursor and the connection it writes to.

use std::{cell::Cell, rc::Rc};

use tributary_protocol::{
    MessageStreamId,
    command::ObjectEncoding,
    link::{FeedPlace, Filter},
    ring::{Cursor, Dropped, WantedTracks},
};

use super::batch::Batch;
use crate::wire::{Wire, WrittenShared};

/// A client's message stream that plays, and the form of its messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaysOn {
    pub(crate) stream: MessageStreamId,
    pub(crate) encoding: ObjectEncoding,
    pub(crate) tracks: WantedTracks,
}

/// A message stream of a client with its cursor in a live stream.
#[derive(Debug)]
pub(super) struct Reader {
    wire: Rc<Wire>,
    stream: MessageStreamId,
    encoding: ObjectEncoding,
    cursor: Cell<Cursor>,
    /// The place in the feed that the connection waits for.
    awaited: Cell<Option<FeedPlace>>,
    /// Whether the kernel may merge its writes.
    merges: Cell<bool>,
}

/// The outcome of a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Messages that the reader does not get.
    pub(super) dropped: Dropped,
    /// Whether bytes were sent.
    pub(super) any: bool,
    /// Whether another batch may follow at once.
    pub(super) more: bool,
}

impl Reader {
    /// A reader that begins at this cursor.
    pub(super) fn new(wire: &Rc<Wire>, on: PlaysOn, cursor: Cursor) -> Self {
        Self {
            wire: Rc::clone(wire),
            stream: on.stream,
            encoding: on.encoding,
            cursor: Cell::new(cursor.of_tracks(on.tracks)),
            awaited: Cell::new(None),
            merges: Cell::new(false),
        }
    }

    pub(super) fn stream(&self) -> MessageStreamId {
        self.stream
    }

    /// Lets the kernel merge the writes to this reader, or not.
    pub(super) fn let_merge(&self, merges: bool) {
        if self.merges.replace(merges) != merges {
            self.wire.let_merge(merges);
        }
    }

    /// Keeps the kernel from merging writes to the client, whatever else it plays.
    pub(super) fn refuse_merging(&self) {
        self.wire.refuse_merging();
    }

    /// The form of the messages that the reader gets.
    pub(super) fn form(&self) -> (MessageStreamId, ObjectEncoding) {
        (self.stream, self.encoding)
    }

    pub(super) fn cursor(&self) -> Cursor {
        self.cursor.get()
    }

    /// Sets the filter from now on.
    pub(super) fn set_filter(&self, filter: Filter) {
        let mut cursor = self.cursor.get();
        cursor.set_filter(filter);
        self.cursor.set(cursor);
    }

    /// Whether the reader's cursor has passed this place.
    pub(super) fn has_passed(&self, place: FeedPlace) -> bool {
        self.cursor.get().position() > place.0
    }

    /// Sets the place after which the connection is notified.
    pub(super) fn await_place(&self, place: Option<FeedPlace>) {
        self.awaited.set(place);
    }

    /// Notifies the connection if it waits for a place.
    pub(super) fn notify_if_waiting(&self) {
        if self.awaited.get().is_some() {
            self.wire.signal().notify_one();
        }
    }

    /// Notifies the connection if the place that it waits for is passed.
    pub(super) fn notify_if_passed(&self) {
        let awaited = self.awaited.get();
        if awaited.is_some_and(|place| self.has_passed(place)) {
            self.wire.signal().notify_one();
        }
    }

    /// Whether nothing can be written to the client now.
    pub(super) fn is_blocked(&self) -> bool {
        self.wire.is_blocked()
    }

    /// Sends a batch that was gathered for this reader's cursor.
    pub(super) fn send(&self, batch: &Batch) -> Sent {
        if batch.is_empty() {
            let dropped = self.advance(batch.end());
            return Sent {
                dropped,
                ..Sent::default()
            };
        }
        let messages = batch.pieces().len() as u64;
        match self.wire.write_shared(batch.wire(), messages) {
            WrittenShared::All => Sent {
                dropped: self.advance(batch.end()),
                any: true,
                more: batch.has_more(),
            },
            WrittenShared::Part(sent) => Sent {
                dropped: self.advance(self.keep_rest(batch, sent)),
                any: true,
                more: false,
            },
            WrittenShared::Nothing => Sent::default(),
        }
    }

    /// Keeps the rest of the message in which the socket stopped after `sent` bytes of a batch.
    /// Returns the cursor after that message.
    fn keep_rest(&self, batch: &Batch, mut sent: usize) -> Option<Cursor> {
        let mut after = None;
        for piece in batch.pieces() {
            if sent == 0 {
                break;
            }
            after = Some(piece.after);
            self.wire.count_messages(1);
            let length = piece.header.len() + piece.body.len();
            if sent < length {
                self.wire.keep_rest(&piece.header, piece.body.clone(), sent);
                break;
            }
            sent -= length;
        }
        after
    }

    /// Moves the cursor. Returns the messages that it has left out.
    fn advance(&self, cursor: Option<Cursor>) -> Dropped {
        let mut dropped = Dropped::default();
        if let Some(mut cursor) = cursor {
            dropped = cursor.take_dropped();
            if dropped.total() > 0 {
                self.wire.count_dropped(dropped.total());
            }
            self.cursor.set(cursor);
        }
        dropped
    }
}
