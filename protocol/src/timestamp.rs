//! RTMP's wrapping 32-bit time.

use std::cmp::Ordering;

/// Milliseconds on a wrapping 32-bit clock (RTMP 1.0, section 5.1).
///
/// Order and distance follow serial number arithmetic: of two timestamps, the later one is less
/// than 2^31 ms ahead of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RtmpTimestamp(pub u32);

impl RtmpTimestamp {
    /// `self` moved by `delta` milliseconds, wrapping.
    pub fn advanced(self, delta: u32) -> Self {
        Self(self.0.wrapping_add(delta))
    }

    /// Signed milliseconds from `earlier` to `self`, in [-2^31, 2^31).
    pub fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Serial order: the shorter way round the clock decides whether `self` is later than the other
    /// or equal.
    pub fn serial_cmp(self, other: Self) -> Ordering {
        self.since(other).cmp(&0)
    }
}
