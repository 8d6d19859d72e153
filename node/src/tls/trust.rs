//! TLS to servers of others: certificates of public issuers, checked against the host's name.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::provider;

/// The certificates by which servers of others are trusted. Clones share them.
#[derive(Clone)]
pub struct Trust(TlsConnector);

/// A TCP connection within TLS, to a server that was trusted.
#[derive(Debug)]
pub struct SecureStream(TlsStream<TcpStream>);

impl Trust {
    /// The certificates of the machine (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace them). It reads
    /// files.
    pub fn system() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate of the machine cannot be read");
        }
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            tracing::warn!("the machine has no root certificates: there is no rtmps");
        }
        Self::of(roots)
    }

    /// These certificates alone, each in DER.
    pub fn only(certificates: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.into_iter().map(CertificateDer::from));
        Self::of(roots)
    }

    fn of(roots: RootCertStore) -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Makes a connection secure. The server gets the host's name (SNI) and must have a certificate
    /// for it.
    ///
    /// # Errors
    /// A server that is not trusted, or that does not speak TLS; the text gives the reason.
    pub async fn secure(&self, host: &str, socket: TcpStream) -> io::Result<SecureStream> {
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            let text = format!("{host} is no host name that a certificate can have");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let secured = self.0.connect(name, socket).await;
        secured
            .map(SecureStream)
            .map_err(|error| explained(error, host))
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// The failure of a handshake with `host`, in words for an operator.
fn explained(error: io::Error, host: &str) -> io::Error {
    let text = match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(error) => reason(error, host),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{host} closed the connection during the TLS handshake")
        }
        None => format!("the TLS handshake with {host} failed: {error}"),
    };
    io::Error::new(error.kind(), text)
}

fn reason(error: &rustls::Error, host: &str) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(flaw) => format!("the certificate of {host} {}", of(flaw)),
        E::InvalidMessage(_) | E::InappropriateMessage { .. } => {
            format!("{host} does not speak TLS on this port")
        }
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{host} has no certificate for this name")
        }
        E::AlertReceived(alert) => format!("{host} refuses TLS: alert {alert:?}"),
        E::PeerIncompatible(why) => format!("{host} speaks no TLS that is safe: {why:?}"),
        other => format!("the TLS handshake with {host} failed: {other}"),
    }
}

fn of(flaw: &CertificateError) -> String {
    use CertificateError as C;
    match flaw {
        C::Expired | C::ExpiredContext { .. } => "has expired".to_owned(),
        C::NotValidYet | C::NotValidYetContext { .. } => "is not valid yet".to_owned(),
        C::NotValidForName | C::NotValidForNameContext { .. } => "is for another name".to_owned(),
        // The issuer may have the name of one that is known.
        C::UnknownIssuer | C::BadSignature => {
            "has an issuer that this machine does not know, or the server does not send its chain"
                .to_owned()
        }
        C::Revoked => "is revoked".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(context, buffer) {
            // Many servers end TCP without TLS's own end; RTMP shows by itself what is cut.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            other => other,
        }
    }
}

impl AsyncWrite for SecureStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
