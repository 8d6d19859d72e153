//! The part of HTTP/1.1 (RFC 9110, RFC 9112) that RTMPT and the opening of a WebSocket need: request
//! heads, and the heads of answers.
//!
//! The reader takes one form of a head and refuses all others, so that no proxy before this server
//! can see another request in the same bytes: lines end in CR LF, no line is folded, a body has one
//! length in digits and no transfer coding.

mod fault;
mod field_list;
mod forwarded;
mod request;
mod response;

pub use fault::HttpFault;
pub use field_list::FieldList;
pub use forwarded::forwarded_address;
pub use request::{HttpMethod, HttpRequest, Upgrade};
pub use response::{AfterAnswer, HttpStatus, MAX_RESPONSE, write_response};

/// The longest request head in bytes, the empty lines before it included. Browsers send some
/// 600 bytes and their cookies.
pub const MAX_HEAD: usize = 8 * 1024;

/// The fields of a head. Browsers send 20, proxies a few more.
pub const MAX_FIELDS: usize = 64;

/// The longest body of a request in bytes; RTMPT clients send a few messages in one.
pub const MAX_BODY: u32 = 1024 * 1024;

/// The lines of one field whose value is a list. Each proxy on the way may add one.
pub const MAX_LINES: usize = 8;

#[cfg(test)]
mod tests;
