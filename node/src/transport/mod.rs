//! Links over QUIC. The library that carries them is used in this module only.
//!
//! An [`Endpoint`] dials or accepts; a [`Link`] is one connection whose peer's certificate has
//! been checked; lanes, feeds and the control stream are its [`SendStream`]s and [`RecvStream`]s.

mod endpoint;
mod settings;
mod shares;
mod socket;
mod stream;

use std::{
    fmt,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use quinn::VarInt;

pub use endpoint::{BindError, Endpoint, Incoming};
pub use settings::{IDLE, KEEP_ALIVE};
pub use stream::{RecvStream, SendStream, StreamError, StreamKind};

use crate::tls::Peer;
use shares::Shares;

/// One QUIC connection between an edge and an origin, both certificates checked. Clones are the
/// same connection.
#[derive(Clone, Debug)]
pub struct Link {
    connection: quinn::Connection,
    peer: Arc<Peer>,
    shares: Arc<Shares>,
    limits: Arc<Limits>,
}

#[derive(Debug)]
struct Limits {
    lanes: AtomicU32,
    feeds: AtomicU32,
}

/// The streams of either kind that a peer may have open before its certificate is accepted. Reason:
/// each costs memory once it is allowed.
const UNTRUSTED_STREAMS: u32 = 64;

/// The most streams that a limit allows beyond the open ones.
const STREAM_STEP: u32 = 4096;

/// The most streams of one kind that a peer may have open.
const MAX_STREAMS: u32 = 100_000;

/// The reason that a closing end sends to its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCode {
    /// The process ends.
    Shutdown,
    /// The peer violated the link's protocol.
    Protocol,
    /// The peer's certificate is for another role or name.
    Role,
    /// A newer link of the same process fences this one.
    Fenced,
}

impl CloseCode {
    fn code(self) -> VarInt {
        VarInt::from_u32(match self {
            Self::Shutdown => 0,
            Self::Protocol => 1,
            Self::Role => 2,
            Self::Fenced => 3,
        })
    }
}

impl Link {
    fn new(connection: quinn::Connection, peer: Peer) -> Self {
        let link = Self {
            shares: Arc::default(),
            connection,
            peer: Arc::new(peer),
            limits: Arc::new(Limits {
                lanes: AtomicU32::new(UNTRUSTED_STREAMS),
                feeds: AtomicU32::new(UNTRUSTED_STREAMS),
            }),
        };
        link.allow_lanes(0);
        link.allow_feeds(0);
        link
    }

    /// The holder of the peer's certificate.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Opens the control stream or a lane.
    pub async fn open_lane(&self, kind: StreamKind) -> Result<(SendStream, RecvStream), LinkError> {
        let (send, recv) = self.connection.open_bi().await?;
        Ok((
            SendStream::new(send, kind, Arc::clone(&self.shares)),
            RecvStream::new(recv),
        ))
    }

    /// Accepts the control stream or a lane.
    pub async fn accept_lane(
        &self,
        kind: StreamKind,
    ) -> Result<(SendStream, RecvStream), LinkError> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok((
            SendStream::new(send, kind, Arc::clone(&self.shares)),
            RecvStream::new(recv),
        ))
    }

    /// Opens a feed.
    pub async fn open_feed(&self) -> Result<SendStream, LinkError> {
        let send = self.connection.open_uni().await?;
        Ok(SendStream::new(
            send,
            StreamKind::Feed,
            Arc::clone(&self.shares),
        ))
    }

    /// Accepts a feed.
    pub async fn accept_feed(&self) -> Result<RecvStream, LinkError> {
        Ok(RecvStream::new(self.connection.accept_uni().await?))
    }

    /// Allows further lanes, given the count of lanes that the peer has open.
    pub fn allow_lanes(&self, open: usize) {
        if let Some(limit) = raise(&self.limits.lanes, open) {
            self.connection
                .set_max_concurrent_bi_streams(VarInt::from_u32(limit));
        }
    }

    /// Allows further feeds, given the count of feeds that the peer has open.
    pub fn allow_feeds(&self, open: usize) {
        if let Some(limit) = raise(&self.limits.feeds, open) {
            self.connection
                .set_max_concurrent_uni_streams(VarInt::from_u32(limit));
        }
    }

    /// Closes the connection at once.
    pub fn close(&self, code: CloseCode) {
        self.connection.close(code.code(), b"");
    }

    /// Waits for the end of the connection.
    pub async fn closed(&self) -> LinkError {
        self.connection.closed().await.into()
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Bytes of UDP payload sent and received on this connection.
    pub fn bytes(&self) -> (u64, u64) {
        let stats = self.connection.stats();
        (stats.udp_tx.bytes, stats.udp_rx.bytes)
    }

    /// The round trip, as QUIC measures it.
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
    }
}

