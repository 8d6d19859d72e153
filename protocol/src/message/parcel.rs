//! A message in a parcel.

use bytes::Bytes;

use super::{Message, MessageType};
use crate::{
    MessageStreamId, RtmpTimestamp,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

/// The longest payload on the RTMP wire (RTMP 1.0, 5.3.1.2.1), in bytes.
const MAX_PAYLOAD: usize = 0xff_ffff;

const KIND: u16 = 1;
const STREAM: u16 = 2;
const TIMESTAMP: u16 = 3;
const PAYLOAD: u16 = 4;

impl Carried for Message {
    const NAME: &'static str = "a message";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(KIND, self.kind.0);
        parcel.number(STREAM, self.stream.0);
        parcel.number(TIMESTAMP, self.timestamp.0);
        parcel.bytes(PAYLOAD, &self.payload);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let kind = MessageType(parcel.number(KIND)?);
        let stream = MessageStreamId(parcel.number(STREAM)?);
        let timestamp = RtmpTimestamp(parcel.number(TIMESTAMP)?);
        let payload = parcel.bytes(PAYLOAD)?;
        parcel.fits(payload.len() <= MAX_PAYLOAD, "bytes of a message")?;
        Ok(Self {
            kind,
            stream,
            timestamp,
            payload: Bytes::copy_from_slice(payload),
        })
    }
}
