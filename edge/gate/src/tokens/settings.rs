//! The settings of tokens.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tributary_settings::{At, Check, Duration, Mistakes};

use crate::{
    refusal::Action,
    tokens::signed::{EXPIRES, SIGN},
};

/// The tokens of an application: `[applications.NAME.tokens]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// The acts that need a token.
    pub require: Vec<Action>,
    /// The keys: during a rotation the new one and the old one.
    pub keys: Vec<TokenKey>,
    /// The name of the query's field that has a JWT.
    pub parameter: String,
    /// The `aud` that a JWT must have; unset, a JWT must have none (RFC 7519, section 4.1.3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The difference of the clocks of signer and edge that is tolerated.
    pub leeway: Duration,
    /// Whether a signature must include the client's address.
    pub bind_address: bool,
    /// Whether the edge takes the query off the names that it passes on.
    pub strip: bool,
}

/// One key: `[[applications.NAME.tokens.keys]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The use of the key, which is the only source of the algorithm.
    pub kind: KeyKind,
    /// The file of the key: a secret (`hmac`, `HS256`), or the PEM or JWK of a public key.
    pub file: PathBuf,
    /// The `kid` of the JWTs that this key signs. A JWT with another one is not tried with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// The use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyKind {
    /// Signatures in a query: `expires=` and `sign=` by HMAC-SHA-256.
    #[serde(rename = "hmac")]
    Hmac,
    /// JWT by HMAC-SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// JWT by ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// JWT by Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// JWT by RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
}

impl KeyKind {
    /// The name in settings and, of a JWT's key, in the header of a JWT.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hmac => "hmac",
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
        }
    }
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            require: vec![Action::Publish],
            keys: Vec::new(),
            parameter: "token".to_owned(),
            audience: None,
            leeway: Duration::from_secs(30),
            bind_address: false,
            strip: false,
        }
    }
}

impl TokenSettings {
    fn has(&self, is_signature: bool) -> bool {
        let mut kinds = self.keys.iter().map(|key| key.kind == KeyKind::Hmac);
        kinds.any(|hmac| hmac == is_signature)
    }

    fn check_keys(&self, at: &At, mistakes: &mut Mistakes) {
        if self.keys.is_empty() {
            let remedy = "add [[...tokens.keys]] with kind and file, or remove the table tokens";
            mistakes.add(at.clone(), "no key can check a token", remedy);
        }
        if self.keys.len() > MAX_KEYS {
            let what = format!("more than {MAX_KEYS} keys");
            let remedy = "keep the new key and the old one, each for the tokens that it has signed";
            mistakes.add(at.clone(), what, remedy);
        }
        for (index, key) in self.keys.iter().enumerate() {
            let at = at.key(index).key("id");
            let Some(id) = &key.id else { continue };
            if key.kind == KeyKind::Hmac {
                let what = "a signature in a query names no key";
                mistakes.add(at, what, "leave the id out");
            } else if self.keys[..index].iter().any(|other| other.id == key.id) {
                let what = format!("{id:?} is the id of another key");
                mistakes.add(at, what, "give each key an id of its own, or none");
            }
        }
    }
}

impl Check for TokenSettings {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.check_keys(&at.key("keys"), mistakes);
        if self.require.is_empty() {
            let remedy =
                "name one or more of connect, publish and play, or remove the table tokens";
            mistakes.add(at.key("require"), "no act needs a token", remedy);
        }
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        let is_taken = [EXPIRES, SIGN].contains(&self.parameter.as_str());
        if self.parameter.is_empty() || !self.parameter.bytes().all(is_word) || is_taken {
            let what = format!("{:?} cannot be the name of a field", self.parameter);
            let remedy = "write letters, digits, _ and -, and neither expires nor sign";
            mistakes.add(at.key("parameter"), what, remedy);
        }
        if self.leeway > MOST_LEEWAY {
            let what = format!("{} revives tokens that have ended", self.leeway);
            mistakes.add(at.key("leeway"), what, "write at most \"5 min\"");
        }
        if self.audience.is_some() && !self.has(false) {
            let (what, remedy) = ("no key is for JWTs", "add such a key, or leave it out");
            mistakes.add(at.key("audience"), what, remedy);
        }
        if self.bind_address && !self.has(true) {
            let what = "no key is for signatures in a query";
            let remedy = "add a key with kind = \"hmac\", or leave it out";
            mistakes.add(at.key("bind_address"), what, remedy);
        }
    }
}

/// Keys of one application. Reason: a token without a `kid` is tried with each, and each try costs up
/// to 0.3 ms.
pub const MAX_KEYS: usize = 4;

/// Clocks that a daemon sets differ by less than a second; this is for those that none sets.
const MOST_LEEWAY: Duration = Duration::from_secs(300);
