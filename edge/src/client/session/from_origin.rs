//! Items of the session's inbox, and the last messages to a client.

use std::time::Instant;

use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::Object,
    chunk::{MAX_MESSAGE_LENGTH, ReadLimits},
    command::{self, Command, ObjectEncoding, Status},
    link::{CloseReason, ToSession, frames},
    message::user_control::UserControl,
    ring::WantedTracks,
    session::ServerConnection,
    shared_object::Flags,
};

use super::{CONNECTION, MAX_OUTPUT, Phase, Session};
use crate::{
    client::end::End,
    fanout::PlaysOn,
    link::handle::{FromOrigin, Order},
    metrics::Counted,
};

impl Session {
    /// Handles an item of the inbox; `None` is the end of the lane.
    pub(in crate::client) fn on_origin(
        &mut self,
        now: Instant,
        what: Option<FromOrigin>,
    ) -> Result<(), End> {
        match what {
            Some(FromOrigin::Order(order)) => self.obey(now, order)?,
            Some(FromOrigin::Object {
                message,
                encoding,
                flags,
            }) => self.tell_object(&message, encoding, flags)?,
            Some(FromOrigin::TakesRelays) => self.takes_relays(),
            Some(FromOrigin::After(place)) => self.await_objects(place)?,
            Some(FromOrigin::NoOrigin) => {
                return Err(self.part(Status::ConnectFailed, CloseReason::OriginLost));
            }
            Some(FromOrigin::UnknownOrigin) => {
                return Err(self.part(Status::ConnectRejected, CloseReason::Rejected));
            }
            Some(FromOrigin::Freeze(number)) if self.worker.upstream.is_frozen(number) => {
                self.mark();
            }
            // That of a freeze that has ended.
            Some(FromOrigin::Freeze(_)) => {}
            Some(FromOrigin::LinkLost) => self.timers.lost = true,
            Some(FromOrigin::LinkBack) => self.link_back(now),
            None => return Err(self.part(Status::ConnectClosed, CloseReason::OriginLost)),
        }
        Ok(())
    }

    /// Carries out an order of the origin.
    fn obey(&mut self, now: Instant, order: Order) -> Result<(), End> {
        match order {
            ToSession::Accept => {
                if self.timers.lost {
                    // It waited for an origin when its edge was replaced.
                    self.link_back(now);
                }
                // The answer follows: one write sends both.
                self.wire
                    .session()
                    .begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
                self.phase = Phase::Accepted {
                    _counted: Counted::new(&self.worker.metrics.sessions),
                };
            }
            ToSession::Message { message, after } => {
                self.note_refusal(&message);
                self.figures.frames += frames(message.payload.len());
                let message = self.note_status(message);
                if let Some(message) = self.playing.hold(message, after, now) {
                    self.tell(&message)?;
                }
            }
            // Its origin is another process now: the viewer stays where it is.
            ToSession::Attach { stream, source } if self.playing.plays(stream, &source.live) => {}
            ToSession::Attach { stream, source } => {
                self.detach(stream)?;
                let who = self.who.as_ref();
                let on = PlaysOn {
                    stream,
                    encoding: self.encoding(),
                    // A client that has not announced several tracks gets track 0 alone.
                    tracks: who.map_or(WantedTracks::First, |who| who.tracks),
                };
                let name = source.name;
                let policy = self.worker.delivery(self.name().0, name.as_deref());
                let viewer =
                    self.worker
                        .attach(&self.wire, on, source.live, source.publication, policy);
                self.playing.attach(viewer, name);
            }
            ToSession::Detach { stream } => self.detach(stream)?,
            ToSession::AcceptPublish {
                stream,
                generation,
                target: feed,
            } => {
                let counted = Counted::new(&self.worker.metrics.publishers);
                let publishing = &mut self.forwarding.publishing;
                if publishing.accept(stream, generation, feed, counted) {
                    self.wire.session().set_read_limits(ReadLimits {
                        partial: ReadLimits::PARTIAL_PUBLISHING,
                        ..ReadLimits::default()
                    });
                    self.timers.excuse(now);
                }
            }
            ToSession::StopPublish { stream, generation } => {
                self.note_stopped(stream, generation);
                self.forwarding.publishing.stop(stream, generation);
            }
            ToSession::PublishRead {
                stream,
                generation,
                read,
            } => self
                .forwarding
                .publishing
                .set_read(stream, generation, read),
            ToSession::Filter { stream, filter } => self.playing.set_filter(stream, filter),
            ToSession::Watch => self.watch(now),
            ToSession::Bandwidth(bandwidth) => self.set_bandwidth(bandwidth, now),
            ToSession::Ping => self.wire.session().send_ping(now),
            ToSession::Repeat(message) => self.pass_on(now, message)?,
            // They are for the lane.
            ToSession::Remember(_)
            | ToSession::Handled(_)
            | ToSession::Restored
            | ToSession::Continues { .. } => {}
            ToSession::Close(reason) => return Err(self.closed_by_origin(reason)),
        }
        Ok(())
    }

    fn note_refusal(&mut self, message: &Message) {
        if let Phase::Pending { refused } = &mut self.phase {
            let name = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
            *refused |= name == Some("_error");
        }
    }

