use std::os::unix::fs::PermissionsExt;

use super::*;

fn request(root: &Path, role: Role, name: &str, alias: &[&str]) -> Issue {
    Issue {
        role,
        name: name.to_owned(),
        alias: alias.iter().map(|&alias| alias.to_owned()).collect(),
        ca: root.join("ca"),
        out: root.join(name),
    }
}

#[test]
fn an_issued_certificate_names_role_name_and_aliases() {
    let root = tempfile::tempdir().unwrap();
    init(&root.path().join("ca")).unwrap();
    let aliases = ["origin.example.org", "192.0.2.1", "2001:db8::1"];
    let request = request(root.path(), Role::Origin, "origin-1", &aliases);
    issue(&request).unwrap();

    let identity = Identity::load(&request.out)
        .unwrap()
        .require(Role::Origin)
        .unwrap();
    let peer = identity.peer();
    assert_eq!((peer.role, peer.name.as_str()), (Role::Origin, "origin-1"));
    assert_eq!(peer.aliases, aliases);
    for host in ["origin-1", "ORIGIN.example.ORG", "192.0.2.1", "2001:db8::1"] {
        assert!(peer.answers_to(host), "{host}");
    }
    assert!(!peer.answers_to("origin-2"));
    let refused = identity.require(Role::Edge).unwrap_err().to_string();
    assert!(
        refused.contains("`tributary cert issue --role edge`"),
        "{refused}"
    );
}

#[test]
fn keys_are_their_owners_and_nothing_is_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let ca = root.path().join("ca");
    init(&ca).unwrap();
    let request = request(root.path(), Role::Edge, "edge-1", &[]);
    issue(&request).unwrap();
    for key in [ca.join(CA_KEY_FILE), request.out.join(tls::KEY_FILE)] {
        assert_eq!(
            fs::metadata(&key).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    for error in [init(&ca).unwrap_err(), issue(&request).unwrap_err()] {
        assert!(error.to_string().contains("is not overwritten"), "{error}");
    }
    Identity::load(&request.out).unwrap();
}

#[test]
fn what_cannot_be_issued_is_refused_with_a_remedy() {
    let root = tempfile::tempdir().unwrap();
    for (request, part) in [
        (
            request(root.path(), Role::Edge, "e", &["x"]),
            "only an origin has aliases",
        ),
        (
            request(root.path(), Role::Edge, "e", &[]),
            "`tributary cert init DIR` makes a CA",
        ),
    ] {
        let error = issue(&request).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    init(&root.path().join("ca")).unwrap();
    for name in ["", "a b", "a:b", "ä", &"x".repeat(65)] {
        let mut request = request(root.path(), Role::Origin, "out", &[]);
        request.name = name.to_owned();
        assert!(matches!(issue(&request), Err(Error::Name(_))), "{name:?}");
        request.name = "good".to_owned();
        request.alias = vec![name.to_owned()];
        assert!(
            matches!(issue(&request), Err(Error::Name(_))),
            "alias {name:?}"
        );
    }
}

#[test]
fn a_temporary_pair_trusts_itself() {
    let pair = temporary().unwrap();
    assert_eq!(pair.edge.peer().to_string(), "edge edge");
    assert_eq!(pair.origin.peer().to_string(), "origin origin");
}

#[test]
fn a_certificate_for_clients_comes_with_the_ca_and_names_its_hosts() {
    let root = tempfile::tempdir().unwrap();
    let ca = root.path().join("ca");
    init(&ca).unwrap();
    let request = |names: &[&str], out: &str| Serve {
        names: names.iter().map(|&name| name.to_owned()).collect(),
        ca: ca.clone(),
        out: root.path().join(out),
    };
    let good = request(&["live.example", "*.edge.example", "192.0.2.1"], "server");
    serve(&good).unwrap();
    let chain = read(&good.out.join(SERVER_CERTIFICATE_FILE)).unwrap();
    assert!(chain.ends_with(&read(&ca.join(tls::CA_FILE)).unwrap()));
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    let key = fs::metadata(good.out.join(SERVER_KEY_FILE)).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert!(
        serve(&good)
            .unwrap_err()
            .to_string()
            .contains("overwritten")
    );
    for name in ["*", "*.", "a b", "*.*.example", ""] {
        let error = serve(&request(&[name], "other")).unwrap_err().to_string();
        assert!(error.contains("cannot be"), "{name}: {error}");
    }
}
