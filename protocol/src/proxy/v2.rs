//! Version 2: binary, with TLVs (section 2.2).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MAX_BINARY, MAX_UNIQUE_ID, ProxyFault, ProxyHeader, ProxyTls, client, crc32c};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes before the addresses.
const FIXED: usize = 16;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

/// Kinds of TLVs.
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;

/// The TLV's kind and length.
const FIELD_HEAD: usize = 3;

/// Bits of the first byte of an SSL TLV: TLS; a certificate in this connection, in this session.
const CLIENT_SSL: u8 = 0x01;
const CLIENT_CERTIFICATE: u8 = 0x02 | 0x04;

/// Reads a header that begins with [`SIGNATURE`], as far as `input` goes.
pub(super) fn read(input: &[u8]) -> Result<Option<(ProxyHeader<'_>, usize)>, ProxyFault> {
    let Some(&[command, family, high, low]) = input.get(SIGNATURE.len()..FIXED) else {
        return Ok(None);
    };
    let known = matches!(command, LOCAL | PROXY);
    // A health check's family is ignored.
    if !known || command == PROXY && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(ProxyFault::Kind { command, family });
    }
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BINARY {
        let limit = MAX_BINARY;
        return Err(ProxyFault::TooLong { limit });
    }
    let Some(bytes) = input.get(..length) else {
        return Ok(None);
    };
    let header = match command {
        LOCAL => ProxyHeader {
            is_local: true,
            ..ProxyHeader::default()
        },
        _ => proxied(bytes, family)?,
    };
    Ok(Some((header, length)))
}

/// The header of a connection with a client.
fn proxied(bytes: &[u8], family: u8) -> Result<ProxyHeader<'_>, ProxyFault> {
    let body = &bytes[FIXED..];
    let addresses = match family >> 4 {
        0 => 0,
        1 => 12,
        2 => 36,
        _ => 216,
    };
    let Some((addresses, fields)) = body.split_at_checked(addresses) else {
        let length = body.len();
        return Err(ProxyFault::Addresses { length });
    };
    let mut header = match read_fields(bytes, fields) {
        // Without a family the layout of the rest is not specified.
        Err(ProxyFault::Field { .. }) if family >> 4 == 0 => ProxyHeader::default(),
        read => read?,
    };
    header.client = source(family, addresses);
    Ok(header)
}

/// The source of a stream of IPv4 or IPv6.
fn source(family: u8, addresses: &[u8]) -> Option<SocketAddr> {
    match (family, addresses) {
        (0x11, &[a, b, c, d, _, _, _, _, high, low, ..]) => {
            let port = u16::from_be_bytes([high, low]);
            Some(client(Ipv4Addr::new(a, b, c, d).into(), port))
        }
        (0x21, addresses) => {
            let (address, rest) = addresses.split_first_chunk::<16>()?;
            let port = u16::from_be_bytes(*rest[16..].first_chunk()?);
            Some(client(Ipv6Addr::from(*address).into(), port))
        }
        _ => None,
    }
}

/// Reads the TLVs at the end of a header of `bytes`.
fn read_fields<'a>(bytes: &'a [u8], mut fields: &'a [u8]) -> Result<ProxyHeader<'a>, ProxyFault> {
    let mut header = ProxyHeader::default();
    let mut has_ssl = false;
    let mut checksum = None;
    while let Some(&kind) = fields.first() {
        let fault = ProxyFault::Field { kind };
        let (value, rest) = split_field(fields).ok_or(fault)?;
        let is_new = match kind {
            AUTHORITY => {
                let text = str::from_utf8(value).map_err(|_| fault)?;
                header.authority.replace(text).is_none()
            }
            CRC32C => {
                let place = bytes.len() - rest.len() - value.len();
                let sum = value.try_into().map_err(|_| fault)?;
                checksum.replace((place, sum)).is_none()
            }
            UNIQUE_ID if value.len() <= MAX_UNIQUE_ID => header.unique_id.replace(value).is_none(),
            UNIQUE_ID => false,
            SSL => {
                header.tls = read_ssl(value).ok_or(fault)?;
                !std::mem::replace(&mut has_ssl, true)
            }
            _ => true,
        };
        if !is_new {
            return Err(fault);
        }
        fields = rest;
    }
    match checksum {
        Some((place, sum)) => check(bytes, place, sum).map(|()| header),
        None => Ok(header),
    }
}

/// The first TLV's value, and the TLVs behind it.
fn split_field(fields: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, high, low], rest) = fields.split_first_chunk::<FIELD_HEAD>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))
}

/// The inner `None` is a connection without TLS. The verification's result is zero also for a client
/// without a certificate, as HAProxy sends it.
fn read_ssl(value: &[u8]) -> Option<Option<ProxyTls>> {
    let (&[client, verify @ ..], mut fields) = value.split_first_chunk::<5>()?;
    while !fields.is_empty() {
        (_, fields) = split_field(fields)?;
    }
    let has_verified_certificate = client & CLIENT_CERTIFICATE != 0 && verify == [0; 4];
    let tls = ProxyTls {
        has_verified_certificate,
    };
    Some((client & CLIENT_SSL != 0).then_some(tls))
}

/// Checks the sum that stands at `place`, where zeros stood when the sender added up.
fn check(bytes: &[u8], place: usize, sum: [u8; 4]) -> Result<(), ProxyFault> {
    let (before, rest) = bytes.split_at(place);
    let expected = crc32c::checksum(&[before, &[0; 4], &rest[4..]]);
    let is_right = expected == u32::from_be_bytes(sum);
    is_right.then_some(()).ok_or(ProxyFault::Checksum)
}