    fn link_back(&mut self, now: Instant) {
        self.timers.lost = false;
        self.timers.excuse(now);
        self.wire.excuse(now);
    }

    fn detach(&mut self, stream: MessageStreamId) -> Result<(), End> {
        for message in self.playing.detach(stream) {
            self.tell(&message)?;
        }
        Ok(())
    }

    /// Sends a message of the origin. A client with too much waiting output is closed.
    pub(super) fn tell(&mut self, message: &Message) -> Result<(), End> {
        if self.pending() > MAX_OUTPUT && !self.wire.flush() && self.pending() > MAX_OUTPUT {
            return Err(End::fault(CloseReason::SlowReader, "output_full"));
        }
        if message.payload.len() > MAX_MESSAGE_LENGTH as usize {
            // A sound origin does not send this, and no chunk stream can carry it.
            return Err(End::because(CloseReason::Limit));
        }
        self.wire.count_messages(1);
        if self.wire.may_merge() && is_call(message) {
            self.wire.refuse_merging();
        }
        send(&mut self.wire.session(), message);
        self.ceiling = MAX_OUTPUT + self.pending();
        Ok(())
    }

    /// Ends the session for the drain.
    pub(in crate::client) fn on_drain(&mut self) -> End {
        self.wire.transport().goes_away();
        self.part(Status::ConnectAppShutdown, CloseReason::Shutdown)
    }

    /// Ends the session by order of the origin, or of the link on its behalf. An application has
    /// sent its own last messages. After a link's close, and for a connect without an answer, the
    /// edge sends the status.
    fn closed_by_origin(&mut self, reason: CloseReason) -> End {
        use CloseReason as R;
        let status = match reason {
            R::OriginLost | R::Retention | R::Moved | R::Resumed => Some(Status::ConnectClosed),
            _ if !matches!(self.phase, Phase::Pending { refused: false }) => None,
            R::Rejected => Some(Status::ConnectRejected),
            R::InvalidApp => Some(Status::ConnectInvalidApp),
            R::Shutdown => Some(Status::ConnectAppShutdown),
            _ => Some(Status::ConnectFailed),
        };
        match status {
            Some(status) => self.part(status, reason),
            None => End::because(reason),
        }
    }

    /// Sends the last messages: an error as answer to an open connect, an onStatus otherwise, then
    /// `close`.
    pub(super) fn part(&mut self, status: Status, reason: CloseReason) -> End {
        self.part_saying(status, None, true);
        End::because(reason)
    }

    /// As [`Self::part`], with this description, and with or without `close`.
    pub(super) fn part_saying(
        &mut self,
        status: Status,
        description: Option<&str>,
        says_close: bool,
    ) {
        let Some(who) = &self.who else {
            return;
        };
        let accepted = matches!(self.phase, Phase::Accepted { .. });
        let (goodbye, encoding) = if accepted {
            (
                command::on_status(status.info(description, None)),
                who.encoding,
            )
        } else {
            let status = match status {
                Status::ConnectClosed => Status::ConnectFailed,
                other => other,
            };
            let info: Object = status.info(description, None);
            (command::error(who.transaction, info), ObjectEncoding::Amf0)
        };
        let mut session = self.wire.session();
        let close = says_close.then(command::close);
        for command in std::iter::once(goodbye).chain(close) {
            let (kind, payload) = command.encode(encoding);
            let message = Message {
                kind,
                stream: CONNECTION,
                timestamp: RtmpTimestamp(0),
                payload,
            };
            send(&mut session, &message);
        }
    }
}

/// The chunk stream of a shared-object message. Server-style members get it on the chunk stream of
/// commands: npm `rtmp-client`, which is such a member, reads it nowhere else.
fn object_stream(message: &Message) -> ChunkStreamId {
    match Flags::peek(message.kind, &message.payload) {
        Some(flags) if flags.is_server_style() => ChunkStreamId::COMMAND,
        _ => ChunkStreamId::SHARED_OBJECT,
    }
}

/// Whether a message shows that the application speaks with the client: it leaves at once, and so
/// does everything after it.
fn is_call(message: &Message) -> bool {
    let kind = message.kind;
    let name = Command::peek(kind, &message.payload).map(|(name, _)| name);
    kind.is_shared_object()
        || (kind.is_command() && name.is_some_and(|name| !command::call::is_server_name(name)))
}

/// Puts a message of the session itself on its chunk stream.
pub(super) fn send(session: &mut ServerConnection, message: &Message) {
    let kind = message.kind;
    let csid = match kind {
        MessageType::USER_CONTROL => {
            if let Some(event) = UserControl::decode(&message.payload) {
                session.send_user_control(&event);
                return;
            }
            ChunkStreamId::CONTROL
        }
        kind if kind.is_shared_object() => object_stream(message),
        kind if kind.is_command() => {
            let name = Command::peek(kind, &message.payload).map(|(name, _)| name);
            match name {
                Some("onStatus") => ChunkStreamId::STATUS,
                _ => ChunkStreamId::COMMAND,
            }
        }
        _ => ChunkStreamId::STATUS,
    };
    if csid == ChunkStreamId::SHARED_OBJECT {
        // Other messages on this chunk stream are written past the session.
        session.send_full(csid, message);
    } else {
        session.send(csid, message);
    }
}
