//! Messages of shared objects that the session sends: messages for it alone, and messages that the
//! hub could not write to its socket at once.

use std::rc::Rc;

use tributary_protocol::{
    MessageStreamId, amf::ObjectEncoding, link::CloseReason, shared_object::Flags,
};

use super::Session;
use crate::{
    client::end::End,
    objects::{ObjectMessage, Recipient, Seat},
};

impl Session {
    /// Gives the client a seat, and sets the message stream on which it gets messages of objects.
    pub(super) fn use_objects(&mut self, stream: MessageStreamId) {
        let Some(link) = self.forwarding.link() else {
            return;
        };
        if self.seat.is_none() {
            let wire = Rc::clone(&self.wire);
            let inbox = link.probe();
            let seat = Seat::new(link.id(), wire, inbox, self.encoding());
            self.seat = Some(self.worker.hub.enter(seat));
        }
        if let Some(seat) = &self.seat {
            seat.set_stream(stream);
        }
    }

    /// Sends a message of an object that is for this session alone.
    pub(super) fn tell_object(
        &mut self,
        message: &ObjectMessage,
        encoding: Option<ObjectEncoding>,
        flags: Flags,
    ) -> Result<(), End> {
        let mine = self.encoding();
        if encoding.is_some_and(|only| only != mine) {
            return Ok(());
        }
        let nowhere = Recipient {
            stream: MessageStreamId::CONNECTION,
            encoding: mine,
            flags,
        };
        let seat = self.seat.as_ref();
        let recipient = seat.map_or(nowhere, |seat| seat.recipient(flags));
        self.worker.metrics.object_messages.inc();
        self.tell(&message.to(recipient))
    }

    /// Holds the next item of the inbox until the hub has passed this place.
    pub(super) fn await_objects(&mut self, place: u64) -> Result<(), End> {
        let Some(seat) = &self.seat else {
            return Ok(());
        };
        seat.set_after(Some(place));
        if !self.worker.hub.has_passed(place) {
            self.worker.hub.wake_at(place, &self.wire);
        }
        self.settle_objects()
    }

    /// Sends the messages of objects up to the awaited place once the hub has passed it; the inbox
    /// goes on.
    pub(super) fn settle_objects(&mut self) -> Result<(), End> {
        let Some(seat) = &self.seat else {
            return Ok(());
        };
        if seat.has_overflowed() {
            return Err(End::fault(CloseReason::SlowReader, "objects_unread"));
        }
        let hub = &self.worker.hub;
        let Some(place) = seat.after().filter(|&place| hub.has_passed(place)) else {
            return Ok(());
        };
        while let Some(message) = self.seat.as_ref().and_then(|seat| seat.take_before(place)) {
            self.tell(&message)?;
        }
        if let Some(seat) = &self.seat {
            seat.set_after(None);
        }
        Ok(())
    }

    /// Sends the waiting messages of objects: the socket takes bytes again.
    pub(super) fn release_objects(&mut self) -> Result<(), End> {
        while let Some(message) = self.seat.as_ref().and_then(|seat| seat.release()) {
            self.tell(&message)?;
            self.wire.flush();
        }
        Ok(())
    }
}
