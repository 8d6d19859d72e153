//! The addresses of origins, and connections to them.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use tokio::time::timeout;
use tributary_protocol::link::hello::MAX_NAME;

use crate::{
    tls::Identity,
    transport::{Endpoint, Link, LinkError},
};

/// An origin of the configuration: `HOST:PORT`, or `NAME@HOST:PORT`.
///
/// All edges must use the same name for an origin: the name decides which groups are at home there.
/// If edges reach an origin under different addresses, write the name on its certificate before the
/// `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginAddress {
    /// The name on the origin's certificate, if stated.
    pub name: Option<String>,
    /// `HOST:PORT`.
    pub address: String,
}

impl OriginAddress {
    /// The name by which the edges call the origin.
    pub fn known_as(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.address)
    }
}

impl FromStr for OriginAddress {
    type Err = OriginAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, address) = match text.split_once('@') {
            Some((name, address)) => (Some(name), address),
            None => (None, text),
        };
        if name.is_some_and(|name| name.is_empty() || name.len() > MAX_NAME) {
            return Err(OriginAddressError::Name);
        }
        let (host, port) = address.rsplit_once(':').ok_or(OriginAddressError::Port)?;
        if host.is_empty() || host.len() > MAX_NAME - 6 {
            return Err(OriginAddressError::Host);
        }
        if port.parse::<u16>().ok().is_none_or(|port| port == 0) {
            return Err(OriginAddressError::Port);
        }
        Ok(Self {
            name: name.map(str::to_owned),
            address: address.to_owned(),
        })
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}@{}", self.address),
            None => f.write_str(&self.address),
        }
    }
}

/// The fault of a text that names no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginAddressError {
    /// The name before the `@` is empty or too long.
    Name,
    /// The host is missing or too long.
    Host,
    /// The port after the last `:` is missing or 0.
    Port,
}

impl fmt::Display for OriginAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name before the `@` must have 1 to 255 characters",
            Self::Host => "no host",
            Self::Port => "no port from 1 to 65535 behind the host",
        })
    }
}

impl std::error::Error for OriginAddressError {}

/// The time in which an origin answers.
const DIAL: Duration = Duration::from_millis(1500);

/// Connects to an origin, whose certificate has its name. The endpoint keeps the link's socket.
pub async fn connect(
    identity: &Identity,
    origin: &OriginAddress,
) -> Result<(Link, Endpoint), LinkError> {
    let address = resolve(&origin.address).await?;
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = Endpoint::dialling(identity, any)
        .map_err(|error| LinkError::Transport(error.to_string()))?;
    let link = timeout(DIAL, endpoint.connect(address))
        .await
        .map_err(|_| LinkError::TimedOut)??;
    if let Some(name) = &origin.name
        && !link.peer().answers_to(name)
    {
        let why = format!(
            "its certificate is for `{}`, not `{name}`",
            link.peer().name
        );
        return Err(LinkError::Refused(why));
    }
    Ok((link, endpoint))
}

async fn resolve(address: &str) -> Result<SocketAddr, LinkError> {
    let unknown = |why: String| LinkError::Transport(format!("{address}: {why}"));
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_addresses_with_or_without_a_name() {
        for (text, name, address) in [
            ("10.0.0.1:4000", None, "10.0.0.1:4000"),
            ("a@origin.example:4000", Some("a"), "origin.example:4000"),
            ("[::1]:4000", None, "[::1]:4000"),
        ] {
            let origin: OriginAddress = text.parse().unwrap();
            assert_eq!((origin.name.as_deref(), &*origin.address), (name, address));
            assert_eq!(origin.to_string(), text);
        }
        for (text, error) in [
            ("host", OriginAddressError::Port),
            ("host:0", OriginAddressError::Port),
            ("host:x", OriginAddressError::Port),
            (":1", OriginAddressError::Host),
            ("@host:1", OriginAddressError::Name),
        ] {
            assert_eq!(text.parse::<OriginAddress>(), Err(error), "{text}");
        }
    }
}
