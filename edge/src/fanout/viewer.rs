//! A client's hold on a live stream that it plays.

use std::rc::Rc;

use tributary_protocol::{
    MessageStreamId,
    link::{FeedPlace, Filter},
    ring::Start,
};

use super::{LocalStream, PlaysOn, pass::Pumped, reader::Reader};
use crate::wire::Wire;

/// A message stream of a client that plays a live stream, until it is detached.
#[derive(Debug)]
pub(crate) struct Viewer {
    reader: Rc<Reader>,
    local: Rc<LocalStream>,
    /// Its reader's place among those of the stream.
    slot: usize,
}

impl Viewer {
    /// Begins to play at the newest key frame of the publication whose first message has this
    /// number, and sends what there is.
    pub(crate) fn attach(
        wire: &Rc<Wire>,
        on: PlaysOn,
        local: &Rc<LocalStream>,
        publication: u64,
    ) -> Self {
        let cursor = local
            .live()
            .with_ring(|ring| ring.join_publication(Start::KeyFrame, publication));
        let reader = Rc::new(Reader::new(wire, on, cursor));
        let viewer = Self {
            slot: local.insert(&reader),
            reader,
            local: Rc::clone(local),
        };
        viewer.go_on();
        viewer
    }

    /// Plays no more.
    pub(crate) fn detach(&self) {
        self.local.remove(self.slot);
    }

    /// The client's message stream.
    pub(crate) fn stream(&self) -> MessageStreamId {
        self.reader.stream()
    }

    /// The stream that it plays, on this worker.
    pub(crate) fn local(&self) -> &Rc<LocalStream> {
        &self.local
    }

    /// Sets what it gets from now on.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.reader.set_filter(filter);
        self.go_on();
    }

    /// Whether it has had, or will not get, the message at this place.
    pub(crate) fn has_passed(&self, place: FeedPlace) -> bool {
        self.reader.has_passed(place)
    }

    /// Notifies the connection when this place is passed.
    pub(crate) fn await_place(&self, place: Option<FeedPlace>) {
        self.reader.await_place(place);
    }

    /// Sends what there is, outside of a pass: the socket can be written again.
    pub(crate) fn go_on(&self) {
        if self.local.pump_alone(&self.reader) == Pumped::More {
            self.local.ring();
        }
    }
}
