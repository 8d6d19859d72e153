use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

/// A header of version 2 with this command, family and content.
fn binary(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u16).to_be_bytes();
    [v2::SIGNATURE, &[command, family], &length, content].concat()
}

/// Addresses of a stream from 192.0.2.7:50000 to 198.51.100.1:1935, then TLVs.
fn tcp4(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut content = vec![192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x07, 0x8f];
    for field in fields {
        content.extend(tlv(*field));
    }
    binary(0x21, 0x11, &content)
}

fn tlv((kind, value): (u8, &[u8])) -> Vec<u8> {
    let length = (value.len() as u16).to_be_bytes();
    [&[kind], &length[..], value].concat()
}

/// An SSL TLV's value.
fn ssl(client: u8, verify: u32, fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut value = [&[client][..], &verify.to_be_bytes()].concat();
    for field in fields {
        value.extend(tlv(*field));
    }
    value
}

/// Puts the right sum into the CRC32C TLV of four zeros, which is the first one.
fn with_sum(mut bytes: Vec<u8>) -> Vec<u8> {
    let sum = crc32c::checksum(&[&bytes]);
    bytes[31..35].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn address(text: &str) -> Option<SocketAddr> {
    Some(text.parse().expect("an address"))
}

fn of(client: &str) -> ProxyHeader<'static> {
    ProxyHeader {
        client: address(client),
        ..ProxyHeader::default()
    }
}

fn unknown() -> ProxyHeader<'static> {
    ProxyHeader::default()
}

/// The whole of `bytes` is this header, each part of it asks for more, and bytes behind it stay.
fn assert_read(name: &str, bytes: &[u8], expected: &ProxyHeader<'_>) {
    for end in 0..bytes.len() {
        assert_eq!(read(&bytes[..end]), Ok(None), "{name}: {end} bytes");
    }
    let whole = Ok(Some((*expected, bytes.len())));
    assert_eq!(read(bytes), whole, "{name}");
    let more = [bytes, b"\x03C1\r\n"].concat();
    assert_eq!(read(&more), whole, "{name}, with bytes behind it");
}

#[test]
fn lines_are_read() {
    let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".to_owned();
    let longest = format!("{longest:x<105}\r\n");
    let table: [(&str, ProxyHeader<'_>); 8] = [
        // Recorded from HAProxy 2.6.12.
        (
            "PROXY TCP4 127.0.0.1 127.0.0.1 42038 54021\r\n",
            of("127.0.0.1:42038"),
        ),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            of("255.255.255.255:65535"),
        ),
        (
            "PROXY TCP6 2001:db8::7 2001:db8::1 0 1935\r\n",
            of("[2001:db8::7]:0"),
        ),
        (
            "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 50000 1935\r\n",
            of("192.0.2.7:50000"),
        ),
        ("PROXY UNKNOWN\r\n", unknown()),
        ("PROXY UNKNOWN 192.0.2.7 nonsense\r\n", unknown()),
        ("PROXY UNKNOWN \r\n", unknown()),
        (&longest, unknown()),
    ];
    for (line, expected) in table {
        assert_read(line, line.as_bytes(), &expected);
    }
    assert_eq!(longest.len(), MAX_TEXT);
}

#[test]
fn lines_that_are_none_are_refused() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 host 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP6 [::1] ::1 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
    ] {
        assert_eq!(read(line.as_bytes()), Err(ProxyFault::Line), "{line:?}");
    }
    let unreadable = b"PROXY TCP4 \xff\xfe 1.2.3.4 1 2\r\n";
    assert_eq!(read(unreadable), Err(ProxyFault::Line));
}

#[test]
fn a_line_without_an_end_is_refused_at_its_bound() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(MAX_TEXT - 1, b'x');
    assert_eq!(read(&line), Ok(None));
    line.push(b'x');
    let too_long = Err(ProxyFault::TooLong { limit: MAX_TEXT });
    assert_eq!(read(&line), too_long);
    line.extend_from_slice(b"\r\n");
    assert_eq!(read(&line), too_long);
}

#[test]
fn other_protocols_are_refused_at_the_first_wrong_byte() {
    let table: [(&[u8], usize); 8] = [
        (b"\x03", 1),
        (b"\x16\x03\x01", 1),
        (b"GET / HTTP/1.1\r\n", 1),
        (b"POST /open/1 HTTP/1.1\r\n", 2),
        (b"PROXYTCP4 ", 6),
        (b"proxy ", 1),
        (b"\r\nPROXY ", 3),
        (b"\r\n\r\n\r\n", 5),
    ];
    for (bytes, first) in table {
        assert_eq!(read(&bytes[..first - 1]), Ok(None), "{bytes:?}");
        for end in first..=bytes.len() {
            assert_eq!(read(&bytes[..end]), Err(ProxyFault::Signature));
        }
    }
}

