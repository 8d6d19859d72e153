//! The reasons for which a token does not permit an act.

use std::fmt;

use crate::refusal::{Action, Refusal};

/// The reason for which a token does not permit an act. Reasons from `Expired` on are given for tokens
/// with a right signature alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRefused {
    /// No query has one.
    Missing,
    /// It is no token, or too long; the text names the part that is wrong.
    Malformed(&'static str),
    /// No key of the application is for its algorithm and its `kid`.
    Key,
    /// No key has made its signature.
    Signature,
    /// Its time is over.
    Expired,
    /// Its time has not begun.
    NotYet,
    /// It is for another audience, or for one where none is set.
    Audience,
    /// It is for another application or instance.
    Application,
    /// It is for other streams.
    Stream,
    /// It does not permit this act.
    Act,
    /// It is bound to an address, and the client's is unknown.
    Address,
}

impl TokenRefused {
    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed(_) => "token_malformed",
            Self::Key => "token_key",
            Self::Signature => "token_signature",
            Self::Expired => "token_expired",
            Self::NotYet => "token_not_yet",
            Self::Audience | Self::Application | Self::Stream | Self::Act => "token_scope",
            Self::Address => "token_address",
        }
    }

    /// The refusal of an act for this reason.
    pub fn refusal(self, action: Action) -> Refusal {
        Refusal::new(action, self.label(), &self)
    }
}

impl fmt::Display for TokenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "this needs a token: add it to the stream name or to the server's URL",
            Self::Malformed(what) => return write!(f, "the token cannot be read: {what}"),
            Self::Key => "the token is signed by an algorithm or key that is not used here",
            Self::Signature => "the signature of the token is wrong",
            Self::Expired => "the token has expired: ask for a new one",
            Self::NotYet => "the token is not valid yet",
            Self::Audience => "the token is for another server",
            Self::Application => "the token is for another application",
            Self::Stream => "the token is for another stream",
            Self::Act => "the token does not permit this",
            Self::Address => "the token is bound to an address, and this client's is unknown",
        })
    }
}

impl std::error::Error for TokenRefused {}
