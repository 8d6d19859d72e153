//! Keys, as their files hold them.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};
use serde::Deserialize;
use x509_parser::{prelude::FromDer, public_key::PublicKey, x509};

use crate::{
    secret::SharedKey,
    tokens::settings::{KeyKind, TokenKey},
};

/// A key with its use.
pub struct Key {
    pub(super) kind: KeyKind,
    /// The `kid` of the JWTs that it signs.
    pub(super) id: Option<String>,
    verifier: Verifier,
}

enum Verifier {
    Shared(SharedKey),
    Public(UnparsedPublicKey<Vec<u8>>),
    /// RSA, from a JWK: modulus and exponent.
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Key {
    /// The key of this setting, from the bytes of its file.
    ///
    /// A secret is a JWK of the type `oct`, or else all bytes of the file but the end of its last
    /// line; it has at least 32 bytes (RFC 7518, section 3.2). A public key is a PEM with `PUBLIC
    /// KEY`, or a JWK.
    pub fn read(setting: &TokenKey, file: &[u8]) -> Result<Self, KeyError> {
        if file.len() > MAX_KEY_FILE {
            return Err(KeyError::TooLong);
        }
        let kind = setting.kind;
        let text = file.trim_ascii_start();
        let verifier = if text.starts_with(b"{") {
            let jwk = serde_json::from_slice(text).map_err(|_| KeyError::Form(kind))?;
            from_jwk(kind, &jwk)?
        } else if matches!(kind, KeyKind::Hmac | KeyKind::Hs256) {
            if text.starts_with(b"-----BEGIN") {
                return Err(KeyError::Form(kind));
            }
            Verifier::Shared(SharedKey::read(file).map_err(|_| KeyError::Short)?)
        } else {
            from_pem(kind, file)?
        };
        Ok(Self {
            kind,
            id: setting.id.clone(),
            verifier,
        })
    }

    /// The key of signatures in a query.
    pub(super) fn as_shared(&self) -> Option<&SharedKey> {
        match &self.verifier {
            Verifier::Shared(key) => Some(key),
            Verifier::Public(_) | Verifier::Rsa(_) => None,
        }
    }

    /// Whether this key has made the signature; the time does not depend on the bytes of a secret.
    pub(super) fn has_signed(&self, text: &[u8], sign: &[u8]) -> bool {
        match &self.verifier {
            Verifier::Shared(key) => key.has_signed(text, sign),
            Verifier::Public(key) => key.verify(text, sign).is_ok(),
            Verifier::Rsa(key) => key
                .verify(&signature::RSA_PKCS1_2048_8192_SHA256, text, sign)
                .is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, id, .. } = self;
        write!(f, "Key({kind:?}, {id:?})")
    }
}

/// A JSON Web Key (RFC 7517), as far as the four algorithms need it.
#[derive(Deserialize)]
struct Jwk<'a> {
    kty: &'a str,
    #[serde(borrow)]
    crv: Option<&'a str>,
    #[serde(borrow)]
    alg: Option<&'a str>,
    #[serde(borrow)]
    k: Option<&'a str>,
    #[serde(borrow)]
    x: Option<&'a str>,
    #[serde(borrow)]
    y: Option<&'a str>,
    #[serde(borrow)]
    n: Option<&'a str>,
    #[serde(borrow)]
    e: Option<&'a str>,
    /// Of a private key.
    d: Option<serde::de::IgnoredAny>,
}

fn from_jwk(kind: KeyKind, jwk: &Jwk<'_>) -> Result<Verifier, KeyError> {
    let form = || KeyError::Form(kind);
    if jwk.d.is_some() {
        return Err(KeyError::Private);
    }
    let signs = |alg: &str| alg == kind.name() || kind == KeyKind::Hmac && alg == "HS256";
    if !jwk.alg.is_none_or(signs) {
        return Err(form());
    }
    let bytes = |text: Option<&str>| {
        let text = text.ok_or_else(form)?;
        BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| form())
    };
    match (kind, jwk.kty, jwk.crv) {
        (KeyKind::Hmac | KeyKind::Hs256, "oct", None) => {
            let secret = SharedKey::new(&bytes(jwk.k)?);
            Ok(Verifier::Shared(secret.map_err(|_| KeyError::Short)?))
        }
        (KeyKind::Es256, "EC", Some("P-256")) => {
            let point = [&[4][..], &bytes(jwk.x)?, &bytes(jwk.y)?].concat();
            public(kind, point)
        }
        (KeyKind::EdDsa, "OKP", Some("Ed25519")) => public(kind, bytes(jwk.x)?),
        (KeyKind::Rs256, "RSA", None) => {
            let (n, e) = (bytes(jwk.n)?, bytes(jwk.e)?);
            if n.len() * 8 < LEAST_RSA {
                return Err(KeyError::Short);
            }
            Ok(Verifier::Rsa(RsaPublicKeyComponents { n, e }))
        }
        _ => Err(form()),
    }
}