#[test]
fn binary_headers_are_read() {
    let ipv6 = |source: &str| {
        let source: std::net::Ipv6Addr = source.parse().expect("an address");
        [&source.octets()[..], &[1; 16], &[0xc3, 0x50, 0x07, 0x8f]].concat()
    };
    // Recorded from HAProxy 2.6.12.
    let recorded = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\xb1\x94\xd3\x06";
    let check = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let is_local = ProxyHeader {
        is_local: true,
        ..unknown()
    };
    let seven = of("192.0.2.7:50000");
    let table = [
        ("recorded", recorded.to_vec(), of("127.0.0.1:45460")),
        ("recorded health check", check.to_vec(), is_local),
        ("tcp4", tcp4(&[]), seven),
        (
            "tcp6",
            binary(0x21, 0x21, &ipv6("2001:db8::7")),
            of("[2001:db8::7]:50000"),
        ),
        (
            "tcp6 of ipv4",
            binary(0x21, 0x21, &ipv6("::ffff:192.0.2.7")),
            seven,
        ),
        ("local with a body", binary(0x20, 0x11, &[9; 40]), is_local),
        ("local of no family", binary(0x20, 0xff, &[]), is_local),
        ("unspecified", binary(0x21, 0x00, &[]), unknown()),
        (
            "unspecified with anything",
            binary(0x21, 0x00, &[0x02; 90]),
            unknown(),
        ),
        ("udp4", binary(0x21, 0x12, &[1; 12]), unknown()),
        ("udp6", binary(0x21, 0x22, &[1; 36]), unknown()),
        ("unix", binary(0x21, 0x31, &[1; 216]), unknown()),
        ("unix datagrams", binary(0x21, 0x32, &[1; 216]), unknown()),
        ("ipv4 alone", binary(0x21, 0x10, &[1; 12]), unknown()),
    ];
    for (name, bytes, expected) in table {
        assert_read(name, &bytes, &expected);
    }
}

#[test]
fn fields_are_read_and_others_passed_over() {
    let seven = of("192.0.2.7:50000");
    let tls = |has_verified_certificate| ProxyHeader {
        tls: Some(ProxyTls {
            has_verified_certificate,
        }),
        ..seven
    };
    let version: (u8, &[u8]) = (0x21, b"TLSv1.3");
    let id = [7; MAX_UNIQUE_ID];
    let table = [
        (
            "of HAProxy",
            with_sum(tcp4(&[
                (0x03, &[0; 4]),
                (0x02, b"edge.test"),
                (0x05, b"7F000001:B194"),
                (0x20, &ssl(1, 0, &[version])),
            ])),
            ProxyHeader {
                authority: Some("edge.test"),
                unique_id: Some(b"7F000001:B194"),
                ..tls(false)
            },
        ),
        (
            "a certificate",
            tcp4(&[(0x20, &ssl(3, 0, &[version, (0x22, b"alice")]))]),
            tls(true),
        ),
        (
            "of the session",
            tcp4(&[(0x20, &ssl(5, 0, &[]))]),
            tls(true),
        ),
        ("not verified", tcp4(&[(0x20, &ssl(7, 1, &[]))]), tls(false)),
        ("no TLS", tcp4(&[(0x20, &ssl(6, 0, &[]))]), seven),
        (
            "others",
            tcp4(&[(0x01, b"h2"), (0x04, b""), (0x30, b"n"), (0xea, &[9; 300])]),
            seven,
        ),
        ("twice", tcp4(&[(0x04, b"a"), (0x04, b"b")]), seven),
        (
            "the longest id",
            tcp4(&[(0x05, &id)]),
            ProxyHeader {
                unique_id: Some(&id),
                ..seven
            },
        ),
        (
            "of a UNIX socket",
            binary(0x21, 0x31, &[&[0; 216][..], &tlv((0x02, b"a"))].concat()),
            ProxyHeader {
                authority: Some("a"),
                ..unknown()
            },
        ),
        (
            "of an unspecified family",
            binary(0x21, 0x00, &tlv((0x20, &ssl(1, 0, &[])))),
            ProxyHeader {
                client: None,
                ..tls(false)
            },
        ),
    ];
    for (name, bytes, expected) in table {
        assert_read(name, &bytes, &expected);
    }
}

