//! Connections that do not get to RTMP.

use std::fmt;

use tokio::time::error::Elapsed;
use tributary_protocol::{
    http::{HttpFault, HttpStatus},
    proxy::ProxyFault,
    tunnel::TunnelFault,
};

use crate::{admission::Refused, wire::TlsFault};

/// The reason for which a connection did not get to RTMP.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The client closed the connection before it said anything.
    Gone,
    /// The time was over.
    Late,
    /// The address of the client, which became known, has too many connections.
    NoPlace(Refused),
    /// The connection to a proxied listener is not a proxy's.
    Untrusted,
    /// The proxy's header cannot be read.
    Proxy(ProxyFault),
    /// The proxy closed the connection within its header.
    ProxyGone,
    /// The TLS handshake failed.
    Tls(TlsFault),
    /// The client's request cannot be used.
    Http(HttpFault),
    /// The client closed the connection within its request, or before the answer.
    RequestGone,
    /// The request is one of a protocol that this listener does not serve.
    NotHere,
    /// The request is for a session of RTMPT that is not there.
    NoTunnel,
    /// The request is out of order, which ends its session.
    Tunnel(TunnelFault),
    /// There are too many sessions of RTMPT.
    TooManyTunnels,
    /// The request is from a page of a site that is not in `edge.web_origins`.
    WebOrigin,
}

impl Refusal {
    /// The label of the fault, in logs and figures. A connection without a byte is no fault: health
    /// checks of balancers make such ones.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        match self {
            // The session's end counts the fault of its requests.
            Self::Gone | Self::NoPlace(_) | Self::Tunnel(_) => None,
            Self::Late => Some("door_timeout"),
            Self::Untrusted => Some("proxy_untrusted"),
            Self::Proxy(_) | Self::ProxyGone => Some("proxy_header"),
            Self::Tls(fault) => fault.label(),
            Self::Http(fault) => Some(fault.reason()),
            Self::RequestGone => Some("http_request"),
            Self::NotHere => Some("protocol_not_here"),
            Self::NoTunnel => Some("tunnel_unknown"),
            Self::TooManyTunnels => Some("too_many_tunnels"),
            Self::WebOrigin => Some("web_origin"),
        }
    }

    /// The answer to a request that is refused.
    pub(crate) fn status(&self) -> Option<HttpStatus> {
        match self {
            Self::Http(fault) => Some(fault.status()),
            Self::NotHere | Self::NoTunnel => Some(HttpStatus::NotFound),
            Self::Tunnel(_) => Some(HttpStatus::BadRequest),
            Self::TooManyTunnels => Some(HttpStatus::Unavailable),
            Self::WebOrigin => Some(HttpStatus::Forbidden),
            Self::NoPlace(_) => Some(HttpStatus::TooManyRequests),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client closed the connection without a byte"),
            Self::Late => f.write_str("the first byte of RTMP, or a request, has not come in time"),
            Self::NoPlace(refused) => refused.fmt(f),
            Self::Untrusted => f.write_str(
                "the address is not in `trusted` of this listener, which proxies alone may use",
            ),
            Self::Proxy(fault) => write!(f, "no header of the PROXY protocol: {fault}"),
            Self::ProxyGone => f.write_str("the proxy closed the connection within its header"),
            Self::Tls(fault) => fault.fmt(f),
            Self::Http(fault) => fault.fmt(f),
            Self::RequestGone => f.write_str("the client closed the connection within its request"),
            Self::NotHere => f.write_str("a request of a protocol that is not served here"),
            Self::NoTunnel => f.write_str("a request for a session of RTMPT that is not there"),
            Self::Tunnel(fault) => fault.fmt(f),
            Self::TooManyTunnels => f.write_str("too many sessions of RTMPT"),
            Self::WebOrigin => f.write_str("the site of the page is not in edge.web_origins"),
        }
    }
}

impl From<Elapsed> for Refusal {
    fn from(_: Elapsed) -> Self {
        Self::Late
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::NoPlace(refused)
    }
}

impl From<ProxyFault> for Refusal {
    fn from(fault: ProxyFault) -> Self {
        Self::Proxy(fault)
    }
}

impl From<TlsFault> for Refusal {
    fn from(fault: TlsFault) -> Self {
        Self::Tls(fault)
    }
}

impl From<HttpFault> for Refusal {
    fn from(fault: HttpFault) -> Self {
        Self::Http(fault)
    }
}

impl From<TunnelFault> for Refusal {
    fn from(fault: TunnelFault) -> Self {
        Self::Tunnel(fault)
    }
}
