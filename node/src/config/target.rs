//! Servers that an application may connect to: the setting `outgoing`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A server that an application may connect to: `HOST` with any port, or `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// In lower case; an IPv6 address without its brackets.
    host: String,
    port: Option<u16>,
}

/// The text names no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetError;

impl Target {
    /// The host, in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if it names one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether this server has this host and port. Names are compared as written, without regard to
    /// case; an IPv6 address has no brackets here.
    pub fn admits(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.');
        self.host.eq_ignore_ascii_case(host) && self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(TargetError)?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| TargetError)?;
                let port = match port {
                    "" => None,
                    _ => Some(port.strip_prefix(':').ok_or(TargetError)?),
                };
                (host, port)
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > MAX_HOST || !host.chars().all(fits) {
            return Err(TargetError);
        }
        let port = match port {
            Some(port) => match port.parse() {
                Ok(0) | Err(_) => return Err(TargetError),
                Ok(port) => Some(port),
            },
            None => None,
        };
        Ok(Self {
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
        })
    }
}

/// The longest host name (RFC 1035).
const MAX_HOST: usize = 253;

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected HOST or HOST:PORT, such as \"media.example.com:1935\"")
    }
}

impl std::error::Error for TargetError {}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Target {
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
    fn targets_are_read_and_shown() {
        for (text, shown) in [
            ("media.example.com", Some("media.example.com")),
            ("Media.Example.com.:1935", Some("media.example.com:1935")),
            ("127.0.0.1:1936", Some("127.0.0.1:1936")),
            ("[::1]:1935", Some("[::1]:1935")),
            ("[::1]", Some("[::1]")),
            ("", None),
            (":1935", None),
            ("host:", None),
            ("host:0", None),
            ("host:99999", None),
            ("::1", None),
            ("[::1", None),
            ("[host]:1", None),
            ("[::1]1935", None),
            ("rtmp://host", None),
            ("host/app", None),
            ("*", None),
        ] {
            let read = text.parse::<Target>().ok().map(|target| target.to_string());
            assert_eq!(read.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn a_target_admits_itself_alone() {
        for (target, host, port, admitted) in [
            ("media.example.com", "MEDIA.example.com", 1935, true),
            ("media.example.com", "media.example.com.", 80, true),
            ("media.example.com:1935", "media.example.com", 1936, false),
            ("media.example.com", "example.com", 1935, false),
            ("media.example.com", "x.media.example.com", 1935, false),
            ("[::1]:1935", "::1", 1935, true),
            ("127.0.0.1", "localhost", 1935, false),
        ] {
            let target: Target = target.parse().unwrap();
            assert_eq!(
                target.admits(host, port),
                admitted,
                "{target} {host}:{port}"
            );
        }
    }
}
