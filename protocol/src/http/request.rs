//! Request heads.

use httparse::{EMPTY_HEADER, Header, Status};

use super::{FieldList, HttpFault, MAX_BODY, MAX_FIELDS, MAX_HEAD};

/// The methods in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// Opens a WebSocket.
    Get,
    /// A request of RTMPT.
    Post,
}

/// A request head, read. GET is always a request for a WebSocket, POST never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpRequest<'a> {
    /// Get or Post; others are refused.
    pub method: HttpMethod,
    /// The path as it came, from its slash on, without the query.
    pub path: &'a str,
    /// The length of the body in bytes: at most [`MAX_BODY`], 0 for GET.
    pub content_length: u32,
    /// Whether the client may send another request on the connection.
    pub keeps_alive: bool,
    /// The WebSocket that GET asks for.
    pub upgrade: Option<Upgrade<'a>>,
    /// The site whose page sends the request; browsers always state it with a WebSocket.
    pub origin: Option<&'a str>,
    /// The addresses that proxies have seen: each adds its peer at the end. Anybody may send the
    /// first ones.
    pub forwarded_for: FieldList<'a>,
    /// The scheme by which the client reached the last proxy that states one.
    pub forwarded_proto: Option<&'a str>,
}

/// A request for a WebSocket of version 13.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade<'a> {
    /// The client's random value: base64 of 16 bytes, checked.
    pub key: &'a str,
    /// The subprotocols that the client offers, the preferred one first.
    pub protocols: FieldList<'a>,
}

impl<'a> HttpRequest<'a> {
    /// Reads the head at the start of `input` and returns it with its length in bytes; the body
    /// begins behind it. `None` if `input` ends within the head: the driver calls again with more
    /// bytes behind the same ones. Empty lines before the head are part of it (RFC 9112, section
    /// 2.2).
    pub fn read(input: &'a [u8]) -> Result<Option<(Self, usize)>, HttpFault> {
        let Some(length) = head_length(input)? else {
            return Ok(None);
        };
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        match head.parse(&input[..length]) {
            Ok(Status::Complete(parsed)) if parsed == length => {}
            Ok(_) => return Err(HttpFault::Malformed),
            Err(httparse::Error::TooManyHeaders) => return Err(HttpFault::TooManyFields),
            Err(httparse::Error::Version) => return Err(HttpFault::Version),
            Err(_) => return Err(HttpFault::Malformed),
        }
        let method = match head.method {
            Some("GET") => HttpMethod::Get,
            Some("POST") => HttpMethod::Post,
            _ => return Err(HttpFault::Method),
        };
        let is_newer = head.version == Some(1);
        let target = head.path.unwrap_or_default();
        let request = Fields::read(head.headers)?.request(method, target, is_newer)?;
        Ok(Some((request, length)))
    }
}

/// The length of the head with its last, empty line, once that is there.
fn head_length(input: &[u8]) -> Result<Option<usize>, HttpFault> {
    let bounded = &input[..input.len().min(MAX_HEAD)];
    let mut start = 0;
    while bounded[start..].starts_with(b"\r\n") {
        start += 2;
    }
    let mut line = start;
    while let Some(length) = bounded[line..].iter().position(|&byte| byte == b'\n') {
        match bounded[line..line + length] {
            [b'\r'] => return Ok(Some(line + length + 1)),
            [.., b'\r'] => line += length + 1,
            _ => return Err(HttpFault::BareLineFeed),
        }
    }
    let is_full = bounded.len() == MAX_HEAD;
    let more = (!is_full).then_some(None);
    more.ok_or(HttpFault::HeadTooLong)
}

/// The fields that matter.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a str>,
    length: Option<&'a str>,
    has_coding: bool,
    connection: FieldList<'a>,
    upgrade: FieldList<'a>,
    key: Option<&'a str>,
    version: Option<&'a str>,
    protocols: FieldList<'a>,
    origin: Option<&'a str>,
    forwarded_for: FieldList<'a>,
    forwarded_proto: FieldList<'a>,
}

