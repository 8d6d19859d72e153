//! Version 1: a line of text (section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{MAX_TEXT, ProxyFault, ProxyHeader, client};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Reads a line that begins with [`SIGNATURE`], as far as `input` goes.
pub(super) fn read(input: &[u8]) -> Result<Option<(ProxyHeader<'_>, usize)>, ProxyFault> {
    let Some(end) = input.iter().take(MAX_TEXT).position(|&byte| byte == b'\n') else {
        let limit = MAX_TEXT;
        let is_short = input.len() < limit;
        return is_short
            .then_some(None)
            .ok_or(ProxyFault::TooLong { limit });
    };
    let line = input[..end].strip_suffix(b"\r").ok_or(ProxyFault::Line)?;
    let text = str::from_utf8(&line[SIGNATURE.len()..]).map_err(|_| ProxyFault::Line)?;
    let header = header(text).ok_or(ProxyFault::Line)?;
    Ok(Some((header, end + 1)))
}

/// The header of a line without its signature and end.
fn header(text: &str) -> Option<ProxyHeader<'static>> {
    // Whatever follows this word is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(ProxyHeader::default());
    }
    let mut words = text.split(' ');
    let is_ipv6 = match words.next()? {
        "TCP4" => false,
        "TCP6" => true,
        _ => return None,
    };
    let source = address(words.next()?, is_ipv6)?;
    address(words.next()?, is_ipv6)?;
    let source_port = port(words.next()?)?;
    port(words.next()?)?;
    words.next().is_none().then(|| ProxyHeader {
        client: Some(client(source, source_port)),
        ..ProxyHeader::default()
    })
}

fn address(word: &str, is_ipv6: bool) -> Option<IpAddr> {
    if is_ipv6 {
        word.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    } else {
        word.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
    }
}

/// A port: digits without zeros before them.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.starts_with(|first: char| first.is_ascii_digit());
    let is_plain = is_plain && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok()).flatten()
}
