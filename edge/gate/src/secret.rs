//! Secrets that several edges share, each in a file.

use std::fmt;

use ring::hmac;

/// A key of HMAC-SHA-256.
#[derive(Clone)]
pub struct SharedKey(hmac::Key);

impl SharedKey {
    /// The key of a file's bytes: all but the end of the last line.
    pub fn read(file: &[u8]) -> Result<Self, ShortSecret> {
        let file = file.strip_suffix(b"\n").unwrap_or(file);
        Self::new(file.strip_suffix(b"\r").unwrap_or(file))
    }

    /// The key of these bytes.
    pub fn new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < LEAST_SECRET {
            return Err(ShortSecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Signs the parts, one after the other.
    pub(crate) fn sign(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        context.sign()
    }

    /// Whether this key has signed the text; the time does not depend on the signature's bytes.
    pub(crate) fn has_signed(&self, text: &[u8], sign: &[u8]) -> bool {
        hmac::verify(&self.0, text, sign).is_ok()
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(hidden)")
    }
}

/// A secret that can be guessed. The text has the remedy behind a semicolon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortSecret;

impl fmt::Display for ShortSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the secret has less than {LEAST_SECRET} bytes; make one with: openssl rand -hex 32"
        )
    }
}

impl std::error::Error for ShortSecret {}

/// As long as the hash (RFC 7518, section 3.2).
const LEAST_SECRET: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_file_without_the_end_of_its_line() {
        let secret = "0123456789abcdef0123456789abcdef";
        let read = |file: &str| SharedKey::read(file.as_bytes()).unwrap();
        let sign = read(secret).sign(&[b"a", b"b"]);
        for (file, is_same) in [
            (format!("{secret}\n"), true),
            (format!("{secret}\r\n"), true),
            (format!("{secret}\n\n"), false),
            (format!("{secret} "), false),
            (format!("\n{secret}"), false),
        ] {
            let holds = read(&file).has_signed(b"ab", sign.as_ref());
            assert_eq!(holds, is_same, "{file:?}");
        }
        for short in ["", &secret[..31], &format!("{}\n", &secret[..31])] {
            let error = SharedKey::read(short.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("; make one"), "{error}");
        }
        assert!(!format!("{:?}", read(secret)).contains(secret));
    }
}