/// The new limit for `open` streams, if it must be raised.
fn raise(limit: &AtomicU32, open: usize) -> Option<u32> {
    let open = u32::try_from(open).unwrap_or(MAX_STREAMS);
    let current = limit.load(Ordering::Acquire);
    if current >= MAX_STREAMS || open + STREAM_STEP / 2 < current {
        return None;
    }
    let raised = (open + STREAM_STEP).min(MAX_STREAMS);
    limit.store(raised, Ordering::Release);
    Some(raised)
}

/// The reason for which a link was not made, or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// No packet of the peer arrived within [`IDLE`], or the dial took too long.
    TimedOut,
    /// The peer closed the link with this code.
    Closed(u64),
    /// Another process answers at the peer's address.
    Reset,
    /// This end closed the link.
    Local,
    /// The TLS handshake failed, or a certificate was refused.
    Refused(String),
    /// Any other error of QUIC.
    Transport(String),
}

/// The code of QUIC at which TLS alerts begin (RFC 9001, 4.8).
const CRYPTO_ERROR: u64 = 0x100;

/// The TLS alerts about a certificate: bad, unsupported, revoked, expired, unknown, illegal, of an
/// unknown CA, not signed by it (RFC 8446, 6.2).
const CERTIFICATE_ALERTS: &[u64] = &[42, 43, 44, 45, 46, 47, 48, 51];

impl LinkError {
    /// Whether one of the two ends has closed the link because it stops or restarts.
    pub fn is_orderly(&self) -> bool {
        *self == Self::Local || *self == Self::Closed(CloseCode::Shutdown.code().into_inner())
    }

    /// A refusal by QUIC. For a certificate, TLS names the fault, and this adds the remedy, which
    /// is always the same.
    fn refused(code: quinn_proto::TransportErrorCode, why: &dyn fmt::Display) -> Self {
        let alert = u64::from(code).checked_sub(CRYPTO_ERROR);
        Self::Refused(match alert {
            Some(alert) if CERTIFICATE_ALERTS.contains(&alert) => format!(
                "{why}; the certificates of both ends must come from one CA and be valid today"
            ),
            _ => why.to_string(),
        })
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out"),
            Self::Closed(code) => write!(f, "closed by the peer (code {code})"),
            Self::Reset => f.write_str("the peer has restarted"),
            Self::Local => f.write_str("closed here"),
            Self::Refused(why) => write!(f, "refused: {why}"),
            Self::Transport(why) => write!(f, "transport: {why}"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<StreamError> for LinkError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Link(error) => error,
            StreamError::Reset => Self::Refused(error.to_string()),
        }
    }
}

impl From<quinn::ConnectionError> for LinkError {
    fn from(error: quinn::ConnectionError) -> Self {
        use quinn::ConnectionError as E;
        match error {
            E::TimedOut => Self::TimedOut,
            E::ApplicationClosed(close) => Self::Closed(close.error_code.into_inner()),
            E::Reset => Self::Reset,
            E::LocallyClosed => Self::Local,
            E::TransportError(error) => Self::refused(error.code, &error),
            E::ConnectionClosed(close) => Self::refused(close.error_code, &close),
            other => Self::Transport(other.to_string()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
