//! A session of a lane's edge in a parcel.

use std::collections::VecDeque;

use super::EdgeSession;
use crate::{
    SessionId,
    link::{
        FromSession,
        inbound::Assembly,
        lane_frame::ToOrigin,
        parcel_frame::{
            claims_of_parcel, event_of_parcel, frame_of_parcel, parcel_claims, parcel_event,
            to_origin,
        },
        rate::Bucket,
    },
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

// Tag 1 is the session's number, which the lane writes.
const EVENT: u16 = 2;
const BEGUN: u16 = 3;
const USED: u16 = 4;
const LIMIT: u16 = 5;
const FULL_AT: u16 = 6;
const CLOSING: u16 = 7;
const ACCEPTED: u16 = 8;
const ASSEMBLY: u16 = 9;
const CLAIMS: u16 = 10;

/// Events of a session that wait in its lane. Reason: one read has 64 KiB, and the shortest message
/// that enters a lane has two bytes of it; a park has room for 512 more, and few other events come
/// beside them. A single session must not keep its lane from moving.
const MAX_EVENTS: usize = 65_536;

impl EdgeSession {
    /// Events and messages under way are written as frames of the link, each message in one. The part that has
    /// left of the first one stays behind.
    pub(in crate::link::edge_lane) fn export(&self, parcel: &mut ParcelWriter, session: SessionId) {
        for (n, event) in self.queue.iter().enumerate() {
            let mut event = event.clone();
            if let (0, FromSession::Message { message, .. }) = (n, &mut event) {
                message.payload = message.payload.slice(self.sent.unwrap_or(0)..);
            }
            parcel.bytes(EVENT, &parcel_event(session, event));
        }
        parcel.flag(BEGUN, self.sent.is_some());
        parcel.number(USED, self.used);
        parcel.number(LIMIT, self.limit);
        parcel.time_if(FULL_AT, self.bucket.full_at());
        parcel.flag(CLOSING, self.closing);
        parcel.flag(ACCEPTED, self.accepted);
        if let Some(assembly) = &self.assembly {
            let fragment = assembly.to_fragment();
            let fragment = ToOrigin::Fragment { session, fragment };
            parcel.bytes(ASSEMBLY, &to_origin(&fragment));
        }
        if let Some(FromSession::Open(open)) = self.queue.front()
            && let Some(claims) = &open.claims
        {
            parcel.bytes(CLAIMS, &parcel_claims(session, claims));
        }
    }

    pub(in crate::link::edge_lane) fn import(
        parcel: &mut ParcelReader<'_>,
        session: SessionId,
    ) -> Result<Self, ParcelError> {
        let mut queue = VecDeque::new();
        while let Some(bytes) = parcel.bytes_if(EVENT)? {
            parcel.fits(queue.len() < MAX_EVENTS, "events that wait")?;
            let event = event_of_parcel(bytes, session).ok_or_else(|| parcel.illegal(EVENT))?;
            queue.push_back(event);
        }
        let begun = parcel.flag(BEGUN)?;
        let has_rest = match queue.front() {
            Some(FromSession::Message { message, .. }) => !message.payload.is_empty(),
            _ => false,
        };
        parcel.require(has_rest || !begun, BEGUN)?;
        let used = parcel.count(USED)?;
        let limit = parcel.count(LIMIT)?;
        parcel.require(used <= limit, LIMIT)?;
        let bucket = Bucket::full(parcel.time_if(FULL_AT)?);
        let closing = parcel.flag(CLOSING)?;
        let closes = queue.iter().any(|it| matches!(it, FromSession::Close(_)));
        parcel.require(closes == closing, CLOSING)?;
        let accepted = parcel.flag(ACCEPTED)?;
        let assembly = match parcel.bytes_if(ASSEMBLY)? {
            None => None,
            Some(bytes) => {
                let assembly = assembly(bytes, session).filter(|_| !closing);
                Some(Box::new(assembly.ok_or_else(|| parcel.illegal(ASSEMBLY))?))
            }
        };
        if let Some(bytes) = parcel.bytes_if(CLAIMS)? {
            let claims = claims_of_parcel(bytes, session);
            match (queue.front_mut(), claims) {
                (Some(FromSession::Open(open)), Some(claims)) => open.claims = Some(claims),
                _ => return Err(parcel.illegal(CLAIMS)),
            }
        }
        Ok(Self {
            queue,
            sent: begun.then_some(0),
            used,
            limit,
            in_turns: false,
            bucket,
            closing,
            accepted,
            assembly,
            kept: None,
        })
    }
}

/// The message under way of a frame of this session.
fn assembly(bytes: &[u8], session: SessionId) -> Option<Assembly> {
    match ToOrigin::decode(&frame_of_parcel(bytes)?).ok()? {
        ToOrigin::Fragment {
            session: of,
            fragment,
        } if of == session => Assembly::of(&fragment),
        _ => None,
    }
}
