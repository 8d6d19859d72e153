//! The header of the PROXY protocol, versions 1 and 2 (HAProxy, `doc/proxy-protocol.txt`).
//!
//! A proxy sends the header before the first byte of the client's connection. The header names the
//! client's address; version 2 may add the host that the client asked for, and whether it came by
//! TLS. The driver alone decides whether a connection begins with a header (section 5 of the
//! specification: a receiver that guesses lets any client choose its address), and accepts it only
//! from senders that it trusts.

mod crc32c;
mod v1;
mod v2;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

/// The longest header of version 1, its CR and LF included (section 2.1).
pub const MAX_TEXT: usize = 107;

/// The longest header of version 2 that is read, in bytes. The format allows 65,551. Senders put
/// addresses, a host name, a unique id and words about TLS into a few hundred bytes, and the
/// certificate of the client, if they send it, into some 2 KiB more.
pub const MAX_BINARY: usize = 4096;

/// The longest unique id in bytes (section 2.2.5).
pub const MAX_UNIQUE_ID: usize = 128;

/// A header, read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeader<'a> {
    /// The client's address; an IPv4-mapped IPv6 address is here as IPv4. `None` if the header names
    /// none: the address is unknown then, and not that of the proxy. This is so for LOCAL, UNKNOWN,
    /// UNSPEC, UNIX sockets and datagrams.
    pub client: Option<SocketAddr>,
    /// Whether the proxy itself opened the connection, without a client (LOCAL): a health check.
    pub is_local: bool,
    /// The host that the client asked for, its TLS server name as a rule. The bytes are the
    /// client's own.
    pub authority: Option<&'a str>,
    /// TLS between the client and the proxy; `None` without TLS.
    pub tls: Option<ProxyTls>,
    /// The proxy's id of the connection, at most [`MAX_UNIQUE_ID`] bytes.
    pub unique_id: Option<&'a [u8]>,
}

/// TLS between a client and a proxy (section 2.2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyTls {
    /// Whether the client has shown a certificate, and the proxy has verified it.
    pub has_verified_certificate: bool,
}

/// The reason for which a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFault {
    /// The first bytes are no signature of either version.
    Signature,
    /// More than [`MAX_TEXT`] or [`MAX_BINARY`] bytes.
    TooLong {
        /// The bound, in bytes.
        limit: usize,
    },
    /// A line of version 1 that is none of the specified forms.
    Line,
    /// A version, command, family or transport that the specification does not have.
    Kind {
        /// Version and command.
        command: u8,
        /// Family and transport.
        family: u8,
    },
    /// Version 2 is shorter than the addresses of its family.
    Addresses {
        /// The length in the header.
        length: usize,
    },
    /// A TLV whose length or content is wrong, or whose kind was there before.
    Field {
        /// The kind of the TLV.
        kind: u8,
    },
    /// The checksum does not fit the header.
    Checksum,
}

impl ProxyFault {
    /// Whether the header exceeded a limit; otherwise it broke the specification.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooLong { .. })
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "proxy_header_too_long",
            Self::Checksum => "proxy_header_checksum",
            _ => "proxy_header",
        }
    }
}

impl fmt::Display for ProxyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str("no PROXY header where one is due"),
            Self::TooLong { limit } => write!(f, "PROXY header of more than {limit} bytes"),
            Self::Line => f.write_str("malformed PROXY line"),
            Self::Kind { command, family } => write!(
                f,
                "PROXY header of an unknown kind (command {command:#04x}, family {family:#04x})"
            ),
            Self::Addresses { length } => {
                write!(f, "PROXY header with addresses of {length} bytes")
            }
            Self::Field { kind } => write!(f, "PROXY header with a malformed TLV {kind:#04x}"),
            Self::Checksum => f.write_str("PROXY header with a wrong checksum"),
        }
    }
}

impl std::error::Error for ProxyFault {}

/// Reads the header at the start of `input` and returns it with its length in bytes; the bytes
/// behind it are the client's. `None` if `input` ends within the header: the driver calls again with
/// more bytes behind the same ones. A wrong byte of the signature is an error as soon as it is there.
pub fn read(input: &[u8]) -> Result<Option<(ProxyHeader<'_>, usize)>, ProxyFault> {
    if starts_like(input, v1::SIGNATURE) {
        v1::read(input)
    } else if starts_like(input, v2::SIGNATURE) {
        v2::read(input)
    } else {
        Err(ProxyFault::Signature)
    }
}

/// Whether `input` begins with `signature`, as far as it goes.
fn starts_like(input: &[u8], signature: &[u8]) -> bool {
    let common = input.len().min(signature.len());
    input[..common] == signature[..common]
}

/// The address with IPv4 in place of the IPv6 form that stands for it.
fn client(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests;
