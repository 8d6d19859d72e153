//! The address of a client.

use std::{
    fmt,
    net::{AddrParseError, IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

/// The address of a client, as far as its edge knows it. A proxy on the way may not have named it;
/// then it is unknown, which is no loopback address and in no list.
///
/// On the link an unknown address is the unspecified one of IPv4, which no client can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerAddress(Option<SocketAddr>);

impl PeerAddress {
    /// The address of a client whose proxy did not name it.
    pub const UNKNOWN: Self = Self(None);

    /// The IP address; IPv4 is IPv4 also where it came as a part of IPv6 (RFC 4291, 2.5.5.2).
    pub fn ip(self) -> Option<IpAddr> {
        self.0.map(|address| address.ip().to_canonical())
    }

    /// The port; 0 of an unknown address.
    pub fn port(self) -> u16 {
        self.0.map_or(0, |address| address.port())
    }

    /// The address in the form of the link.
    pub(super) fn on_link(self) -> SocketAddr {
        self.0.unwrap_or(UNSPECIFIED)
    }
}

const UNSPECIFIED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self((!address.ip().to_canonical().is_unspecified()).then_some(address))
    }
}

impl PeerAddress {
    /// The address of its text, which may be that of an unknown one; `None` if it is neither.
    pub fn named(text: &str) -> Option<Self> {
        match text {
            UNKNOWN => Some(Self::UNKNOWN),
            text => text.parse().ok(),
        }
    }
}

/// The text of an address that is not known.
const UNKNOWN: &str = "unknown";

impl FromStr for PeerAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<SocketAddr>().map(Self::from)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str(UNKNOWN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_address_is_not_any_other() {
        let unknown = PeerAddress::UNKNOWN;
        assert_eq!((unknown.ip(), unknown.port()), (None, 0));
        assert_eq!(unknown.to_string(), "unknown");
        assert_eq!(PeerAddress::from(unknown.on_link()), unknown);
        assert_eq!(PeerAddress::from_str("[::]:7").unwrap(), unknown);
        let mapped = PeerAddress::from_str("[::ffff:192.0.2.7]:99").unwrap();
        assert_eq!(mapped.ip(), Some(IpAddr::from([192, 0, 2, 7])));
        assert_eq!(mapped.port(), 99);
    }
}
