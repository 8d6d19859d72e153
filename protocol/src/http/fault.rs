//! The reasons for which a request is refused.

use std::fmt;

use super::{HttpStatus, MAX_BODY, MAX_FIELDS, MAX_HEAD, MAX_LINES};

/// The reason for which a request is refused. The connection ends after the answer, since nothing
/// says where the next request begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpFault {
    /// The head has more than [`MAX_HEAD`] bytes.
    HeadTooLong,
    /// The head has more than [`MAX_FIELDS`] fields, or one of the lists more than [`MAX_LINES`]
    /// lines.
    TooManyFields,
    /// A line of the head ends in LF without CR.
    BareLineFeed,
    /// The head is not HTTP: a byte where it may not be, a folded line, a space before a colon.
    Malformed,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A method other than GET and POST.
    Method,
    /// The target is no path.
    Target,
    /// HTTP/1.1 without exactly one Host.
    Host,
    /// Content-Length is no number, or is there more than once.
    Length,
    /// POST without Content-Length, or with a transfer coding in its place.
    LengthRequired,
    /// A transfer coding beside Content-Length.
    TransferCoding,
    /// A body of more than [`MAX_BODY`] bytes.
    BodyTooLong,
    /// GET with a body.
    BodyOfGet,
    /// A field that matters is no text, or is there more than once.
    Field,
    /// GET that does not ask for a WebSocket of version 13 (RFC 6455, sections 4.2.1 and 4.4).
    NoWebSocket,
    /// A request for a WebSocket without a valid key (RFC 6455, section 4.2.1).
    WebSocketKey,
}

impl HttpFault {
    /// The status to answer.
    pub fn status(&self) -> HttpStatus {
        match self {
            Self::HeadTooLong | Self::TooManyFields => HttpStatus::HeadTooLarge,
            Self::Version => HttpStatus::VersionNotSupported,
            Self::Method => HttpStatus::MethodNotAllowed,
            Self::LengthRequired => HttpStatus::LengthRequired,
            Self::BodyTooLong => HttpStatus::ContentTooLarge,
            Self::NoWebSocket => HttpStatus::UpgradeRequired,
            _ => HttpStatus::BadRequest,
        }
    }

    /// Whether the client exceeded a limit; otherwise it broke the protocol, or asked for another
    /// use of it.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::HeadTooLong | Self::TooManyFields | Self::BodyTooLong
        )
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::HeadTooLong | Self::TooManyFields => "http_head_too_long",
            Self::BodyTooLong => "http_body_too_long",
            Self::NoWebSocket => "http_no_websocket",
            _ => "http_request",
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::HeadTooLong => return write!(f, "HTTP head of more than {MAX_HEAD} bytes"),
            Self::TooManyFields => {
                return write!(
                    f,
                    "HTTP head of more than {MAX_FIELDS} fields, or {MAX_LINES} of one"
                );
            }
            Self::BodyTooLong => return write!(f, "HTTP body of more than {MAX_BODY} bytes"),
            Self::BareLineFeed => "HTTP line that ends in LF without CR",
            Self::Malformed => "malformed HTTP head",
            Self::Version => "HTTP version other than 1.0 and 1.1",
            Self::Method => "HTTP method other than GET and POST",
            Self::Target => "HTTP target that is no path",
            Self::Host => "HTTP/1.1 request without exactly one Host",
            Self::Length => "Content-Length that is no number, or is repeated",
            Self::LengthRequired => "HTTP body without Content-Length",
            Self::TransferCoding => "Transfer-Encoding beside Content-Length",
            Self::BodyOfGet => "GET with a body",
            Self::Field => "HTTP field that is no text, or is repeated",
            Self::NoWebSocket => "GET without an upgrade to WebSocket version 13",
            Self::WebSocketKey => "WebSocket request without a valid key",
        };
        f.write_str(words)
    }
}

impl std::error::Error for HttpFault {}
