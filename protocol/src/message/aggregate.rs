//! Aggregate messages: type 22 (RTMP 1.0, section 7.1.6).
//!
//! The payload is a run of FLV tags, each followed by a four-byte back pointer. The first one's
//! time belongs to the aggregate's own; the others keep their distance from it.

use std::fmt;

use bytes::Bytes;

use super::{Message, MessageType};
use crate::RtmpTimestamp;

/// The tag header: type, length, time with its upper byte last, stream id.
const HEADER: usize = 11;

/// The length of the tag before, which ends each sub-message.
const BACK_POINTER: usize = 4;

/// The sub-messages of an aggregate, in order, on its message stream; their payloads share its
/// buffer. All inner lengths have been checked, so that either all of it arrives or nothing.
pub fn split(aggregate: &Message) -> Result<Split, AggregateError> {
    let mut split = Split {
        rest: aggregate.payload.clone(),
        stream: aggregate.stream,
        timestamp: aggregate.timestamp,
        first: None,
    };
    let mut check = split.clone();
    while let Some((_, length, used)) = check.head()? {
        debug_assert!(HEADER + length <= used);
        check.rest = check.rest.slice(used..);
    }
    split.first = split.head()?.map(|(head, ..)| time(&head));
    Ok(split)
}

/// Iterator over the sub-messages of an aggregate.
#[derive(Clone, Debug)]
pub struct Split {
    rest: Bytes,
    stream: crate::MessageStreamId,
    timestamp: RtmpTimestamp,
    /// The first sub-message's own time.
    first: Option<RtmpTimestamp>,
}

impl Split {
    /// The next sub-message's header, its payload's length, and what it takes in all. The last
    /// one may lack its back pointer.
    fn head(&self) -> Result<Option<([u8; HEADER], usize, usize)>, AggregateError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let Some((header, body)) = self.rest.split_first_chunk::<HEADER>() else {
            return Err(AggregateError::HeaderCutOff);
        };
        let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
        let used = match body.len().checked_sub(length) {
            Some(0) => HEADER + length,
            Some(after) if after >= BACK_POINTER => HEADER + length + BACK_POINTER,
            _ => return Err(AggregateError::TooLong { length }),
        };
        Ok(Some((*header, length, used)))
    }
}

impl Iterator for Split {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let (header, length, used) = self.head().ok().flatten()?;
        let offset = time(&header)
            .since(self.first.unwrap_or_default())
            .cast_unsigned();
        let message = Message {
            kind: MessageType(header[0]),
            stream: self.stream,
            timestamp: self.timestamp.advanced(offset),
            payload: self.rest.slice(HEADER..HEADER + length),
        };
        self.rest = self.rest.slice(used..);
        Some(message)
    }
}

/// A tag header's time.
fn time(header: &[u8; HEADER]) -> RtmpTimestamp {
    RtmpTimestamp(u32::from_be_bytes([
        header[7], header[4], header[5], header[6],
    ]))
}

/// Why an aggregate cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregateError {
    /// The last sub-message's header is cut off.
    HeaderCutOff,
    /// A sub-message is longer than what is left of the aggregate.
    TooLong {
        /// The length it states.
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
        let split: Vec<_> = split(&message).expect("sound lengths").collect();
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

    #[test]
    fn an_aggregate_cut_anywhere_is_refused_or_complete() {
        let mut payload = Vec::new();
        sub(&mut payload, 9, 10, b"video");
        sub(&mut payload, 8, 12, b"audio");
        let length = payload.len();
        for cut in 0..length {
            let result = split(&aggregate(payload[..cut].to_vec())).map(Iterator::count);
            match cut {
                0 => assert_eq!(result, Ok(0)),
                // Without the last back pointer, or all of the second.
                16 | 20 => assert_eq!(result, Ok(1)),
                36 => assert_eq!(result, Ok(2)),
                _ => assert!(result.is_err(), "cut at {cut}"),
            }
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        let mut payload = Vec::new();
        sub(&mut payload, 9, 10, b"video");
        payload[1..4].copy_from_slice(&[0xff; 3]);
        let error = split(&aggregate(payload)).map(Iterator::count);
        assert_eq!(
            error,
            Err(AggregateError::TooLong {
                length: 0x00ff_ffff
            })
        );
    }
}
