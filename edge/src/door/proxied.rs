//! The header of a proxy before a connection: PROXY protocol, versions 1 and 2.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;
use tributary_gate::Networks;
use tributary_protocol::{
    link::PeerAddress,
    proxy::{self, ProxyHeader},
};

use super::{Client, Refusal};

/// Bytes of a header that are looked at together.
const LOOK: usize = 256;

/// Reads the header of a trusted proxy. The bytes behind it stay unread: they are the client's.
pub(super) async fn read(
    socket: &TcpStream,
    peer: SocketAddr,
    trusted: &Networks,
) -> Result<Client, Refusal> {
    if !trusted.contains(Some(peer.ip())) {
        return Err(Refusal::Untrusted);
    }
    let mut header = Vec::with_capacity(LOOK);
    loop {
        let before = header.len();
        header.resize(before + LOOK, 0);
        let seen = socket.peek(&mut header[before..]).await.unwrap_or(0);
        header.truncate(before + seen);
        if seen == 0 {
            return Err(match before {
                0 => Refusal::Gone,
                _ => Refusal::ProxyGone,
            });
        }
        let read = proxy::read(&header)?.map(|(read, length)| (Client::named(&read), length));
        let length = read.map_or(header.len(), |(_, length)| length);
        take(socket, &mut header[before..length]).map_err(|_| Refusal::ProxyGone)?;
        if let Some((client, _)) = read {
            return Ok(client);
        }
    }
}

impl Client {
    /// The client that a header names. A header without TLS says nothing of the connection itself.
    fn named(header: &ProxyHeader<'_>) -> Self {
        let named = header.client.map(PeerAddress::from);
        Self {
            address: named.unwrap_or(PeerAddress::UNKNOWN),
            used_tls: header.tls.is_some().then_some(true),
        }
    }
}

/// Takes bytes that were looked at.
fn take(socket: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let taken = socket.try_read(bytes)?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = &mut bytes[taken..];
    }
    Ok(())
}
