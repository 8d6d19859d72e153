//! Aggregate messages: type 22 (RTMP 1.0, section 7.1.6).
//!
//! The payload is a sequence of FLV tags, each followed by a four-byte back pointer. The first tag
//! has the aggregate's own time; the others keep their distance from it.

use std::fmt;

use bytes::{Buf, Bytes};

use super::{Message, MessageType};
use crate::RtmpTimestamp;

/// The tag header: type, length, time with its upper byte last, stream id.
const HEADER: usize = 11;

/// The length of the tag in front, which ends each sub-message.
const BACK_POINTER: usize = 4;

/// The sub-messages of an aggregate, in order, on its message stream; their payloads share its
/// buffer. They end where the aggregate is cut off: see [`Split::fault`].
pub fn split(aggregate: &Message) -> Split {
    Split {
        rest: aggregate.payload.clone(),
        stream: aggregate.stream,
        timestamp: aggregate.timestamp,
        first: None,
        fault: None,
    }
}

/// Iterator over the whole sub-messages of an aggregate.
#[derive(Clone, Debug)]
pub struct Split {
    rest: Bytes,
    stream: crate::MessageStreamId,
    timestamp: RtmpTimestamp,
    /// The first sub-message's own time.
    first: Option<RtmpTimestamp>,
    fault: Option<AggregateError>,
}

impl Split {
    /// The fault in the rest of the aggregate, once the iterator has ended.
    pub fn fault(&self) -> Option<AggregateError> {
        self.fault
    }

    /// The next sub-message's header and its payload's length.
    fn head(&self) -> Result<([u8; HEADER], usize), AggregateError> {
        let Some((header, body)) = self.rest.split_first_chunk::<HEADER>() else {
            return Err(AggregateError::HeaderCutOff);
        };
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        if length > body.len() {
            return Err(AggregateError::TooLong { length });
        }
        Ok((*header, length))
    }
}

impl Iterator for Split {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        if self.rest.is_empty() {
            return None;
        }
        let (header, length) = match self.head() {
            Ok(head) => head,
            Err(fault) => {
                self.fault = Some(fault);
                self.rest.clear();
                return None;
            }
        };
        let time = time(&header);
        let offset = time.since(*self.first.get_or_insert(time)).cast_unsigned();
        let message = Message {
            kind: MessageType(header[0]),
            stream: self.stream,
            timestamp: self.timestamp.advanced(offset),
            payload: self.rest.slice(HEADER..HEADER + length),
        };
        // The last back pointer may be cut off.
        let used = HEADER + length + BACK_POINTER;
        self.rest.advance(used.min(self.rest.len()));
        Some(message)
    }
}

/// A tag header's time.
fn time(header: &[u8; HEADER]) -> RtmpTimestamp {
    RtmpTimestamp(u32::from_be_bytes([
        header[7], header[4], header[5], header[6],
    ]))
}

/// The reason for which the rest of an aggregate cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateError {
    /// The last sub-message's header is cut off.
    HeaderCutOff,
    /// A sub-message is longer than the rest of the aggregate.
    TooLong {
        /// The length in its header.
        length: usize,
    },
}

impl AggregateError {
    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::HeaderCutOff => "aggregate_header_cut_off",
            Self::TooLong { .. } => "aggregate_length",
        }
    }
}

impl fmt::Display for AggregateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderCutOff => f.write_str("aggregate ends inside a header"),
            Self::TooLong { length } => {
                write!(
                    f,
                    "sub-message of {length} bytes does not fit its aggregate"
                )
            }
        }
    }
}

impl std::error::Error for AggregateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageStreamId;

    fn sub(out: &mut Vec<u8>, kind: u8, time: u32, payload: &[u8]) {
        out.push(kind);
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&time.to_be_bytes()[1..]);
        out.push((time >> 24) as u8);
        out.extend_from_slice(&[0, 0, 0]);
        out.extend_from_slice(payload);
        out.extend_from_slice(&(11 + payload.len() as u32).to_be_bytes());
    }

    fn aggregate(payload: Vec<u8>) -> Message {
        Message {
            kind: MessageType::AGGREGATE,
            stream: MessageStreamId(3),
            timestamp: RtmpTimestamp(5000),
            payload: payload.into(),
        }
    }

    #[test]
    fn sub_messages_keep_their_distance_from_the_first() {
        let mut payload = Vec::new();
        sub(&mut payload, 9, 0x00ff_fff0, b"video");
        sub(&mut payload, 8, 0x0100_0001, b"");
        sub(&mut payload, 18, 0x00ff_ffe0, b"data");
        sub(&mut payload, 77, 0x00ff_fff0, b"?");
        let message = aggregate(payload);
        let split: Vec<_> = split(&message).collect();
        let expected = [
            (9, 5000, &b"video"[..]),
            (8, 5017, b""),
            (18, 4984, b"data"),
            (77, 5000, b"?"),
        ];
        assert_eq!(split.len(), expected.len());
        for (message, (kind, time, payload)) in split.iter().zip(expected) {
            assert_eq!(message.kind, MessageType(kind));
            assert_eq!(message.timestamp, RtmpTimestamp(time));
            assert_eq!(message.stream, MessageStreamId(3));
            assert_eq!(message.payload, payload);
        }
    }

    /// The count of sub-messages of an aggregate, and the fault.
    fn yields(payload: &[u8]) -> (usize, Option<AggregateError>) {
        let mut split = split(&aggregate(payload.to_vec()));
        (split.by_ref().count(), split.fault())
    }

    #[test]
    fn of_an_aggregate_cut_anywhere_the_whole_parts_are_left() {
        let mut payload = Vec::new();
        sub(&mut payload, 9, 10, b"video");
        sub(&mut payload, 8, 12, b"audio");
        for cut in 0..=payload.len() {
            let (count, fault) = yields(&payload[..cut]);
            let whole = match cut {
                0..16 => 0,
                16..36 => 1,
                _ => 2,
            };
            assert_eq!(count, whole, "cut at {cut}");
            // Back pointers may be cut.
            let is_sound = matches!(cut, 0 | 16..=20 | 36..);
            assert_eq!(fault.is_none(), is_sound, "cut at {cut}");
        }
    }

    #[test]
    fn a_lying_length_ends_the_aggregate() {
        let mut payload = Vec::new();
        sub(&mut payload, 9, 10, b"video");
        let second = payload.len();
        sub(&mut payload, 8, 12, b"audio");
        payload[second + 1..second + 4].copy_from_slice(&[0xff; 3]);
        let length = 0x00ff_ffff;
        assert_eq!(
            yields(&payload),
            (1, Some(AggregateError::TooLong { length }))
        );
    }
}
