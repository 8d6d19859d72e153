//! Frames of the link as the contents of a parcel's fields: with their heads, of any length.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{
    ClientClaims, FromSession,
    frame::Frame,
    lane_frame::{Fragment, ToEdge, ToOrigin},
    varint,
};
use crate::SessionId;

/// An event of a session as one frame. The claims of an opening are not in it: [`parcel_claims`].
pub fn parcel_event(session: SessionId, event: FromSession) -> BytesMut {
    to_origin(&ToOrigin::Session { session, event })
}

/// The event of a frame of this session.
pub fn event_of_parcel(bytes: &[u8], session: SessionId) -> Option<FromSession> {
    match ToOrigin::decode(&frame_of_parcel(bytes)?).ok()? {
        ToOrigin::Session { session: of, event } if of == session => Some(event),
        ToOrigin::Fragment {
            session: of,
            fragment,
        } if of == session => {
            let Fragment { head, data } = fragment;
            let head = head.filter(|head| head.length as usize == data.len())?;
            Some(FromSession::Message {
                generation: head.generation,
                message: head.message(data),
            })
        }
        _ => None,
    }
}

/// The claims of an opening as a frame.
pub fn parcel_claims(session: SessionId, claims: &Arc<ClientClaims>) -> BytesMut {
    let claims = Arc::clone(claims);
    to_origin(&ToOrigin::Claims { session, claims })
}

/// The claims of a frame of this session.
pub fn claims_of_parcel(bytes: &[u8], session: SessionId) -> Option<Arc<ClientClaims>> {
    match ToOrigin::decode(&frame_of_parcel(bytes)?).ok()? {
        ToOrigin::Claims {
            session: of,
            claims,
        } if of == session => Some(claims),
        _ => None,
    }
}

/// A frame towards the origin, for a field.
pub(super) fn to_origin(frame: &ToOrigin) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

/// A frame towards the edge, for a field.
pub(super) fn to_edge(frame: &ToEdge) -> BytesMut {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    bytes
}

/// The frame of a field.
pub(super) fn frame_of_parcel(bytes: &[u8]) -> Option<Frame> {
    let (kind, kind_size) = varint::peek(bytes)?;
    let (length, length_size) = varint::peek(&bytes[kind_size..])?;
    let body = &bytes[kind_size + length_size..];
    let is_whole = usize::try_from(length) == Ok(body.len());
    is_whole.then(|| Frame {
        kind,
        body: Bytes::copy_from_slice(body),
    })
}
