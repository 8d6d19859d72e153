//! The last frame of a lane whose group goes on elsewhere.

use bytes::BufMut;

use super::HANDED_OVER;
use crate::link::{
    FrameError,
    frame::{self, Frame, put_str, take_str, take_u8},
    names::MAX_NAME,
};

/// The last frame of a lane from its origin: the lane's group has stopped here, and goes on elsewhere with
/// the sessions that the edge brings there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOver {
    /// Whether exactly those messages were carried out that the origin has reported as handled.
    pub settled: bool,
    /// The origin at which the group goes on, by its name in the edges' configurations; empty: the next
    /// process of this one.
    pub origin: String,
}

impl HandedOver {
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        let mut body = vec![u8::from(self.settled)];
        put_str(&self.origin, &mut body);
        frame::encode(HANDED_OVER, &body, out);
    }

    pub(super) fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        let settled = match take_u8(input)? {
            0 => false,
            1 => true,
            _ => return Err(FrameError::Value),
        };
        let origin = take_str(input, MAX_NAME)?.to_owned();
        Ok(Self { settled, origin })
    }
}
