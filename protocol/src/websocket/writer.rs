//! Frames of the server: whole, without a mask (RFC 6455, section 5.2).

use bytes::BufMut;

use super::{MAX_CONTROL, WebSocketClose, opcode};

/// The bit of a message's last frame.
const FINAL: u8 = 0x80;

/// The bytes before the payload of a server's frame: 2, 4 or 10 of them. The payload follows as it
/// is, so that many viewers share it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFrameHead {
    bytes: [u8; Self::MAX],
    length: u8,
}

impl ServerFrameHead {
    const MAX: usize = 10;

    /// The head of a binary message of `payload` bytes.
    pub fn binary(payload: usize) -> Self {
        Self::new(opcode::BINARY, payload)
    }

    fn new(opcode: u8, payload: usize) -> Self {
        let mut bytes = [0; Self::MAX];
        bytes[0] = FINAL | opcode;
        let length = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ 0..=125), _) => {
                bytes[1] = short;
                2
            }
            (_, Ok(medium)) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&medium.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        Self { bytes, length }
    }
}

impl AsRef<[u8]> for ServerFrameHead {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// Appends the answer to a ping: its payload, of which [`MAX_CONTROL`] bytes count. A client that
/// pings faster than it reads gets the answer to its last ping alone, if the driver so decides
/// (section 5.5.3).
pub fn write_pong(payload: &[u8], out: &mut impl BufMut) {
    let payload = &payload[..payload.len().min(MAX_CONTROL)];
    out.put_slice(ServerFrameHead::new(opcode::PONG, payload.len()).as_ref());
    out.put_slice(payload);
}

/// Appends a close frame, empty without a code. It is the last frame: the server sends none behind
/// it.
pub fn write_close(code: Option<WebSocketClose>, out: &mut impl BufMut) {
    let payload = code.map(|code| code.0.to_be_bytes());
    let payload = payload.as_ref().map_or(&[][..], |code| &code[..]);
    out.put_slice(ServerFrameHead::new(opcode::CLOSE, payload.len()).as_ref());
    out.put_slice(payload);
}
