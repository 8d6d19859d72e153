//! Access lists: the addresses and transports of an application's clients.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};
use tributary_settings::{At, Check, Mistakes};

use crate::{
    networks::Networks,
    refusal::{Action, Refusal},
};

/// The access lists of an application: `[applications.NAME.access]`.
///
/// A client is judged by its real address, which behind a proxy is the one that the proxy names.
/// Where a proxy names none the address is unknown and in no list: `deny` does not hold it back, and
/// `publish` and `play` do not admit it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// The addresses from which clients may publish; unset, any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Networks>,
    /// The addresses from which clients may play; unset, any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub play: Option<Networks>,
    /// The addresses from which clients may not even connect; they win over the other lists.
    pub deny: Networks,
    /// Whether clients must come by a transport with TLS, their own or that of a trusted proxy.
    pub require_tls: bool,
    /// The transports by which clients may come; unset, all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocols: Option<Vec<Transport>>,
}

/// The transport by which a client comes, as the client itself speaks it: behind a proxy that ends
/// TLS, the one with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RTMP over TCP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// RTMP in HTTP requests.
    Rtmpt,
    /// RTMP in HTTPS requests.
    Rtmpts,
    /// RTMP in WebSocket messages.
    Ws,
    /// RTMP in WebSocket messages over TLS.
    Wss,
}

impl Transport {
    const ALL: [Self; 6] = [
        Self::Rtmp,
        Self::Rtmps,
        Self::Rtmpt,
        Self::Rtmpts,
        Self::Ws,
        Self::Wss,
    ];

    /// The name, as settings and hooks have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Rtmpt => "rtmpt",
            Self::Rtmpts => "rtmpts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// Whether the bytes are encrypted on their way from the client.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Rtmps | Self::Rtmpts | Self::Wss)
    }
}

/// A name that no transport has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTransport;

impl FromStr for Transport {
    type Err = NoTransport;

    fn from_str(name: &str) -> Result<Self, NoTransport> {
        let mut all = Self::ALL.into_iter();
        all.find(|it| it.name() == name).ok_or(NoTransport)
    }
}

impl Access {
    /// Whether a client at `address` (`None` if it is unknown) may do this, coming by `transport`.
    ///
    /// A connect is judged by `deny`, `require_tls` and `protocols`; an act on a name by its own list
    /// as well.
    pub fn judge(
        &self,
        action: Action,
        address: Option<IpAddr>,
        transport: Transport,
    ) -> Result<(), AccessRefused> {
        if self.deny.contains(address) {
            return Err(AccessRefused::Denied(address));
        }
        if self.require_tls && !transport.is_tls() {
            return Err(AccessRefused::Tls(transport));
        }
        let admitted = |admitted: &Vec<Transport>| admitted.contains(&transport);
        if !self.protocols.as_ref().is_none_or(admitted) {
            return Err(AccessRefused::Transport(transport));
        }
        let list = match action {
            Action::Connect => &None,
            Action::Publish => &self.publish,
            Action::Play => &self.play,
        };
        if !list.as_ref().is_none_or(|list| list.contains(address)) {
            return Err(AccessRefused::NotListed(action, address));
        }
        Ok(())
    }
}

impl Check for Access {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        let Some(protocols) = &self.protocols else {
            return;
        };
        if protocols.is_empty() {
            mistakes.add(
                at.key("protocols"),
                "an empty list admits no client",
                "name one or more of rtmp, rtmps, rtmpt, rtmpts, ws and wss, or leave it out",
            );
        } else if self.require_tls && !protocols.iter().any(|transport| transport.is_tls()) {
            mistakes.add(
                at.key("protocols"),
                "none of them has TLS, which require_tls asks for",
                "name one or more of rtmps, rtmpts and wss, or leave require_tls out",
            );
        }
    }
}

/// The reason for which the access lists refuse a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccessRefused {
    /// The address is on the list `deny`.
    Denied(Option<IpAddr>),
    /// The address is not on the list of the act.
    NotListed(Action, Option<IpAddr>),
    /// The client does not come by TLS.
    Tls(Transport),
    /// The client comes by another transport.
    Transport(Transport),
}

impl AccessRefused {
    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Denied(_) => "access_denied",
            Self::NotListed(..) => "access_not_listed",
            Self::Tls(_) => "access_tls",
            Self::Transport(_) => "access_protocol",
        }
    }

    /// The refusal of an act for this reason.
    pub fn refusal(self, action: Action) -> Refusal {
        Refusal::new(action, self.label(), &self)
    }
}

impl fmt::Display for AccessRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (action, address) = match *self {
            Self::Denied(address) => ("connect", address),
            Self::NotListed(Action::Publish, address) => ("publish", address),
            Self::NotListed(Action::Play, address) => ("play", address),
            Self::NotListed(Action::Connect, address) => ("connect", address),
            Self::Tls(transport) => {
                return write!(
                    f,
                    "this application asks for an encrypted connection: use rtmps:// in place of \
                     {}://",
                    transport.name()
                );
            }
            Self::Transport(transport) => {
                return write!(
                    f,
                    "this application does not take connections by {}",
                    transport.name()
                );
            }
        };
        match address {
            Some(address) => {
                let address = address.to_canonical();
                write!(f, "the address {address} may not {action} here")
            }
            None => write!(f, "a client whose address is unknown may not {action} here"),
        }
    }
}

