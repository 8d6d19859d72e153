//! RTMP in WebSocket messages (RFC 6455), the server's side.
//!
//! The payloads of binary messages, one after the other, are the bytes of an RTMP connection; the
//! bounds of messages and frames have no meaning. So the reader holds no message: it unmasks a
//! frame's payload where it stands and returns it as it comes, whatever length the frame has. There
//! are no text messages and no extensions, and a subprotocol only as a name.

mod close;
mod handshake;
mod mask;
mod reader;
mod writer;

pub use close::{WebSocketClose, WebSocketFault};
pub use handshake::{MAX_ACCEPT, choose_subprotocol, write_accept};
pub use reader::{ControlPayload, WebSocketEvent, WebSocketReader};
pub use writer::{ServerFrameHead, write_close, write_pong};

/// The payload of a control frame in bytes (RFC 6455, section 5.5).
pub const MAX_CONTROL: usize = 125;

/// The opcodes in use (RFC 6455, section 5.2).
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xa;
}

#[cfg(test)]
mod tests;
