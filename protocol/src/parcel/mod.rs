//! Parcels: the state of a machine as bytes, by which another process takes a live connection over.
//!
//! A parcel is a version and fields; a field is a tag, a length and its bytes, which may be a record
//! of fields again. `docs/replace.md` of the repository specifies the bytes, lists the tags, and has the
//! rules for changing them. Each machine writes and reads its own record ([`Carried`]).
//!
//! A parcel has facts that the peer or the program have brought about. Whatever follows from limits
//! and settings is the importer's own, and state that does not fit them is refused. The machines hold
//! no clock, so a parcel has times as distances from the moment of its making; for the importer they
//! stand at the same distance from the moment of reading.

mod error;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

use std::time::Instant;

use bytes::Bytes;

pub use error::ParcelError;
pub use reader::ParcelReader;
pub use writer::ParcelWriter;

/// The version that [`ParcelWriter`] writes. A process reads this version and the one before.
pub const VERSION: u16 = 1;

/// The oldest version that is read.
const OLDEST: u16 = 1;

/// The longest parcel in bytes. Reason: the lane of a group with 100,000 sessions, each with a few
/// messages that wait for credit; a session has 20 MiB of incomplete messages at most.
pub const MAX_PARCEL: usize = 256 * 1024 * 1024;

/// Records within each other. Reason: the deepest machine has three of them, and a driver adds some
/// around it.
const MAX_DEPTH: u32 = 8;

/// The bits of a count, so that it can be added to.
const COUNT_BITS: u32 = 62;

/// The bytes of a tag and a length.
const FIELD_HEAD: usize = 2 + 4;

/// A state machine, or a part of one, that moves to another process.
pub trait Carried: Sized {
    /// The name of the record in errors, with its article.
    const NAME: &'static str;

    /// The importer's own part: limits, settings.
    type Limits: Copy;

    /// Writes the fields, in ascending order of their tags. A machine that cannot move as it is
    /// says so by [`ParcelWriter::refuse`].
    fn export(&self, parcel: &mut ParcelWriter);

    /// Reads the fields in the same order. The result is a machine that its own operations could
    /// have made within these limits.
    fn import(parcel: &mut ParcelReader<'_>, limits: Self::Limits) -> Result<Self, ParcelError>;
}

/// The parcel of one machine at `now`.
pub fn pack(machine: &impl Carried, now: Instant) -> Result<Bytes, ParcelError> {
    let mut parcel = ParcelWriter::new(now);
    machine.export(&mut parcel);
    parcel.finish()
}

/// The machine of a parcel of at most `most` bytes, which [`MAX_PARCEL`] bounds as well.
pub fn unpack<M: Carried>(
    parcel: &[u8],
    now: Instant,
    limits: M::Limits,
    most: usize,
) -> Result<M, ParcelError> {
    let mut reader = ParcelReader::new(parcel, M::NAME, now, most)?;
    let machine = M::import(&mut reader, limits)?;
    reader.finish()?;
    Ok(machine)
}