fn from_pem(kind: KeyKind, file: &[u8]) -> Result<Verifier, KeyError> {
    let text = String::from_utf8_lossy(file);
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::Private);
    }
    let form = || KeyError::Form(kind);
    let der = SubjectPublicKeyInfoDer::from_pem_slice(file).map_err(|_| form())?;
    let (_, info) = x509::SubjectPublicKeyInfo::from_der(&der).map_err(|_| form())?;
    let bytes = info.subject_public_key.data.to_vec();
    let curve = info.algorithm.parameters.as_ref();
    let curve = curve.and_then(|any| any.as_oid().ok());
    let is_p256 = curve.is_some_and(|curve| curve.to_id_string() == "1.2.840.10045.3.1.7");
    match (kind, info.algorithm.algorithm.to_id_string().as_str()) {
        (KeyKind::Es256, "1.2.840.10045.2.1") if is_p256 => public(kind, bytes),
        (KeyKind::EdDsa, "1.3.101.112") => public(kind, bytes),
        (KeyKind::Rs256, "1.2.840.113549.1.1.1") => {
            let parsed = info.parsed().map_err(|_| form())?;
            let PublicKey::RSA(rsa) = parsed else {
                return Err(form());
            };
            if rsa.key_size() < LEAST_RSA {
                return Err(KeyError::Short);
            }
            let algorithm = &signature::RSA_PKCS1_2048_8192_SHA256;
            Ok(Verifier::Public(UnparsedPublicKey::new(algorithm, bytes)))
        }
        _ => Err(form()),
    }
}

/// A key on a curve, whose length shows that it is one on P-256 or Ed25519.
fn public(kind: KeyKind, bytes: Vec<u8>) -> Result<Verifier, KeyError> {
    let (algorithm, length): (&'static dyn signature::VerificationAlgorithm, _) = match kind {
        KeyKind::EdDsa => (&signature::ED25519, 32),
        _ => (&signature::ECDSA_P256_SHA256_FIXED, 65),
    };
    if bytes.len() != length {
        return Err(KeyError::Form(kind));
    }
    Ok(Verifier::Public(UnparsedPublicKey::new(algorithm, bytes)))
}

/// Bytes of a key's file. Reason: an RSA key of 8,192 bits has less than 2 KiB; a longer file was
/// named by mistake.
pub const MAX_KEY_FILE: usize = 16 * 1024;
/// RFC 7518, section 3.3.
const LEAST_RSA: usize = 2048;

/// The reason for which a file holds no key of its kind. The text has the remedy behind a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Longer than [`MAX_KEY_FILE`].
    TooLong,
    /// A private key: an edge needs the public one alone.
    Private,
    /// Too few bits.
    Short,
    /// No key of this kind.
    Form(KeyKind),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the file is too long for a key; name the file of the key",
            Self::Private => {
                "the file holds a private key; keep it where tokens are made, and write the public \
                 key here: openssl pkey -pubout -in PRIVATE -out PUBLIC"
            }
            Self::Short => {
                "the key is too short; a secret needs 32 bytes (openssl rand -hex 32), an RSA key \
                 2048 bits"
            }
            Self::Form(KeyKind::Hmac | KeyKind::Hs256) => {
                "the file holds no secret; write the secret by itself, or a JWK with \"kty\":\"oct\""
            }
            Self::Form(kind) => {
                return write!(
                    f,
                    "the file holds no public key for {}; write its PEM (BEGIN PUBLIC KEY) or JWK",
                    kind.name()
                );
            }
        })
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public keys of RFC 7515 (A.2, A.3) and RFC 8037 (A.2), as openssl writes them.
    const ED25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";
    const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----
";
    const RSA: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
";
    /// Keys of other kinds.
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDFTviTQ6EMq+svjJ60Oa286pz1
5/pWA75ODgu3XSIMfbC1Cbw6zA/8HokBWMo6iDionLVm0v9EsfdrpYloHs9Vt3yL
SUdByvrurORyy97nT1fpTWUTODKKWLO/MWKD5F5ZNBSlNLI08gBLEiXrNqSPpLZQ
BhM9DoGCCC5KbeKNQwIDAQAB
-----END PUBLIC KEY-----
";
    const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAErtsLy3wSEU8mjSUrS0haBbrGBz1rikdE
