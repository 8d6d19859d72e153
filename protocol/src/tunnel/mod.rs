//! RTMPT: RTMP in requests of HTTP, the server's side.
//!
//! There is no specification; the rules are those of Red5's description (`SPEC-RTMPT`) and of what
//! ffmpeg, librtmp and Flash Player send. `open` begins a session, `send` carries bytes of the
//! client, `idle` asks for bytes of the server, `close` ends it. Requests of a session are numbered
//! and may come on several connections, since proxies spread and repeat them; a client has one under
//! way at a time. Each answer begins with a byte by which the client chooses the time of its next
//! idle request.

mod id;
mod polling;
mod request;
mod state;

pub use id::TunnelId;
pub use polling::CLOSED;
pub use request::{TunnelPlace, TunnelRequest};
pub use state::{Reception, Tunnel, TunnelFault, TunnelKind};

/// The type of all answers with status 200.
pub const CONTENT_TYPE: &str = "application/x-fcs";

#[cfg(test)]
mod tests;
