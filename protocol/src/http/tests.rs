use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A POST with these lines behind its Host.
fn post(lines: &str) -> String {
    format!("POST /send/1/2 HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A request for a WebSocket with these lines besides its own.
fn get(lines: &str) -> String {
    format!(
        "GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

fn list<const N: usize>(lines: [&str; N]) -> FieldList<'_> {
    let mut list = FieldList::default();
    for line in lines {
        list.push(line).expect("few lines");
    }
    list
}

fn request(path: &str, content_length: u32) -> HttpRequest<'_> {
    HttpRequest {
        method: HttpMethod::Post,
        path,
        content_length,
        keeps_alive: true,
        upgrade: None,
        origin: None,
        forwarded_for: list([]),
        forwarded_proto: None,
    }
}

fn websocket(path: &str) -> HttpRequest<'_> {
    HttpRequest {
        method: HttpMethod::Get,
        upgrade: Some(Upgrade {
            key: KEY,
            protocols: list([]),
        }),
        ..request(path, 0)
    }
}

/// The whole head gives this request, each part of it asks for more, and bytes behind it stay.
fn assert_read(head: &str, expected: &HttpRequest<'_>) {
    for end in 0..head.len() {
        let part = HttpRequest::read(&head.as_bytes()[..end]);
        assert_eq!(part, Ok(None), "{end} bytes of {head:?}");
    }
    let whole = Ok(Some((*expected, head.len())));
    assert_eq!(HttpRequest::read(head.as_bytes()), whole, "{head:?}");
    let more = [head.as_bytes(), b"\0\n\n\r\n\r\n"].concat();
    assert_eq!(HttpRequest::read(&more), whole, "{head:?}, with a body");
}

#[test]
fn requests_of_clients_are_read() {
    // Recorded from ffmpeg 5.1.9 and rtmpdump 2.4.
    let ffmpeg = "POST /open/1 HTTP/1.1\r\nAccept: */*\r\nConnection: keep-alive\r\n\
                  Host: 127.0.0.1:39813\r\nContent-Length: 1\r\nIcy-MetaData: 1\r\n\
                  Cache-Control: no-cache\r\nContent-type: application/x-fcs\r\n\
                  User-Agent: Shockwave Flash\r\n\r\n";
    assert_read(ffmpeg, &request("/open/1", 1));
    let librtmp = "POST /send/0a1b0123456789abcdeffedcba9876543210/0 HTTP/1.1\r\n\
                   Host: 127.0.0.1:33593\r\nAccept: */*\r\nUser-Agent: Shockwave Flash\r\n\
                   Connection: Keep-Alive\r\nCache-Control: no-cache\r\n\
                   Content-type: application/x-fcs\r\nContent-length: 1537\r\n\r\n";
    let path = "/send/0a1b0123456789abcdeffedcba9876543210/0";
    assert_read(librtmp, &request(path, 1537));
    let chromium = "GET / HTTP/1.1\r\nHost: edge.test:1935\r\nConnection: Upgrade\r\n\
                    Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\n\
                    Upgrade: websocket\r\nOrigin: http://page.test\r\n\
                    Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate\r\n\
                    Accept-Language: en\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
                    Sec-WebSocket-Protocol: rtmp, binary\r\n\r\n";
    let expected = HttpRequest {
        origin: Some("http://page.test"),
        upgrade: Some(Upgrade {
            key: KEY,
            protocols: list(["rtmp, binary"]),
        }),
        ..websocket("/")
    };
    assert_read(chromium, &expected);
    let firefox = get("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n");
    assert_read(&firefox, &websocket("/live"));
}

#[test]
fn targets_lose_their_query() {
    for (target, path) in [
        ("/", "/"),
        ("/a?b=c?d", "/a"),
        ("/?", "/"),
        ("/a//b/", "/a//b/"),
        ("/%2e%2e/\u{e9}", "/%2e%2e/\u{e9}"),
        ("/a?u=http://b/c", "/a"),
        ("/http://b/c", "/http://b/c"),
        ("http://edge.test/open/1?x", "/open/1"),
        ("HTTPS://edge.test:8080/", "/"),
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_read(&head, &request(path, 0));
    }
    for target in [
        "*",
        "a",
        "?/a",
        "edge.test:80",
        "http://edge.test",
        "http://edge.test?/a",
        "ftp://edge.test/a",
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        let read = HttpRequest::read(head.as_bytes());
        assert_eq!(read, Err(HttpFault::Target), "{target}");
    }
}

#[test]
fn a_connection_lives_on_by_version_and_wish() {
    for (version, lines, keeps_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: Keep-Alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x, CLOSE\r\n", false),
        (
            "1.1",
            "Connection: keep-alive\r\nConnection: close\r\n",
            false,
        ),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
    ] {
        let head = format!("POST / HTTP/{version}\r\nHost: a\r\nContent-Length: 0\r\n{lines}\r\n");
        let expected = HttpRequest {
            keeps_alive,
            ..request("/", 0)
        };
        assert_read(&head, &expected);
    }
    let without_host = "POST / HTTP/1.0\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n";
    assert_read(without_host, &request("/", 0));
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let head = format!("\r\n\r\n\r\n{}", post("Content-Length: 5\r\n"));
    assert_read(&head, &request("/send/1/2", 5));
}

#[test]
fn values_of_proxies_come_in_order() {
    let head = post(
        "X-Forwarded-For: 1.1.1.1\r\nContent-Length: 0\r\nx-forwarded-for:2.2.2.2 ,, [::1]:7,\r\n\
         X-Forwarded-Proto: http,https\r\nX_Forwarded_For: 9.9.9.9\r\n",
    );
    let (request, _) = HttpRequest::read(head.as_bytes()).unwrap().unwrap();
    let values: Vec<_> = request.forwarded_for.iter().collect();
    assert_eq!(values, ["1.1.1.1", "2.2.2.2", "[::1]:7"]);
    let last = request.forwarded_for.iter().next_back();
    assert_eq!(last, Some("[::1]:7"));
    assert_eq!(request.forwarded_proto, Some("https"));
}

#[test]
fn addresses_of_proxies_have_many_forms() {
    let table: [(&str, Option<&str>); 14] = [
        ("192.0.2.7", Some("192.0.2.7")),
        ("192.0.2.7:50000", Some("192.0.2.7")),
        ("2001:db8::7", Some("2001:db8::7")),
        ("[2001:db8::7]", Some("2001:db8::7")),
        ("[2001:db8::7]:443", Some("2001:db8::7")),
        ("::ffff:192.0.2.7", Some("192.0.2.7")),
        ("[::ffff:192.0.2.7]:1", Some("192.0.2.7")),
        ("unknown", None),
        ("_hidden", None),
        ("", None),
        ("localhost", None),
        ("192.0.2.07", None),
        ("[192.0.2.7]", None),
        ("\"192.0.2.7\"", None),
    ];
    for (value, expected) in table {
        let expected: Option<IpAddr> = expected.map(|it| it.parse().expect("an address"));
        assert_eq!(forwarded_address(value), expected, "{value}");
    }
}

#[test]
fn requests_that_two_readers_may_read_differently_are_refused() {
    use HttpFault::*;
    let table = [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Length),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Length),
        ("Content-Length: 5, 5\r\n", Length),
        ("Content-Length: +5\r\n", Length),
        ("Content-Length: -5\r\n", Length),
        ("Content-Length: 0x5\r\n", Length),
        ("Content-Length: 5 5\r\n", Length),
        ("Content-Length: \r\n", Length),
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            TransferCoding,
        ),
        (
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
            TransferCoding,
        ),
        ("Transfer-Encoding: chunked\r\n", LengthRequired),
        ("Transfer-Encoding: \r\n", LengthRequired),
        ("Transfer-Encoding : chunked\r\n", Malformed),
        ("Content-Length : 5\r\n", Malformed),
        ("", LengthRequired),
        ("Content-Length: 1048577\r\n", BodyTooLong),
        ("Content-Length: 4294967297\r\n", BodyTooLong),
        (
            "Content-Length: 99999999999999999999999999999999999999999\r\n",
            BodyTooLong,
        ),
        ("Content-Length: 5\r\nA: b\r\n c\r\n", Malformed),
        ("Content-Length: 5\r\n\tA: b\r\n", Malformed),
        (" Content-Length: 5\r\n", Malformed),
        ("Content-Length: 5\r\nA: b\n", BareLineFeed),
        ("Content-Length: 5\n", BareLineFeed),
        ("Content-Length: 5\r\n\n", BareLineFeed),
        ("Content-Length: 5\r\nA: b\rc\r\n", Malformed),
        ("Content-Length: 5\r\nA: b\0\r\n", Malformed),
        ("Content-Length: 5\r\nA b\r\n", Malformed),
        ("Content-Length: 5\r\n: b\r\n", Malformed),
        ("Content-Length: 5\r\nHost: b\r\n", Host),
    ];
    for (lines, expected) in table {
        let read = HttpRequest::read(post(lines).as_bytes()).map(|_| ());
        assert_eq!(read, Err(expected), "{lines:?}");
    }
    for (value, length) in [("0", 0), ("0005", 5), ("1048576", MAX_BODY)] {
        let head = post(&format!("Content-Length:{value} \r\n"));
        assert_read(&head, &request("/send/1/2", length));
    }
}

