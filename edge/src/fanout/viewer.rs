//! A client's hold on a live stream that it plays.

use std::rc::Rc;

use tributary_protocol::{
    MessageStreamId,
    link::{FeedPlace, Filter},
    ring::{Cursor, Start},
};

use super::{LocalStream, PlaysOn, reader::Reader};
use crate::wire::Wire;

/// A message stream of a client that plays a live stream, until it is detached.
#[derive(Debug)]
pub(crate) struct Viewer {
    reader: Rc<Reader>,
    local: Rc<LocalStream>,
    /// The slot of its reader in the local stream.
    slot: usize,
}

impl Viewer {
    /// Begins to play at the newest key frame of the publication whose first message has this
    /// number, and sends the messages from there.
    pub(crate) fn attach(
        wire: &Rc<Wire>,
        on: PlaysOn,
        local: &Rc<LocalStream>,
        publication: u64,
    ) -> Self {
        let publication = local.live().publication(publication);
        let cursor = local
            .live()
            .with_ring(|ring| ring.join_publication(Start::KeyFrame, publication));
        let viewer = Self::at(wire, on, local, cursor);
        viewer.go_on();
        viewer
    }

    /// Goes on to play at a cursor that comes from another process, once messages come.
    pub(crate) fn resume(
        wire: &Rc<Wire>,
        on: PlaysOn,
        local: &Rc<LocalStream>,
        cursor: Cursor,
    ) -> Self {
        local.live().go_on();
        Self::at(wire, on, local, cursor)
    }

    fn at(wire: &Rc<Wire>, on: PlaysOn, local: &Rc<LocalStream>, cursor: Cursor) -> Self {
        let reader = Rc::new(Reader::new(wire, on, cursor));
        Self {
            slot: local.insert(&reader),
            reader,
            local: Rc::clone(local),
        }
    }

    /// The place of the viewer in its live stream.
    pub(crate) fn cursor(&self) -> Cursor {
        self.reader.cursor()
    }

    /// Ends the play.
    pub(crate) fn detach(&self) {
        self.local.remove(self.slot);
    }

    pub(crate) fn stream(&self) -> MessageStreamId {
        self.reader.stream()
    }

    /// The live stream on this worker.
    pub(crate) fn local(&self) -> &Rc<LocalStream> {
        &self.local
    }

    /// Sets the filter from now on.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.reader.set_filter(filter);
        self.go_on();
    }

    /// Whether the viewer's cursor has passed this place.
    pub(crate) fn has_passed(&self, place: FeedPlace) -> bool {
        self.reader.has_passed(place)
    }

    /// Sets the place after which the connection is notified.
    pub(crate) fn await_place(&self, place: Option<FeedPlace>) {
        self.reader.await_place(place);
    }

    /// Sends on outside of a pass: the socket takes bytes again.
    pub(crate) fn go_on(&self) {
        if self.local.pump_alone(&self.reader).more {
            self.local.ring();
        }
    }
}
