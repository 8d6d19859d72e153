//! The bare relay: the cost of a server of two tiers that does nothing else.
//!
//! The near end copies the bytes of each TCP connection to a stream of its one QUIC connection, and
//! back; the far end sends them back, as the bare echo does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::Duration,
};

use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, Incoming, RecvStream,
    SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
    rustls::{
        RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{copy_bidirectional, join},
    net::{TcpListener, TcpStream},
};

use super::{Commands, say};

/// Relays until the input ends.
pub(super) async fn near(
    mut commands: Commands,
    address: Ipv4Addr,
    certificate: &Path,
    far: SocketAddr,
) -> io::Result<()> {
    let mut endpoint = endpoint(Ipv4Addr::UNSPECIFIED, None)?;
    endpoint.set_default_client_config(client(certificate)?);
    let connecting = endpoint.connect(far, NAME).map_err(io::Error::other)?;
    let connection = connecting.await?;
    let listener = TcpListener::bind((address, 0)).await?;
    say(&json!({"ready": true, "listening": listener.local_addr()?.to_string()}));
    let accepted = tokio::spawn(accept(listener, connection));
    while commands.next().await.is_some() {}
    accepted.abort();
    Ok(())
}

async fn accept(listener: TcpListener, connection: Connection) {
    while let Ok((stream, _)) = listener.accept().await {
        // A client that leaves ends its task; the reason does not matter, here and below.
        tokio::spawn(relay(stream, connection.clone()));
    }
}

async fn relay(mut stream: TcpStream, connection: Connection) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (send, receive) = connection.open_bi().await?;
    copy_bidirectional(&mut stream, &mut join(receive, send)).await?;
    Ok(())
}

/// Sends back until the input ends.
pub(super) async fn far(
    mut commands: Commands,
    address: Ipv4Addr,
    certificate: &Path,
) -> io::Result<()> {
    let endpoint = endpoint(address, Some(server(certificate)?))?;
    say(&json!({"ready": true, "listening": endpoint.local_addr()?.to_string()}));
    let accepted = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(answer(incoming));
        }
    });
    while commands.next().await.is_some() {}
    accepted.abort();
    Ok(())
}

async fn answer(incoming: Incoming) -> io::Result<()> {
    let connection = incoming.await?;
    loop {
        let (send, receive) = connection.accept_bi().await?;
        tokio::spawn(echo(send, receive));
    }
}

async fn echo(mut send: SendStream, mut receive: RecvStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while let Some(count) = receive.read(&mut buffer).await? {
        send.write_all(&buffer[..count]).await?;
    }
    Ok(())
}

fn endpoint(address: Ipv4Addr, server: Option<ServerConfig>) -> io::Result<Endpoint> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    let config = EndpointConfig::default();
    Endpoint::new(
        config,
        server,
        UdpSocket::from(socket),
        Arc::new(TokioRuntime),
    )
}

fn server(folder: &Path) -> io::Result<ServerConfig> {
    let chain = CertificateDer::from_pem_file(folder.join("node.pem")).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(folder.join("node.key")).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_single_cert(vec![chain], key).map_err(io::Error::other)?;
    config.transport_config(transport());
    Ok(config)
}

fn client(folder: &Path) -> io::Result<ClientConfig> {
    let root = CertificateDer::from_pem_file(folder.join("ca.pem")).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(root).map_err(io::Error::other)?;
    let mut config =
        ClientConfig::with_root_certificates(Arc::new(roots)).map_err(io::Error::other)?;
    config.transport_config(transport());
    Ok(config)
}

/// The settings of tributary's links (`node/src/transport/settings.rs`) that change the cost.
fn transport() -> Arc<TransportConfig> {
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .ack_eliciting_threshold(VarInt::from_u32(10))
        .max_ack_delay(Some(Duration::from_millis(25)));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(100_000))
        .stream_receive_window(VarInt::from_u32(256 * 1024))
        .receive_window(VarInt::from_u32(64 << 20))
        .send_window(32 << 20)
        .ack_frequency_config(Some(acknowledgements))
        .initial_mtu(1452)
        .keep_alive_interval(Some(Duration::from_secs(1)));
    Arc::new(config)
}

/// The name on the far end's certificate.
const NAME: &str = "far";
/// As of tributary's links: the size of each buffer of the socket, in bytes.
const SOCKET_BUFFER: usize = 8 << 20;
