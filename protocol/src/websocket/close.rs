//! Close codes, and the faults that lead to them.

use std::fmt;

/// The code of a close frame (RFC 6455, section 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketClose(pub u16);

impl WebSocketClose {
    /// The connection has done its work.
    pub const NORMAL: Self = Self(1000);
    /// The server stops.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of message that is not accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// The peer sent text that is no UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// The peer may not do what it did.
    pub const POLICY: Self = Self(1008);

    /// Whether a peer may send this code: 1000 to 1015 but for those that are reserved, and 3000 to
    /// 4999.
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// The reason for which a peer's frames are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WebSocketFault {
    /// A frame without a mask (section 5.1).
    Unmasked,
    /// A reserved bit: no extension is negotiated.
    ReservedBits,
    /// An opcode without a meaning.
    Opcode { opcode: u8 },
    /// A text message.
    Text,
    /// A control frame that is fragmented, or longer than [`MAX_CONTROL`](super::MAX_CONTROL).
    Control,
    /// A length with its highest bit, or in more bytes than it needs (section 5.2).
    Length,
    /// A fragment without a beginning, or a second beginning.
    Fragment,
    /// A close frame of one byte, or with a code that may not be sent.
    CloseCode,
    /// A close frame whose reason is no text.
    CloseReason,
}

impl WebSocketFault {
    /// The code of the close frame to send.
    pub fn close(&self) -> WebSocketClose {
        match self {
            Self::Text => WebSocketClose::UNSUPPORTED,
            Self::CloseReason => WebSocketClose::INVALID_DATA,
            _ => WebSocketClose::PROTOCOL_ERROR,
        }
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Text => "websocket_text",
            Self::Unmasked => "websocket_unmasked",
            _ => "websocket_frame",
        }
    }
}

impl fmt::Display for WebSocketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unmasked => "WebSocket frame without a mask",
            Self::ReservedBits => "WebSocket frame with reserved bits",
            Self::Opcode { opcode } => {
                return write!(f, "WebSocket frame of unknown opcode {opcode:#x}");
            }
            Self::Text => "WebSocket text message",
            Self::Control => "WebSocket control frame that is fragmented or too long",
            Self::Length => "WebSocket frame whose length is not in its shortest form",
            Self::Fragment => "WebSocket fragment out of place",
            Self::CloseCode => "WebSocket close frame with an invalid code",
            Self::CloseReason => "WebSocket close frame whose reason is no text",
        })
    }
}

impl std::error::Error for WebSocketFault {}
