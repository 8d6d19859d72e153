//! The door: all that comes before RTMP on a connection.
//!
//! ```text
//!   accepted socket ──► PROXY header, on a proxied listener: the client's address
//!                   ──► first byte ──► 0x16: TLS handshake ──► Entrant for rtmps
//!                                  └─► any other ────────────► Entrant for rtmp
//! ```
//!
//! A listener is proxied or not, and never guesses. A listener with a single protocol does not look
//! at the first byte: a client that speaks another one gets the answer of the one that is served.

mod bound;
mod proxied;
mod refusal;

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tributary_gate::Networks;
use tributary_protocol::link::PeerAddress;

use crate::{
    admission::Permit,
    config::Protocol,
    wire::{TlsSettings, Transport, Upkeep},
};

pub use bound::ListenError;
pub(crate) use bound::{Bound, bind};
use proxied::Proxied;
pub(crate) use refusal::Refusal;

/// The settings that the connections of a listener have in common.
#[derive(Debug)]
pub(crate) struct Door {
    protocols: Vec<Protocol>,
    /// The settings of TLS, if a protocol uses it.
    tls: Option<TlsSettings>,
    upkeep: &'static Upkeep,
    /// The proxies that may connect to a proxied listener.
    trusted: Option<Networks>,
}

/// A connection at the first byte of RTMP.
#[derive(Debug)]
pub(crate) struct Entrant {
    pub(crate) transport: Transport,
    pub(crate) peer: PeerAddress,
    /// The protocol that the client speaks, with the TLS that a proxy ended.
    pub(crate) protocol: Protocol,
    pub(crate) upkeep: &'static Upkeep,
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
    /// Whether RTMP begins with the first byte of every connection.
    pub(crate) fn admits_at_once(&self) -> bool {
        self.protocols == [Protocol::Rtmp] && !self.is_proxied()
    }

    /// Whether a proxy tells the client's address.
    pub(crate) fn is_proxied(&self) -> bool {
        self.trusted.is_some()
    }

    /// Takes a connection to the first byte of RTMP, and counts it under the client's address. The
    /// future is large: a caller that lasts boxes it.
    pub(crate) async fn enter(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        permit: &mut Permit,
        turns: &Turns,
    ) -> Result<Entrant, Refusal> {
        timeout(TIME, self.pass(socket, peer, permit, turns)).await?
    }

    async fn pass(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        permit: &mut Permit,
        turns: &Turns,
    ) -> Result<Entrant, Refusal> {
        let client = match &self.trusted {
            Some(trusted) => {
                let client = proxied::read(&socket, peer, trusted).await?;
                permit.name(client.address.ip())?;
                client
            }
            None => Proxied {
                address: peer.into(),
                used_tls: false,
            },
        };
        let first = first(&socket).await?;
        let protocol = match self.protocols[..] {
            [only] => only,
            _ => first,
        };
        let transport = match (protocol, &self.tls) {
            (Protocol::Rtmps, Some(settings)) => Transport::tls(socket, settings, &turns.0).await?,
            _ => Transport::plain(socket),
        };
        Ok(Entrant {
            transport,
            peer: client.address,
            protocol: match client.used_tls {
                true => Protocol::Rtmps,
                false => protocol,
            },
            upkeep: self.upkeep,
        })
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

impl Entrant {
    /// A connection that needs nothing before RTMP.
    pub(crate) fn direct(socket: TcpStream, peer: PeerAddress, door: &Door) -> Self {
        Self {
            transport: Transport::plain(socket),
            peer,
            protocol: Protocol::Rtmp,
            upkeep: door.upkeep,
        }
    }
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(IN_A_ROW))
    }
}
