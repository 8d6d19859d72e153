//! Listening sockets.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
};

use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};

use super::Door;
use crate::{
    config::{Listen, Protocol, WebOrigins},
    tls::Certificates,
    tunnel::Tunnels,
    wire::{Upkeep, prepare},
};

/// Connections that the kernel keeps until they are accepted; the kernel has a limit of its own.
const LISTEN_BACKLOG: i32 = 4096;

/// A listening socket, and the door behind it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) door: Arc<Door>,
}

/// A listener could not be opened.
#[derive(Debug)]
pub struct ListenError {
    /// The address of the configuration.
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Opens a listener. `origins` are the sites whose pages may use it; all listeners
/// have the same `tunnels`.
pub(crate) fn bind(
    listen: &Listen,
    origins: &WebOrigins,
    tunnels: &Arc<Tunnels>,
    certificates: &Certificates,
    upkeep: &'static Upkeep,
) -> Result<Bound, ListenError> {
    let failed = |source| ListenError {
        address: listen.address,
        source,
    };
    let socket = open(listen.address, upkeep).map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    let tls = listen
        .uses_tls()
        .then(|| certificates.settings(listen.tls.as_deref()));
    let door = Door {
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
    };
    Ok(Bound {
        socket,
        address,
        door: Arc::new(door),
    })
}

impl Bound {
    /// The protocols that clients speak here.
    pub(crate) fn protocols(&self) -> &[Protocol] {
        &self.door.protocols
    }
}

fn open(address: SocketAddr, upkeep: &Upkeep) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(SocketProtocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    prepare(&socket, upkeep)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen on {}: {}; choose another address with --rtmp or in edge.listen",
            self.address, self.source
        )
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
