//! The values of X-Forwarded-For.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The address in a value of X-Forwarded-For: alone, in brackets, or with a port, which some proxies
/// add; an IPv4-mapped IPv6 address comes as IPv4. `None` for `unknown`, for names and for anything
/// else.
pub fn forwarded_address(value: &str) -> Option<IpAddr> {
    let bare = value.parse().ok();
    let with_port = || value.parse().ok().map(|address: SocketAddr| address.ip());
    let in_brackets = || {
        let inner = value.strip_prefix('[')?.strip_suffix(']')?;
        inner.parse().ok().map(|address: Ipv6Addr| address.into())
    };
    let address: Option<IpAddr> = bare.or_else(with_port).or_else(in_brackets);
    address.map(|address| address.to_canonical())
}
