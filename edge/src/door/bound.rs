//! Listening sockets.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};

use crate::wire::{Upkeep, prepare};

/// Connections that the kernel keeps until they are accepted; the kernel has a limit of its own.
const LISTEN_BACKLOG: i32 = 4096;

/// A listener could not be opened.
#[derive(Debug)]
pub struct ListenError {
    /// The address of the configuration.
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Opens a listening socket. Returns the address that it has.
pub(crate) fn bind(
    address: SocketAddr,
    upkeep: &Upkeep,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let bound = open(address, upkeep).and_then(|socket| {
        let bound = socket.local_addr()?;
        Ok((socket, bound))
    });
    bound.map_err(|source| ListenError { address, source })
}

/// Takes over a listening socket that another process has opened. Returns the address that it has.
pub(crate) fn adopt(socket: TcpListener, upkeep: &Upkeep) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::from(socket);
    socket.set_nonblocking(true)?;
    prepare(&socket, upkeep)?;
    let socket = TcpListener::from(socket);
    let address = socket.local_addr()?;
    Ok((socket, address))
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
