//! TLS towards clients: certificates, chosen by host name and read anew when their files change.
//!
//! ```text
//!   files ──(watch)──► Pair ──► Store ◄── Resolver ◄── handshake
//! ```
//!
//! A session keeps the certificate with which it began: new ones concern new handshakes alone.

mod pair;
mod resolver;
mod tickets;
mod watch;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use rustls::{ServerConfig, crypto::CryptoProvider, server::NoServerSessionStorage};

pub use pair::{PairError, PairFlaw};
pub use tickets::TicketKeysError;

use pair::Pair;
use resolver::{Resolver, Store};
use tickets::Tickets;
use watch::Watched;

use crate::{config::CertificateFiles, wire::TlsSettings};

/// The certificates of an edge.
#[derive(Debug)]
pub struct Certificates {
    store: Arc<Store>,
    tickets: Arc<Tickets>,
    files: Vec<Watched>,
    ticket_file: Option<PathBuf>,
}

impl Certificates {
    /// Reads and checks all certificates. `ticket_keys` is the file of the keys for session
    /// tickets; without one, the tickets of this process are good at this process alone.
    ///
    /// # Errors
    /// The first certificate that cannot be used. It names the file, the mistake and the remedy.
    pub fn load(
        files: &BTreeMap<String, CertificateFiles>,
        ticket_keys: Option<PathBuf>,
    ) -> Result<Self, CertificatesError> {
        let store = Arc::new(Store::default());
        let mut watched = Vec::with_capacity(files.len());
        for (name, files) in files {
            let pair = Pair::load(files).map_err(|error| CertificatesError::Pair {
                name: name.clone(),
                error,
            })?;
            pair.report(name);
            watched.push(Watched::new(name, files, &pair));
            store.put(name, pair);
        }
        let tickets = Tickets::load(ticket_keys.as_deref()).map_err(CertificatesError::Tickets)?;
        Ok(Self {
            store,
            tickets: Arc::new(tickets),
            files: watched,
            ticket_file: ticket_keys,
        })
    }

    /// No certificates, for listeners that need none.
    pub fn none() -> Self {
        Self::load(&BTreeMap::new(), None).expect("there is nothing to load")
    }

    /// The settings of TLS for a listener. `default` names the certificate for a client that asks
    /// for no host name, or for one that no certificate has; the only one needs no name.
    pub(crate) fn settings(&self, default: Option<&str>) -> TlsSettings {
        let resolver = Resolver::new(Arc::clone(&self.store), default);
        let mut settings = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(resolver));
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.ticketer = Arc::clone(&self.tickets) as _;
        settings.send_tls13_tickets = 0;
        let mut web = settings.clone();
        web.send_tls13_tickets = 1;
        TlsSettings {
            native: Arc::new(settings),
            web: Arc::new(web),
        }
    }
}

/// The reason for which an edge has no certificates.
#[derive(Debug)]
#[non_exhaustive]
pub enum CertificatesError {
    /// A certificate or its key cannot be used.
    Pair {
        /// Its name in `[tls]`.
        name: String,
        error: PairError,
    },
    /// The file of ticket keys cannot be used.
    Tickets(TicketKeysError),
}

impl std::fmt::Display for CertificatesError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pair { name, error } => write!(f, "tls.{name}: {error}"),
            Self::Tickets(error) => write!(f, "edge.ticket_keys: {error}"),
        }
    }
}

impl std::error::Error for CertificatesError {}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
