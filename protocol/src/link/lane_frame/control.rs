//! Statistics, bandwidth and ping of a session's connection.

use bytes::BufMut;

use super::{BANDWIDTH, MAX_FRAGMENT, STATISTICS, put_session};
use crate::{
    SessionId,
    link::{FrameError, frame, varint},
};

/// The traffic of a session's connection since its start, as its edge counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// RTMP messages received, without those about the connection itself.
    pub messages_in: u64,
    /// RTMP messages sent, media included.
    pub messages_out: u64,
    /// Messages of live streams that were dropped.
    pub messages_dropped: u64,
    /// Bytes queued for the client.
    pub queued: u64,
    /// The client's last answer to a ping took this long, in milliseconds.
    pub round_trip_ms: Option<u32>,
    /// [`frames`] of the session's messages from the origin that the edge had received; none
    /// towards an origin without the feature [`COUNTED`](crate::link::features::COUNTED).
    pub received: Option<u64>,
}

/// The count of frames for a message with a payload of this length.
pub fn frames(payload: usize) -> u64 {
    payload.div_ceil(MAX_FRAGMENT).max(1) as u64
}

/// The speed limits of a session's connection, in bytes per second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Towards the client, media included.
    pub to_client: Option<u32>,
    /// From the client.
    pub from_client: Option<u32>,
}

impl Statistics {
    pub(super) fn encode(&self, session: SessionId, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(48);
        put_session(session, &mut body);
        let round_trip = self.round_trip_ms.map_or(0, |ms| u64::from(ms) + 1);
        for value in [
            self.bytes_in,
            self.bytes_out,
            self.messages_in,
            self.messages_out,
            self.messages_dropped,
            self.queued,
            round_trip,
        ]
        .into_iter()
        .chain(self.received)
        {
            varint::encode(value, &mut body);
        }
        frame::encode(STATISTICS, &body, out);
    }

    pub(super) fn decode(input: &mut &[u8]) -> Result<Self, FrameError> {
        Ok(Self {
            bytes_in: varint::decode(input)?,
            bytes_out: varint::decode(input)?,
            messages_in: varint::decode(input)?,
            messages_out: varint::decode(input)?,
            messages_dropped: varint::decode(input)?,
            queued: varint::decode(input)?,
            round_trip_ms: varint::decode(input)?
                .checked_sub(1)
                .map(|ms| u32::try_from(ms).map_err(|_| FrameError::Value))
                .transpose()?,
            received: match input.is_empty() {
                true => None,
                false => Some(varint::decode(input)?),
            },
        })
    }
}

impl Bandwidth {
    pub(super) fn encode(self, session: SessionId, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(32);
        put_session(session, &mut body);
        for limit in [self.to_client, self.from_client] {
            varint::encode(u64::from(limit.unwrap_or(0)), &mut body);
        }
        frame::encode(BANDWIDTH, &body, out);
    }

    pub(super) fn decode(input: &mut &[u8]) -> Result<Self, FrameError> {
        let mut limit = || frame::take_varint_u32(input).map(|limit| (limit > 0).then_some(limit));
        Ok(Self {
            to_client: limit()?,
            from_client: limit()?,
        })
    }
}
