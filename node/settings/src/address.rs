//! Addresses to listen on.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Deserializer, de};

/// The text is no address to listen on: such an address has numbers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressError;

/// Reads `IP:PORT`, for flags and settings with an address to listen on.
///
/// # Errors
/// Anything else, host names included: a name may stand for several addresses.
pub fn address(text: &str) -> Result<SocketAddr, AddressError> {
    text.trim().parse().map_err(|_| AddressError)
}

/// As [`address`], for `#[serde(deserialize_with)]`, also of an optional setting.
pub fn read_address<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<SocketAddr>,
{
    let text = String::deserialize(from)?;
    address(&text).map(T::from).map_err(de::Error::custom)
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an IP address with a port; write IP:PORT, such as 127.0.0.1:1935")
    }
}

impl std::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_ip_and_a_port() {
        for text in ["127.0.0.1:0", "[::1]:1935", " 0.0.0.0:80 "] {
            assert!(address(text).is_ok(), "{text}");
        }
        for text in ["", "1935", ":1935", "127.0.0.1", "localhost:1935", "::1:x"] {
            let error = address(text).expect_err(text).to_string();
            assert!(error.contains("IP:PORT"), "{error}");
        }
    }
}
