//! Lists of addresses and networks.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Addresses and networks, as a setting lists them: `["10.0.0.0/8", "::1", "loopback"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether one of the networks has the address. An unknown address (`None`) is in no list: a
    /// proxy that names no client vouches for none.
    pub fn contains(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| self.0.iter().any(|network| network.contains(address)))
    }

    /// Whether no address is in the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The networks.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}

/// A network: one address, a prefix (`10.0.0.0/8`), or `loopback`.
///
/// IPv4 and IPv6 are apart: `::/0` has no IPv4 address. An IPv4 address that is written as IPv6
/// (`::ffff:10.0.0.1`) is the IPv4 address, here and in [`Network::contains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// 127.0.0.0/8 and ::1.
    Loopback,
    /// The bits behind the first `prefix` ones are zero.
    V4 { first: Ipv4Addr, prefix: u32 },
    /// The same for IPv6.
    V6 { first: Ipv6Addr, prefix: u32 },
}

impl Network {
    /// Whether the address belongs to this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match (self.0, address) {
            (Kind::Loopback, address) => address.is_loopback(),
            (Kind::V4 { first, prefix }, IpAddr::V4(address)) => start_v4(address, prefix) == first,
            (Kind::V6 { first, prefix }, IpAddr::V6(address)) => start_v6(address, prefix) == first,
            (Kind::V4 { .. }, IpAddr::V6(_)) | (Kind::V6 { .. }, IpAddr::V4(_)) => false,
        }
    }

    /// The network of an address and the number of its leading bits that count; `None` if the
    /// address has not that many bits, or has others behind them.
    fn new(address: IpAddr, prefix: u32) -> Option<Self> {
        let (network, fits) = match (address, address.to_canonical()) {
            // A shorter prefix reaches beyond the mapped addresses: it stays one of IPv6.
            (IpAddr::V6(_), IpAddr::V4(address)) if (96..=128).contains(&prefix) => {
                return Self::new(IpAddr::V4(address), prefix - 96);
            }
            (IpAddr::V4(address), _) => {
                let first = start_v4(address, prefix);
                (Kind::V4 { first, prefix }, first == address && prefix <= 32)
            }
            (IpAddr::V6(address), _) => {
                let first = start_v6(address, prefix);
                (
                    Kind::V6 { first, prefix },
                    first == address && prefix <= 128,
                )
            }
        };
        fits.then_some(Self(network))
    }
}

/// The first address of the network with this prefix.
fn start_v4(address: Ipv4Addr, prefix: u32) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix));
    Ipv4Addr::from_bits(address.to_bits() & mask.unwrap_or(0))
}

fn start_v6(address: Ipv6Addr, prefix: u32) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix));
    Ipv6Addr::from_bits(address.to_bits() & mask.unwrap_or(0))
}

/// The text is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// No address, no network and not `loopback`.
    Form,
    /// The prefix is longer than the address.
    Prefix,
    /// The address has bits behind the prefix, so one of the two is a slip; the network that the
    /// prefix gives.
    Bits(IpAddr, u32),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "expected an address, a network or loopback; write such as \"192.0.2.1\", \
                 \"10.0.0.0/8\", \"2001:db8::/32\" or \"loopback\"",
            ),
            Self::Prefix => f.write_str(
                "the prefix is longer than the address; write at most /32 for IPv4 and /128 for \
                 IPv6",
            ),
            Self::Bits(first, prefix) => write!(
                f,
                "the address has bits behind its prefix; write {first}/{prefix} for the network, \
                 or the address without a prefix"
            ),
        }
    }
}

impl std::error::Error for NetworkError {}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == LOOPBACK {
            return Ok(Self(Kind::Loopback));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) if is_number(prefix) => match prefix.parse() {
                Ok(prefix) if prefix <= bits => prefix,
                _ => return Err(NetworkError::Prefix),
            },
            Some(_) => return Err(NetworkError::Form),
        };
        Self::new(address, prefix).ok_or_else(|| {
            let first = match address {
                IpAddr::V4(address) => IpAddr::V4(start_v4(address, prefix)),
                IpAddr::V6(address) => IpAddr::V6(start_v6(address, prefix)),
            };
            NetworkError::Bits(first, prefix)
        })
    }
}

/// Digits alone: the standard library's numbers may begin with a plus.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

const LOOPBACK: &str = "loopback";

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, prefix, bits) = match self.0 {
            Kind::Loopback => return f.write_str(LOOPBACK),
            Kind::V4 { first, prefix } => (IpAddr::V4(first), prefix, 32),
            Kind::V6 { first, prefix } => (IpAddr::V6(first), prefix, 128),
        };
        if prefix == bits {
            return write!(f, "{first}");
        }
        write!(f, "{first}/{prefix}")
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_and_shown() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32", "192.0.2.1"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("::1", "::1"),
            ("2001:DB8::/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("loopback", "loopback"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(network));
        }
    }

    #[test]
    fn mistakes_say_the_right_form() {
        for (text, part) in [
            ("", "\"10.0.0.0/8\""),
            ("localhost", "loopback"),
            ("Loopback", "loopback"),
            ("10.0.0/8", "\"10.0.0.0/8\""),
            ("10.0.0.0/", "\"10.0.0.0/8\""),
            ("10.0.0.0/+8", "\"10.0.0.0/8\""),
            ("10.0.0.0/255.0.0.0", "\"10.0.0.0/8\""),
            ("fe80::1%eth0", "\"2001:db8::/32\""),
            (" 10.0.0.1", "\"192.0.2.1\""),
            ("10.0.0.0/33", "at most /32"),
            ("10.0.0.0/99999999999999999999", "at most /32"),
            ("::/129", "/128"),
            ("10.0.0.1/8", "write 10.0.0.0/8 for the network"),
            ("2001:db8::1/32", "write 2001:db8::/32 for the network"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_is_in_its_networks_alone() {
        for (list, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("::/0", "::ffff:192.0.2.1", false),
            ("::1", "::1", true),
            ("::1", "127.0.0.1", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("loopback", "127.9.9.9", true),
            ("loopback", "::1", true),
            ("loopback", "::ffff:127.0.0.1", true),
            ("loopback", "128.0.0.1", false),
            ("192.0.2.1,192.0.2.3", "192.0.2.3", true),
            ("192.0.2.1,192.0.2.3", "192.0.2.2", false),
            ("", "192.0.2.2", false),
        ] {
            let parts = list.split(',').filter(|part| !part.is_empty());
            let networks: Networks = parts.map(|part| part.parse().unwrap()).collect();
            let address = address.parse().unwrap();
            assert_eq!(
                networks.contains(Some(address)),
                is_in,
                "{address} in {list}"
            );
        }
    }

    #[test]
    fn an_unknown_address_is_in_no_list() {
        let all = ["loopback", "0.0.0.0/0", "::/0"];
        let all: Networks = all
            .map(|network| network.parse().unwrap())
            .into_iter()
            .collect();
        assert!(!all.contains(None));
        assert!(Networks::default().is_empty());
    }
}
