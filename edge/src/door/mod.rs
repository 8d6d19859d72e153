//! The door: all that comes before RTMP on a connection.
//!
//! ```text
//!   accepted socket ──► PROXY header, on a proxied listener: the client's address
//!                   ──► first byte ──► 0x16: TLS handshake ──► first byte again
//!                                  ├─► G: request for a WebSocket ──► Entrant for ws, wss
//!                                  ├─► P: requests of RTMPT ────────► Visitor
//!                                  └─► any other ───────────────────► Entrant for rtmp, rtmps
//! ```
//!
//! A listener is proxied or not, and never guesses. A listener does not look at a byte that decides
//! nothing: a client that speaks another protocol gets the answer of the one that is served.

mod bound;
mod forwarded;
mod parcel;
mod proxied;
mod refusal;
mod websocket;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, sync::Semaphore, time::timeout};
use tributary_gate::Networks;
use tributary_protocol::{http::HttpRequest, link::PeerAddress};

use crate::{
    admission::Permit,
    config::{Listen, Protocol, WebOrigins},
    tls::Certificates,
    tunnel::Tunnels,
    wire::{TlsSettings, Transport, Upkeep},
};

pub use bound::ListenError;
pub(crate) use bound::{adopt, bind};
pub(crate) use refusal::Refusal;
pub(crate) use websocket::refuse;

/// The settings that the connections of a listener have in common.
#[derive(Debug)]
pub(crate) struct Door {
    protocols: Vec<Protocol>,
    /// The settings of TLS, if a protocol uses it.
    tls: Option<TlsSettings>,
    upkeep: &'static Upkeep,
    /// Whether every connection begins with a proxy's header.
    is_proxied: bool,
    /// Whether the requests of proxies name their clients.
    takes_forwarded: bool,
    trusted: Networks,
    origins: WebOrigins,
    tunnels: Arc<Tunnels>,
}

/// A connection behind the door.
#[derive(Debug)]
pub(crate) enum Entered {
    Client(Entrant),
    Visitor(Visitor),
}

/// A connection that carries requests of RTMPT, each for a session of its own.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) transport: Transport,
    pub(crate) tunnels: Arc<Tunnels>,
    /// Whether the listener also serves WebSockets.
    pub(crate) serves_web: bool,
    peer: Client,
    protocol: Protocol,
    /// The proxies whose requests name their clients; the visitor is one of them.
    forwarders: Option<Networks>,
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

/// The client, as far as a proxy or the connection shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Client {
    address: PeerAddress,
    /// Whether the client spoke TLS, if a proxy says so.
    used_tls: Option<bool>,
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

/// The first byte of a request for a WebSocket, which is a GET.
const GET: u8 = b'G';

/// The first byte of a request of RTMPT, which is a POST.
const POST: u8 = b'P';

impl Door {
    /// The door of a listener. `origins` are the sites whose pages may use it; all listeners have
    /// the same `tunnels`.
    pub(crate) fn new(
        listen: &Listen,
        origins: &WebOrigins,
        tunnels: &Arc<Tunnels>,
        certificates: &Certificates,
        upkeep: &'static Upkeep,
    ) -> Self {
        let tls = listen
            .uses_tls()
            .then(|| certificates.settings(listen.tls.as_deref()));
        Self {
            protocols: listen.protocols.clone(),
            tls,
            upkeep: if listen.proxy_protocol {
                &Upkeep::PROXIED
            } else {
                upkeep
            },
            is_proxied: listen.proxy_protocol,
            takes_forwarded: listen.forwarded,
            trusted: listen.trusted.clone(),
            origins: origins.clone(),
            tunnels: Arc::clone(tunnels),
        }
    }

    /// Whether RTMP begins with the first byte of every connection.
    pub(crate) fn admits_at_once(&self) -> bool {
        self.protocols == [Protocol::Rtmp] && !self.is_proxied
    }

    /// Whether the client of a connection is known only after the first bytes.
    pub(crate) fn names_late(&self, peer: SocketAddr) -> bool {
        self.is_proxied || self.forwards(peer.into())
    }

    /// Whether the requests from this address name their clients.
    fn forwards(&self, peer: PeerAddress) -> bool {
        self.takes_forwarded && self.trusted.contains(peer.ip())
    }

    /// Takes a connection to the first byte of RTMP, and counts it under the client's address. The
    /// future is large: a caller that lasts boxes it.
    pub(crate) async fn enter(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        permit: &mut Permit,
        turns: &Turns,
    ) -> Result<Entered, Refusal> {
        timeout(TIME, self.pass(socket, peer, permit, turns)).await?
    }

