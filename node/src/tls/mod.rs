//! Mutual TLS of the link: the identity of a node, and the check of the peer's certificate. [`Trust`]
//! is TLS to servers of others.
//!
//! A private CA signs the certificate of every node ([`crate::cert`] makes both). The chain is
//! checked here; [`peer()`] reads role and name from the peer's certificate, and the owner of the
//! connection decides about them. No code relies on a constraint of the CA.

mod peer;
mod trust;
mod verify;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use hmac::{Hmac, Mac};
use rustls::{
    RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};
use sha2::Sha256;

pub use peer::{Peer, PeerError, Role, peer};
pub(crate) use peer::{is_name, uri};
pub use trust::{SecureStream, Trust};
use verify::ChainVerifier;

/// The application protocol of the link, offered and required in both directions.
pub use tributary_protocol::link::hello::ALPN;

/// The name of the private CA's certificate in a certificate directory.
pub const CA_FILE: &str = "ca.pem";
/// The name of the node's certificate in a certificate directory.
pub const CERTIFICATE_FILE: &str = "node.pem";
/// The name of the node's private key in a certificate directory.
pub const KEY_FILE: &str = "node.key";

/// The identity of a node: its certificate and key, and its CA.
#[derive(Clone)]
pub struct Identity {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    peer: Peer,
}

impl Identity {
    /// Reads `ca.pem`, `node.pem` and `node.key` in `dir` and checks that they belong together
    /// and are valid now.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let file = |name: &str| dir.join(name);
        let roots = certificates(&file(CA_FILE))?;
        let chain = certificates(&file(CERTIFICATE_FILE))?;
        let key_file = file(KEY_FILE);
        let key = PrivateKeyDer::from_pem_slice(&read(&key_file)?).map_err(|e| Error::Pem {
            file: key_file,
            reason: e.to_string(),
        })?;
        Self::assemble(roots, chain, key).map_err(|e| e.into_error(dir))
    }

    pub(crate) fn assemble(
        roots: Vec<CertificateDer<'static>>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Flaw> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|e| Flaw::new(CA_FILE, e))?;
        }
        let leaf = chain
            .first()
            .ok_or_else(|| Flaw::new(CERTIFICATE_FILE, "no certificate"))?;
        let peer = peer(leaf).map_err(|e| Flaw::new(CERTIFICATE_FILE, e))?;
        verify::chain(&store, leaf, &chain[1..]).map_err(|e| Flaw::new(CERTIFICATE_FILE, e))?;
        let signer = provider()
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|e| Flaw::new(KEY_FILE, e))?;
        CertifiedKey::new(chain.clone(), signer)
            .keys_match()
            .map_err(|e| Flaw::new(KEY_FILE, e))?;
        Ok(Self {
            roots: Arc::new(store),
            chain,
            key: Arc::new(key),
            peer,
        })
    }

    /// The holder of this node's own certificate.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// `self`, if its certificate is for this role.
    pub fn require(self, role: Role) -> Result<Self, Error> {
        if self.peer.role == role {
            return Ok(self);
        }
        Err(Error::Role {
            name: self.peer.name,
            found: self.peer.role,
            wanted: role,
        })
    }

    /// A secret for one purpose. It is the same at every start with the same key, and does not
    /// reveal the key. Purposes are QUIC's stateless reset, connection ids and names in logs.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(self.key.secret_der())
            .expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// TLS for accepting links: TLS 1.3, and a client certificate of the CA is required.
    pub(crate) fn server_config(&self) -> Result<rustls::ServerConfig, rustls::Error> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&self.roots), provider())
                .build()
                .map_err(|e| rustls::Error::General(e.to_string()))?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.max_early_data_size = 0;
        // A resumed session would outlive the certificate with which it began.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// TLS for dialling links: TLS 1.3, and the server's chain must end at the CA. Its name is not
    /// compared with the address; see [`peer()`].
    pub(crate) fn client_config(&self) -> Result<rustls::ClientConfig, rustls::Error> {
        let verifier = ChainVerifier::new(Arc::clone(&self.roots), provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_early_data = false;
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// The reason for which a node has no identity. The text names the file, the reason and the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    Read {
        file: PathBuf,
        source: std::io::Error,
    },
    /// The content of a file does not fit its name.
    Pem { file: PathBuf, reason: String },
    /// A certificate or key does not fit the others, or is not valid now.
    Unfit { file: PathBuf, reason: String },
    /// The certificate is for the other tier.
    Role {
        /// The name on the certificate.
        name: String,
        /// The role on the certificate.
        found: Role,
        /// The role that is required.
        wanted: Role,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ISSUE: &str = "`tributary cert issue` writes ca.pem, node.pem and node.key";
        match self {
            Self::Read { file, source } => {
                write!(f, "cannot read {}: {source}; {ISSUE}", file.display())
            }
            Self::Pem { file, reason } => {
                write!(f, "{} is not usable: {reason}; {ISSUE}", file.display())
            }
            Self::Unfit { file, reason } => write!(
                f,
                "{} does not fit: {reason}; all three files must come from one \
                 `tributary cert issue`, and still be valid",
                file.display()
            ),
            Self::Role {
                name,
                found,
                wanted,
            } => write!(
                f,
                "the certificate of {name} is for an {found}, this process is an {wanted}; \
                 `tributary cert issue --role {wanted}` makes one for it"
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The fault of one part of an identity, without its directory.
#[derive(Debug)]
pub(crate) struct Flaw {
    file: &'static str,
    reason: String,
}

impl Flaw {
    fn new(file: &'static str, reason: impl ToString) -> Self {
        Self {
            file,
            reason: reason.to_string(),
        }
    }

    fn into_error(self, dir: &Path) -> Error {
        Error::Unfit {
            file: dir.join(self.file),
            reason: self.reason,
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.reason)
    }
}

/// The one crypto provider of the project.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(file).map_err(|source| Error::Read {
        file: file.to_owned(),
        source,
    })
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = |reason: String| Error::Pem {
        file: file.to_owned(),
        reason,
    };
    let found = CertificateDer::pem_slice_iter(&read(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| pem(e.to_string()))?;
    if found.is_empty() {
        return Err(pem("it holds no certificate".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
