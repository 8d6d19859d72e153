//! The sending side of a connection in a parcel.

use bytes::{Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tributary_protocol::{
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    session::{ConnectionLimits, ServerConnection},
};

use super::{Begun, Merging, Rest, Throttle, Transport, Wire};

const CONNECTION: u16 = 1;
const BEGUN: u16 = 2;
const UNSENT: u16 = 3;
const PROGRESS: u16 = 4;
const SENT: u16 = 5;
const MESSAGES: u16 = 6;
const DROPPED: u16 = 7;
const REFUSES_MERGING: u16 = 8;
const LIMIT: u16 = 9;

impl Wire {
    /// Writes the state, but for the transport. The next write of the other process finds out
    /// whether the socket takes bytes.
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.carry(CONNECTION, &*self.session.borrow());
        if let Some(begun) = &*self.begun.borrow() {
            let head = &begun.head[begun.sent.min(begun.head.len())..];
            let body = &begun.body[begun.sent.saturating_sub(begun.head.len())..];
            parcel.bytes(BEGUN, &[head, body].concat());
        }
        parcel.bytes(UNSENT, &self.unsent.borrow());
        parcel.time_if(PROGRESS, self.progress.get());
        parcel.number(SENT, self.sent.get());
        parcel.number(MESSAGES, self.messages.get());
        parcel.number(DROPPED, self.dropped.get());
        parcel.flag(REFUSES_MERGING, !self.may_merge());
        if let Some(limit) = &*self.limit.borrow() {
            parcel.carry(LIMIT, &**limit);
        }
    }

    /// The sending side of a parcel, on this transport.
    pub(crate) fn import(
        parcel: &mut ParcelReader<'_>,
        transport: Transport,
        limits: ConnectionLimits,
        all_sent: Counter,
        rest: Rest,
    ) -> Result<Self, ParcelError> {
        let session: ServerConnection = parcel.carried(CONNECTION, limits)?;
        let wire = Self::new(transport, session, all_sent, rest);
        if let Some(rest) = parcel.bytes_if(BEGUN)? {
            parcel.require(!rest.is_empty(), BEGUN)?;
            *wire.begun.borrow_mut() = Some(Box::new(Begun {
                head: rest.into(),
                body: Bytes::new(),
                sent: 0,
            }));
        }
        *wire.unsent.borrow_mut() = BytesMut::from(parcel.bytes(UNSENT)?);
        wire.progress.set(parcel.time_if(PROGRESS)?);
        wire.sent.set(parcel.count(SENT)?);
        wire.messages.set(parcel.count(MESSAGES)?);
        wire.dropped.set(parcel.count(DROPPED)?);
        if parcel.flag(REFUSES_MERGING)? {
            wire.merging.set(Merging::Refused);
        }
        let limit: Option<Throttle> = parcel.carried_if(LIMIT, ())?;
        *wire.limit.borrow_mut() = limit.map(Box::new);
        // The socket has the options that it had at the other process.
        wire.transport.set_merging(false);
        wire.rest.restore(&wire.transport);
        Ok(wire)
    }
}
