//! The fields by which proxies of HTTP name their client: X-Forwarded-For and X-Forwarded-Proto.

use std::net::SocketAddr;

use tributary_gate::Networks;
use tributary_protocol::{
    http::{HttpRequest, forwarded_address},
    link::PeerAddress,
};

use super::Client;

/// The client of a request that a trusted proxy has sent. Each proxy adds its peer at the end, and
/// the client itself may have sent the first addresses: the last one counts that is not a trusted
/// proxy's. The address is unknown if a proxy names none, or something that is no address.
pub(super) fn client(request: &HttpRequest<'_>, trusted: &Networks) -> Client {
    let mut client = None;
    for value in request.forwarded_for.iter().rev() {
        client = forwarded_address(value);
        if !trusted.contains(client) {
            break;
        }
    }
    let named = client.map(|address| PeerAddress::from(SocketAddr::new(address, 0)));
    Client {
        address: named.unwrap_or(PeerAddress::UNKNOWN),
        used_tls: request.forwarded_proto.and_then(used_tls),
    }
}

fn used_tls(scheme: &str) -> Option<bool> {
    let is_one_of = |known: [&str; 2]| known.iter().any(|it| scheme.eq_ignore_ascii_case(it));
    match () {
        () if is_one_of(["https", "wss"]) => Some(true),
        () if is_one_of(["http", "ws"]) => Some(false),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_address_counts_that_is_no_proxys() {
        let trusted: Networks = ["10.0.0.0/8", "loopback"]
            .iter()
            .map(|network| network.parse().expect("a network"))
            .collect();
        for (fields, address, tls) in [
            ("", None, None),
            ("X-Forwarded-For: 192.0.2.7\r\n", Some("192.0.2.7"), None),
            // The client has sent the first address itself.
            (
                "X-Forwarded-For: 127.0.0.1, 192.0.2.7, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n",
                Some("192.0.2.7"),
                Some(true),
            ),
            (
                "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: [2001:db8::1]\r\n\
                 X-Forwarded-Proto: https, HTTP\r\n",
                Some("2001:db8::1"),
                Some(false),
            ),
            (
                "X-Forwarded-For: ::ffff:192.0.2.7\r\n",
                Some("192.0.2.7"),
                None,
            ),
            (
                "X-Forwarded-For: 10.0.0.9, 10.0.0.1\r\n",
                Some("10.0.0.9"),
                None,
            ),
            (
                "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.1\r\n",
                None,
                None,
            ),
            (
                "X-Forwarded-For: 192.0.2.7, 10.0.0.1.example\r\n",
                None,
                None,
            ),
            ("X-Forwarded-Proto: gopher\r\n", None, None),
        ] {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 {fields}\r\n"
            );
            let (request, _) = HttpRequest::read(head.as_bytes())
                .expect("a request")
                .expect("all of it");
            let client = client(&request, &trusted);
            let expected = address.map(|address| address.parse().expect("an address"));
            assert_eq!(client.address.ip(), expected, "{fields}");
            assert_eq!(client.used_tls, tls, "{fields}");
        }
    }
}
