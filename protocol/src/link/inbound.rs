//! The receiving half of a lane: cuts frames, acknowledges numbers, assembles messages.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::{
    FrameError,
    frame::{Frame, FrameReader, MAX_BODY},
    lane_frame::{Fragment, Head, Member, is_numbered},
};
use crate::{Message, MessageStreamId, MessageType, RtmpTimestamp};

/// Cuts the stream into frames and schedules acknowledgements.
#[derive(Debug)]
pub(super) struct Inbound {
    reader: FrameReader,
    received: u64,
    acknowledged: u64,
    unacknowledged_bytes: usize,
    ack_due: Option<Instant>,
    /// Whether numbered frames are dropped: they do not count as received.
    closed: bool,
}

/// The time for which an acknowledgement may wait for others. Reason: each costs a packet, and the
/// delay makes the peer keep only a few frames longer.
const ACK_DELAY: Duration = Duration::from_millis(100);

/// The received bytes after which an acknowledgement leaves at once: a quarter of the sender's
/// window.
const ACK_BYTES: usize = super::outbox::WINDOW / 4;

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            reader: FrameReader::new(MAX_BODY),
            received: 0,
            acknowledged: 0,
            unacknowledged_bytes: 0,
            ack_due: None,
            closed: false,
        }
    }

    /// As after [`Self::disconnected`], with so many numbered frames received.
    pub(super) fn resumed(received: u64) -> Self {
        Self {
            received,
            acknowledged: received,
            ..Self::new()
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    pub(super) fn next(&mut self, now: Instant) -> Result<Option<Frame>, FrameError> {
        while let Some(frame) = self.reader.poll_frame()? {
            if !is_numbered(frame.kind) {
                return Ok(Some(frame));
            }
            if self.closed {
                continue;
            }
            self.received += 1;
            self.unacknowledged_bytes += frame.body.len();
            self.ack_due.get_or_insert(now + ACK_DELAY);
            if self.unacknowledged_bytes >= ACK_BYTES {
                self.ack_due = Some(now);
            }
            return Ok(Some(frame));
        }
        Ok(None)
    }

    /// Drops numbered frames from here on. They do not count as received: the peer keeps them.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Acknowledges at once what has been received.
    pub(super) fn acknowledge_at_once(&mut self, now: Instant) {
        self.ack_due = Some(now);
    }

    /// Numbered frames received so far.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The latest time for an acknowledgement.
    pub(super) fn ack_due(&self) -> Option<Instant> {
        self.ack_due
    }

    /// The number to acknowledge, if it has risen; it counts as acknowledged from now on.
    pub(super) fn take_ack(&mut self) -> Option<u64> {
        self.ack_due = None;
        self.unacknowledged_bytes = 0;
        let new = self.acknowledged < self.received;
        self.acknowledged = self.received;
        new.then_some(self.received)
    }

    /// The connection is lost: the peer sends a partial frame again on the next one.
    pub(super) fn disconnected(&mut self) {
        // The next connection's opening states the number.
        *self = Self {
            closed: self.closed,
            ..Self::resumed(self.received)
        };
    }
}

/// A message whose fragments have not all arrived.
#[derive(Debug)]
pub(super) struct Assembly {
    head: Head,
    payload: BytesMut,
}

/// The result of a fragment.
#[derive(Debug)]
pub(super) enum Assembled {
    /// Further fragments follow.
    Partial(Assembly),
    Whole(Head, Message),
}

impl Assembly {
    /// Takes the next fragment of a session; memory grows with the bytes that arrive.
    pub(super) fn add(partial: Option<Self>, fragment: &Fragment) -> Result<Assembled, FrameError> {
        let data = &fragment.data;
        let assembly = match (partial, fragment.head) {
            (None, Some(head)) if head.length as usize == data.len() => {
                return Ok(Assembled::Whole(
                    head,
                    head.message(Bytes::copy_from_slice(data)),
                ));
            }
            (None, Some(head)) => {
                let mut payload = BytesMut::with_capacity(data.len());
                payload.extend_from_slice(data);
                Self { head, payload }
            }
            (Some(mut assembly), None) => {
                assembly.payload.extend_from_slice(data);
                assembly
            }
            (Some(_), Some(_)) | (None, None) => return Err(FrameError::Value),
        };
        let length = assembly.head.length as usize;
        if assembly.payload.len() > length {
            return Err(FrameError::Value);
        }
        if assembly.payload.len() < length {
            return Ok(Assembled::Partial(assembly));
        }
        Ok(Assembled::Whole(
            assembly.head,
            assembly.head.message(assembly.payload.freeze()),
        ))
    }

    /// The message under way that begins with this fragment, unless that is all of it.
    pub(super) fn of(fragment: &Fragment) -> Option<Self> {
        match Self::add(None, fragment) {
            Ok(Assembled::Partial(assembly)) => Some(assembly),
            _ => None,
        }
    }

    /// All that has arrived of the message, as its first fragment.
    pub(super) fn to_fragment(&self) -> Fragment {
        Fragment {
            head: Some(self.head),
            data: Bytes::copy_from_slice(&self.payload),
        }
    }
}

impl Head {
    pub(super) fn of(message: &Message) -> Self {
        Self {
            kind: message.kind,
            stream: message.stream,
            timestamp: message.timestamp,
            // A message's payload has at most 2^24 - 1 bytes on the RTMP wire.
            length: u32::try_from(message.payload.len()).unwrap_or(u32::MAX),
            generation: super::Generation::default(),
            after: None,
            member: None,
        }
    }

    /// The head of an object's message for one member, with this body.
    pub(super) fn of_member(member: Member, body: &Bytes) -> Self {
        Self {
            member: Some(member),
            ..Self::of(&Message {
                kind: MessageType::SHARED_OBJECT_AMF0,
                stream: MessageStreamId::CONNECTION,
                timestamp: RtmpTimestamp(0),
                payload: body.clone(),
            })
        }
    }

    pub(super) fn message(&self, payload: Bytes) -> Message {
        Message {
            kind: self.kind,
            stream: self.stream,
            timestamp: self.timestamp,
            payload,
        }
    }
}
