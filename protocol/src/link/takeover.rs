//! The key by which a client that reconnects gets its own stream names.

use std::fmt;

/// A random key, drawn by an edge that asks a publisher to reconnect. The origin gives the names of
/// that publisher to the session that shows the key, once.
///
/// The client gets it in the `tcUrl` of NetConnection.Connect.ReconnectRequest, and brings it back in
/// the query of its `app` and `tcUrl`: `resume=` and 32 hexadecimal digits.
#[derive(Clone, Copy)]
pub struct TakeoverKey([u8; Self::LENGTH]);

impl TakeoverKey {
    /// The length, in bytes.
    pub const LENGTH: usize = 16;

    /// The parameter of the query.
    const PARAMETER: &str = "resume";

    /// The key of these random bytes.
    pub fn new(random: [u8; Self::LENGTH]) -> Self {
        Self(random)
    }

    /// The bytes on the link.
    pub fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The key in the query of a URL or of an `app`, if it has one.
    pub fn of(url: &str) -> Option<Self> {
        let (_, query) = url.split_once('?')?;
        let mut parameters = query.split('&').filter_map(|it| it.split_once('='));
        let (_, text) = parameters.find(|(name, _)| *name == Self::PARAMETER)?;
        let digits = text.as_bytes();
        if digits.len() != 2 * Self::LENGTH {
            return None;
        }
        let mut key = [0; Self::LENGTH];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |place: usize| char::from(pair[place]).to_digit(16);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
        }
        Some(Self(key))
    }

    /// The URL with this key in its query, in place of one before.
    pub fn in_url(&self, url: &str) -> String {
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let is_other = |it: &&str| !it.is_empty() && it.split('=').next() != Some(Self::PARAMETER);
        let mut written = format!("{path}?");
        for parameter in query.split('&').filter(is_other) {
            written.push_str(parameter);
            written.push('&');
        }
        written.push_str(Self::PARAMETER);
        written.push('=');
        for byte in self.0 {
            written.push_str(&format!("{byte:02x}"));
        }
        written
    }
}

impl PartialEq for TakeoverKey {
    /// In a time that does not depend on the bytes.
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |differ, (one, two)| differ | (one ^ two)) == 0
    }
}

impl Eq for TakeoverKey {}

impl fmt::Debug for TakeoverKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TakeoverKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_the_url_in_which_it_went() {
        let key = TakeoverKey::new(*b"0123456789abc\x00\xff\x7f");
        let text = "resume=3031323334353637383961626300ff7f";
        for (url, with) in [
            ("rtmp://edge/live", "rtmp://edge/live?"),
            ("rtmp://edge/live?", "rtmp://edge/live?"),
            ("rtmp://edge/live?token=a", "rtmp://edge/live?token=a&"),
            ("live?resume=00&token=a&b", "live?token=a&b&"),
            ("live?resume", "live?"),
        ] {
            let written = key.in_url(url);
            assert_eq!(written, format!("{with}{text}"));
            assert_eq!(TakeoverKey::of(&written), Some(key));
        }
        for url in [
            "live",
            "live?",
            "live?resume",
            "live?resume=",
            "live?resume=3031",
            "live?resume=3031323334353637383961626300ff7g",
            "live?resume=3031323334353637383961626300ff7f00",
            "live?resume=\u{e9}31323334353637383961626300ff7f",
            "live?other=3031323334353637383961626300ff7f",
        ] {
            assert_eq!(TakeoverKey::of(url), None, "{url}");
        }
        assert!(!format!("{key:?}").contains("30"));
    }
}
