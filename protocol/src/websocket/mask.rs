//! The mask of a client's frames (RFC 6455, section 5.3).

/// A frame's mask, turned to the next byte of the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mask([u8; 4]);

impl Mask {
    pub(super) fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// The key, turned to the next byte.
    pub(super) fn key(self) -> [u8; 4] {
        self.0
    }

    /// Unmasks the next bytes of the payload.
    pub(super) fn apply(&mut self, bytes: &mut [u8]) {
        let word = u32::from_ne_bytes(self.0);
        let (words, rest) = bytes.as_chunks_mut::<4>();
        for bytes in words {
            *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0) {
            *byte ^= key;
        }
        self.0.rotate_left(rest.len());
    }
}
