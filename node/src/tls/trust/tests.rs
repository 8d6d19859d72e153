use std::{future::Future, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// An issuer, and the trust in it.
struct Public {
    issuer: Issuer<'static, KeyPair>,
    trust: Trust,
}

impl Public {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let common = format!("CA {:?}", key.public_key_raw());
        params.distinguished_name.push(DnType::CommonName, common);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            trust: Trust::only([certificate.der().to_vec()]),
            issuer: Issuer::new(params, key),
        }
    }

    /// A server for this host until the end of this year.
    fn server(&self, host: &str, year: i32) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

fn run(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limit = Duration::from_secs(20);
    runtime.block_on(async { timeout(limit, scenario).await.expect("in time") });
}

/// Connects to a server that does this with the connection.
async fn to<F: Future<Output = ()> + Send + 'static>(
    trust: &Trust,
    host: &str,
    serve: impl FnOnce(TcpStream) -> F + Send + 'static,
) -> io::Result<SecureStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        serve(socket).await;
    });
    let socket = TcpStream::connect(address).await.unwrap();
    trust.secure(host, socket).await
}

/// The text of the refusal of a server with a certificate for `host`.
async fn refusal(trust: &Trust, server: TlsAcceptor, host: &str) -> String {
    let refused = to(trust, host, |socket| async move {
        let _ = server.accept(socket).await;
    });
    refused.await.expect_err("it is not trusted").to_string()
}

#[test]
fn a_server_with_the_right_certificate_is_trusted() {
    run(async {
        let public = Public::new();
        for host in ["media.example", "127.0.0.1"] {
            let server = public.server(host, 4000);
            let stream = to(&public.trust, host, |socket| async move {
                let mut stream = server.accept(socket).await.unwrap();
                let mut word = [0; 4];
                stream.read_exact(&mut word).await.unwrap();
                stream.write_all(&word).await.unwrap();
                stream.flush().await.unwrap();
                // It ends TCP without the end of TLS.
            });
            let mut stream = stream.await.unwrap();
            stream.write_all(b"word").await.unwrap();
            stream.flush().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            assert_eq!(back, b"word");
        }
    });
}

#[test]
fn a_refusal_gives_the_reason() {
    run(async {
        let public = Public::new();
        let host = "media.example";
        let text = refusal(&public.trust, public.server(host, 2021), host).await;
        assert_eq!(text, "the certificate of media.example has expired");
        let text = refusal(&public.trust, public.server("other.example", 4000), host).await;
        assert_eq!(text, "the certificate of media.example is for another name");
        let stranger = Public::new();
        let text = refusal(&public.trust, stranger.server(host, 4000), host).await;
        assert!(
            text.contains("an issuer that this machine does not know"),
            "{text}"
        );
        let none = Trust::only([]);
        let text = refusal(&none, public.server(host, 4000), host).await;
        assert!(
            text.contains("an issuer that this machine does not know"),
            "{text}"
        );
        let socket = to(&public.trust, "no name", |_| async {}).await;
        let text = socket.expect_err("no name").to_string();
        assert!(text.contains("no host name"), "{text}");
    });
}

#[test]
fn a_server_that_speaks_no_tls_or_leaves_is_named() {
    run(async {
        let trust = Public::new().trust;
        for garbage in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[3; 1537]] {
            let refused = to(&trust, "media.example", move |mut socket| async move {
                socket.write_all(garbage).await.unwrap();
                let _ = socket.read_to_end(&mut Vec::new()).await;
            });
            let text = refused.await.expect_err("no TLS").to_string();
            assert_eq!(text, "media.example does not speak TLS on this port");
        }
        let cut = to(&trust, "media.example", |mut socket| async move {
            // It reads all of the greeting, so that the end is no reset.
            let _ = socket.read(&mut [0; 4096]).await;
        });
        let text = cut.await.expect_err("it has left").to_string();
        assert_eq!(
            text,
            "media.example closed the connection during the TLS handshake"
        );
    });
}
