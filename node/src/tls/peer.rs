//! Role and name of a node, as stated in its certificate.

use std::{fmt, net::IpAddr};

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The tier of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Role {
    /// Serves clients; dials links.
    Edge,
    /// Runs the applications; accepts links.
    Origin,
}

impl Role {
    /// The word in certificates, flags and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Origin => "origin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The holder of a certificate, as stated in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub role: Role,
    /// Unique among the nodes of its tier.
    pub name: String,
    /// Other host names and addresses of the node.
    pub aliases: Vec<String>,
}

impl Peer {
    /// Whether `host` is its name or one of its aliases, in any case of letters.
    pub fn answers_to(&self, host: &str) -> bool {
        let is = |name: &str| name.eq_ignore_ascii_case(host);
        is(&self.name) || self.aliases.iter().any(|alias| is(alias))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.name)
    }
}

/// The reason for which a certificate names no holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerError {
    /// The bytes are not an X.509 certificate.
    Malformed,
    /// The certificate names no role: it has no `tributary:edge:NAME` or `tributary:origin:NAME`.
    NoRole,
    /// The certificate names more than one role.
    ManyRoles,
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it is not an X.509 certificate",
            Self::NoRole => "it is not a node's certificate: it names no role",
            Self::ManyRoles => "it names more than one role",
        })
    }
}

impl std::error::Error for PeerError {}

/// Reads role, name and aliases from a certificate whose chain has been checked.
pub fn peer(certificate: &[u8]) -> Result<Peer, PeerError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| PeerError::Malformed)?;
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| PeerError::Malformed)?
        .ok_or(PeerError::NoRole)?;
    let mut holder = None;
    let mut hosts = Vec::new();
    for name in &names.value.general_names {
        match name {
            GeneralName::URI(uri) => {
                if let Some(found) = role_and_name(uri)
                    && holder.replace(found).is_some()
                {
                    return Err(PeerError::ManyRoles);
                }
            }
            GeneralName::DNSName(host) => hosts.push((*host).to_owned()),
            GeneralName::IPAddress(bytes) => hosts.extend(address(bytes)),
            _ => {}
        }
    }
    let (role, name) = holder.ok_or(PeerError::NoRole)?;
    hosts.retain(|host| *host != name);
    Ok(Peer {
        role,
        name: name.to_owned(),
        aliases: hosts,
    })
}

/// The URI that states a role and a name.
pub(crate) fn uri(role: Role, name: &str) -> String {
    format!("{SCHEME}{role}:{name}")
}

/// Whether a node may have this name: 1 to 64 letters, digits, dots, hyphens and underscores.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

fn role_and_name(uri: &str) -> Option<(Role, &str)> {
    let (role, name) = uri.strip_prefix(SCHEME)?.split_once(':')?;
    let role = [Role::Edge, Role::Origin]
        .into_iter()
        .find(|known| known.as_str() == role)?;
    is_name(name).then_some((role, name))
}

fn address(bytes: &[u8]) -> Option<String> {
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        16 => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        _ => return None,
    };
    Some(address.to_string())
}

const SCHEME: &str = "tributary:";

/// The longest common name of a certificate (X.520, ub-common-name).
const MAX_NAME: usize = 64;