#[test]
fn other_requests_are_refused_with_their_status() {
    use HttpFault::*;
    let table = [
        ("PUT / HTTP/1.1\r\n\r\n", Method, 405),
        ("OPTIONS * HTTP/1.1\r\n\r\n", Method, 405),
        ("get / HTTP/1.1\r\n\r\n", Method, 405),
        ("CONNECT a:1 HTTP/1.1\r\n\r\n", Method, 405),
        ("GET / HTTP/2.0\r\n\r\n", Version, 505),
        ("PRI * HTTP/2.0\r\n\r\n", Version, 505),
        ("GET / HTTP/1.2\r\n\r\n", Version, 505),
        ("GET /\r\n\r\n", Malformed, 400),
        ("GET  / HTTP/1.1\r\n\r\n", Malformed, 400),
        ("GET / HTTP/1.1 \r\n\r\n", Malformed, 400),
        ("GET / HTTP/1.1\n\n", BareLineFeed, 400),
        ("\n", BareLineFeed, 400),
        ("G\x01T / HTTP/1.1\r\n\r\n", Malformed, 400),
        ("GET / HTTP/1.1\r\n\r\n", Host, 400),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", Host, 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", NoWebSocket, 426),
        ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", NoWebSocket, 426),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", LengthRequired, 411),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n",
            BodyTooLong,
            413,
        ),
    ];
    for (head, expected, code) in table {
        let read = HttpRequest::read(head.as_bytes()).map(|_| ());
        assert_eq!(read, Err(expected), "{head:?}");
        assert_eq!(expected.status().code(), code, "{expected}");
        assert!(expected.reason().starts_with("http_"));
        assert_eq!(expected.is_limit(), code == 413);
    }
}