impl std::error::Error for AccessRefused {}

#[cfg(test)]
mod tests {
    use tributary_settings::Layers;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        access: Access,
    }

    impl Check for Whole {
        fn check(&self, at: &At, mistakes: &mut Mistakes) {
            self.access.check(&at.key("access"), mistakes);
        }
    }

    fn read(settings: &[(&str, &str)]) -> Result<Access, String> {
        let variables = settings.iter().map(|(key, value)| {
            let name = format!("TRIBUTARY_ACCESS_{}", key.to_ascii_uppercase());
            (name, (*value).to_owned())
        });
        let read = Layers::new().environment(variables).read::<Whole>();
        read.map(|whole| whole.access)
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn the_first_rule_that_fails_is_the_reason() {
        let access = read(&[
            ("publish", "10.0.0.0/8,loopback"),
            ("play", "0.0.0.0/0"),
            ("deny", "10.6.6.0/24"),
            ("protocols", "rtmp,rtmps,wss"),
        ])
        .unwrap();
        use Action::{Connect, Play, Publish};
        use Transport::{Rtmp, Rtmpt, Wss};
        for (action, address, transport, expected) in [
            (Connect, "10.0.0.1", Rtmp, None),
            (Connect, "192.0.2.1", Wss, None),
            (Connect, "", Rtmp, None),
            (Connect, "10.6.6.9", Rtmp, Some("access_denied")),
            (Connect, "::ffff:10.6.6.9", Rtmp, Some("access_denied")),
            (Connect, "192.0.2.1", Rtmpt, Some("access_protocol")),
            (Publish, "10.0.0.1", Rtmp, None),
            (Publish, "::1", Rtmp, None),
            (Publish, "192.0.2.1", Rtmp, Some("access_not_listed")),
            (Publish, "10.6.6.9", Rtmp, Some("access_denied")),
            (Publish, "", Rtmp, Some("access_not_listed")),
            (Play, "192.0.2.1", Rtmp, None),
            (Play, "2001:db8::1", Rtmp, Some("access_not_listed")),
            (Play, "", Rtmp, Some("access_not_listed")),
        ] {
            let address = (!address.is_empty()).then(|| address.parse().unwrap());
            let judged = access.judge(action, address, transport);
            let label = judged.err().map(AccessRefused::label);
            assert_eq!(label, expected, "{action:?} {address:?} {transport:?}");
        }
    }

    #[test]
    fn tls_is_the_clients_own() {
        let access = read(&[("require_tls", "true")]).unwrap();
        for (transport, admitted) in [
            (Transport::Rtmp, false),
            (Transport::Rtmps, true),
            (Transport::Rtmpt, false),
            (Transport::Rtmpts, true),
            (Transport::Ws, false),
            (Transport::Wss, true),
        ] {
            let judged = access.judge(Action::Connect, None, transport);
            assert_eq!(judged.is_ok(), admitted, "{transport:?}");
        }
    }

    #[test]
    fn without_settings_everybody_may_and_an_empty_list_admits_nobody() {
        let here = Some("192.0.2.1".parse().unwrap());
        let open = Access::default();
        let closed = Access {
            publish: Some(Networks::default()),
            ..Access::default()
        };
        for action in [Action::Connect, Action::Publish, Action::Play] {
            assert_eq!(open.judge(action, here, Transport::Rtmp), Ok(()));
            assert_eq!(open.judge(action, None, Transport::Rtmp), Ok(()));
            let is_open = closed.judge(action, here, Transport::Rtmp).is_ok();
            assert_eq!(is_open, action != Action::Publish);
        }
    }

    #[test]
    fn sentences_are_for_people() {
        let mapped = Some("::ffff:192.0.2.1".parse().unwrap());
        for (reason, action, text) in [
            (
                AccessRefused::NotListed(Action::Publish, mapped),
                Action::Publish,
                "the address 192.0.2.1 may not publish here",
            ),
            (
                AccessRefused::NotListed(Action::Play, None),
                Action::Play,
                "a client whose address is unknown may not play here",
            ),
            (
                AccessRefused::Tls(Transport::Rtmp),
                Action::Connect,
                "this application asks for an encrypted connection: use rtmps:// in place of \
                 rtmp://",
            ),
        ] {
            assert_eq!(reason.refusal(action).text, text);
        }
    }

    #[test]
    fn mistakes_name_key_reason_and_remedy() {
        for (settings, parts) in [
            (
                &[("publish", "10.0.0.1/8")][..],
                &["access.publish", "bits behind its prefix", "10.0.0.0/8"][..],
            ),
            (
                &[("protocols", "[]")],
                &["access.protocols", "admits no client", "leave it out"],
            ),
            (
                &[("protocols", "rtmp,ws"), ("require_tls", "true")],
                &["access.protocols", "has TLS", "rtmps"],
            ),
            (
                &[("protocols", "rtmpe")],
                &["access.protocols", "rtmpe", "did you mean"],
            ),
            (&[("allow", "::1")], &["access.allow", "unknown key"]),
        ] {
            let mistakes = read(settings).unwrap_err();
            for part in parts {
                assert!(mistakes.contains(part), "{part} in {mistakes}");
            }
        }
    }
}
