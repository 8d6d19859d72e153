//! The target in the URI of a NetConnection.

use std::net::{Ipv4Addr, Ipv6Addr};

use tributary_protocol::GroupName;

/// The target of a NetConnection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    scheme: Scheme,
    /// `None` for this process; an IPv6 address has no brackets.
    host: Option<String>,
    port: Option<u16>,
    /// The `app` of the connect command: application, instance and query.
    pub(crate) app: String,
    /// The application and instance, without the query.
    pub(crate) group: GroupName,
}

/// The protocol of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Rtmp,
    /// RTMP on TLS.
    Rtmps,
}

/// The longest URI of a NetConnection, in bytes. Reason: it goes into connect commands and logs.
pub(crate) const MAX_URI: usize = 2_048;

/// The port of RTMP.
const RTMP_PORT: u16 = 1935;

/// The port of RTMPS.
const RTMPS_PORT: u16 = 443;

impl Target {
    /// Reads a URI; `None` if it is no RTMP URI.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        if uri.len() > MAX_URI || uri.chars().any(|c| c.is_control() || c == ' ') {
            return None;
        }
        let (scheme, rest) = uri.split_once(':')?;
        let scheme = Scheme::parse(scheme)?;
        let (authority, app) = match rest.strip_prefix("//") {
            Some(rest) => rest.split_once('/')?,
            None => ("", rest.trim_start_matches('/')),
        };
        let (host, port) = split(authority)?;
        if scheme == Scheme::Rtmps && host.is_none() {
            return None;
        }
        let app = app.trim_start_matches('/');
        Some(Self {
            scheme,
            host,
            port,
            app: app.to_owned(),
            group: GroupName::from_app(app).ok()?,
        })
    }

    /// Whether the target is an instance of this process.
    pub(crate) fn is_here(&self) -> bool {
        let Some(host) = &self.host else {
            return true;
        };
        let v4 = host.parse::<Ipv4Addr>().map(|ip| ip.is_loopback());
        let v6 = host.parse::<Ipv6Addr>().map(|ip| ip.is_loopback());
        let here =
            host.eq_ignore_ascii_case("localhost") || v4.unwrap_or(false) || v6.unwrap_or(false);
        here && self.scheme == Scheme::Rtmp && self.port() == RTMP_PORT
    }

    /// The host; empty for this process.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or_default()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.scheme.port())
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and port as the setting `outgoing` has them.
    pub(crate) fn authority(&self) -> String {
        match self.host() {
            host if host.contains(':') => format!("[{host}]:{}", self.port()),
            host => format!("{host}:{}", self.port()),
        }
    }
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        let is = |name: &str| text.eq_ignore_ascii_case(name);
        let rtmp = is("rtmp").then_some(Self::Rtmp);
        rtmp.or_else(|| is("rtmps").then_some(Self::Rtmps))
    }

    /// The port of a target that names none.
    fn port(self) -> u16 {
        match self {
            Self::Rtmp => RTMP_PORT,
            Self::Rtmps => RTMPS_PORT,
        }
    }
}

/// Host and port of an authority; RTMP has no user information.
fn split(authority: &str) -> Option<(Option<String>, Option<u16>)> {
    if authority.is_empty() {
        return Some((None, None));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        },
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || !host.chars().all(fits) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        Some(port) => Some(port.parse().ok().filter(|&port| port > 0)?),
        None if port.is_empty() => None,
        None => return None,
    };
    Some((Some(host.to_owned()), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_or_refused() {
        for (uri, expected) in [
            (
                "rtmp://media.example.com/live",
                Some(("media.example.com:1935", "live/_definst_", false)),
            ),
            (
                "RTMP://h:1936/a/b/c?k=1/2",
                Some(("h:1936", "a/b/c", false)),
            ),
            (
                "rtmp://[::1]:1936/a",
                Some(("[::1]:1936", "a/_definst_", false)),
            ),
            ("rtmp://[::1]/a", Some(("[::1]:1935", "a/_definst_", true))),
            (
                "rtmp://localhost/chat/room",
                Some(("localhost:1935", "chat/room", true)),
            ),
            (
                "rtmp://127.0.0.1:1935/a",
                Some(("127.0.0.1:1935", "a/_definst_", true)),
            ),
            (
                "rtmp://127.0.0.1:1936/a",
                Some(("127.0.0.1:1936", "a/_definst_", false)),
            ),
            ("rtmp:/chat/room", Some((":1935", "chat/room", true))),
            ("rtmp:///chat", Some((":1935", "chat/_definst_", true))),
            ("rtmp://host", None),
            ("rtmp://host/", None),
            ("rtmp://user@host/a", None),
            ("rtmp://host:x/a", None),
            ("rtmp://host:0/a", None),
            ("rtmp://[::1/a", None),
            ("rtmp://host/a/../b", None),
            ("rtmps://host/a", Some(("host:443", "a/_definst_", false))),
            (
                "RTMPS://host:1935/a",
                Some(("host:1935", "a/_definst_", false)),
            ),
            (
                "rtmps://localhost:1935/a",
                Some(("localhost:1935", "a/_definst_", false)),
            ),
            ("rtmps:/a", None),
            ("rtmps:///a", None),
            ("rtmpt://host/a", None),
            ("http://host/a", None),
            ("rtmp://ho st/a", None),
            ("rtmp", None),
            ("", None),
        ] {
            let target = Target::parse(uri);
            let read = target.as_ref().map(|target| {
                (
                    target.authority(),
                    target.group.to_string(),
                    target.is_here(),
                )
            });
            let expected = expected.map(|(a, g, here)| (a.to_owned(), g.to_owned(), here));
            assert_eq!(read, expected, "{uri}");
        }
        assert_eq!(
            Target::parse(&format!("rtmp://h/{}", "a".repeat(MAX_URI))),
            None
        );
        let target = Target::parse("rtmp://h/a/b?key=1").unwrap();
        assert_eq!(target.app, "a/b?key=1");
    }
}
