//! The door: all that comes before RTMP on a connection.
//!
//! ```text
//!   accepted socket ──► first byte ──► 0x16: TLS handshake ──► Transport for rtmps
//!                                  └─► any other ────────────► Transport for rtmp
//! ```
//!
//! A listener that serves one protocol does not look at the first byte: a client that speaks
//! another one then gets the answer of the one that is served.

mod bound;

use std::{fmt, time::Duration};

use tokio::{
    net::TcpStream,
    sync::Semaphore,
    time::{error::Elapsed, timeout},
};

use crate::{
    config::Protocol,
    wire::{TlsFault, TlsSettings, Transport, Upkeep},
};

pub use bound::ListenError;
pub(crate) use bound::{Bound, bind};

/// The settings that the connections of a listener have in common.
#[derive(Debug)]
pub(crate) struct Door {
    protocols: Vec<Protocol>,
    /// The settings of TLS, if a protocol uses it.
    tls: Option<TlsSettings>,
    upkeep: &'static Upkeep,
}

/// A worker's limit on handshakes that are computed one after the other. Reason: one takes up to a
/// millisecond of the thread, and the passes to viewers run between two.
#[derive(Debug)]
pub(crate) struct Turns(Semaphore);

/// The time from the accepted connection to the first byte of RTMP.
const TIME: Duration = Duration::from_secs(5);

/// Handshakes in a row.
const IN_A_ROW: usize = 4;

/// The first byte of a TLS handshake record (RFC 8446, 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

impl Door {
    /// The upkeep of a connection that speaks RTMP on TCP or TLS directly.
    pub(crate) fn upkeep(&self) -> &'static Upkeep {
        self.upkeep
    }

    /// Whether RTMP begins with the first byte of every connection.
    pub(crate) fn is_open(&self) -> bool {
        self.protocols == [Protocol::Rtmp]
    }

    /// Takes a connection to the first byte of RTMP. The future is large: a caller that lasts boxes it.
    pub(crate) async fn enter(
        &self,
        socket: TcpStream,
        turns: &Turns,
    ) -> Result<Transport, Refusal> {
        timeout(TIME, self.pass(socket, turns)).await?
    }

    async fn pass(&self, socket: TcpStream, turns: &Turns) -> Result<Transport, Refusal> {
        let protocol = match self.protocols[..] {
            [only] => only,
            _ => first(&socket).await?,
        };
        match (protocol, &self.tls) {
            (Protocol::Rtmps, Some(settings)) => {
                let handshake = Transport::tls(socket, settings, &turns.0);
                handshake.await.map_err(Refusal::Tls)
            }
            _ => Ok(Transport::plain(socket)),
        }
    }
}

/// The protocol of the first byte, which stays unread.
async fn first(socket: &TcpStream) -> Result<Protocol, Refusal> {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(0) | Err(_) => Err(Refusal::Gone),
        Ok(_) if byte[0] == TLS_HANDSHAKE => Ok(Protocol::Rtmps),
        Ok(_) => Ok(Protocol::Rtmp),
    }
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(IN_A_ROW))
    }
}

/// The reason for which a connection did not get to RTMP.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client closed the connection before it said anything.
    Gone,
    /// The time was over.
    Late,
    /// The TLS handshake failed.
    Tls(TlsFault),
}

impl Refusal {
    /// The label of the fault, in logs and figures. A connection without a byte is no fault: health
    /// checks of balancers make such ones.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Gone => None,
            Self::Late => Some("door_timeout"),
            Self::Tls(fault) => fault.label(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client closed the connection without a byte"),
            Self::Late => write!(f, "no byte of RTMP after {} s", TIME.as_secs()),
            Self::Tls(fault) => fault.fmt(f),
        }
    }
}

impl From<Elapsed> for Refusal {
    fn from(_: Elapsed) -> Self {
        Self::Late
    }
}
