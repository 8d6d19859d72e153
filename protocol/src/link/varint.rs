//! Variable-length integers as in QUIC (RFC 9000, section 16).

use bytes::{Buf, BufMut};

use super::FrameError;

/// The largest value of the encoding: 2^62 - 1.
pub const MAX: u64 = (1 << 62) - 1;

/// Appends `value`, which must not exceed [`MAX`]; higher bits are cut.
pub fn encode(value: u64, out: &mut impl BufMut) {
    let value = value & MAX;
    if value < 1 << 6 {
        out.put_u8(value as u8);
    } else if value < 1 << 14 {
        out.put_u16(0x4000 | value as u16);
    } else if value < 1 << 30 {
        out.put_u32(0x8000_0000 | value as u32);
    } else {
        out.put_u64(0xc000_0000_0000_0000 | value);
    }
}

/// The count of bytes that [`encode`] appends.
pub fn length(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// Reads one integer from contiguous bytes and consumes it.
pub fn decode(input: &mut &[u8]) -> Result<u64, FrameError> {
    let (value, size) = peek(input).ok_or(FrameError::Truncated)?;
    input.advance(size);
    Ok(value)
}

/// The integer at the start of `bytes` and its size in bytes, if all of it is there.
pub fn peek(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let size = 1 << (first >> 6);
    let mut value = u64::from(first & 0x3f);
    for &byte in bytes.get(1..size)? {
        value = value << 8 | u64::from(byte);
    }
    Some((value, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_9000_hold() {
        for (bytes, value) in [
            (&[0x25][..], 37),
            (&[0x7b, 0xbd], 15_293),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (
                &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
                151_288_809_941_952_652,
            ),
        ] {
            assert_eq!(decode(&mut &*bytes), Ok(value));
            let mut out = Vec::new();
            encode(value, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(length(value), bytes.len());
            assert_eq!(
                decode(&mut &bytes[..bytes.len() - 1]),
                Err(FrameError::Truncated)
            );
        }
    }
}
