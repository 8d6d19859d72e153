//! Requests, responses, and errors.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;

use crate::limits::{MAX_CALLER_REQUESTS, MAX_REDIRECTS, TIME};

#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, ...; any token.
    pub method: String,
    /// The whole address.
    pub url: String,
    /// Header lines; those that belong to the connection are not sent.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The time from the call to the whole response, waiting included; unset, [`TIME`].
    pub time: Option<Duration>,
}

/// A response, whatever its status.
#[derive(Clone, Debug)]
pub struct Response {
    /// 200, 404, ...
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// The address after all redirects.
    pub url: String,
}

impl Response {
    /// The header line of this name; the first one of several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as text: UTF-8, or Latin-1 if the response declares it.
    pub fn text(&self) -> String {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let latin = [
            "charset=iso-8859-1",
            "charset=\"iso-8859-1",
            "charset=windows-1252",
        ];
        if latin.iter().any(|charset| kind.contains(charset)) {
            return self.body.iter().copied().map(char::from).collect();
        }
        let text = String::from_utf8_lossy(&self.body);
        text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
    }
}

/// The reason why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpError {
    /// The address, a header line or the method is malformed; the text names it.
    BadRequest(String),
    /// The application's `outgoing` does not name this target, `HOST:PORT`.
    NotAllowed(String),
    /// The caller has as many requests as it may have.
    TooMany,
    /// The request's body, or the response, is longer than its bound.
    TooLong,
    /// The request's time is over.
    Timeout,
    /// More redirects than the caller follows.
    Redirects,
    /// The connection, TLS or HTTP failed; the text names the cause.
    Failed(String),
}

impl Error for HttpError {}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(what) => f.write_str(what),
            Self::NotAllowed(target) => {
                write!(f, "{target} is not in the application's setting outgoing")
            }
            Self::TooMany => write!(f, "{MAX_CALLER_REQUESTS} requests are under way already"),
            Self::TooLong => f.write_str("a body is longer than 2 MiB"),
            Self::Timeout => write!(f, "no whole response within {} s", TIME.as_secs()),
            Self::Redirects => write!(f, "more than {MAX_REDIRECTS} redirects"),
            Self::Failed(how) => f.write_str(how),
        }
    }
}
