//! One viewer: a cursor and the connection it writes to.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tributary_protocol::{
    MessageStreamId,
    command::ObjectEncoding,
    link::{FeedPlace, Filter},
    ring::{Cursor, Start, WantedTracks},
};

use super::{
    LocalStream,
    batch::{Batch, Batches},
};
use crate::wire::{Wire, WrittenShared};

/// Where and how a client plays a live stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaysOn {
    /// Its message stream.
    pub(crate) stream: MessageStreamId,
    pub(crate) encoding: ObjectEncoding,
    pub(crate) tracks: WantedTracks,
}

/// A message stream of a client that plays a live stream.
#[derive(Debug)]
pub(crate) struct Viewer {
    wire: Rc<Wire>,
    stream: MessageStreamId,
    encoding: ObjectEncoding,
    cursor: Cell<Cursor>,
    /// The connection waits for this place to be passed.
    awaited: Cell<Option<FeedPlace>>,
    local: Rc<LocalStream>,
    /// Its place among the viewers of its stream.
    slot: usize,
}

/// Whether a viewer has had all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pumped {
    /// It has, or its socket takes no more now.
    Done,
    /// It had its share of one pass; there is more.
    More,
}

/// Batches one viewer gets in one pass. Reason: one that joins with a long group of pictures must
/// not hold up the others.
const MAX_BATCHES: usize = 4;

impl Viewer {
    /// Begins to play at the newest key frame of the publication whose first message has this
    /// number, and sends what there is.
    pub(crate) fn attach(
        wire: &Rc<Wire>,
        on: PlaysOn,
        local: &Rc<LocalStream>,
        publication: u64,
    ) -> Rc<Self> {
        let cursor = local
            .live()
            .with_ring(|ring| ring.join_publication(Start::KeyFrame, publication))
            .of_tracks(on.tracks);
        let viewer = local.insert(|slot| Self {
            wire: Rc::clone(wire),
            stream: on.stream,
            encoding: on.encoding,
            cursor: Cell::new(cursor),
            awaited: Cell::new(None),
            local: Rc::clone(local),
            slot,
        });
        viewer.go_on();
        viewer
    }

    /// Plays no more.
    pub(crate) fn detach(&self) {
        self.local.remove(self.slot);
    }

    /// The client's message stream.
    pub(crate) fn stream(&self) -> MessageStreamId {
        self.stream
    }

    /// What it plays.
    pub(crate) fn local(&self) -> &Rc<LocalStream> {
        &self.local
    }

    /// What it gets from now on.
    pub(crate) fn set_filter(&self, filter: Filter) {
        let mut cursor = self.cursor.get();
        cursor.set_filter(filter);
        self.cursor.set(cursor);
        self.go_on();
    }

    /// Whether it has had, or will not get, the message at this place.
    pub(crate) fn has_passed(&self, place: FeedPlace) -> bool {
        self.cursor.get().position() > place.0
    }

    /// Wakes the connection when this place is passed.
    pub(crate) fn await_place(&self, place: Option<FeedPlace>) {
        self.awaited.set(place);
    }

    /// Sends what there is, outside of a pass: the socket can be written again.
    pub(crate) fn go_on(&self) {
        if self.local.pump(self) == Pumped::More {
            self.local.ring();
        }
    }

    /// Wakes the connection if it waits for a place.
    pub(super) fn wake_if_waiting(&self) {
        if self.awaited.get().is_some() {
            self.wire.signal().notify_one();
        }
    }

    /// Sends what there is, up to a share of one pass.
    pub(super) fn pump(&self, batches: &RefCell<Batches>) -> Pumped {
        let mut pumped = Pumped::More;
        for _ in 0..MAX_BATCHES {
            if self.wire.is_blocked() || !self.send_batch(&mut batches.borrow_mut()) {
                pumped = Pumped::Done;
                break;
            }
        }
        if self
            .awaited
            .get()
            .is_some_and(|place| self.has_passed(place))
        {
            self.wire.signal().notify_one();
        }
        pumped
    }

    /// Sends one batch. Whether another may follow at once.
    fn send_batch(&self, batches: &mut Batches) -> bool {
        let cursor = self.cursor.get();
        let local = &self.local;
        let batch = batches.of(
            local.live(),
            &cursor,
            (self.stream, self.encoding),
            local.max_lag(),
        );
        if batch.is_empty() {
            self.advance(batch.end());
            return false;
        }
        let messages = batch.pieces().len() as u64;
        match self.wire.write_shared(batch.wire(), messages) {
            WrittenShared::All => {
                self.advance(batch.end());
                batch.has_more()
            }
            WrittenShared::Part(sent) => {
                self.advance(self.keep_rest(batch, sent));
                false
            }
            WrittenShared::Nothing => false,
        }
    }

    /// Keeps the message in which the socket stopped after so many bytes of a batch. Returns the
    /// cursor after it.
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

    fn advance(&self, cursor: Option<Cursor>) {
        if let Some(mut cursor) = cursor {
            let dropped = cursor.take_dropped();
            if dropped.total() > 0 {
                self.wire.count_dropped(dropped.total());
                self.local.count_dropped(dropped);
            }
            self.cursor.set(cursor);
        }
    }
}
