//! The unit that rates count by.

use std::net::IpAddr;

/// An IPv4 address, or the /64 of an IPv6 address: one customer has all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    V4(u32),
    V6(u64),
}

impl Place {
    /// The place of an address.
    ///
    /// An unknown one has no place, and is exempt. Only a trusted proxy brings clients without an
    /// address, and one place for all of them would let a single guesser hold up the rest; access lists
    /// keep them out where that is not wanted, since no list has an unknown address.
    pub(super) fn of(address: Option<IpAddr>) -> Option<Self> {
        Some(match address?.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_has_one_place() {
        let place = |text: &str| Place::of(Some(text.parse().unwrap()));
        for (one, other, is_same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
        ] {
            assert_eq!(place(one) == place(other), is_same, "{one} {other}");
        }
        assert_eq!(Place::of(None), None);
    }
}
