//! Writing a parcel.

use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use super::{COUNT_BITS, Carried, FIELD_HEAD, MAX_PARCEL, ParcelError, VERSION};

/// Writes the fields of a parcel, and of records in it.
///
/// A failure, a parcel that grows too long or a machine that cannot move, is kept until
/// [`Self::finish`], so that exporters have no errors of their own.
#[derive(Debug)]
pub struct ParcelWriter {
    bytes: BytesMut,
    now: Instant,
    failed: Option<ParcelError>,
}

impl ParcelWriter {
    /// A parcel that begins with its version. Times are written as they stand at `now`.
    pub fn new(now: Instant) -> Self {
        let mut bytes = BytesMut::new();
        bytes.put_u16(VERSION);
        Self {
            bytes,
            now,
            failed: None,
        }
    }

    /// The bytes of the parcel, or the first failure.
    pub fn finish(self) -> Result<Bytes, ParcelError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.bytes.freeze()),
        }
    }

    /// Notes that a machine cannot move while it is in this state.
    pub fn refuse(&mut self, state: &'static str) {
        self.fail(ParcelError::Unsettled { state });
    }

    /// A field of bytes.
    pub fn bytes(&mut self, tag: u16, bytes: &[u8]) {
        if self.bytes.len() + FIELD_HEAD + bytes.len() > MAX_PARCEL {
            return self.fail(ParcelError::TooLong { limit: MAX_PARCEL });
        }
        self.bytes.put_u16(tag);
        // MAX_PARCEL is below 2^32.
        self.bytes.put_u32(bytes.len() as u32);
        self.bytes.put_slice(bytes);
    }

    /// A number: the fewest bytes that hold it, most significant first; none for 0.
    pub fn number(&mut self, tag: u16, value: impl Into<u64>) {
        let value = value.into();
        let unused = value.leading_zeros() / u8::BITS;
        self.bytes(tag, &value.to_be_bytes()[unused as usize..]);
    }

    /// A number, if there is one.
    pub fn number_if(&mut self, tag: u16, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.number(tag, value);
        }
    }

    /// The number 1 for true, no field for false.
    pub fn flag(&mut self, tag: u16, value: bool) {
        self.number_if(tag, value.then_some(1_u8));
    }

    /// A time: its distance from now in nanoseconds, doubled, and 1 more if it is yet to come.
    pub fn time(&mut self, tag: u16, at: Instant) {
        let nanos = |distance: Duration| {
            let most = 1 << COUNT_BITS;
            u64::try_from(distance.as_nanos()).map_or(most, |it| it.min(most))
        };
        let ahead = nanos(at.saturating_duration_since(self.now));
        let ago = nanos(self.now.saturating_duration_since(at));
        let later = u64::from(ahead > 0);
        self.number(tag, ahead.max(ago) << 1 | later);
    }

    /// A time, if there is one.
    pub fn time_if(&mut self, tag: u16, at: Option<Instant>) {
        if let Some(at) = at {
            self.time(tag, at);
        }
    }

    /// The record of a machine.
    pub fn carry(&mut self, tag: u16, machine: &impl Carried) {
        self.record(tag, |parcel| machine.export(parcel));
    }

    /// A record, whose fields `write` writes.
    pub fn record(&mut self, tag: u16, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes(tag, &[]);
        if self.failed.is_some() {
            return;
        }
        write(self);
        let body = start + FIELD_HEAD;
        let length = (self.bytes.len() - body) as u32;
        self.bytes[body - 4..body].copy_from_slice(&length.to_be_bytes());
    }

    /// A record for each machine, one after the other under the same tag.
    pub fn carry_all<'m, M: Carried + 'm>(
        &mut self,
        tag: u16,
        machines: impl IntoIterator<Item = &'m M>,
    ) {
        for machine in machines {
            self.carry(tag, machine);
        }
    }

    fn fail(&mut self, error: ParcelError) {
        self.failed.get_or_insert(error);
    }
}
