//! Signatures in a query: `expires=UNIX&sign=BASE64URL` by HMAC-SHA-256.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;

use crate::{
    query::field,
    refusal::Action,
    secret::SharedKey,
    tokens::{
        refused::TokenRefused,
        time::{Clock, LAST},
    },
};

/// The field of the time at which a signature ends, in seconds of UNIX time.
pub(super) const EXPIRES: &str = "expires";
/// The field of the signature.
pub(super) const SIGN: &str = "sign";

/// A signature that a query has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signed<'a> {
    expires: &'a str,
    sign: &'a str,
}

impl<'a> Signed<'a> {
    /// The signature of a query.
    pub(super) fn find(query: &'a str) -> Option<Self> {
        Some(Self {
            sign: field(query, SIGN)?,
            expires: field(query, EXPIRES).unwrap_or_default(),
        })
    }

    /// Whether one of the keys has signed this act; the second at which the signature ends.
    ///
    /// The bytes under the signature are `ACTION \n PATH \n EXPIRES`, where PATH is
    /// `application/instance/name` (for a connect `application/instance`) and EXPIRES is the text of
    /// the query; where `bind` is set, `\n ADDRESS` follows.
    pub(super) fn verify(
        self,
        keys: &[SharedKey],
        act: Act<'_>,
        bind: Option<IpAddr>,
        clock: Clock,
    ) -> Result<u64, TokenRefused> {
        let malformed = TokenRefused::Malformed;
        let is_number = self.expires.bytes().all(|byte| byte.is_ascii_digit());
        let expires = self.expires.parse().ok();
        let expires = expires.filter(|expires| is_number && *expires <= LAST);
        let expires = expires.ok_or_else(|| malformed("expires is no time in seconds"))?;
        // Some libraries pad, and the padding says nothing.
        let sign = self.sign.trim_end_matches('=');
        if sign.len() > MAX_SIGN {
            return Err(malformed("sign is too long"));
        }
        let sign = BASE64URL_NOPAD.decode(sign.as_bytes());
        let sign = sign.map_err(|_| malformed("sign is not base64url"))?;
        let text = act.text(self.expires, bind);
        let holds = |key: &SharedKey| key.has_signed(text.as_bytes(), &sign);
        if !keys.iter().any(holds) {
            return Err(TokenRefused::Signature);
        }
        clock.before_end(expires)?;
        Ok(expires)
    }
}

/// An act, as a signature names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act<'a> {
    pub(super) action: Action,
    pub(super) application: &'a str,
    pub(super) instance: &'a str,
    /// Without its query; empty for a connect.
    pub(super) name: &'a str,
}

impl Act<'_> {
    pub(super) fn text(&self, expires: &str, bind: Option<IpAddr>) -> String {
        let Self {
            application,
            instance,
            name,
            ..
        } = self;
        let mut text = match self.action {
            Action::Connect => format!("connect\n{application}/{instance}"),
            Action::Publish => format!("publish\n{application}/{instance}/{name}"),
            Action::Play => format!("play\n{application}/{instance}/{name}"),
        };
        text.push('\n');
        text.push_str(expires);
        if let Some(address) = bind {
            text.push('\n');
            text.push_str(&address.to_canonical().to_string());
        }
        text
    }
}

/// Bytes of a signature's text. Reason: HMAC-SHA-256 has 43.
const MAX_SIGN: usize = 64;
