//! The settings of listeners: `[[edge.listen]]`.

use std::{collections::BTreeMap, net::SocketAddr};

use serde::{Deserialize, Serialize};
use tributary_gate::{Networks, Transport as Protocol};
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
    /// Whether every connection begins with a header of the PROXY protocol, version 1 or 2.
    #[serde(default)]
    pub proxy_protocol: bool,
    /// Whether the fields X-Forwarded-For and X-Forwarded-Proto of HTTP requests count that come
    /// from `trusted` addresses.
    #[serde(default)]
    pub forwarded: bool,
    /// The proxies and balancers in front of this listener. Others are refused where
    /// `proxy_protocol` is set.
    #[serde(default)]
    pub trusted: Networks,
}

impl Listen {
    /// A listener for plain RTMP.
    pub fn rtmp(address: SocketAddr) -> Self {
        Self {
            address,
            protocols: rtmp(),
            tls: None,
            proxy_protocol: false,
            forwarded: false,
            trusted: Networks::default(),
        }
    }

    /// Whether a proxy or balancer in front of the listener names each client.
    pub fn names_clients(&self) -> bool {
        let in_requests =
            |protocol: &Protocol| !matches!(protocol, Protocol::Rtmp | Protocol::Rtmps);
        self.proxy_protocol || (self.forwarded && self.protocols.iter().all(in_requests))
    }

    /// Whether a certificate is needed.
    pub fn uses_tls(&self) -> bool {
        self.protocols.iter().any(|protocol| protocol.is_tls())
    }

    /// Whether clients begin with an HTTP request.
    fn uses_http(&self) -> bool {
        let is_http = |it: &Protocol| !matches!(it, Protocol::Rtmp | Protocol::Rtmps);
        self.protocols.iter().any(is_http)
    }

    fn check_proxies(&self, at: &At, mistakes: &mut Mistakes) {
        let trusts = self.proxy_protocol || self.forwarded;
        if trusts && self.trusted.is_empty() {
            let what = match self.proxy_protocol {
                true => "no proxy is trusted, so that nobody could connect",
                false => "no proxy is trusted, so that no forwarded address would count",
            };
            let remedy = "write the addresses of the proxies, such as [\"10.0.0.0/8\"]";
            mistakes.add(at.key("trusted"), what, remedy);
        }
        if !trusts && !self.trusted.is_empty() {
            let what = "proxies are trusted for nothing";
            let remedy = "set proxy_protocol = true or forwarded = true, or leave it out";
            mistakes.add(at.key("trusted"), what, remedy);
        }
        if self.forwarded && !self.uses_http() {
            let what = "no protocol of this listener has HTTP requests";
            let remedy = "add \"ws\" or \"rtmpt\" to protocols, or leave it out";
            mistakes.add(at.key("forwarded"), what, remedy);
        }
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

impl Check for Listen {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.protocols.is_empty() {
            let remedy = "write protocols such as [\"rtmp\"], or leave the key out";
            mistakes.add(at.key("protocols"), "no client could be served", remedy);
        }
        self.check_proxies(at, mistakes);
        if self.tls.is_some() && !self.uses_tls() {
            let what = "no protocol of this listener uses TLS";
            mistakes.add(
                at.key("tls"),
                what,
                "add \"rtmps\", \"rtmpts\" or \"wss\" to protocols, or leave it out",
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
