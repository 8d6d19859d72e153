//! The requests of RTMPT.

use super::TunnelId;
use crate::http::{HttpMethod, HttpRequest};

/// A request, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelRequest {
    /// `/fcs/ident2`: Flash Player asks for another address before it opens a session. Status 404
    /// lets it use this one.
    Ident,
    /// `/open/1`: a new session. The answer is [`TunnelId::open_answer`].
    Open,
    /// `/send/ID/SEQ`: the body is bytes of RTMP.
    Send(TunnelPlace),
    /// `/idle/ID/SEQ`: the body has no meaning.
    Idle(TunnelPlace),
    /// `/close/ID/SEQ`: the session ends; the body of the answer is [`CLOSED`](super::CLOSED).
    Close(TunnelPlace),
}

/// The session of a request, and the request's place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelPlace {
    pub id: TunnelId,
    /// The number of the request. It begins at 0 after open and counts every request.
    pub sequence: u64,
}

impl TunnelRequest {
    /// The meaning of a request head; `None` for every other path, and for ids of another form:
    /// status 404.
    pub fn read(request: &HttpRequest<'_>) -> Option<Self> {
        if request.method != HttpMethod::Post {
            return None;
        }
        let mut parts = request.path.strip_prefix('/')?.split('/');
        let (command, second, third) = (parts.next()?, parts.next()?, parts.next());
        if parts.next().is_some() {
            return None;
        }
        let place = || {
            Some(TunnelPlace {
                id: TunnelId::parse(second)?,
                sequence: number(third?)?,
            })
        };
        match (command, second, third) {
            ("fcs", "ident2", None) => Some(Self::Ident),
            ("open", "1", None) => Some(Self::Open),
            ("send", ..) => place().map(Self::Send),
            ("idle", ..) => place().map(Self::Idle),
            ("close", ..) => place().map(Self::Close),
            _ => None,
        }
    }
}

/// A number in digits alone.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}
