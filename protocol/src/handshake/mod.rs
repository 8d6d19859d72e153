//! The RTMP handshake (RTMP 1.0, section 5.2): C0, C1, C2 and S0, S1, S2.
//!
//! There are two kinds: the simple one of the specification, and the one with digests that Flash
//! Player 9 and later need for H.264. The server follows the kind of C1. For a C1 whose digest does
//! not verify it uses the simple kind, which every client can finish. The echo of the peer in C2 or
//! S2 is not checked: real peers differ, and nothing depends on it.

mod client;
mod digest;
mod server;

pub use client::ClientHandshake;
pub use server::ServerHandshake;

use std::fmt;

/// The length of C1, C2, S1 and S2.
pub const PACKET: usize = 1536;

/// The random bytes that a C1 or S1 needs.
pub const RANDOM: usize = PACKET - 8;

/// The version in C0 and S0.
const VERSION: u8 = 3;

/// The kind of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeKind {
    /// The kind of the specification: each side echoes the other's random bytes.
    Simple,
    /// With HMAC-SHA256 digests, as in Flash Player 9 and later.
    Digest,
}

/// The reason for which a handshake fails: the first byte is not RTMP's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Version 6, 8 or 9: RTMPE. It is not supported, since its encryption protects no client.
    Encrypted { version: u8 },
    /// A TLS record: the peer uses RTMPS or HTTPS.
    Tls,
    /// An HTTP request, for RTMPT or by mistake.
    Http,
    /// Any other version.
    Version { version: u8 },
}

impl Error {
    /// Whether the peer uses a protocol that exists and is not supported; otherwise it violated
    /// RTMP.
    pub fn is_unsupported(&self) -> bool {
        !matches!(self, Self::Version { .. })
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Encrypted { .. } => "handshake_rtmpe",
            Self::Tls => "handshake_tls",
            Self::Http => "handshake_http",
            Self::Version { .. } => "handshake_version",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted { version } => write!(f, "RTMPE (version {version}) is not supported"),
            Self::Tls => f.write_str("TLS on a plain RTMP port"),
            Self::Http => f.write_str("HTTP on an RTMP port"),
            Self::Version { version } => write!(f, "handshake version {version} is not supported"),
        }
    }
}

impl std::error::Error for Error {}

/// Checks C0 or S0.
fn check_version(version: u8) -> Result<(), Error> {
    match version {
        VERSION => Ok(()),
        6 | 8 | 9 => Err(Error::Encrypted { version }),
        0x16 => Err(Error::Tls),
        b'A'..=b'Z' => Err(Error::Http),
        _ => Err(Error::Version { version }),
    }
}

/// Moves bytes from `input` into `packet`, of which `*filled` have arrived; true once it is full.
fn fill(packet: &mut [u8], filled: &mut usize, input: &mut &[u8]) -> bool {
    let (bytes, rest) = input.split_at(input.len().min(packet.len() - *filled));
    packet[*filled..*filled + bytes.len()].copy_from_slice(bytes);
    *filled += bytes.len();
    *input = rest;
    *filled == packet.len()
}

/// Drops bytes of `input`, of which `*left` remain to be dropped; true once none remain.
fn skip(left: &mut usize, input: &mut &[u8]) -> bool {
    let count = input.len().min(*left);
    *input = &input[count..];
    *left -= count;
    *left == 0
}

#[cfg(test)]
mod tests;