/// Recorded from HAProxy 2.6.12 with `send-proxy-v2-ssl-cn` and all `proxy-v2-options` of its manual,
/// behind TLS: a client without a certificate, and one with.
#[test]
fn recorded_fields_are_read() {
    let head = "0d0a0d0a000d0a515549540a2111";
    let name = "020009656467652e7465737405000d37463030303030313a";
    let tls = "210007544c5376312e33";
    let rest = "250005454332353624001165636473612d776974682d534841323536\
                230016544c535f4145535f3235365f47434d5f534841333834";
    let alone = format!(
        "{head}00767f0000017f000001e102b953030004c18e9bf0{name}453130322000440100000000{tls}{rest}"
    );
    let shown = format!(
        "{head}007e7f0000017f000001e10cb953030004cab38da4{name}4531304320004c0700000000{tls}\
         220005616c696365{rest}"
    );
    for (text, client, id, has_verified_certificate) in [
        (alone, "127.0.0.1:57602", b"7F000001:E102", false),
        (shown, "127.0.0.1:57612", b"7F000001:E10C", true),
    ] {
        let tls = ProxyTls {
            has_verified_certificate,
        };
        let expected = ProxyHeader {
            authority: Some("edge.test"),
            tls: Some(tls),
            unique_id: Some(id),
            ..of(client)
        };
        let mut bytes = crate::test_vectors::unhex(&text);
        assert_read(client, &bytes, &expected);
        bytes[19] ^= 1;
        assert_eq!(read(&bytes), Err(ProxyFault::Checksum));
    }
}

#[test]
fn binary_headers_that_are_wrong_are_refused() {
    let kind = |command, family| ProxyFault::Kind { command, family };
    let field = |kind| ProxyFault::Field { kind };
    let short = |length| ProxyFault::Addresses { length };
    let cut = |count: usize, fields: &[(u8, &[u8])]| {
        let whole = tcp4(fields);
        binary(0x21, 0x11, &whole[16..whole.len() - count])
    };
    let flipped = |place: usize| {
        let mut bytes = with_sum(tcp4(&[(0x03, &[0; 4]), (0x02, b"edge.test")]));
        bytes[place] ^= 1;
        bytes
    };
    let unspecified = binary(0x21, 0x00, &tlv((0x03, &[1, 2, 3, 4])));
    let table = [
        ("version 1", binary(0x11, 0x11, &[0; 12]), kind(0x11, 0x11)),
        ("command", binary(0x22, 0x11, &[0; 12]), kind(0x22, 0x11)),
        ("family", binary(0x21, 0x41, &[0; 12]), kind(0x21, 0x41)),
        ("transport", binary(0x21, 0x13, &[0; 12]), kind(0x21, 0x13)),
        ("tcp4", binary(0x21, 0x11, &[0; 11]), short(11)),
        ("tcp6", binary(0x21, 0x21, &[0; 35]), short(35)),
        ("unix", binary(0x21, 0x31, &[0; 215]), short(215)),
        ("a head cut off", cut(4, &[(0x02, b"ab")]), field(0x02)),
        ("a value cut off", cut(1, &[(0xee, b"ab")]), field(0xee)),
        ("no text", tcp4(&[(0x02, b"\xff")]), field(0x02)),
        ("a short sum", tcp4(&[(0x03, &[0; 3])]), field(0x03)),
        ("a long id", tcp4(&[(0x05, &[0; 129])]), field(0x05)),
        ("a short SSL", tcp4(&[(0x20, &[1; 4])]), field(0x20)),
        ("a bad part", tcp4(&[(0x20, &[1; 7])]), field(0x20)),
        ("two ids", tcp4(&[(0x05, b"a"), (0x05, b"b")]), field(0x05)),
        ("two names", tcp4(&[(2, b"a"), (2, b"a")]), field(0x02)),
        (
            "two SSL",
            tcp4(&[(0x20, &[0; 5]), (0x20, &[1; 5])]),
            field(0x20),
        ),
        ("a changed address", flipped(16), ProxyFault::Checksum),
        ("a changed sum", flipped(31), ProxyFault::Checksum),
        ("a changed name", flipped(40), ProxyFault::Checksum),
        ("any family", unspecified, ProxyFault::Checksum),
    ];
    for (name, bytes, expected) in table {
        assert_eq!(read(&bytes), Err(expected), "{name}");
    }
}

