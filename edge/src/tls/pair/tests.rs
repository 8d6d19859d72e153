use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use super::*;
use crate::config::CertificateFiles;

/// A folder with a certificate and a key.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(certificate: &str, key: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("chain.pem"), certificate).unwrap();
        fs::write(folder.path().join("key.pem"), key).unwrap();
        Self(folder)
    }

    fn load(&self) -> Result<Pair, String> {
        let files = CertificateFiles {
            certificate: self.0.path().join("chain.pem"),
            key: self.0.path().join("key.pem"),
        };
        Pair::load(&files).map_err(|error| error.to_string())
    }
}

/// A certificate for hosts, changed by `change`; signed by an authority, or by itself.
fn certificate(
    hosts: &[&str],
    issuer: Option<&Issuer<'_, KeyPair>>,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, KeyPair) {
    let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut parameters = CertificateParams::new(hosts).unwrap();
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => parameters.signed_by(&key, issuer),
        None => parameters.self_signed(&key),
    };
    (certificate.unwrap().pem(), key)
}

/// An authority: its certificate, and the issuer that signs with its key.
fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = parameters.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(parameters, key))
}

#[test]
fn a_chain_in_order_is_used_and_its_hosts_are_known() {
    let (root, issuer) = authority("Root");
    let (leaf, key) = certificate(&["Live.Example", "*.edge.example"], Some(&issuer), |_| {});
    let key = key.serialize_pem();
    let pair = Folder::with(&format!("{leaf}{root}"), &key).load().unwrap();
    assert_eq!(pair.hosts, ["live.example", "*.edge.example"]);
    assert!(pair.is_whole);
    assert_eq!(pair.key.cert.len(), 2, "clients get the chain");
    assert!(pair.expires > now());
    let alone = Folder::with(&leaf, &key).load().unwrap();
    assert!(!alone.is_whole, "the issuer is missing");
    assert_ne!(alone.print, pair.print);
}

#[test]
fn a_mistake_names_the_file_the_reason_and_the_remedy() {
    let (root, issuer) = authority("Root");
    let (other_root, _) = authority("Other");
    let (leaf, key) = certificate(&["a.example"], Some(&issuer), |_| {});
    let (_, other_key) = certificate(&["a.example"], None, |_| {});
    let (old, old_key) = certificate(&["a.example"], None, |it| {
        it.not_before = rcgen::date_time_ymd(2001, 1, 1);
        it.not_after = rcgen::date_time_ymd(2001, 2, 1);
    });
    let (young, young_key) = certificate(&["a.example"], None, |it| {
        it.not_before = rcgen::date_time_ymd(2901, 1, 1);
        it.not_after = rcgen::date_time_ymd(2901, 2, 1);
    });
    let key = key.serialize_pem();
    for (certificate, key, expected) in [
        (
            format!("{root}{leaf}"),
            key.clone(),
            "chain.pem: has certificates out of order",
        ),
        (
            format!("{leaf}{other_root}"),
            key.clone(),
            "was issued by \"CN=Root\"",
        ),
        (
            leaf.clone(),
            other_key.serialize_pem(),
            "key.pem: is not the key of the certificate",
        ),
        (leaf.clone(), leaf, "key.pem: has no private key"),
        (key.clone(), key.clone(), "chain.pem: has no certificate"),
        (
            old,
            old_key.serialize_pem(),
            "days ago; renew the certificate",
        ),
        (young, young_key.serialize_pem(), "check the clock"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            key.clone(),
            "chain.pem: is damaged",
        ),
        ("x".repeat(2 << 20), key, "chain.pem: cannot be read"),
    ] {
        let error = Folder::with(&certificate, &key).load().unwrap_err();
        assert!(error.contains(expected), "{expected} in {error}");
    }
}
