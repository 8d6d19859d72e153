//! Addresses of requests and redirects.

use std::sync::Arc;

use hyper::Uri;

use crate::message::HttpError;

/// Whether a caller may connect to a host and port.
pub type Allowed = Arc<dyn Fn(&str, u16) -> bool + Send + Sync>;

/// The target of a request, for a check whether it is permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    /// In lower case; an IPv6 address without its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Target {
    /// Reads an absolute `http` or `https` address; a fragment is cut off, characters that an
    /// address cannot have are written as `%XX`.
    pub(crate) fn parse(text: &str) -> Result<Self, HttpError> {
        let bad = |why: &str| HttpError::BadRequest(format!("{why}: {}", shown(text)));
        let text = text.trim().split('#').next().unwrap_or_default();
        let uri: Uri = escape(text).parse().map_err(|_| bad("not an address"))?;
        let port = match uri.scheme_str() {
            Some("http") => 80,
            Some("https") => 443,
            _ => return Err(bad("neither http nor https")),
        };
        let authority = uri
            .authority()
            .ok_or_else(|| bad("an address without a host"))?;
        if authority.as_str().contains('@') {
            return Err(bad(
                "send a user and password in a header, not in the address",
            ));
        }
        let host = authority
            .host()
            .trim_matches(['[', ']'])
            .to_ascii_lowercase();
        if host.is_empty() {
            return Err(bad("an address without a host"));
        }
        let port = match authority.as_str().get(authority.host().len()..) {
            None | Some("") => port,
            Some(_) => authority.port_u16().ok_or_else(|| bad("not a port"))?,
        };
        Ok(Self { uri, host, port })
    }

    /// The address of a `Location` header, relative to this one.
    pub(crate) fn redirect(&self, location: &str) -> Result<Self, HttpError> {
        let location = location.trim();
        let scheme = self.uri.scheme_str().unwrap_or("http");
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        if location.contains("://") && !location.starts_with(['/', '?']) {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let path = self.uri.path();
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') {
            format!("{path}{location}")
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{folder}/{location}")
        };
        Self::parse(&format!("{scheme}://{authority}{path}"))
    }

    /// `HOST:PORT`.
    pub(crate) fn name(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// An address for a log line, without its query, which may hold a key.
fn shown(text: &str) -> &str {
    text.split(['?', '#']).next().unwrap_or_default()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_ascii_graphic() && !matches!(char, '"' | '<' | '>' | '`' | '{' | '}') {
            out.push(char);
        } else {
            let mut bytes = [0; 4];
            for byte in char.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_host_and_a_port() {
        let table: &[(&str, Option<(&str, u16)>)] = &[
            ("http://Example.com/a?b#c", Some(("example.com", 80))),
            (" https://example.com ", Some(("example.com", 443))),
            ("http://127.0.0.1:8080/", Some(("127.0.0.1", 8080))),
            ("http://[::1]:8080/", Some(("::1", 8080))),
            ("http://example.com/a b?c=é{}", Some(("example.com", 80))),
            ("file:///etc/passwd", None),
            ("ftp://example.com/", None),
            ("example.com", None),
            ("/a", None),
            ("", None),
            ("http://", None),
            ("http:///a", None),
            ("http://user:word@example.com/", None),
            ("http://example.com:99999/", None),
        ];
        for (text, expected) in table {
            let target = Target::parse(text).ok();
            let found = target
                .as_ref()
                .map(|target| (target.host.as_str(), target.port));
            assert_eq!(found, *expected, "{text}");
        }
        let uri = Target::parse("http://a/b c?d=é").unwrap().uri;
        assert_eq!(uri.to_string(), "http://a/b%20c?d=%C3%A9");
    }

    #[test]
    fn redirects_are_followed_from_where_they_are() {
        let from = Target::parse("https://a:8443/b/c?d").unwrap();
        let table = [
            ("http://x/y", "http://x/y"),
            ("//x/y", "https://x/y"),
            ("/y?z", "https://a:8443/y?z"),
            ("y", "https://a:8443/b/y"),
            ("?z", "https://a:8443/b/c?z"),
            ("/y?back=http://q/", "https://a:8443/y?back=http://q/"),
        ];
        for (location, expected) in table {
            let target = from.redirect(location).unwrap();
            assert_eq!(target.uri.to_string(), expected);
        }
        assert!(from.redirect("file:///x").is_err());
    }

    #[test]
    fn errors_do_not_show_the_query() {
        let error = Target::parse("ftp://a/b?key=secret")
            .unwrap_err()
            .to_string();
        assert_eq!(error, "neither http nor https: ftp://a/b");
    }
}
