//! Reading a parcel.

use std::time::{Duration, Instant};

use super::{COUNT_BITS, Carried, FIELD_HEAD, MAX_DEPTH, MAX_PARCEL, OLDEST, ParcelError, VERSION};

/// Reads the fields of one record, in ascending order of their tags.
///
/// It hands out parts of the parcel's bytes and allocates nothing. A list grows with the records that
/// are there, never by a number that the parcel states.
#[derive(Clone, Debug)]
pub struct ParcelReader<'p> {
    rest: &'p [u8],
    /// The name of the record in errors.
    record: &'static str,
    now: Instant,
    /// The levels of records that may stand in this one.
    depth: u32,
}

impl<'p> ParcelReader<'p> {
    /// A reader of a parcel's fields. It refuses a parcel of more than `most` bytes, or of more than
    /// [`MAX_PARCEL`]. Times stand at `now` as they stood at the making.
    pub fn new(
        parcel: &'p [u8],
        record: &'static str,
        now: Instant,
        most: usize,
    ) -> Result<Self, ParcelError> {
        let limit = most.min(MAX_PARCEL);
        if parcel.len() > limit {
            return Err(ParcelError::TooLong { limit });
        }
        let Some((version, rest)) = parcel.split_first_chunk() else {
            return Err(ParcelError::Truncated { record });
        };
        let version = u16::from_be_bytes(*version);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(ParcelError::Version { version });
        }
        Ok(Self {
            rest,
            record,
            now,
            depth: MAX_DEPTH,
        })
    }

    /// The moment of reading.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Ends the record: a field that is left is one that the reader does not know.
    pub fn finish(self) -> Result<(), ParcelError> {
        match self.peek()? {
            Some((tag, _)) => Err(self.unknown(tag)),
            None => Ok(()),
        }
    }

    /// Refuses the value of a field unless it is legal.
    pub fn require(&self, is_legal: bool, tag: u16) -> Result<(), ParcelError> {
        is_legal.then_some(()).ok_or_else(|| self.illegal(tag))
    }

    /// Refuses the state unless it keeps the importer's bound.
    pub fn fits(&self, is_within: bool, bound: &'static str) -> Result<(), ParcelError> {
        let record = self.record;
        is_within
            .then_some(())
            .ok_or(ParcelError::Limit { record, bound })
    }

    /// The error of a field with an illegal value.
    pub fn illegal(&self, tag: u16) -> ParcelError {
        let record = self.record;
        ParcelError::Value { record, tag }
    }

    /// The bytes of a field, if it is the next one.
    pub fn bytes_if(&mut self, tag: u16) -> Result<Option<&'p [u8]>, ParcelError> {
        match self.peek()? {
            Some((found, bytes)) if found == tag => {
                self.rest = &self.rest[FIELD_HEAD + bytes.len()..];
                Ok(Some(bytes))
            }
            Some((found, _)) if found < tag => Err(self.unknown(found)),
            _ => Ok(None),
        }
    }

    /// The bytes of a required field.
    pub fn bytes(&mut self, tag: u16) -> Result<&'p [u8], ParcelError> {
        self.bytes_if(tag)?.ok_or_else(|| self.missing(tag))
    }

    /// A text of at most `most` bytes, if it is the next field.
    pub fn text_if(&mut self, tag: u16, most: usize) -> Result<Option<&'p str>, ParcelError> {
        let Some(bytes) = self.bytes_if(tag)? else {
            return Ok(None);
        };
        self.fits(bytes.len() <= most, "bytes of a text")?;
        let text = str::from_utf8(bytes).map_err(|_| self.illegal(tag))?;
        Ok(Some(text))
    }

    /// The text of a required field, of at most `most` bytes.
    pub fn text(&mut self, tag: u16, most: usize) -> Result<&'p str, ParcelError> {
        self.text_if(tag, most)?.ok_or_else(|| self.missing(tag))
    }

    /// A number, if it is the next field.
    pub fn number_if<T: TryFrom<u64>>(&mut self, tag: u16) -> Result<Option<T>, ParcelError> {
        let Some(bytes) = self.bytes_if(tag)? else {
            return Ok(None);
        };
        let is_short = bytes.len() <= size_of::<u64>() && bytes.first() != Some(&0);
        self.require(is_short, tag)?;
        let value = bytes
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte));
        T::try_from(value).map(Some).map_err(|_| self.illegal(tag))
    }

    /// A required number.
    pub fn number<T: TryFrom<u64>>(&mut self, tag: u16) -> Result<T, ParcelError> {
        self.number_if(tag)?.ok_or_else(|| self.missing(tag))
    }

    /// A required number of at most 2^62, to which the machine adds.
    pub fn count(&mut self, tag: u16) -> Result<u64, ParcelError> {
        let count = self.number(tag)?;
        self.require(count <= 1 << COUNT_BITS, tag)?;
        Ok(count)
    }

    /// Whether the next field is this flag.
    pub fn flag(&mut self, tag: u16) -> Result<bool, ParcelError> {
        match self.number_if(tag)? {
            None => Ok(false),
            Some(1_u8) => Ok(true),
            Some(_) => Err(self.illegal(tag)),
        }
    }

    /// A time, if it is the next field.
    pub fn time_if(&mut self, tag: u16) -> Result<Option<Instant>, ParcelError> {
        let Some(value) = self.number_if::<u64>(tag)? else {
            return Ok(None);
        };
        let (distance, is_later) = (value >> 1, value & 1 == 1);
        self.require(distance <= 1 << COUNT_BITS && value != 1, tag)?;
        let distance = Duration::from_nanos(distance);
        let at = match is_later {
            true => self.now.checked_add(distance),
            false => self.now.checked_sub(distance),
        };
        at.map(Some).ok_or_else(|| self.illegal(tag))
    }

    /// A required time.
    pub fn time(&mut self, tag: u16) -> Result<Instant, ParcelError> {
        self.time_if(tag)?.ok_or_else(|| self.missing(tag))
    }

    /// The machine of a record, if it is the next field.
    pub fn carried_if<M: Carried>(
        &mut self,
        tag: u16,
        limits: M::Limits,
    ) -> Result<Option<M>, ParcelError> {
        self.record_if(tag, M::NAME, |parcel| M::import(parcel, limits))
    }

    /// The machine of a required record.
    pub fn carried<M: Carried>(&mut self, tag: u16, limits: M::Limits) -> Result<M, ParcelError> {
        self.carried_if(tag, limits)?
            .ok_or_else(|| self.missing(tag))
    }

    /// A record of this name, if it is the next field; `read` reads all of its fields.
    pub fn record_if<T>(
        &mut self,
        tag: u16,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, ParcelError>,
    ) -> Result<Option<T>, ParcelError> {
        let Some(rest) = self.bytes_if(tag)? else {
            return Ok(None);
        };
        let depth = self.depth.checked_sub(1).ok_or(ParcelError::TooDeep)?;
        let mut record = Self {
            rest,
            record: name,
            now: self.now,
            depth,
        };
        let value = read(&mut record)?;
        record.finish()?;
        Ok(Some(value))
    }

    /// The next field, with its bytes.
    fn peek(&self) -> Result<Option<(u16, &'p [u8])>, ParcelError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let record = self.record;
        let truncated = ParcelError::Truncated { record };
        let Some((&[a, b, length @ ..], rest)) = self.rest.split_first_chunk::<FIELD_HEAD>() else {
            return Err(truncated);
        };
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| truncated)?;
        let bytes = rest.get(..length).ok_or(truncated)?;
        Ok(Some((u16::from_be_bytes([a, b]), bytes)))
    }

    fn unknown(&self, tag: u16) -> ParcelError {
        let record = self.record;
        ParcelError::Unknown { record, tag }
    }

    fn missing(&self, tag: u16) -> ParcelError {
        let record = self.record;
        ParcelError::Missing { record, tag }
    }
}
