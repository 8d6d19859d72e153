//! Bytes that a level holds because the kernel has not taken them.

use std::io;

/// Sends held bytes with `send`. Returns whether all of them left.
pub(super) fn send_held(
    held: &mut Vec<u8>,
    mut send: impl FnMut(&[u8]) -> io::Result<usize>,
) -> io::Result<bool> {
    let mut sent = 0;
    while sent < held.len() {
        match send(&held[sent..]) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                held.drain(..sent);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
    }
    // A client that keeps up owns no buffer.
    *held = Vec::new();
    Ok(true)
}