HF0AenRHuWmqE+GOTfggIHWIQZ6+wgZbcyw+9ztil+GuQCQfTbDO3hnPXX7dd5iL
WRWzUOnNUEEOIjMDjmCe+5x9oY1sj/9T
-----END PUBLIC KEY-----
";
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n";

    fn read(kind: KeyKind, file: &str) -> Result<Key, KeyError> {
        let setting = TokenKey {
            kind,
            file: "key".into(),
            id: None,
        };
        Key::read(&setting, file.as_bytes())
    }

    #[test]
    fn a_pem_and_a_jwk_are_the_same_key() {
        use KeyKind::{EdDsa, Es256, Rs256};
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        for (kind, file, text, sign) in [
            (
                EdDsa,
                ED25519,
                "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
                "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            ),
            (
                Es256,
                P256,
                format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
                "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            ),
            (
                Rs256,
                RSA,
                format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
                "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            ),
        ] {
            let key = read(kind, file).unwrap();
            let sign = BASE64URL_NOPAD.decode(sign.as_bytes()).unwrap();
            assert!(key.has_signed(text.as_bytes(), &sign), "{kind:?}");
            assert!(!key.has_signed(b"", &sign), "{kind:?}");
        }
    }

    #[test]
    fn a_secret_stands_by_itself_or_in_a_jwk() {
        let secret = "0123456789abcdef0123456789abcdef";
        let encoded = BASE64URL_NOPAD.encode(secret.as_bytes());
        let sign = SharedKey::read(secret.as_bytes()).unwrap().sign(&[b"x"]);
        for file in [
            format!("{secret}\n"),
            format!(r#"{{"kty":"oct","k":"{encoded}"}}"#),
            format!(r#"{{"kty":"oct","alg":"HS256","use":"sig","k":"{encoded}"}}"#),
        ] {
            for kind in [KeyKind::Hmac, KeyKind::Hs256] {
                let key = read(kind, &file).unwrap();
                assert!(key.has_signed(b"x", sign.as_ref()), "{kind:?} {file}");
            }
        }
    }

    #[test]
    fn a_file_without_a_fitting_key_is_refused_with_a_remedy() {
        use KeyKind::{EdDsa, Es256, Hmac, Hs256, Rs256};
        let long = "x".repeat(MAX_KEY_FILE + 1);
        for (kind, file, expected) in [
            (Hmac, "short", KeyError::Short),
            (Hs256, "", KeyError::Short),
            (Hmac, &*long, KeyError::TooLong),
            (Hs256, P256, KeyError::Form(Hs256)),
            (Hs256, PRIVATE, KeyError::Form(Hs256)),
            (Hs256, r#"{"kty":"oct","k":"YQ"}"#, KeyError::Short),
            (Hs256, r#"{"kty":"EC"}"#, KeyError::Form(Hs256)),
            (Hs256, "{", KeyError::Form(Hs256)),
            (Es256, "", KeyError::Form(Es256)),
            (Es256, PRIVATE, KeyError::Private),
            (Es256, ED25519, KeyError::Form(Es256)),
            (Es256, P384, KeyError::Form(Es256)),
            (Es256, RSA, KeyError::Form(Es256)),
            (EdDsa, P256, KeyError::Form(EdDsa)),
            (Rs256, P256, KeyError::Form(Rs256)),
            (Rs256, RSA_1024, KeyError::Short),
            (
                Es256,
                r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
                KeyError::Form(Es256),
            ),
            (
                EdDsa,
                r#"{"kty":"OKP","crv":"Ed25519","d":"AA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
                KeyError::Private,
            ),
            (
                EdDsa,
                r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
                KeyError::Form(EdDsa),
            ),
            (
                Rs256,
                r#"{"kty":"RSA","alg":"PS256","n":"AQAB","e":"AQAB"}"#,
                KeyError::Form(Rs256),
            ),
            (
                Rs256,
                r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
                KeyError::Short,
            ),
        ] {
            let error = read(kind, file).unwrap_err();
            assert_eq!(error, expected, "{kind:?} {file:.60}");
            assert!(error.to_string().contains("; "), "{error}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let secret = "0123456789abcdef0123456789abcdef";
        let shown = format!("{:?}", read(KeyKind::Hmac, secret).unwrap());
        assert_eq!(shown, "Key(Hmac, None)");
    }
}
