use bytes::BytesMut;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::{
    digest::{DIGEST, Role, Scheme},
    *,
};

fn random(seed: u8) -> [u8; RANDOM] {
    std::array::from_fn(|n| (n as u8).wrapping_mul(31).wrapping_add(seed))
}

/// Runs both sides against each other, `step` bytes at a time.
fn run(kind: HandshakeKind, step: usize) -> (ServerHandshake, ClientHandshake) {
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let mut server = ServerHandshake::new(&random(1));
    let mut client = ClientHandshake::new(kind, &random(2), &mut to_server);
    let (mut server_done, mut client_done) = (false, false);
    while !(server_done && client_done) {
        assert!(!to_server.is_empty() || !to_client.is_empty(), "both wait");
        for mut bytes in to_server.split().chunks(step) {
            server_done = server
                .read(&mut bytes, &mut to_client)
                .expect("a valid handshake");
        }
        for mut bytes in to_client.split().chunks(step) {
            client_done = client
                .read(&mut bytes, &mut to_server)
                .expect("a valid handshake");
        }
    }
    (server, client)
}

#[test]
fn both_kinds_finish_in_pieces_of_any_size() {
    for step in [1, 7, 1535, 1536, 1537, 3073, 10_000] {
        let (server, client) = run(HandshakeKind::Simple, step);
        assert_eq!(server.kind(), HandshakeKind::Simple);
        assert!(!client.is_verified());
        let (server, client) = run(HandshakeKind::Digest, step);
        assert_eq!(server.kind(), HandshakeKind::Digest);
        assert!(client.is_verified());
    }
}

fn c0_c1(version: [u8; 4]) -> Vec<u8> {
    let mut bytes = vec![3, 0xaa, 0xbb, 0xcc, 0xdd];
    bytes.extend_from_slice(&version);
    bytes.extend_from_slice(&random(9));
    bytes
}

fn answer(c0_c1: &[u8]) -> (BytesMut, HandshakeKind) {
    let mut out = BytesMut::new();
    let mut server = ServerHandshake::new(&random(1));
    let mut input = c0_c1;
    assert_eq!(server.read(&mut input, &mut out), Ok(false));
    assert_eq!(out.len(), 1 + 2 * PACKET);
    (out, server.kind())
}

#[test]
fn a_simple_peer_gets_its_c1_back_exactly() {
    // Version 0, and a version without a digest.
    for version in [[0; 4], [9, 0, 124, 2]] {
        let c1 = c0_c1(version);
        let (out, kind) = answer(&c1);
        assert_eq!(kind, HandshakeKind::Simple);
        assert_eq!(out[0], 3);
        assert_eq!(out[5..9], [0; 4]);
        assert_eq!(out[9..1 + PACKET], random(1));
        assert_eq!(out[1 + PACKET..], c1[1..]);
    }
}

#[test]
fn what_follows_c2_is_kept() {
    let mut bytes = c0_c1([0; 4]);
    bytes.extend_from_slice(&[0; PACKET]);
    bytes.extend_from_slice(b"chunks");
    let mut out = BytesMut::new();
    let mut input = &bytes[..];
    let done = ServerHandshake::new(&random(1)).read(&mut input, &mut out);
    assert_eq!(done, Ok(true));
    assert_eq!(input, b"chunks");
}

#[test]
fn other_versions_are_refused_at_the_first_byte() {
    let table = [
        (6, Error::Encrypted { version: 6 }),
        (8, Error::Encrypted { version: 8 }),
        (9, Error::Encrypted { version: 9 }),
        (0x16, Error::Tls),
        (b'G', Error::Http),
        (b'P', Error::Http),
        (0, Error::Version { version: 0 }),
        (2, Error::Version { version: 2 }),
        (0xff, Error::Version { version: 0xff }),
    ];
    for (version, error) in table {
        let mut out = BytesMut::new();
        let mut server = ServerHandshake::new(&random(1));
        assert_eq!(server.read(&mut &[version][..], &mut out), Err(error));
        assert!(out.is_empty());
    }
}

