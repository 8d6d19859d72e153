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

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{ServerConfig, crypto::CryptoProvider, server::NoServerSessionStorage};

use tributary_node::config::{At, Mistakes};

pub use pair::{PairError, PairFlaw};
pub use tickets::TicketKeysError;

use pair::Pair;
use resolver::{Resolver, Store};
use tickets::{Keys, Tickets};
use watch::{TicketFile, Watched};

use crate::{config::CertificateFiles, wire::TlsSettings};

/// The certificates of an edge; clones are the same.
#[derive(Clone, Debug)]
pub struct Certificates {
    store: Arc<Store>,
    tickets: Arc<Tickets>,
    files: Arc<Mutex<Files>>,
}

/// The files that are looked at for changes.
#[derive(Debug, Default)]
struct Files {
    pairs: Vec<Watched>,
    tickets: Option<TicketFile>,
}

/// Certificates that have been read, to take the place of those in use.
#[derive(Debug)]
pub(crate) struct NextCertificates {
    /// The pairs of the configuration; `None` for one that is in use as it is.
    pairs: Vec<(String, CertificateFiles, Option<Pair>)>,
    tickets: Option<(TicketFile, Keys)>,
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
        let certificates = Self {
            store: Arc::default(),
            tickets: Arc::new(Tickets::own().map_err(CertificatesError::Tickets)?),
            files: Arc::default(),
        };
        let next = certificates.read_next(files, ticket_keys.as_deref())?;
        certificates.put_in_force(next);
        Ok(certificates)
    }

    /// Reads and checks the certificates of another configuration; nothing changes yet. A pair that
    /// is in use as it is in its files is not judged again.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub(crate) fn read_next(
        &self,
        files: &BTreeMap<String, CertificateFiles>,
        ticket_keys: Option<&Path>,
    ) -> Result<NextCertificates, CertificatesError> {
        let in_use = self.files();
        let read = |(name, files): (&String, &CertificateFiles)| {
            let known = in_use.pairs.iter().find(|known| known.is(name, files));
            let pair = match known {
                Some(known) if known.is_as_used() => None,
                _ => {
                    let pair = Pair::load(files).map_err(|error| CertificatesError::Pair {
                        name: name.clone(),
                        error,
                    })?;
                    Some(pair)
                }
            };
            Ok((name.clone(), files.clone(), pair))
        };
        let pairs = files.iter().map(read).collect::<Result<_, _>>()?;
        let tickets = ticket_keys.map(TicketFile::read).transpose();
        Ok(NextCertificates {
            pairs,
            tickets: tickets.map_err(CertificatesError::Tickets)?,
        })
    }

    /// Puts certificates in force for new handshakes. Without a file, the keys of tickets stay.
    pub(crate) fn put_in_force(&self, next: NextCertificates) {
        let mut files = self.files();
        files.pairs.retain(|known| {
            let stays = next.pairs.iter().any(|(name, ..)| known.has_name(name));
            if !stays {
                self.store.remove(known.name());
            }
            stays
        });
        for (name, of, pair) in next.pairs {
            let Some(pair) = pair else { continue };
            pair.report(&name);
            files.pairs.retain(|known| !known.has_name(&name));
            files.pairs.push(Watched::new(&name, &of, &pair));
            self.store.put(&name, pair);
        }
        files.tickets = next.tickets.map(|(file, keys)| {
            self.tickets.replace(keys);
            file
        });
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
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

impl CertificatesError {
    /// Adds it to the mistakes of a configuration.
    pub(crate) fn add_to(&self, mistakes: &mut Mistakes) {
        let (at, text) = match self {
            Self::Pair { name, error } => (At::root().key("tls").key(name), error.to_string()),
            Self::Tickets(error) => {
                let at = At::root().key("edge").key("ticket_keys");
                (at, error.to_string())
            }
        };
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        mistakes.add(at, what, remedy);
    }
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
