//! Where links are dialled and accepted.

use std::{
    fmt, io,
    net::{self, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use quinn::rustls::pki_types::CertificateDer;
use socket2::{Domain, Socket, Type};
use tokio::time::timeout;

use super::{
    CloseCode, Link, LinkError,
    settings::{self, HANDSHAKE, HANDSHAKES, UNVALIDATED},
    socket::UdpSocket,
};
use crate::tls::{self, Identity, Role};

/// A UDP socket that dials or accepts links. Lives on the runtime it was made on.
#[derive(Debug)]
pub struct Endpoint {
    endpoint: quinn::Endpoint,
    /// Whom this endpoint talks to.
    wanted: Role,
    handshakes: Arc<AtomicUsize>,
}

/// A peer that asks for a link.
#[derive(Debug)]
pub struct Incoming {
    incoming: quinn::Incoming,
    wanted: Role,
    handshake: Handshake,
}

#[derive(Debug)]
struct Handshake(Arc<AtomicUsize>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What is asked of the kernel for each direction of the socket, in bytes. Reason: its default
/// holds less than a hundred full packets.
const SOCKET_BUFFER: usize = 8 << 20;

impl Endpoint {
    /// An origin's endpoint: accepts edges.
    pub fn accepting(address: SocketAddr, identity: &Identity) -> Result<Self, BindError> {
        let server = settings::server(identity).map_err(|e| BindError::Tls(e.to_string()))?;
        Self::bind(address, identity, Some(server), Role::Edge)
    }

    /// An edge's endpoint: dials origins.
    pub fn dialling(identity: &Identity, address: SocketAddr) -> Result<Self, BindError> {
        let client = settings::client(identity).map_err(|e| BindError::Tls(e.to_string()))?;
        let mut endpoint = Self::bind(address, identity, None, Role::Origin)?;
        endpoint.endpoint.set_default_client_config(client);
        Ok(endpoint)
    }

    fn bind(
        address: SocketAddr,
        identity: &Identity,
        server: Option<quinn::ServerConfig>,
        wanted: Role,
    ) -> Result<Self, BindError> {
        let socket = socket(address).map_err(|source| BindError::Socket { address, source })?;
        let config = settings::endpoint(identity);
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = UdpSocket::new(socket)
            .and_then(|socket| {
                let socket = Arc::new(socket);
                quinn::Endpoint::new_with_abstract_socket(config, server, socket, runtime)
            })
            .map_err(|source| BindError::Socket { address, source })?;
        Ok(Self {
            endpoint,
            wanted,
            handshakes: Arc::default(),
        })
    }

    /// The address bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next peer that asks for a link; `None` once the endpoint is closed. Spoofed addresses
    /// are sent away when many handshakes are under way.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if self.handshakes.load(Ordering::Acquire) >= HANDSHAKES {
                // It will ask again, or it was a flood.
                incoming.ignore();
                continue;
            }
            let crowded = self.handshakes.load(Ordering::Acquire) >= UNVALIDATED;
            if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
                // The address may be false: it costs nothing until it has answered.
                let _ = incoming.retry();
                continue;
            }
            self.handshakes.fetch_add(1, Ordering::AcqRel);
            let handshake = Handshake(Arc::clone(&self.handshakes));
            return Some(Incoming {
                incoming,
                wanted: self.wanted,
                handshake,
            });
        }
    }

    /// Dials an origin.
    pub async fn connect(&self, address: SocketAddr) -> Result<Link, LinkError> {
        // The name is not compared: the certificate's role and name are, by the caller.
        let connecting = self
            .endpoint
            .connect(address, "tributary")
            .map_err(|error| LinkError::Transport(error.to_string()))?;
        let connection = timeout(HANDSHAKE, connecting)
            .await
            .map_err(|_| LinkError::TimedOut)??;
        check(connection, self.wanted)
    }

    /// Closes every link and the socket once the peers know.
    pub async fn close(&self) {
        self.endpoint.close(CloseCode::Shutdown.code(), b"");
        // Peers that do not answer find out by themselves.
        let _ = timeout(
            std::time::Duration::from_millis(500),
            self.endpoint.wait_idle(),
        )
        .await;
    }
}

impl Incoming {
    /// Where it comes from.
    pub fn address(&self) -> SocketAddr {
        self.incoming.remote_address()
    }

    /// Completes the handshake and checks the peer's certificate.
    pub async fn handshake(self) -> Result<Link, LinkError> {
        let connecting = self.incoming.accept()?;
        let connection = timeout(HANDSHAKE, connecting)
            .await
            .map_err(|_| LinkError::TimedOut)??;
        drop(self.handshake);
        check(connection, self.wanted)
    }
}

/// The role is checked from the leaf certificate, not left to constraints of the CA.
fn check(connection: quinn::Connection, wanted: Role) -> Result<Link, LinkError> {
    let peer = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| chain.first().map(|leaf| tls::peer(leaf)))
        .ok_or_else(|| LinkError::Refused("the peer showed no certificate".into()))?;
    let refused = match peer {
        Ok(peer) if peer.role == wanted => return Ok(Link::new(connection, peer)),
        Ok(peer) => format!("{peer} is no {wanted}"),
        Err(error) => error.to_string(),
    };
    connection.close(CloseCode::Role.code(), b"");
    Err(LinkError::Refused(refused))
}

fn socket(address: SocketAddr) -> io::Result<net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    tracing::debug!(
        %address,
        send_buffer = socket.send_buffer_size()?,
        receive_buffer = socket.recv_buffer_size()?,
        "link socket",
    );
    Ok(socket.into())
}

/// The endpoint could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address could not be bound.
    Socket {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate or key does not fit.
    Tls(String),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { address, source } => write!(
                f,
                "cannot listen on udp {address}: {source}; choose another with --link"
            ),
            Self::Tls(why) => write!(f, "the node's certificate cannot be used: {why}"),
        }
    }
}

impl std::error::Error for BindError {}