    async fn pass(
        &self,
        socket: TcpStream,
        peer: SocketAddr,
        permit: &mut Permit,
        turns: &Turns,
    ) -> Result<Entered, Refusal> {
        let mut client = match self.is_proxied {
            true => proxied::read(&socket, peer, &self.trusted).await?,
            false => Client {
                address: peer.into(),
                used_tls: None,
            },
        };
        let forwards = self.forwards(client.address);
        if self.is_proxied && !forwards {
            permit.name(client.address.ip())?;
        }
        let (mut transport, protocol) = self.open(socket, turns).await?;
        if matches!(protocol, Protocol::Rtmpt | Protocol::Rtmpts) {
            let mut beside = self.served(protocol.is_tls());
            return Ok(Entered::Visitor(Visitor {
                transport,
                tunnels: Arc::clone(&self.tunnels),
                serves_web: beside.any(|it| matches!(it, Protocol::Ws | Protocol::Wss)),
                peer: client,
                protocol,
                forwarders: forwards.then(|| self.trusted.clone()),
            }));
        }
        let uses_web = matches!(protocol, Protocol::Ws | Protocol::Wss);
        if uses_web {
            let admit = |request: &HttpRequest<'_>| {
                if forwards {
                    client = forwarded::client(request, &self.trusted);
                    permit.name(client.address.ip())?;
                }
                let is_admitted = self.origins.admit(request.origin);
                is_admitted.then_some(()).ok_or(Refusal::WebOrigin)
            };
            transport = websocket::open(transport, admit).await?;
        } else if forwards {
            permit.name(client.address.ip())?;
        }
        Ok(Entered::Client(Entrant {
            transport,
            peer: client.address,
            protocol: over_tls(
                protocol,
                client.used_tls.unwrap_or_else(|| protocol.is_tls()),
            ),
            // A browser cannot be told from a proxy before it.
            upkeep: if uses_web {
                &Upkeep::PROXIED
            } else {
                self.upkeep
            },
        }))
    }

    /// Finds the protocol, and shakes hands where it uses TLS.
    async fn open(
        &self,
        socket: TcpStream,
        turns: &Turns,
    ) -> Result<(Transport, Protocol), Refusal> {
        let first = first(&socket).await?;
        let is_served = |over_tls| self.served(over_tls).next().is_some();
        let tls = self.tls.as_ref();
        let tls = tls.filter(|_| first == TLS_HANDSHAKE || !is_served(false));
        let Some(settings) = tls else {
            return Ok((Transport::plain(socket), choose(self.served(false), first)));
        };
        let transport = Transport::tls(socket, settings, &turns.0).await?;
        let served = self.served(true);
        let first = match served.clone().count() {
            1 => first,
            _ => {
                let first = transport.first_in_tls().await;
                first.ok().flatten().ok_or(Refusal::Gone)?
            }
        };
        Ok((transport, choose(served, first)))
    }

    /// The protocols that are served over TLS, or without it.
    fn served(&self, over_tls: bool) -> impl Iterator<Item = Protocol> + Clone {
        let protocols = self.protocols.iter().copied();
        protocols.filter(move |it| it.is_tls() == over_tls)
    }
}

/// The protocol of a connection that begins with this byte.
fn choose(mut served: impl Iterator<Item = Protocol> + Clone, first: u8) -> Protocol {
    let begins = |it: &Protocol| match it {
        Protocol::Ws | Protocol::Wss => first == GET,
        Protocol::Rtmpt | Protocol::Rtmpts => first == POST,
        Protocol::Rtmp | Protocol::Rtmps => first != GET && first != POST,
    };
    let fitting = served.clone().find(begins);
    fitting.or_else(|| served.next()).unwrap_or(Protocol::Rtmp)
}

/// The protocol, as it is with TLS or without.
fn over_tls(protocol: Protocol, tls: bool) -> Protocol {
    match (protocol, tls) {
        (Protocol::Rtmp | Protocol::Rtmps, false) => Protocol::Rtmp,
        (Protocol::Rtmp | Protocol::Rtmps, true) => Protocol::Rtmps,
        (Protocol::Rtmpt | Protocol::Rtmpts, false) => Protocol::Rtmpt,
        (Protocol::Rtmpt | Protocol::Rtmpts, true) => Protocol::Rtmpts,
        (Protocol::Ws | Protocol::Wss, false) => Protocol::Ws,
        (Protocol::Ws | Protocol::Wss, true) => Protocol::Wss,
    }
}

/// The first byte of a connection, which stays unread.
async fn first(socket: &TcpStream) -> Result<u8, Refusal> {
    let mut byte = [0];
    match socket.peek(&mut byte).await {
        Ok(0) | Err(_) => Err(Refusal::Gone),
        Ok(_) => Ok(byte[0]),
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

impl Visitor {
    /// The client of a request, and the protocol that it speaks.
    pub(crate) fn client(&self, request: &HttpRequest<'_>) -> (PeerAddress, Protocol) {
        let named = self.forwarders.as_ref();
        let client = named.map_or(self.peer, |trusted| forwarded::client(request, trusted));
        let used_tls = client.used_tls.unwrap_or_else(|| self.protocol.is_tls());
        (client.address, over_tls(self.protocol, used_tls))
    }
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self(Semaphore::new(IN_A_ROW))
    }
}
