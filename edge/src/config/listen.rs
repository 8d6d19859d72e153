//! The settings of listeners: `[[edge.listen]]`.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tributary_node::config::{At, Check, Mistakes, read_address};

use super::CertificateFiles;

/// A listener: an address, and the protocols that clients speak there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Where clients connect; port 0 takes any free port.
    #[serde(deserialize_with = "read_address")]
    pub address: SocketAddr,
    /// The protocols. The first bytes of a client show which one it speaks.
    #[serde(default = "rtmp")]
    pub protocols: Vec<Protocol>,
    /// The name in `[tls]` of the certificate for a client that asks for no host name, or for one
    /// that no certificate has. It may be left out where there is one certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
}

/// A protocol that carries RTMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RTMP on TCP.
    Rtmp,
    /// RTMP on TLS.
    Rtmps,
}

impl Listen {
    /// A listener for plain RTMP.
    pub fn rtmp(address: SocketAddr) -> Self {
        Self {
            address,
            protocols: rtmp(),
            tls: None,
        }
    }

    /// Whether a certificate is needed.
    pub fn uses_tls(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol.uses_tls())
    }

    pub(super) fn check_certificates(
        &self,
        at: &At,
        tls: &BTreeMap<String, CertificateFiles>,
        mistakes: &mut Mistakes,
    ) {
        let known: Vec<_> = tls.keys().map(String::as_str).collect();
        match &self.tls {
            Some(name) if !tls.contains_key(name) => {
                let what = format!("there is no [tls.{name}]");
                mistakes.add(at.key("tls"), what, remedy(&known));
            }
            None if self.uses_tls() && known.len() != 1 => {
                let what = match known.is_empty() {
                    true => "the listener has no certificate",
                    false => "several certificates, and none for clients that name no host",
                };
                mistakes.add(at.key("tls"), what, remedy(&known));
            }
            _ => {}
        }
    }
}

impl Protocol {
    /// The name in settings, figures and logs, and towards origins.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
        }
    }

    /// Whether the protocol runs on TLS.
    pub fn uses_tls(self) -> bool {
        matches!(self, Self::Rtmps)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Check for Listen {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.protocols.is_empty() {
            let remedy = "write protocols such as [\"rtmp\"], or leave the key out";
            mistakes.add(at.key("protocols"), "no client could be served", remedy);
        }
        if self.tls.is_some() && !self.uses_tls() {
            let what = "no protocol of this listener uses TLS";
            mistakes.add(
                at.key("tls"),
                what,
                "add \"rtmps\" to protocols, or leave it out",
            );
        }
    }
}

fn remedy(known: &[&str]) -> String {
    match known.is_empty() {
        true => "add a table such as [tls.main] with certificate and key".to_owned(),
        false => format!("write the name of one of them: {}", known.join(", ")),
    }
}

fn rtmp() -> Vec<Protocol> {
    vec![Protocol::Rtmp]
}
