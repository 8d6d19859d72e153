//! The stamp inside the media: the number of a message and its time of sending.

use rustix::time::{ClockId, clock_gettime};

use crate::wire;

/// The content of a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) sequence: u64,
    pub(crate) sent_nanos: u64,
}

impl Stamp {
    pub(crate) fn now(sequence: u64) -> Self {
        Self {
            sequence,
            sent_nanos: now_nanos(),
        }
    }

    /// Appends a video frame of `size` bytes with this stamp.
    pub(crate) fn video(self, out: &mut Vec<u8>, key: bool, size: usize) {
        let start = out.len();
        out.extend([if key { 0x17 } else { 0x27 }, 1, 0, 0, 0]);
        let nal = size.saturating_sub(VIDEO_AT) as u32;
        out.extend_from_slice(&nal.to_be_bytes());
        self.write(out);
        out.resize(start + size, 0x5a);
    }

    /// Appends an AAC frame of `size` bytes with this stamp.
    pub(crate) fn audio(self, out: &mut Vec<u8>, size: usize) {
        let start = out.len();
        out.extend([0xaf, 1]);
        self.write(out);
        out.resize(start + size, 0xa5);
    }

    /// Finds the stamp in the beginning of a message.
    pub(crate) fn find(kind: u8, prefix: &[u8]) -> Option<Self> {
        let at = match kind {
            wire::VIDEO => VIDEO_AT,
            wire::AUDIO => AUDIO_AT,
            _ => return None,
        };
        let stamp = prefix.get(at..at + 24)?;
        (stamp[..8] == MAGIC).then(|| Self {
            sequence: be64(&stamp[8..]),
            sent_nanos: be64(&stamp[16..]),
        })
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.sent_nanos.to_be_bytes());
    }
}

/// `CLOCK_MONOTONIC`, the same in every process of the machine.
pub(crate) fn now_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn be64(bytes: &[u8]) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[..8]);
    u64::from_be_bytes(value)
}

const MAGIC: [u8; 8] = *b"\0TRIBst\x01";
const VIDEO_AT: usize = 9;
const AUDIO_AT: usize = 2;
