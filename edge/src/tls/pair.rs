//! A certificate with its chain and key.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use ring::digest::{Context, SHA256};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::provider;
use crate::config::CertificateFiles;

/// A certificate with its chain and key, which fit each other and are valid now.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: Arc<CertifiedKey>,
    /// The host names of the certificate in lower case; `*.` stands for one label.
    pub(super) hosts: Vec<String>,
    /// The end of the validity, in seconds since 1970.
    pub(super) expires: i64,
    /// Whether the file has the certificates up to a root, or up to one whose issuer is missing.
    is_whole: bool,
    pub(super) print: Print,
}

/// A digest of files.
pub(super) type Print = [u8; 32];

impl Pair {
    /// Reads and checks both files.
    pub(super) fn load(files: &CertificateFiles) -> Result<Self, PairError> {
        let texts = Texts::read(files)?;
        let of_certificate = |flaw| PairError::new(&files.certificate, flaw);
        let of_key = |flaw| PairError::new(&files.key, flaw);
        let chain = chain(&texts.certificate).map_err(of_certificate)?;
        let leaf = Leaf::read(&chain[0]).map_err(of_certificate)?;
        leaf.check_time(now()).map_err(of_certificate)?;
        let is_whole = check_order(&chain).map_err(of_certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&texts.key).map_err(|_| of_key(PairFlaw::NoKey))?;
        let signer = provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| of_key(PairFlaw::KeyKind(error.to_string())))?;
        let key = CertifiedKey::new(chain, signer);
        key.keys_match().map_err(|_| of_key(PairFlaw::OtherKey))?;
        Ok(Self {
            key: Arc::new(key),
            hosts: leaf.hosts,
            expires: leaf.expires,
            is_whole,
            print: texts.print(),
        })
    }

    /// Tells operators which certificate is in use, and what its clients may miss.
    pub(super) fn report(&self, name: &str) {
        let days = (self.expires - now()) / DAY;
        tracing::info!(certificate = name, hosts = ?self.hosts, expires_in_days = days, "certificate in use");
        if !self.is_whole {
            tracing::warn!(
                certificate = name,
                "the file has no issuer of its last certificate; clients that do not know the \
                 issuer refuse it, so append the certificates of the issuers unless it is a root"
            );
        }
    }
}

/// The contents of both files.
pub(super) struct Texts {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Texts {
    pub(super) fn read(files: &CertificateFiles) -> Result<Self, PairError> {
        let read = |file: &Path| {
            let size = fs::metadata(file).map(|it| it.len());
            let text = match size {
                Ok(size) if size > MOST_BYTES => Err(io::ErrorKind::FileTooLarge.into()),
                _ => fs::read(file),
            };
            text.map_err(|error| PairError::new(file, PairFlaw::Read(error)))
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
        })
    }

    pub(super) fn print(&self) -> Print {
        let mut digest = Context::new(&SHA256);
        digest.update(&(self.certificate.len() as u64).to_be_bytes());
        digest.update(&self.certificate);
        digest.update(&self.key);
        let mut print = [0; 32];
        print.copy_from_slice(digest.finish().as_ref());
        print
    }
}

/// The facts of a server's own certificate.
struct Leaf {
    hosts: Vec<String>,
    begins: i64,
    expires: i64,
}

impl Leaf {
    fn read(der: &CertificateDer<'_>) -> Result<Self, PairFlaw> {
        let certificate = parse(der)?;
        let hosts = match certificate.subject_alternative_name() {
            Ok(Some(names)) => dns_names(&names.value.general_names),
            Ok(None) => common_names(&certificate),
            Err(error) => return Err(PairFlaw::Damaged(error.to_string())),
        };
        Ok(Self {
            hosts,
            begins: certificate.validity().not_before.timestamp(),
            expires: certificate.validity().not_after.timestamp(),
        })
    }

    fn check_time(&self, now: i64) -> Result<(), PairFlaw> {
        if now > self.expires {
            return Err(PairFlaw::Expired {
                days: (now - self.expires) / DAY,
            });
        }
        if now < self.begins {
            return Err(PairFlaw::NotYet {
                hours: (self.begins - now) / HOUR + 1,
            });
        }
        Ok(())
    }
}

