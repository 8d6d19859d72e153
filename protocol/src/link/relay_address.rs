//! The address by which a service asks for a relay.

use std::fmt;

/// The address of a stream at another server, as a service wrote it. The origin reads it, and decides
/// whether its settings permit the server. Its path and query may be secret: `Debug` shows nothing of
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayAddress(Box<str>);

impl RelayAddress {
    /// The longest address, in bytes. Reason: it fits one frame, and the edges permit services no
    /// longer ones.
    pub const MAX: usize = 1_024;

    /// `None` for an empty text, and for one of more than [`Self::MAX`] bytes.
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=Self::MAX).contains(&text.len());
        fits.then(|| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayAddress(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_bounded_and_hidden() {
        for (length, fits) in [(0, false), (1, true), (1_024, true), (1_025, false)] {
            let address = RelayAddress::new(&"x".repeat(length));
            assert_eq!(address.is_some(), fits, "{length}");
        }
        let address = RelayAddress::new("rtmp://host/live/secret").expect("it is short");
        assert_eq!(format!("{address:?}"), "RelayAddress(hidden)");
    }
}
