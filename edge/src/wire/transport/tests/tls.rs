//! TLS with a client of rustls, which is another state machine than the transport's.

use std::{
    io::{Read, Write},
    net,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rcgen::KeyPair;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    pki_types::{PrivateKeyDer, ServerName},
};

use super::*;

pub(super) type Client = StreamOwned<ClientConnection, net::TcpStream>;

/// The settings of both ends, for `localhost`.
pub(super) struct Ends {
    server: TlsSettings,
    client: Arc<ClientConfig>,
}

impl Ends {
    pub(super) fn new(versions: &[&'static rustls::SupportedProtocolVersion]) -> Self {
        let key = KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let provider = || Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let server = Arc::new(server);
        Self {
            server: TlsSettings {
                native: Arc::clone(&server),
                web: server,
            },
            client: Arc::new(client),
        }
    }

    /// A transport, and a thread that runs its client.
    pub(super) async fn pair<T: Send + 'static>(
        &self,
        run: impl FnOnce(Client) -> T + Send + 'static,
    ) -> (Transport, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = Arc::clone(&self.client);
        let client = thread::spawn(move || {
            let socket = net::TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            let host = ServerName::try_from("localhost").unwrap();
            let session = ClientConnection::new(settings, host).unwrap();
            run(StreamOwned::new(session, socket))
        });
        let (socket, _) = listener.accept().await.unwrap();
        let turns = Semaphore::new(1);
        let transport = Transport::tls(socket, &self.server, &turns);
        (timeout(LONG, transport).await.unwrap().unwrap(), client)
    }
}

/// Reads so many bytes; `room` at once.
pub(super) async fn read(transport: &Transport, bytes: usize, room: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = vec![0; room];
    while read.len() < bytes {
        ready(transport, Interest::READABLE).await;
        match transport.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}"),
        }
    }
    read
}

/// Writes all of it, in pieces if there are several.
pub(super) async fn write(transport: &Transport, pieces: &[&[u8]]) {
    let all = pieces.concat();
    let mut sent = 0;
    while sent < all.len() || !transport.try_flush().unwrap() {
        ready(transport, Interest::WRITABLE).await;
        let result = match pieces {
            [_] => transport.try_write(&all[sent..]),
            _ => {
                let (head, body) = all[sent..].split_at(10.min(all.len() - sent));
                transport.try_write_vectored(&[IoSlice::new(head), IoSlice::new(body)])
            }
        };
        match result {
            Ok(bytes) => sent += bytes,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                // The runtime notes the full socket.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

pub(super) fn numbered(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at / 7) as u8).collect()
}

#[tokio::test]
async fn bytes_cross_in_both_directions_with_both_versions() {
    for versions in [[&rustls::version::TLS13], [&rustls::version::TLS12]] {
        let ends = Ends::new(&versions);
        // Less and more than a record, than a part, and than the kernel takes at once.
        for bytes in [1, 100, 16 * 1024, 16 * 1024 + 1, 200_000, 6_000_000] {
            let (transport, client) = ends
                .pair(move |mut client| {
                    client.write_all(&numbered(bytes)).unwrap();
                    let mut got = vec![0; 2 * bytes];
                    client.read_exact(&mut got).unwrap();
                    got
                })
                .await;
            assert!(read(&transport, bytes, 64 * 1024).await == numbered(bytes));
            write(&transport, &[&numbered(bytes)]).await;
            write(&transport, &[&numbered(bytes)[..1], &numbered(bytes)[1..]]).await;
            assert_eq!(transport.unsent(), 0);
            let expected = [numbered(bytes), numbered(bytes)].concat();
            assert!(client.join().unwrap() == expected, "{bytes} bytes");
        }
    }
}

#[tokio::test]
async fn a_reader_with_little_room_gets_every_byte_and_waits_for_none() {
    let ends = Ends::new(&[&rustls::version::TLS13]);
    // The client's first bytes come with the last ones of its handshake.
    let (transport, client) = ends
        .pair(|mut client| {
            client.write_all(&numbered(50_000)).unwrap();
            client.conn.send_close_notify();
            client.flush().unwrap();
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).unwrap();
            rest
        })
        .await;
    assert!(read(&transport, 50_000, 7).await == numbered(50_000));
    assert!(read(&transport, 1, 7).await.is_empty(), "the end");
    write(&transport, &[b"bye"]).await;
    transport.shutdown().unwrap();
    assert_eq!(client.join().unwrap(), b"bye", "with a notice of the end");
}

#[tokio::test]
async fn a_client_that_reads_nothing_makes_the_transport_hold_one_part() {
    let ends = Ends::new(&[&rustls::version::TLS13]);
    let (close, closed) = std::sync::mpsc::sync_channel(1);
    let (transport, client) = ends
        .pair(move |mut client| {
            client.flush().unwrap();
            closed.recv().unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            got
        })
        .await;
    let bytes = numbered(1 << 20);
    let mut taken = 0;
    loop {
        match transport.try_write(&bytes) {
            Ok(count) => taken += count,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert!(transport.unsent() > 0);
    assert!(transport.unsent() <= 64 * 1024 + 1024);
    close.send(()).unwrap();
    while !transport.try_flush().unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    transport.shutdown().unwrap();
    assert_eq!(client.join().unwrap().len(), taken);
}

#[tokio::test]
async fn bytes_that_are_no_tls_end_the_handshake_with_an_alert() {
    let ends = Ends::new(&[&rustls::version::TLS13]);
    // RTMP; a request of HTTP; an unknown version; a record that is too long; a hello without end.
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    for (bytes, has_answer) in [
        (vec![3; 1537], true),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), true),
        (vec![22, 9, 9, 0, 1, 9], true),
        (vec![22, 3, 1, 0xff, 0xff, 1], true),
        (endless, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let (turns, settings) = (Semaphore::new(1), ends.server.clone());
        let accepted = tokio::spawn(async move { Transport::tls(socket, &settings, &turns).await });
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset may come before the rest is read.
        let _ = timeout(LONG, client.read_to_end(&mut answer))
            .await
            .unwrap();
        let fault = timeout(LONG, accepted).await.unwrap().unwrap().unwrap_err();
        assert_eq!(fault.label().is_some(), has_answer, "{fault}");
        assert_eq!(answer.first() == Some(&21), has_answer, "{fault}");
    }
}
