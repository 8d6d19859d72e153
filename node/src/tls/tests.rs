use std::io::{Read, Write};

use rustls::{ClientConnection, ServerConnection, pki_types::ServerName};

use super::*;
use crate::cert;

/// Carries bytes between the two until none are left; the first error ends it.
fn shake(
    client: &mut ClientConnection,
    server: &mut ServerConnection,
) -> Result<(), rustls::Error> {
    let mut wire = Vec::new();
    loop {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let sent = wire.len();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let answered = wire.len();
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        if sent + answered == 0 {
            return Ok(());
        }
    }
}

fn connect(edge: &Identity, origin: &Identity) -> (ClientConnection, ServerConnection) {
    let name = ServerName::try_from("somewhere.example").unwrap();
    let client = edge.client_config().unwrap();
    let server = origin.server_config().unwrap();
    (
        ClientConnection::new(Arc::new(client), name).unwrap(),
        ServerConnection::new(Arc::new(server)).unwrap(),
    )
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let pair = cert::temporary().unwrap();
    let (mut client, mut server) = connect(&pair.edge, &pair.origin);
    shake(&mut client, &mut server).unwrap();
    assert_eq!(client.alpn_protocol(), Some(ALPN));
    assert_eq!(
        client.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_3)
    );
    assert_eq!(
        peer(&client.peer_certificates().unwrap()[0]).unwrap(),
        *pair.origin.peer()
    );
    assert_eq!(
        peer(&server.peer_certificates().unwrap()[0]).unwrap(),
        *pair.edge.peer()
    );

    client.writer().write_all(b"hello").unwrap();
    shake(&mut client, &mut server).unwrap();
    let mut heard = [0; 5];
    server.reader().read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello");
}

#[test]
fn another_ca_is_refused_in_both_directions() {
    let (ours, theirs) = (cert::temporary().unwrap(), cert::temporary().unwrap());
    // The client does not trust the server.
    let (mut client, mut server) = connect(&ours.edge, &theirs.origin);
    assert!(shake(&mut client, &mut server).is_err());

    // The server does not trust the client, although the client trusts the server.
    let mut rogue = theirs.edge;
    rogue.roots = Arc::clone(&ours.edge.roots);
    let (mut client, mut server) = connect(&rogue, &ours.origin);
    assert!(shake(&mut client, &mut server).is_err());
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let pair = cert::temporary().unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(Arc::clone(&pair.edge.roots))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from("origin").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(pair.origin.server_config().unwrap())).unwrap();
    assert!(shake(&mut client, &mut server).is_err());
}

#[test]
fn a_foreign_certificate_names_nobody() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = |names: &[&str]| {
        let names: Vec<_> = names
            .iter()
            .map(|&name| rcgen::SanType::URI(name.try_into().unwrap()))
            .collect();
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names = names;
        params.self_signed(&key).unwrap().der().clone()
    };
    let plain = certificate(&[]);
    assert_eq!(peer(&plain), Err(PeerError::NoRole));
    assert_eq!(peer(&plain[..plain.len() / 2]), Err(PeerError::Malformed));
    for (names, error) in [
        (&["tributary:admin:x"][..], PeerError::NoRole),
        (&["tributary:edge:"], PeerError::NoRole),
        (&["tributary:edge:a b"], PeerError::NoRole),
        (&["spiffe://x/edge"], PeerError::NoRole),
        (
            &["tributary:edge:x", "tributary:origin:x"],
            PeerError::ManyRoles,
        ),
    ] {
        assert_eq!(peer(&certificate(names)), Err(error), "{names:?}");
    }
}

#[test]
fn files_that_do_not_belong_together_are_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let issue = |ca: &str, name: &str| {
        let request = cert::Issue {
            role: Role::Edge,
            name: name.to_owned(),
            alias: Vec::new(),
            ca: root.path().join(ca),
            out: root.path().join(name),
        };
        cert::issue(&request).unwrap();
        request.out
    };
    cert::init(&root.path().join("ca-1")).unwrap();
    cert::init(&root.path().join("ca-2")).unwrap();
    let (good, other, foreign) = (issue("ca-1", "a"), issue("ca-1", "b"), issue("ca-2", "c"));

    let missing = Identity::load(&root.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("ca.pem") && missing.contains("cert issue"),
        "{missing}"
    );

    for (file, from, part) in [
        (KEY_FILE, &other, "node.key does not fit"),
        (CA_FILE, &foreign, "node.pem does not fit"),
        (CERTIFICATE_FILE, &foreign, "node.pem does not fit"),
    ] {
        let kept = std::fs::read(good.join(file)).unwrap();
        std::fs::copy(from.join(file), good.join(file)).unwrap();
        let error = Identity::load(&good).unwrap_err().to_string();
        assert!(error.contains(part), "{file}: {error}");
        std::fs::write(good.join(file), "garbage").unwrap();
        let error = Identity::load(&good).unwrap_err().to_string();
        assert!(
            error.contains(file) && error.contains("not usable"),
            "{file}: {error}"
        );
        std::fs::write(good.join(file), kept).unwrap();
    }
    Identity::load(&good).unwrap();
}

#[test]
fn a_derived_secret_depends_on_key_and_purpose() {
    let pair = cert::temporary().unwrap();
    assert_eq!(pair.edge.derive("reset"), pair.edge.derive("reset"));
    assert_ne!(pair.edge.derive("reset"), pair.edge.derive("cid"));
    assert_ne!(pair.edge.derive("reset"), pair.origin.derive("reset"));
}
