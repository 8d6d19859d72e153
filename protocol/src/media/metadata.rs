//! Recognising `onMetaData` without decoding it.

/// Whether a data message's payload (types 18 and 15) sets the stream's metadata.
pub(super) fn is_metadata(payload: &[u8]) -> bool {
    // Type 15 begins with a format byte of 0, which as an AMF0 marker would be a number.
    let payload = match payload {
        [0, 0x02 | 0x0c | 0x11, ..] => &payload[1..],
        _ => payload,
    };
    match string(payload) {
        Some((b"onMetaData", _)) => true,
        Some((b"@setDataFrame", rest)) => matches!(string(rest), Some((b"onMetaData", _))),
        _ => false,
    }
}

/// An AMF0 string, or a short literal AMF3 string behind the AMF0 switch, and the bytes behind it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    match bytes {
        [0x02, high, low, rest @ ..] => {
            rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
        }
        // U29S-value: the length shifted left, low bit set; the names in question fit one byte.
        [0x11, 0x06, length, rest @ ..] if length & 0x81 == 0x01 => {
            rest.split_at_checked(usize::from(length >> 1))
        }
        _ => None,
    }
}
