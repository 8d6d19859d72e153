//! JSON Web Tokens: the compact form of a JSON Web Signature (RFC 7515, section 7.1).

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::tokens::{key::Key, refused::TokenRefused};

/// The payload of a JWT that one of the keys has signed.
///
/// The algorithm is that of the key's setting; the header must name the same one, so that `none` and
/// a public key in the place of a secret fail (RFC 8725, sections 2.1 and 3.1).
pub(super) fn verify(token: &str, keys: &[Key]) -> Result<Vec<u8>, TokenRefused> {
    let malformed = TokenRefused::Malformed;
    if token.len() > MAX_TOKEN {
        return Err(malformed("it is too long"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(sign), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it has not three parts"));
    };
    let decode = |part: &str, what| {
        let bytes = BASE64URL_NOPAD.decode(part.as_bytes());
        bytes.map_err(|_| malformed(what))
    };
    let signed = &token[..header.len() + 1 + payload.len()];
    let header = decode(header, "its header is not base64url")?;
    let header: Header =
        serde_json::from_slice(&header).map_err(|_| malformed("its header is no JSON of a JWT"))?;
    if header.crit {
        // Each extension that it lists must be understood, and none is (RFC 7515, section 4.1.11).
        return Err(malformed("its header asks for an extension"));
    }
    let payload = decode(payload, "its payload is not base64url")?;
    let sign = decode(sign, "its signature is not base64url")?;
    let mut fitting = keys.iter().filter(|key| header.fits(key)).peekable();
    if fitting.peek().is_none() {
        return Err(TokenRefused::Key);
    }
    if !fitting.any(|key| key.has_signed(signed.as_bytes(), &sign)) {
        return Err(TokenRefused::Signature);
    }
    Ok(payload)
}

/// The header of a JWT, as far as it matters.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

impl Header {
    fn fits(&self, key: &Key) -> bool {
        let is_its = match (&self.kid, &key.id) {
            (Some(named), Some(id)) => named == id,
            _ => true,
        };
        is_its && self.alg == key.kind.name()
    }
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

/// Bytes of a JWT. Reason: a stream's name may have a query of 4 KiB; real ones have a few hundred.
pub const MAX_TOKEN: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        secret::SharedKey,
        tokens::settings::{KeyKind, TokenKey},
    };

    /// RFC 7515, appendices A.1 to A.3: the same payload under three keys, and RFC 8037, appendix A.4.
    const CLAIMS: &str =
        "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}";
    const HS256: (&str, &str) = (
        r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    );
    const RS256: (&str, &str) = (
        r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    );
    const ES256: (&str, &str) = (
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    const EDDSA: (&str, &str) = (
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    );
    const VECTORS: [(KeyKind, (&str, &str), &str); 4] = [
        (KeyKind::Hs256, HS256, CLAIMS),
        (KeyKind::Rs256, RS256, CLAIMS),
        (KeyKind::Es256, ES256, CLAIMS),
        (KeyKind::EdDsa, EDDSA, "Example of Ed25519 signing"),
    ];

    fn key(kind: KeyKind, id: Option<&str>, file: &str) -> Key {
        let setting = TokenKey {
            kind,
            file: "key".into(),
            id: id.map(str::to_owned),
        };
        Key::read(&setting, file.as_bytes()).unwrap()
    }

    fn token(header: &str, rest: &str) -> String {
        format!("{}.{rest}", BASE64URL_NOPAD.encode(header.as_bytes()))
    }

    #[test]
    fn the_vectors_of_the_specifications_hold() {
        for (kind, (jwk, token), payload) in VECTORS {
            let keys = [key(kind, None, jwk)];
            let found = verify(token, &keys).unwrap();
            assert_eq!(str::from_utf8(&found).unwrap(), payload, "{kind:?}");
            let all = VECTORS.map(|(kind, (jwk, _), _)| key(kind, None, jwk));
            assert!(verify(token, &all).is_ok(), "{kind:?}");
        }
    }

    #[test]
    fn no_other_bit_holds() {
        for (kind, (jwk, token), _) in VECTORS {
            let keys = [key(kind, None, jwk)];
            for place in (0..token.len()).step_by(7).chain([token.len() - 2]) {
                let mut other = token.to_owned().into_bytes();
                other[place] = if other[place] == b'A' { b'B' } else { b'A' };
                let other = String::from_utf8(other).unwrap();
                assert!(verify(&other, &keys).is_err(), "{kind:?} {place}");
            }
        }
    }

    #[test]
    fn the_algorithm_is_the_keys() {
        let rest = |token: &str| token.split_once('.').unwrap().1.to_owned();
        let payload = HS256.1.split('.').nth(1).unwrap();
        let public = key(KeyKind::Es256, None, ES256.0);
        let secret = key(KeyKind::Hs256, None, HS256.0);
        let key_refused = Err(TokenRefused::Key);
        for (header, rest, key, expected) in [
            (
                r#"{"alg":"none"}"#,
                format!("{payload}."),
                &public,
                key_refused,
            ),
            (
                r#"{"alg":"None"}"#,
                format!("{payload}."),
                &secret,
                key_refused,
            ),
            (r#"{"alg":"HS256"}"#, rest(ES256.1), &public, key_refused),
            (r#"{"alg":"ES256"}"#, rest(HS256.1), &secret, key_refused),
            (r#"{"alg":"HS384"}"#, rest(HS256.1), &secret, key_refused),
            (r#"{"alg":"hs256"}"#, rest(HS256.1), &secret, key_refused),
            (
                r#"{"alg":"HS256"}"#,
                rest(HS256.1),
                &secret,
                Err(TokenRefused::Signature),
            ),
            (
                r#"{"alg":"HS256"}"#,
                format!("{payload}."),
                &secret,
                Err(TokenRefused::Signature),
            ),
        ] {
            let judged = verify(&token(header, &rest), std::slice::from_ref(key));
            assert_eq!(judged.map(drop), expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_by_name() {
        let keys = [key(KeyKind::Hs256, None, HS256.0)];
        let long = format!("{}.a.b", "e".repeat(MAX_TOKEN));
        let header = r#"{"alg":"HS256"}"#;
        for (text, part) in [
            (String::new(), "three parts"),
            ("a.b".to_owned(), "three parts"),
            (format!("{}.x", HS256.1), "three parts"),
            (long, "too long"),
            ("!.a.b".to_owned(), "header is not base64url"),
            (token("{}", "YQ.YQ"), "no JSON"),
            (token("[]", "YQ.YQ"), "no JSON"),
            (token(&"[".repeat(2000), "YQ.YQ"), "no JSON"),
            (token(r#"{"alg":1}"#, "YQ.YQ"), "no JSON"),
            (token(r#"{"alg":"HS256","alg":"none"}"#, "YQ.YQ"), "no JSON"),
            (token(r#"{"alg":"HS256","kid":7}"#, "YQ.YQ"), "no JSON"),
            (
                token(r#"{"alg":"HS256","crit":["exp"]}"#, "YQ.YQ"),
                "extension",
            ),
            (
                token(r#"{"alg":"HS256","crit":null}"#, "YQ.YQ"),
                "extension",
            ),
            (token(header, "Y+Q.YQ"), "payload is not base64url"),
            (token(header, "YQ==.YQ"), "payload is not base64url"),
            (token(header, "YQ.YR"), "signature is not base64url"),
        ] {
            let error = verify(&text, &keys).unwrap_err();
            assert_eq!(error.label(), "token_malformed");
            assert!(error.to_string().contains(part), "{text:.60}: {error}");
        }
    }

    #[test]
    fn a_kid_chooses_among_keys_that_have_one() {
        let payload = HS256.1.split('.').nth(1).unwrap();
        let secret = "an old secret that is long enough";
        let signed = |kid: &str| {
            let text = token(&format!(r#"{{"alg":"HS256"{kid}}}"#), payload);
            let key = SharedKey::new(secret.as_bytes()).unwrap();
            let sign = key.sign(&[text.as_bytes()]);
            format!("{text}.{}", BASE64URL_NOPAD.encode(sign.as_ref()))
        };
        let keys = [
            key(KeyKind::Hs256, Some("new"), HS256.0),
            key(KeyKind::Hs256, Some("old"), secret),
        ];
        for (kid, expected) in [
            ("", Ok(())),
            (r#","kid":"old""#, Ok(())),
            (r#","kid":"new""#, Err(TokenRefused::Signature)),
            (r#","kid":"other""#, Err(TokenRefused::Key)),
        ] {
            let judged = verify(&signed(kid), &keys).map(drop);
            assert_eq!(judged, expected, "{kid}");
        }
        let without = [key(KeyKind::Hs256, None, secret)];
        assert!(verify(&signed(r#","kid":"other""#), &without).is_ok());
    }
}