impl<'a> Fields<'a> {
    fn read(fields: &[Header<'a>]) -> Result<Self, HttpFault> {
        let mut read = Self::default();
        for field in fields {
            read.take(field.name, field.value)?;
        }
        Ok(read)
    }

    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), HttpFault> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let text = || str::from_utf8(value).map_err(|_| HttpFault::Field);
        let once = |place: &mut Option<&'a str>, fault| {
            let is_new = place.replace(text()?).is_none();
            is_new.then_some(()).ok_or(fault)
        };
        if is("Host") {
            once(&mut self.host, HttpFault::Host)
        } else if is("Content-Length") {
            once(&mut self.length, HttpFault::Length)
        } else if is("Transfer-Encoding") {
            self.has_coding = true;
            Ok(())
        } else if is("Connection") {
            self.connection.push(text()?)
        } else if is("Upgrade") {
            self.upgrade.push(text()?)
        } else if is("Sec-WebSocket-Key") {
            once(&mut self.key, HttpFault::WebSocketKey)
        } else if is("Sec-WebSocket-Version") {
            once(&mut self.version, HttpFault::Field)
        } else if is("Sec-WebSocket-Protocol") {
            self.protocols.push(text()?)
        } else if is("Origin") {
            once(&mut self.origin, HttpFault::Field)
        } else if is("X-Forwarded-For") {
            self.forwarded_for.push(text()?)
        } else if is("X-Forwarded-Proto") {
            self.forwarded_proto.push(text()?)
        } else {
            Ok(())
        }
    }

    fn request(
        &self,
        method: HttpMethod,
        target: &'a str,
        is_newer: bool,
    ) -> Result<HttpRequest<'a>, HttpFault> {
        if is_newer && self.host.is_none() {
            return Err(HttpFault::Host);
        }
        let content_length = self.content_length()?;
        let path = path(target).ok_or(HttpFault::Target)?;
        let (content_length, upgrade) = match (method, content_length) {
            (HttpMethod::Post, length) => (length.ok_or(HttpFault::LengthRequired)?, None),
            (HttpMethod::Get, Some(1..)) => return Err(HttpFault::BodyOfGet),
            (HttpMethod::Get, _) => (0, Some(self.websocket(is_newer)?)),
        };
        let asks = if is_newer {
            !self.connection.has("close")
        } else {
            self.connection.has("keep-alive")
        };
        Ok(HttpRequest {
            method,
            path,
            content_length,
            keeps_alive: asks,
            upgrade,
            origin: self.origin,
            forwarded_for: self.forwarded_for,
            forwarded_proto: self.forwarded_proto.iter().next_back(),
        })
    }

    /// The length of the body. A proxy may read one with a transfer coding in another way, whatever
    /// its length says (RFC 9112, section 6.1).
    fn content_length(&self) -> Result<Option<u32>, HttpFault> {
        match (self.length, self.has_coding) {
            (Some(_), true) => return Err(HttpFault::TransferCoding),
            (None, true) => return Err(HttpFault::LengthRequired),
            (None, false) => return Ok(None),
            (Some(_), false) => {}
        }
        let digits = self.length.unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(HttpFault::Length);
        }
        let length = digits.parse().ok().filter(|length| *length <= MAX_BODY);
        length.map(Some).ok_or(HttpFault::BodyTooLong)
    }

    /// The request for a WebSocket (RFC 6455, section 4.2.1).
    fn websocket(&self, is_newer: bool) -> Result<Upgrade<'a>, HttpFault> {
        let asks = is_newer && self.connection.has("upgrade") && self.upgrade.has("websocket");
        if !asks || self.version != Some("13") {
            return Err(HttpFault::NoWebSocket);
        }
        let key = self.key.filter(|key| is_key(key));
        Ok(Upgrade {
            key: key.ok_or(HttpFault::WebSocketKey)?,
            protocols: self.protocols,
        })
    }
}

/// Whether the text is base64 of 16 bytes.
fn is_key(text: &str) -> bool {
    let digits = text.strip_suffix("==").unwrap_or_default();
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    digits.len() == 22 && digits.bytes().all(is_digit)
}

/// The path of a target in origin form or absolute form (RFC 9112, section 3.2), without its query.
fn path(target: &str) -> Option<&str> {
    let path = match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            let is_http = ["http", "https"]
                .iter()
                .any(|it| scheme.eq_ignore_ascii_case(it));
            &rest[rest.find(['/', '?']).filter(|_| is_http)?..]
        }
        _ => target,
    };
    let path = path.split('?').next()?;
    path.starts_with('/').then_some(path)
}
