//! Connections on which our client speaks: TCP, and WebSockets of tungstenite.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tungstenite::{Message, WebSocket, client::IntoClientRequest};

use super::wired::tcp;

/// A blocking connection.
pub(crate) trait Carrier: Send {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Receives the bytes that come within a time; none show the end.
    fn receive(&mut self, at_most: Duration) -> io::Result<Vec<u8>>;
}

impl Carrier for TcpStream {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn receive(&mut self, at_most: Duration) -> io::Result<Vec<u8>> {
        self.set_read_timeout(Some(at_most))?;
        let mut buffer = [0; 16 * 1024];
        let count = self.read(&mut buffer)?;
        Ok(buffer[..count].to_vec())
    }
}

/// A WebSocket, and the TCP connection below it.
struct Web<S> {
    socket: WebSocket<S>,
    tcp: TcpStream,
}

/// Opens a WebSocket (`ws`) at a server.
pub(crate) fn ws(server: SocketAddr) -> Box<dyn Carrier> {
    let tcp = tcp(server).expect("a connection");
    let below = tcp.try_clone().expect("a descriptor");
    Box::new(Web::open("ws", server, tcp, below))
}

/// Opens a WebSocket in TLS (`wss`) at a server whose certificate is from this CA.
pub(crate) fn wss(server: SocketAddr, ca: &Path) -> Box<dyn Carrier> {
    let tcp = tcp(server).expect("a connection");
    let below = tcp.try_clone().expect("a descriptor");
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(ca).expect("a certificate");
    roots.add(ca).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut settings = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    // As browsers do.
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    let host = ServerName::from(server.ip());
    let session = ClientConnection::new(Arc::new(settings), host).expect("a session of TLS");
    Box::new(Web::open(
        "wss",
        server,
        StreamOwned::new(session, tcp),
        below,
    ))
}

impl<S: Read + Write> Web<S> {
    fn open(scheme: &str, server: SocketAddr, stream: S, tcp: TcpStream) -> Self {
        let url = format!("{scheme}://{server}/any/path");
        let mut request = url.into_client_request().expect("a request");
        let offer = "rtmp".parse().expect("a value");
        request
            .headers_mut()
            .insert("Sec-WebSocket-Protocol", offer);
        let opened = tungstenite::client(request, stream);
        let (socket, answer) = opened.expect("the edge opens a WebSocket");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "rtmp");
        Self { socket, tcp }
    }
}

impl<S: Read + Write + Send> Carrier for Web<S> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.socket.send(Message::binary(bytes.to_vec()));
        sent.map_err(io_error)
    }

    fn receive(&mut self, at_most: Duration) -> io::Result<Vec<u8>> {
        self.tcp.set_read_timeout(Some(at_most))?;
        match self.socket.read().map_err(io_error)? {
            Message::Binary(payload) => Ok(payload.to_vec()),
            Message::Close(_) => Ok(Vec::new()),
            other => panic!("the edge sends {other:?}"),
        }
    }
}

fn io_error(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