fn chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairFlaw> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| PairFlaw::Damaged(error.to_string()))?;
    match all.is_empty() {
        true => Err(PairFlaw::NoCertificate),
        false => Ok(all),
    }
}

/// Checks that each certificate's issuer follows it. Returns whether the last one is its own issuer.
fn check_order(chain: &[CertificateDer<'_>]) -> Result<bool, PairFlaw> {
    let parsed: Vec<_> = chain.iter().map(parse).collect::<Result<_, _>>()?;
    for (index, pair) in parsed.windows(2).enumerate() {
        if pair[0].issuer().as_raw() != pair[1].subject().as_raw() {
            return Err(PairFlaw::Order {
                place: index + 2,
                issuer: pair[0].issuer().to_string(),
                found: pair[1].subject().to_string(),
            });
        }
    }
    let last = parsed.last().ok_or(PairFlaw::NoCertificate)?;
    Ok(last.issuer().as_raw() == last.subject().as_raw())
}

fn parse<'d>(der: &'d CertificateDer<'_>) -> Result<X509Certificate<'d>, PairFlaw> {
    let parsed = X509Certificate::from_der(der);
    let (_, certificate) = parsed.map_err(|error| PairFlaw::Damaged(error.to_string()))?;
    Ok(certificate)
}

fn dns_names(names: &[GeneralName<'_>]) -> Vec<String> {
    let hosts = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        _ => None,
    });
    hosts.collect()
}

/// Certificates without alternative names have their host here.
fn common_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject().iter_common_name();
    let names = names.filter_map(|name| name.as_str().ok());
    names.map(str::to_ascii_lowercase).collect()
}

/// The seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// The reason for which a certificate cannot be used: the file, the mistake and the remedy.
#[derive(Debug)]
pub struct PairError {
    pub file: PathBuf,
    pub flaw: PairFlaw,
}

impl PairError {
    fn new(file: &Path, flaw: PairFlaw) -> Self {
        Self {
            file: file.to_owned(),
            flaw,
        }
    }
}

/// A mistake in a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum PairFlaw {
    Read(io::Error),
    NoCertificate,
    Damaged(String),
    NoKey,
    /// The key is of a kind that TLS does not use here.
    KeyKind(String),
    /// The key belongs to another certificate.
    OtherKey,
    Expired {
        days: i64,
    },
    NotYet {
        hours: i64,
    },
    /// A certificate is not the issuer of the one before it.
    Order {
        /// Its place in the file, from 1.
        place: usize,
        issuer: String,
        found: String,
    },
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.flaw)
    }
}

impl fmt::Display for PairFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(
                f,
                "cannot be read: {error}; check the path, and that this user may read it"
            ),
            Self::NoCertificate => f.write_str(
                "has no certificate; write a PEM file with the server's certificate first, then \
                 those of its issuers",
            ),
            Self::Damaged(reason) => write!(f, "is damaged: {reason}; copy the file again"),
            Self::NoKey => f.write_str(
                "has no private key; write a PEM file with a PKCS #8, RSA or EC private key \
                 without a passphrase",
            ),
            Self::KeyKind(reason) => write!(
                f,
                "has a key that cannot be used: {reason}; use RSA of 2,048 bits or more, ECDSA \
                 P-256 or P-384, or Ed25519"
            ),
            Self::OtherKey => f.write_str(
                "is not the key of the certificate; name the pair that was issued together",
            ),
            Self::Expired { days } => {
                write!(f, "expired {days} days ago; renew the certificate")
            }
            Self::NotYet { hours } => write!(
                f,
                "is not valid for another {hours} hours; check the clock of this machine"
            ),
            Self::Order {
                place,
                issuer,
                found,
            } => write!(
                f,
                "has certificates out of order: number {place} is {found:?}, but the one before it \
                 was issued by {issuer:?}; write the server's own certificate, then each issuer \
                 after the one it issued"
            ),
        }
    }
}

impl std::error::Error for PairError {}

/// The most bytes of a file. Reason: a chain has a few KiB; another file, named by mistake, is not
/// read into memory.
const MOST_BYTES: u64 = 1024 * 1024;
const HOUR: i64 = 60 * 60;
pub(super) const DAY: i64 = 24 * HOUR;

#[cfg(test)]
mod tests;
