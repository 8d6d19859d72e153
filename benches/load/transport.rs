//! The transports below the generator's clients: TCP, TLS, and WebSockets without TLS.

use std::{
    io::{self, Read as _, Write as _},
    sync::{Arc, OnceLock},
};

use clap::ValueEnum;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A transport of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Transport {
    #[default]
    Tcp,
    Tls,
    Ws,
}

impl Transport {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
        }
    }

    /// The protocol of an edge's listener, which its line of addresses names.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::Tcp => "rtmp",
            Self::Tls => "rtmps",
            Self::Ws => "ws",
        }
    }

    /// The server's name in a report, with the transport if it is not TCP.
    pub(crate) fn label(self, server: &str) -> String {
        match self {
            Self::Tcp => server.to_owned(),
            other => format!("{server}, {}", other.name()),
        }
    }
}

/// A client's transport above its connection.
#[derive(Debug)]
pub(crate) enum Layer {
    Tcp,
    Tls(Box<ClientConnection>),
    Ws(Frames),
}

/// The frames that come from the server: the bytes of the present one that are missing, and the head
/// of the next one as far as it is there.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    left: u64,
    head: Vec<u8>,
}

impl Layer {
    /// Opens the transport on a connection.
    pub(crate) async fn open(transport: Transport, stream: &mut TcpStream) -> io::Result<Self> {
        match transport {
            Transport::Tcp => Ok(Self::Tcp),
            Transport::Tls => tls(stream).await,
            Transport::Ws => web(stream).await,
        }
    }

    /// The bytes on the connection for these bytes of RTMP.
    pub(crate) fn wrap(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Tcp => Ok(bytes.to_vec()),
            Self::Tls(session) => {
                session.writer().write_all(bytes)?;
                written(session)
            }
            Self::Ws(_) => Ok(frame(bytes)),
        }
    }

    /// Appends the RTMP in bytes of the connection.
    pub(crate) fn unwrap(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Tcp => out.extend_from_slice(bytes),
            Self::Tls(session) => {
                while !bytes.is_empty() {
                    session.read_tls(&mut bytes)?;
                    let state = session.process_new_packets().map_err(io::Error::other)?;
                    let at = out.len();
                    out.resize(at + state.plaintext_bytes_to_read(), 0);
                    session.reader().read_exact(&mut out[at..])?;
                }
            }
            Self::Ws(frames) => frames.unwrap(bytes, out),
        }
        Ok(())
    }
}

impl Frames {
    fn unwrap(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let [first, rest @ ..] = bytes {
            if self.left > 0 {
                let count = bytes
                    .len()
                    .min(usize::try_from(self.left).unwrap_or(usize::MAX));
                out.extend_from_slice(&bytes[..count]);
                self.left -= count as u64;
                bytes = &bytes[count..];
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if let Some(length) = length(&self.head) {
                self.left = length;
                self.head.clear();
            }
        }
    }
}

/// The length of a frame without a mask, once its head is complete (RFC 6455, 5.2).
fn length(head: &[u8]) -> Option<u64> {
    let extended = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    };
    match *head.get(1)? {
        126 => (head.len() == 4).then(|| extended(&head[2..])),
        127 => (head.len() == 10).then(|| extended(&head[2..])),
        length => Some(u64::from(length)),
    }
}

/// A binary frame of a client, with a mask of zeros.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x82];
    match bytes.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            let length = u16::try_from(length).expect("a client sends short messages");
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(bytes);
    frame
}

async fn web(stream: &mut TcpStream) -> io::Result<Layer> {
    let request = "GET / HTTP/1.1\r\nHost: load\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(Layer::Ws(Frames::default())),
        false => Err(io::Error::other("no WebSocket")),
    }
}

async fn tls(stream: &mut TcpStream) -> io::Result<Layer> {
    let host = ServerName::from(stream.peer_addr()?.ip());
    let session = ClientConnection::new(config(), host).map_err(io::Error::other)?;
    let mut session = Box::new(session);
    let mut buffer = [0; 4096];
    loop {
        let out = written(&mut session)?;
        stream.write_all(&out).await?;
        if !session.is_handshaking() {
            return Ok(Layer::Tls(session));
        }
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        session.read_tls(&mut &buffer[..count])?;
        session.process_new_packets().map_err(io::Error::other)?;
    }
}

/// The records that the session has to send.
fn written(session: &mut ClientConnection) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut out)?;
    }
    Ok(out)
}

/// The settings of all clients: each handshake is a full one, and the certificate is not judged.
fn config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(algorithms)))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Arc::new(config)
    });
    Arc::clone(config)
}

/// Accepts every certificate: the server is the harness's own. Its signature is checked, which
/// costs what it costs any client.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
