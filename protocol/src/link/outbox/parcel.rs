//! The outbox of a lane's edge in a parcel.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{Batch, Outbox, frame_size};
use crate::{
    link::{lane_frame::is_numbered, varint},
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

const NUMBERED: u16 = 1;
const ACKNOWLEDGED: u16 = 2;
const BATCH: u16 = 3;
const FILLING: u16 = 4;

/// The importer has sent nothing yet: its connection resumes the lane. Frames without a number stay
/// behind, since the lane encodes them anew.
impl Carried for Outbox {
    const NAME: &'static str = "the lane's outbox";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(NUMBERED, self.numbered);
        parcel.number(ACKNOWLEDGED, self.acknowledged);
        for batch in &self.batches {
            parcel.bytes(BATCH, &batch.bytes);
        }
        parcel.bytes(FILLING, &self.filling);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let numbered = parcel.count(NUMBERED)?;
        let acknowledged = parcel.count(ACKNOWLEDGED)?;
        let mut batches = VecDeque::new();
        let (mut retained, mut frames) = (0, 0);
        while let Some(bytes) = parcel.bytes_if(BATCH)? {
            let count = numbered_frames(bytes).filter(|count| *count > 0);
            let count = count.ok_or_else(|| parcel.illegal(BATCH))?;
            frames += count;
            retained += bytes.len();
            batches.push_back(Batch {
                bytes: Bytes::copy_from_slice(bytes),
                frames: count,
                end: frames,
            });
        }
        let filling = parcel.bytes(FILLING)?;
        let filling_frames = numbered_frames(filling).ok_or_else(|| parcel.illegal(FILLING))?;
        // The number of the first frame that is kept.
        let first = numbered.checked_sub(frames + filling_frames);
        let first = first.filter(|first| (*first..=first + frames).contains(&acknowledged));
        let first = first.ok_or_else(|| parcel.illegal(ACKNOWLEDGED))?;
        batches.iter_mut().for_each(|batch| batch.end += first);
        Ok(Self {
            batches,
            filling: BytesMut::from(filling),
            filling_frames,
            numbered,
            acknowledged,
            retained,
            ..Self::default()
        })
    }
}

/// The count of frames in bytes that hold whole frames with numbers alone.
fn numbered_frames(mut bytes: &[u8]) -> Option<u64> {
    let mut count = 0;
    while varint::peek(bytes).is_some_and(|(kind, _)| is_numbered(kind)) {
        bytes = &bytes[frame_size(bytes).ok()?..];
        count += 1;
    }
    bytes.is_empty().then_some(count)
}
