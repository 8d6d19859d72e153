//! A private CA and the certificates of nodes.
//!
//! A directory of the CA holds `ca.pem` and `ca.key`; a node's holds `ca.pem`, `node.pem` and
//! `node.key`. Keys are readable by their owner alone. Existing files are never overwritten.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, string::Ia5String,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::tls::{self, Identity, Role};

/// Makes a CA: writes `ca.pem` and `ca.key` into `dir`, which is created.
pub fn init(dir: &Path) -> Result<(), Error> {
    let (certificate, key) = authority()?;
    create_dir(dir)?;
    write_new(&dir.join(CA_KEY_FILE), &key.serialize_pem(), SECRET)?;
    write_new(&dir.join(tls::CA_FILE), &certificate.pem(), PUBLIC)
}

/// The parameters of [`issue`].
#[derive(Clone, Debug, clap::Args)]
pub struct Issue {
    /// The tier the certificate is for
    #[arg(long)]
    pub role: Role,
    /// The node's name: letters, digits, dots, hyphens and underscores
    #[arg(long)]
    pub name: String,
    /// Another host name or address the node answers to; may be repeated (origins only)
    #[arg(long)]
    pub alias: Vec<String>,
    /// The directory that `tributary cert init` made
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// Where to write ca.pem, node.pem and node.key
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Makes a node's certificate and key and writes them, with the CA's certificate, into
/// [`Issue::out`].
pub fn issue(request: &Issue) -> Result<(), Error> {
    if request.role == Role::Edge && !request.alias.is_empty() {
        return Err(Error::AliasOfEdge);
    }
    let ca_file = request.ca.join(tls::CA_FILE);
    let (ca_pem, issuer) = issuer(&request.ca)?;
    let (certificate, key) = node(&issuer, request.role, &request.name, &request.alias)?;
    create_dir(&request.out)?;
    write_new(
        &request.out.join(tls::KEY_FILE),
        &key.serialize_pem(),
        SECRET,
    )?;
    write_new(
        &request.out.join(tls::CERTIFICATE_FILE),
        &certificate.pem(),
        PUBLIC,
    )?;
    if request.out.join(tls::CA_FILE) == ca_file {
        return Ok(());
    }
    write_new(&request.out.join(tls::CA_FILE), &ca_pem, PUBLIC)
}

/// The parameters of [`serve`].
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// A host name or address that clients connect to; may be repeated. `*.` stands for one label
    #[arg(long = "name", required = true, value_name = "HOST")]
    pub names: Vec<String>,
    /// The directory that `tributary cert init` made
    #[arg(long, value_name = "DIR")]
    pub ca: PathBuf,
    /// Where to write server.pem and server.key
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Makes a certificate for clients and its key, and writes them into [`Serve::out`], the CA's own
/// after the certificate. It is for trying: clients have to know the CA.
pub fn serve(request: &Serve) -> Result<(), Error> {
    let (ca_pem, issuer) = issuer(&request.ca)?;
    let names = request.names.iter().map(|name| client_host(name));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    let key = KeyPair::generate()?;
    let mut params = valid_for(SERVER_LIFE);
    let common = request.names.first().map_or("", String::as_str);
    params.distinguished_name.push(DnType::CommonName, common);
    params.subject_alt_names = names;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer)?;
    create_dir(&request.out)?;
    let key_file = request.out.join(SERVER_KEY_FILE);
    write_new(&key_file, &key.serialize_pem(), SECRET)?;
    let chain = certificate.pem() + &ca_pem;
    write_new(&request.out.join(SERVER_CERTIFICATE_FILE), &chain, PUBLIC)
}

/// The CA in a directory: its certificate, and the issuer that signs with its key.
fn issuer(dir: &Path) -> Result<(String, Issuer<'static, KeyPair>), Error> {
    let ca_pem = read(&dir.join(tls::CA_FILE))?;
    let ca_key = KeyPair::from_pem(&read(&dir.join(CA_KEY_FILE))?)?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key)?;
    Ok((ca_pem, issuer))
}

/// A name that clients connect to, wildcards included.
fn client_host(name: &str) -> Result<SanType, Error> {
    match name.strip_prefix("*.") {
        Some(parent) if tls::is_name(parent) => Ok(SanType::DnsName(ia5(name.to_owned())?)),
        Some(_) => Err(Error::Name(name.to_owned())),
        None => host(name),
    }
}

/// An edge and an origin of a CA that exists in this process alone.
pub fn temporary() -> Result<Pair, Error> {
    let (ca, ca_key) = authority()?;
    let issuer = Issuer::from_ca_cert_der(ca.der(), ca_key)?;
    let make = |role: Role| {
        let (certificate, key) = node(&issuer, role, role.as_str(), &[])?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|reason| Error::Unfit(reason.to_owned()))?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        Identity::assemble(vec![ca.der().clone()], chain, key)
            .map_err(|flaw| Error::Unfit(flaw.to_string()))
    };
    Ok(Pair {
        edge: make(Role::Edge)?,
        origin: make(Role::Origin)?,
    })
}