#[test]
fn a_websocket_is_asked_for_in_full() {
    use HttpFault::*;
    let whole = get("");
    let table = [
        ("Connection: Upgrade", "Connection: close", NoWebSocket),
        ("Upgrade: websocket", "Upgrade: h2c", NoWebSocket),
        ("Upgrade: websocket", "Upgraded: websocket", NoWebSocket),
        ("Version: 13", "Version: 8", NoWebSocket),
        ("Version: 13", "Version: 13, 8", NoWebSocket),
        ("HTTP/1.1", "HTTP/1.0", NoWebSocket),
        (KEY, "", WebSocketKey),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ", WebSocketKey),
        (KEY, "dGhlIHNhbXBsZSBub25jZ===", WebSocketKey),
        (KEY, "dGhlIHNhbXBsZSBub25j*Q==", WebSocketKey),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ==dGhl", WebSocketKey),
        ("Sec-WebSocket-Key", "Sec-Key", WebSocketKey),
        ("Host: a", "Host: a\r\nContent-Length: 1", BodyOfGet),
        ("Host: a", "Host: a\r\nContent-Length: x", Length),
        (
            "Host: a",
            "Host: a\r\nTransfer-Encoding: chunked",
            LengthRequired,
        ),
        ("Host: a", "Host: a\r\nOrigin: b\r\nOrigin: c", Field),
        ("Host: a", "Host: a\r\nSec-WebSocket-Version: 13", Field),
        (
            "Host: a",
            "Host: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            WebSocketKey,
        ),
    ];
    for (from, to, expected) in table {
        let head = whole.replacen(from, to, 1);
        let read = HttpRequest::read(head.as_bytes()).map(|_| ());
        assert_eq!(read, Err(expected), "{head:?}");
    }
    assert_read(&get("Content-Length: 0\r\n"), &websocket("/live"));
    let lines = "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b, c\r\n";
    let upgrade = Upgrade {
        key: KEY,
        protocols: list(["a", "b, c"]),
    };
    let expected = HttpRequest {
        upgrade: Some(upgrade),
        ..websocket("/live")
    };
    assert_read(&get(lines), &expected);
}