#[test]
fn both_schemes_verify_and_one_changed_byte_does_not() {
    for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
        // All offset bytes at 255 move the digest to the furthest position for their sum.
        for fill in [0, 0xb5, 0xff] {
            let mut packet = [fill; PACKET];
            let digest = scheme.sign(&mut packet, Role::Client);
            let offset = scheme.offset(&packet);
            assert_eq!(packet[offset..offset + DIGEST], digest);
            assert_eq!(Scheme::of(&packet, Role::Client), Some((scheme, digest)));
            assert_eq!(Scheme::of(&packet, Role::Server), None);
            packet[1535] ^= 1;
            packet[700] ^= 1;
            assert_eq!(Scheme::of(&packet, Role::Client), None);
        }
    }
}

#[test]
fn the_digest_always_fits_its_packet() {
    for sum in 0..=4 * 255_usize {
        let mut packet = [0; PACKET];
        for base in [8, 772] {
            for (n, byte) in packet[base..base + 4].iter_mut().enumerate() {
                *byte = sum.saturating_sub(255 * n).min(255) as u8;
            }
        }
        assert!(Scheme::DigestFirst.offset(&packet) + DIGEST <= 772);
        assert!(Scheme::KeyFirst.offset(&packet) + DIGEST <= PACKET);
    }
}

#[test]
fn a_digest_peer_gets_a_digest_and_a_signature() {
    for scheme in [Scheme::DigestFirst, Scheme::KeyFirst] {
        let mut bytes = c0_c1([0x80, 0, 7, 2]);
        let c1 = bytes[1..].first_chunk_mut().expect("a whole C1");
        let digest = scheme.sign(c1, Role::Client);
        let (out, kind) = answer(&bytes);
        assert_eq!(kind, HandshakeKind::Digest);
        let s1 = out[1..].first_chunk().expect("a whole S1");
        let (answered, _) = Scheme::of(s1, Role::Server).expect("a digest");
        assert_eq!(answered, scheme);
        // The digest is computed step by step here, not by the code under test.
        let s2 = &out[1 + PACKET..];
        let mut full_key = b"Genuine Adobe Flash Media Server 001".to_vec();
        full_key.extend_from_slice(
            b"\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\
              \x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae",
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&full_key).expect("any key");
        mac.update(&digest);
        let key = mac.finalize().into_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
        mac.update(&s2[..PACKET - DIGEST]);
        assert_eq!(mac.finalize().into_bytes()[..], s2[PACKET - DIGEST..]);
    }
}

/// Blocks of real Flash Players and servers, recorded by others.
#[test]
fn recorded_blocks_verify() {
    let Some(json) = crate::test_vectors::load("handshake-digest.json") else {
        return;
    };
    let vectors = json["vectors"].as_array().expect("a list");
    assert_eq!(vectors.len(), 8);
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().expect("a string");
        let packet = crate::test_vectors::unhex(text("c1_or_s1_hex"));
        let packet: [u8; PACKET] = packet.try_into().expect("1,536 bytes");
        let role = match text("role") {
            "client" => Role::Client,
            _ => Role::Server,
        };
        let scheme = match text("schema").contains("772") {
            true => Scheme::KeyFirst,
            false => Scheme::DigestFirst,
        };
        let (found, digest) = Scheme::of(&packet, role).expect("a digest");
        assert_eq!(found, scheme);
        assert_eq!(
            scheme.offset(&packet) as u64,
            vector["digest_offset"].as_u64().expect("offset")
        );
        assert_eq!(digest[..], crate::test_vectors::unhex(text("digest_hex")));
        if role == Role::Client {
            let bytes = [&[3], &packet[..]].concat();
            assert_eq!(answer(&bytes).1, HandshakeKind::Digest);
        }
    }
}
