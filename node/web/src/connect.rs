//! Connections to servers, and the certificates that servers are trusted by.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls_pki_types::CertificateDer;

use crate::limits::{CONNECT_TIME, IDLE_PER_HOST, IDLE_TIME, MAX_RESPONSE_HEAD};

pub(crate) type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The certificates that servers are trusted by.
#[derive(Clone, Debug, Default)]
pub enum Roots {
    /// The certificates of the machine.
    #[default]
    System,
    /// These certificates alone.
    Only(Vec<CertificateDer<'static>>),
}

/// A client that trusts these certificates.
pub(crate) fn client(roots: &Roots) -> HyperClient {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT_TIME));
    http.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(roots.tls())
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE_TIME)
        .pool_max_idle_per_host(IDLE_PER_HOST)
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(MAX_RESPONSE_HEAD)
        .build(connector)
}

impl Roots {
    fn tls(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        match self {
            Self::Only(certificates) => {
                roots.add_parsable_certificates(certificates.iter().cloned());
            }
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "a certificate of the machine cannot be read");
                }
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    tracing::warn!("the machine has no root certificates: there is no https");
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}
