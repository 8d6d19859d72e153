//! Tokens: signed texts in a query that permit an act.

mod claims;
mod jwt;
mod key;
mod place;
mod refused;
mod settings;
mod signed;
mod time;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use jwt::MAX_TOKEN;
pub use key::{Key, KeyError, MAX_KEY_FILE};
pub use place::Queries;
pub use refused::TokenRefused;
pub use settings::{KeyKind, MAX_KEYS, TokenKey, TokenSettings};

use crate::{query::field, refusal::Action, secret::SharedKey};
use claims::{Judged, Wanted};
use signed::{Act, Signed};
use time::Clock;

/// The judge of an application's tokens.
///
/// The place of a token is the query of the name, of `app` or of `tcUrl`; the first of them that has
/// one decides. There are two forms, and the keys of the application say which of them counts:
///
/// * `expires=UNIX&sign=BASE64URL`: an HMAC-SHA-256 of the act, which any shell can make;
/// * `token=JWT`, whose claims `app`, `stream` (names, or prefixes that end with `*`) and `may`
///   (`publish`, `play`) say what it permits, from `nbf` to `exp`.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    signing: Vec<SharedKey>,
    jwt: Vec<Key>,
}

/// An act for which a token is asked.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    pub action: Action,
    pub application: &'a str,
    pub instance: &'a str,
    /// The name of the stream, without its query and surrounding slashes; empty for a connect.
    pub name: &'a str,
    pub queries: Queries<'a>,
    /// The client's address; `None` if it is unknown.
    pub address: Option<IpAddr>,
}

/// The content of a good token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The person or program that the token is for: `sub` of a JWT.
    pub subject: Option<String>,
    /// The time at which the token ends, in seconds of UNIX time.
    pub expires: u64,
    /// The payload of a JWT, a JSON object of at most [`MAX_TOKEN`] bytes.
    pub json: Option<String>,
}

impl Tokens {
    /// The judge with these settings and keys; the keys are those of `settings.keys`, read.
    pub fn new(settings: TokenSettings, keys: Vec<Key>) -> Self {
        let (signing, jwt): (Vec<_>, Vec<_>) =
            keys.into_iter().partition(|key| key.kind == KeyKind::Hmac);
        let signing = signing.iter().filter_map(Key::as_shared).cloned();
        Self {
            settings,
            signing: signing.collect(),
            jwt,
        }
    }

    /// Whether the edge takes the query off the names that it passes on.
    pub fn strips(&self) -> bool {
        self.settings.strip
    }

    /// Whether a token permits the act at `now`, in seconds of UNIX time. `None` means that the act
    /// needs no token; a token that is there all the same is not looked at.
    pub fn judge(
        &self,
        request: &TokenRequest<'_>,
        now: u64,
    ) -> Result<Option<Claims>, TokenRefused> {
        if !self.settings.require.contains(&request.action) {
            return Ok(None);
        }
        let clock = Clock {
            now,
            leeway: self.settings.leeway.get().as_secs(),
        };
        let names = [request.application, request.instance, request.name];
        if names.iter().any(|name| name.chars().any(char::is_control)) {
            // They would move the lines under a signature.
            return Err(TokenRefused::Malformed("the name has control characters"));
        }
        let found = request.queries.first(|query| self.find(query));
        let claims = match found.ok_or(TokenRefused::Missing)? {
            Found::Jwt(token) => self.judge_jwt(token, request, clock),
            Found::Signed(signed) => self.judge_signed(signed, request, clock),
        };
        claims.map(Some)
    }

    /// The token of a query, in a form that a key can check.
    fn find<'q>(&self, query: &'q str) -> Option<Found<'q>> {
        let jwt = || field(query, &self.settings.parameter).map(Found::Jwt);
        let signed = || Signed::find(query).map(Found::Signed);
        let jwt = (!self.jwt.is_empty()).then(jwt).flatten();
        jwt.or_else(|| (!self.signing.is_empty()).then(signed).flatten())
    }

    fn judge_jwt(
        &self,
        token: &str,
        request: &TokenRequest<'_>,
        clock: Clock,
    ) -> Result<Claims, TokenRefused> {
        let payload = jwt::verify(token, &self.jwt)?;
        let judged = Judged::read(&payload)?;
        let wanted = Wanted {
            action: request.action,
            application: request.application,
            instance: request.instance,
            name: request.name,
            audience: self.settings.audience.as_deref(),
        };
        judged.permit(&wanted, clock)?;
        Ok(Claims {
            expires: judged.expires(),
            subject: judged.into_subject(),
            json: String::from_utf8(payload).ok(),
        })
    }

    fn judge_signed(
        &self,
        signed: Signed<'_>,
        request: &TokenRequest<'_>,
        clock: Clock,
    ) -> Result<Claims, TokenRefused> {
        let bind = match (self.settings.bind_address, request.address) {
            (true, None) => return Err(TokenRefused::Address),
            (is_bound, address) => address.filter(|_| is_bound),
        };
        let act = Act {
            action: request.action,
            application: request.application,
            instance: request.instance,
            name: request.name,
        };
        let expires = signed.verify(&self.signing, act, bind, clock)?;
        Ok(Claims {
            subject: None,
            expires,
            json: None,
        })
    }
}

/// A token in one of its forms.
#[derive(Clone, Copy, Debug)]
enum Found<'a> {
    Jwt(&'a str),
    Signed(Signed<'a>),
}
