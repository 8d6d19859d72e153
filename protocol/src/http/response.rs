//! The heads of answers.

use std::fmt::Write;

use bytes::BufMut;

/// The longest head that [`write_response`] writes, in bytes.
pub const MAX_RESPONSE: usize = 320;

/// The statuses in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpStatus {
    Ok,
    BadRequest,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    LengthRequired,
    ContentTooLarge,
    UpgradeRequired,
    TooManyRequests,
    HeadTooLarge,
    Unavailable,
    VersionNotSupported,
}

impl HttpStatus {
    /// The number.
    pub fn code(self) -> u16 {
        self.line().0
    }

    fn line(self) -> (u16, &'static str) {
        match self {
            Self::Ok => (200, "OK"),
            Self::BadRequest => (400, "Bad Request"),
            Self::Forbidden => (403, "Forbidden"),
            Self::NotFound => (404, "Not Found"),
            Self::MethodNotAllowed => (405, "Method Not Allowed"),
            Self::LengthRequired => (411, "Length Required"),
            Self::ContentTooLarge => (413, "Content Too Large"),
            Self::UpgradeRequired => (426, "Upgrade Required"),
            Self::TooManyRequests => (429, "Too Many Requests"),
            Self::HeadTooLarge => (431, "Request Header Fields Too Large"),
            Self::Unavailable => (503, "Service Unavailable"),
            Self::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }

    /// The fields that an answer with this status must have (RFC 9110, sections 15.5.6 and 15.5.22;
    /// RFC 6455, section 4.4).
    fn fields(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "Allow: GET, POST\r\n",
            Self::UpgradeRequired => {
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            }
            _ => "",
        }
    }
}

/// The connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAnswer {
    /// The next request may come on it.
    KeepsAlive,
    /// The server closes it.
    Closes,
}

/// Appends the head of an answer with a body of `length` bytes: at most [`MAX_RESPONSE`] bytes with a
/// type of up to 64. An answer of RTMPT is `Ok` and has a type. librtmp reads one only if its head
/// begins with `HTTP/1.1 200 ` and has `Content-Length` in these letters; a proxy must not change
/// them (HAProxy does, unless `h1-case-adjust` is set).
pub fn write_response(
    status: HttpStatus,
    content_type: Option<&'static str>,
    length: usize,
    after: AfterAnswer,
    out: &mut impl BufMut,
) {
    let (code, words) = status.line();
    let connection = match after {
        AfterAnswer::KeepsAlive => "Keep-Alive",
        AfterAnswer::Closes => "close",
    };
    let mut head = HeadText(out);
    let written = write!(head, "HTTP/1.1 {code} {words}\r\n")
        .and_then(|()| head.write_str(status.fields()))
        .and_then(|()| match content_type {
            Some(kind) => write!(head, "Content-Type: {kind}\r\n"),
            None => Ok(()),
        })
        .and_then(|()| {
            write!(
                head,
                "Cache-Control: no-cache\r\nConnection: {connection}\r\nContent-Length: {length}\r\n\r\n"
            )
        });
    written.expect("the buffer takes all text");
}

/// Text into a buffer.
struct HeadText<'b, B>(&'b mut B);

impl<B: BufMut> Write for HeadText<'_, B> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.put_slice(text.as_bytes());
        Ok(())
    }
}
