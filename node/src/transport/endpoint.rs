//! Endpoints, which dial and accept links.

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

/// A UDP socket that dials or accepts links. It belongs to the runtime on which it was made.
#[derive(Debug)]
pub struct Endpoint {
    endpoint: quinn::Endpoint,
    /// The roles of this endpoint's peers.
    wanted: &'static [Role],
    handshakes: Arc<AtomicUsize>,
}

/// A peer that dials.
#[derive(Debug)]
pub struct Incoming {
    incoming: quinn::Incoming,
    wanted: &'static [Role],
    handshake: Handshake,
}

#[derive(Debug)]
struct Handshake(Arc<AtomicUsize>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The size of each buffer of the socket, as requested from the kernel, in bytes. Reason: the
/// default holds less than a hundred full packets.
const SOCKET_BUFFER: usize = 8 << 20;

impl Endpoint {
    /// An origin's endpoint, which accepts nodes of these roles.
    pub fn accepting(
        address: SocketAddr,
        identity: &Identity,
        wanted: &'static [Role],
    ) -> Result<Self, BindError> {
        let server = settings::server(identity).map_err(|e| BindError::Tls(e.to_string()))?;
        Self::bind(address, identity, Some(server), wanted)
    }

    /// An endpoint that dials origins.
    pub fn dialling(identity: &Identity, address: SocketAddr) -> Result<Self, BindError> {
        let client = settings::client(identity).map_err(|e| BindError::Tls(e.to_string()))?;
        let mut endpoint = Self::bind(address, identity, None, &[Role::Origin])?;
        endpoint.endpoint.set_default_client_config(client);
        Ok(endpoint)
    }

    fn bind(
        address: SocketAddr,
        identity: &Identity,
        server: Option<quinn::ServerConfig>,
        wanted: &'static [Role],
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

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next peer that dials; `None` once the endpoint is closed. Addresses without a proof are
    /// sent away while many handshakes are under way.
    pub async fn accept(&self) -> Option<Incoming> {
        loop {
            let incoming = self.endpoint.accept().await?;
            if self.handshakes.load(Ordering::Acquire) >= HANDSHAKES {
                // A peer dials again; a flood does not matter.
                incoming.ignore();
                continue;
            }
            let crowded = self.handshakes.load(Ordering::Acquire) >= UNVALIDATED;
            if crowded && !incoming.remote_address_validated() && incoming.may_retry() {
                // The address may be false: it costs no memory before it has answered.
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
        // The name is not compared here: the caller compares the certificate's role and name.
        let connecting = self
            .endpoint
            .connect(address, "tributary")
            .map_err(|error| LinkError::Transport(error.to_string()))?;
        let connection = timeout(HANDSHAKE, connecting)
            .await
            .map_err(|_| LinkError::TimedOut)??;
        check(connection, self.wanted)
    }

    /// Closes every link, and the socket once the peers are notified.
    pub async fn close(&self) {
        self.endpoint.close(CloseCode::Shutdown.code(), b"");
        // Peers that do not answer have their idle timeout.
        let _ = timeout(
            std::time::Duration::from_millis(500),
            self.endpoint.wait_idle(),
        )
        .await;
    }
}

impl Incoming {
    /// The peer's address.
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

/// Checks the role on the leaf certificate, without a constraint of the CA.
fn check(connection: quinn::Connection, wanted: &[Role]) -> Result<Link, LinkError> {
    let peer = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .and_then(|chain| chain.first().map(|leaf| tls::peer(leaf)))
        .ok_or_else(|| LinkError::Refused("the peer showed no certificate".into()))?;
    let refused = match peer {
        Ok(peer) if wanted.contains(&peer.role) => return Ok(Link::new(connection, peer)),
        Ok(peer) => {
            let wanted: Vec<_> = wanted.iter().map(Role::to_string).collect();
            format!("{peer} is no {}", wanted.join(" and no "))
        }
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

/// The reason for which an endpoint was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The address could not be bound.
    Socket {
        address: SocketAddr,
        source: io::Error,
    },
    /// The certificate or key is not usable.
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