#[test]
fn a_long_binary_header_is_refused_by_its_length() {
    let filler = |length: usize| vec![0; length];
    let longest = tcp4(&[(0x04, &filler(MAX_BINARY - 31))]);
    assert_eq!(longest.len(), MAX_BINARY);
    assert_read("the longest", &longest, &of("192.0.2.7:50000"));
    let too_long = tcp4(&[(0x04, &filler(MAX_BINARY - 30))]);
    assert_eq!(read(&too_long[..15]), Ok(None));
    let fault = ProxyFault::TooLong { limit: MAX_BINARY };
    assert_eq!(read(&too_long[..16]), Err(fault));
}

#[test]
fn the_checksum_is_crc32c() {
    // RFC 3720, B.4, and the check value of the CRC catalogues.
    let table: [(&[u8], u32); 4] = [
        (b"", 0),
        (b"123456789", 0xe306_9283),
        (&[0; 32], 0x8a91_36aa),
        (&[0xff; 32], 0x62a8_ab43),
    ];
    for (bytes, sum) in table {
        assert_eq!(crc32c::checksum(&[bytes]), sum);
        let (one, two) = bytes.split_at(bytes.len() / 3);
        assert_eq!(crc32c::checksum(&[one, two]), sum);
    }
}

#[test]
fn every_fault_has_words_and_a_label() {
    let limit = MAX_TEXT;
    let table = [
        (ProxyFault::Signature, "proxy_header"),
        (ProxyFault::Line, "proxy_header"),
        (ProxyFault::TooLong { limit }, "proxy_header_too_long"),
        (ProxyFault::Checksum, "proxy_header_checksum"),
        (ProxyFault::Field { kind: 2 }, "proxy_header"),
    ];
    for (fault, label) in table {
        assert_eq!(fault.reason(), label);
        assert_eq!(fault.is_limit(), label.ends_with("too_long"));
        assert!(fault.to_string().contains("PROXY"), "{fault}");
    }
}

/// The answer of `proxy-header`, another project's reader: the source address of a stream.
fn second_opinion(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let config = proxy_header::ParseConfig::default();
    let (header, length) = proxy_header::ProxyHeader::parse(bytes, config).ok()?;
    let address = header.proxied_address();
    let stream = address.filter(|it| it.protocol == proxy_header::Protocol::Stream);
    let source = stream.map(|it| SocketAddr::new(it.source.ip().to_canonical(), it.source.port()));
    Some((source, length))
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// The form in which addresses of both kinds stand in one header.
fn as_ipv6(address: SocketAddr) -> std::net::Ipv6Addr {
    match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_addresses_read_back_and_another_reader_agrees(
        source in any_address(),
        target in any_address(),
        name in "[a-z.]{0,20}",
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let client = Some(SocketAddr::new(source.ip().to_canonical(), source.port()));
        let (one, two) = (as_ipv6(source), as_ipv6(target));
        let (from, to) = (source.port(), target.port());
        let line = format!("PROXY TCP6 {one} {two} {from} {to}\r\n");
        let mut content = [one.octets(), two.octets()].concat();
        content.extend([from.to_be_bytes(), to.to_be_bytes()].concat());
        content.extend(tlv((2, name.as_bytes())));
        for mut bytes in [line.into_bytes(), binary(0x21, 0x21, &content)] {
            let length = bytes.len();
            bytes.extend_from_slice(&rest);
            let (header, consumed) = read(&bytes).expect("a header").expect("all of it");
            prop_assert_eq!((header.client, consumed), (client, length));
            prop_assert_eq!(second_opinion(&bytes), Some((client, length)));
        }
    }

    /// A header that this reader takes is one for the other reader too.
    #[test]
    fn headers_with_changed_bytes_are_judged_alike(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        is_text in any::<bool>(),
    ) {
        let mut bytes = if is_text {
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 1935\r\n".to_vec()
        } else {
            tcp4(&[(2, b"edge.test"), (5, b"1"), (0x20, &ssl(1, 0, &[(0x21, b"TLSv1.3")]))])
        };
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        // The other reader refuses a family of which one half is unspecified; a receiver may take it.
        let family = bytes[13];
        prop_assume!(is_text || family == 0 || family >> 4 != 0 && family & 0xf != 0);
        if let Ok(Some((header, length))) = read(&bytes) {
            let other = second_opinion(&bytes);
            prop_assert_eq!(other, Some((header.client, length)), "{:?}", header);
        }
    }
}