/// One node of each tier that trust each other.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The edge, named `edge`.
    pub edge: Identity,
    /// The origin, named `origin`.
    pub origin: Identity,
}

/// The reason for which a certificate was not made. The text names the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    File { file: PathBuf, source: io::Error },
    /// The name or alias is not allowed in a certificate.
    Name(String),
    /// Only origins have aliases.
    AliasOfEdge,
    /// The CA's files cannot be used, or signing failed.
    Sign(rcgen::Error),
    /// The new certificate does not pass the check.
    Unfit(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, source } if source.kind() == io::ErrorKind::AlreadyExists => write!(
                f,
                "{} exists and is not overwritten; remove it, or choose another directory",
                file.display()
            ),
            Self::File { file, source } if source.kind() == io::ErrorKind::NotFound => write!(
                f,
                "{} does not exist; `tributary cert init DIR` makes a CA",
                file.display()
            ),
            Self::File { file, source } => write!(f, "{}: {source}", file.display()),
            Self::Name(name) => write!(
                f,
                "{name:?} cannot be a node's name; use 1 to 64 letters, digits, dots, hyphens and \
                 underscores"
            ),
            Self::AliasOfEdge => f.write_str("only an origin has aliases; leave --alias out"),
            Self::Sign(source) => write!(
                f,
                "the CA cannot sign: {source}; --ca must name a directory that `tributary cert \
                 init` made"
            ),
            Self::Unfit(reason) => write!(f, "the certificate made is not usable: {reason}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { source, .. } => Some(source),
            Self::Sign(source) => Some(source),
            _ => None,
        }
    }
}

impl From<rcgen::Error> for Error {
    fn from(source: rcgen::Error) -> Self {
        Self::Sign(source)
    }
}

fn authority() -> Result<(rcgen::Certificate, KeyPair), Error> {
    let key = KeyPair::generate()?;
    let mut params = valid_for(CA_LIFE);
    params
        .distinguished_name
        .push(DnType::CommonName, "Tributary private CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok((params.self_signed(&key)?, key))
}

fn node(
    issuer: &Issuer<'_, KeyPair>,
    role: Role,
    name: &str,
    aliases: &[String],
) -> Result<(rcgen::Certificate, KeyPair), Error> {
    if !tls::is_name(name) {
        return Err(Error::Name(name.to_owned()));
    }
    let key = KeyPair::generate()?;
    let mut params = valid_for(NODE_LIFE);
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = vec![
        SanType::URI(ia5(tls::uri(role, name))?),
        SanType::DnsName(ia5(name.to_owned())?),
    ];
    for alias in aliases {
        params.subject_alt_names.push(host(alias)?);
    }
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Both usages: a node may dial and accept, and its role is read from its URI.
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok((params.signed_by(&key, issuer)?, key))
}

fn valid_for(life: Duration) -> CertificateParams {
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now + life).into();
    params
}

fn host(alias: &str) -> Result<SanType, Error> {
    if let Ok(address) = alias.parse() {
        return Ok(SanType::IpAddress(address));
    }
    if !tls::is_name(alias) {
        return Err(Error::Name(alias.to_owned()));
    }
    Ok(SanType::DnsName(ia5(alias.to_owned())?))
}

fn ia5(text: String) -> Result<Ia5String, Error> {
    Ia5String::try_from(text.clone()).map_err(|_| Error::Name(text))
}

fn read(file: &Path) -> Result<String, Error> {
    fs::read_to_string(file).map_err(|source| Error::File {
        file: file.to_owned(),
        source,
    })
}

fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::File {
        file: dir.to_owned(),
        source,
    })
}

fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(file)
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .map_err(|source| Error::File {
            file: file.to_owned(),
            source,
        })
}

/// The name of the CA's private key in its directory.
pub const CA_KEY_FILE: &str = "ca.key";

/// The names of a certificate for clients, with its chain, and of its key.
pub const SERVER_CERTIFICATE_FILE: &str = "server.pem";
pub const SERVER_KEY_FILE: &str = "server.key";

const SECRET: u32 = 0o600;
const PUBLIC: u32 = 0o644;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const CA_LIFE: Duration = Duration::from_secs(3650 * DAY.as_secs());
const NODE_LIFE: Duration = Duration::from_secs(730 * DAY.as_secs());
/// The longest life that all clients accept of a server (Apple, 2019: 825 days, of a private CA).
const SERVER_LIFE: Duration = Duration::from_secs(730 * DAY.as_secs());
/// The age of a new certificate, which a node with a clock that is behind still accepts.
const CLOCK_SKEW: Duration = DAY;

#[cfg(test)]
mod tests;