#[test]
fn values_that_matter_are_text() {
    for name in ["Origin", "X-Forwarded-For", "Connection", "Content-Length"] {
        let head = [
            b"POST / HTTP/1.1\r\nHost: a\r\n",
            name.as_bytes(),
            b": \xff\r\n\r\n",
        ]
        .concat();
        let read = HttpRequest::read(&head).map(|_| ());
        assert_eq!(read, Err(HttpFault::Field), "{name}");
    }
    let mut other =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nCookie: \xff\r\n\r\n".to_vec();
    assert!(matches!(HttpRequest::read(&other), Ok(Some(_))));
    other[7] = 0xff;
    assert!(HttpRequest::read(&other).is_err());
}

#[test]
fn heads_are_bounded() {
    let filled = |length: usize| {
        let rest = length - post("Content-Length: 0\r\nA: \r\n").len();
        post(&format!("Content-Length: 0\r\nA: {:b<rest$}\r\n", ""))
    };
    let longest = filled(MAX_HEAD);
    assert_read(&longest, &request("/send/1/2", 0));
    let too_long = filled(MAX_HEAD + 1);
    let read = HttpRequest::read(&too_long.as_bytes()[..MAX_HEAD - 1]);
    assert_eq!(read, Ok(None));
    let fault = Err(HttpFault::HeadTooLong);
    let read = HttpRequest::read(&too_long.as_bytes()[..MAX_HEAD]);
    assert_eq!(read, fault);
    assert_eq!(HttpRequest::read(too_long.as_bytes()), fault);
    let empty = "\r\n".repeat(MAX_HEAD / 2);
    assert_eq!(HttpRequest::read(empty.as_bytes()), fault);

    let most = post(&format!(
        "Content-Length: 0\r\n{}",
        "A: b\r\n".repeat(MAX_FIELDS - 2)
    ));
    assert_read(&most, &request("/send/1/2", 0));
    let too_many = most.replacen("A: b\r\n", "A: b\r\nA: b\r\n", 1);
    let fault = Err(HttpFault::TooManyFields);
    assert_eq!(HttpRequest::read(too_many.as_bytes()), fault);
    let line = "X-Forwarded-For: 1.1.1.1\r\n";
    let lines = |count| post(&format!("Content-Length: 0\r\n{}", line.repeat(count)));
    assert!(HttpRequest::read(lines(MAX_LINES).as_bytes()).is_ok());
    assert_eq!(HttpRequest::read(lines(MAX_LINES + 1).as_bytes()), fault);
    assert_eq!(HttpFault::TooManyFields.status().code(), 431);
    assert!(HttpFault::HeadTooLong.is_limit());
}

#[test]
fn answers_have_their_lines() {
    let written = |status, kind, length, after| {
        let mut out = Vec::new();
        write_response(status, kind, length, after, &mut out);
        String::from_utf8(out).expect("text")
    };
    let tunnel = written(
        HttpStatus::Ok,
        Some("application/x-fcs"),
        37,
        AfterAnswer::KeepsAlive,
    );
    assert_eq!(
        tunnel,
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-fcs\r\nCache-Control: no-cache\r\n\
         Connection: Keep-Alive\r\nContent-Length: 37\r\n\r\n"
    );
    let refused = written(HttpStatus::UpgradeRequired, None, 0, AfterAnswer::Closes);
    assert_eq!(
        refused,
        "HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nCache-Control: no-cache\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let method = written(HttpStatus::MethodNotAllowed, None, 0, AfterAnswer::Closes);
    assert!(method.contains("\r\nAllow: GET, POST\r\n"), "{method}");
    for status in [
        HttpStatus::UpgradeRequired,
        HttpStatus::HeadTooLarge,
        HttpStatus::VersionNotSupported,
    ] {
        let kind = "application/x-fcs-and-as-much-again-as-any-type-of-content-needs";
        let longest = written(status, Some(kind), usize::MAX, AfterAnswer::KeepsAlive);
        assert!(longest.len() <= MAX_RESPONSE, "{}", longest.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// A part of the bytes gives the same error as all of them, or asks for more.
    #[test]
    fn any_part_gives_what_the_whole_gives(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        place in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut head = post("Content-Length: 5\r\nX-Forwarded-For: 1.1.1.1\r\n").into_bytes();
        let place = place.index(head.len());
        head.splice(place..place, bytes);
        let whole = HttpRequest::read(&head);
        let part = HttpRequest::read(&head[..cut.index(head.len())]);
        prop_assert!(part == Ok(None) || part == whole, "{:?}, {:?}", part, whole);
    }
}
