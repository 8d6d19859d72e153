//! The part of an `app` that an encoder adds to log in.

use crate::{
    encoders::{settings::Scheme, users::is_user},
    query::field,
};

/// A login, as far as an encoder has come with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer<'a> {
    /// The client names no user.
    None,
    /// The client names a scheme that does not exist.
    OtherScheme,
    /// A name or a value that no honest client has.
    Strange(Scheme),
    /// The client asks for a challenge.
    User(Scheme, &'a str),
    /// The client answers a challenge.
    Answer(&'a str, Answer<'a>),
}

/// The answer to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    Adobe {
        /// Ours.
        opaque: &'a str,
        /// The client's.
        challenge: &'a str,
        response: &'a str,
    },
    Llnw {
        /// Ours.
        nonce: &'a str,
        cnonce: &'a str,
        nc: &'a str,
        response: &'a str,
    },
}

impl<'a> Answer<'a> {
    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Adobe { .. } => Scheme::Adobe,
            Self::Llnw { .. } => Scheme::Llnw,
        }
    }

    /// The challenge of ours that is answered.
    pub(super) fn ours(&self) -> &'a str {
        match self {
            Self::Adobe { opaque: ours, .. } | Self::Llnw { nonce: ours, .. } => ours,
        }
    }
}

impl<'a> Offer<'a> {
    /// Reads the query of an `app`.
    ///
    /// The values are base64, which encoders send as it is. They put their fields behind a further `?`
    /// if the URL has a query.
    pub(super) fn read(query: &'a str) -> Self {
        let field = |name: &str| field(query, name);
        let (Some(scheme), Some(user)) = (field("authmod"), field("user")) else {
            return Self::None;
        };
        let Some(scheme) = Scheme::named(scheme) else {
            return Self::OtherScheme;
        };
        if !is_user(user) {
            return Self::Strange(scheme);
        }
        let Some(response) = field("response") else {
            return Self::User(scheme, user);
        };
        let value = |name: &str| field(name).unwrap_or_default();
        let answer = match scheme {
            Scheme::Adobe => Answer::Adobe {
                opaque: value("opaque"),
                challenge: value("challenge"),
                response,
            },
            Scheme::Llnw => Answer::Llnw {
                nonce: value("nonce"),
                cnonce: value("cnonce"),
                nc: value("nc"),
                response,
            },
        };
        let names = ["response", "opaque", "challenge", "nonce", "cnonce", "nc"];
        if names.into_iter().any(|name| value(name).len() > MAX_VALUE) {
            return Self::Strange(scheme);
        }
        Self::Answer(user, answer)
    }
}

/// Bytes of a value. Reason: a response has 32, a challenge of ours 24.
const MAX_VALUE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_read_as_encoders_write_it() {
        let long = format!(
            "authmod=adobe&user=a&challenge={}&response=r&opaque=o",
            "c".repeat(65)
        );
        for (query, expected) in [
            ("", Offer::None),
            ("token=x", Offer::None),
            ("authmod=adobe", Offer::None),
            ("authmod=basic&user=alice", Offer::OtherScheme),
            ("authmod=adobe&user=", Offer::Strange(Scheme::Adobe)),
            ("authmod=llnw&user=a%20b", Offer::Strange(Scheme::Llnw)),
            (&long, Offer::Strange(Scheme::Adobe)),
            (
                "authmod=adobe&user=alice",
                Offer::User(Scheme::Adobe, "alice"),
            ),
            (
                "token=x?authmod=llnw&user=alice",
                Offer::User(Scheme::Llnw, "alice"),
            ),
            (
                "authmod=adobe&user=alice&challenge=be3ceee4&response=wXYi/x+r==&opaque=b3==",
                Offer::Answer(
                    "alice",
                    Answer::Adobe {
                        opaque: "b3==",
                        challenge: "be3ceee4",
                        response: "wXYi/x+r==",
                    },
                ),
            ),
            (
                "authmod=llnw&user=alice&nonce=bm=&cnonce=9a&nc=00000001&response=3e",
                Offer::Answer(
                    "alice",
                    Answer::Llnw {
                        nonce: "bm=",
                        cnonce: "9a",
                        nc: "00000001",
                        response: "3e",
                    },
                ),
            ),
        ] {
            assert_eq!(Offer::read(query), expected, "{query}");
        }
    }
}
