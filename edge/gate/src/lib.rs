//! Decisions of an edge: who may connect, publish and play.
//!
//! The crate decides and does nothing else: it opens no file and no socket and has no clock and no
//! random source. Its caller reads the files, sends the requests of hooks, and gives the time and
//! random bytes. An edge asks before an origin hears of a session, in this order; the first refusal
//! wins:
//!
//! | module | decides by | settings, below `[applications.NAME]` |
//! |---|---|---|
//! | `access` | address and transport | `access` |
//! | `rates` | rates of one address, and its failures | `limits` |
//! | `encoders` | user and password of encoders | `encoders` |
//! | `tokens` | signed texts in a query | `tokens` |
//!
//! Four modules serve the others: `networks` (lists of addresses), `query` (fields of a query), `secret`
//! (keys that edges share) and `refusal` (the status and the sentence of a refusal).

mod access;
mod encoders;
mod networks;
mod query;
mod rates;
mod refusal;
mod secret;
mod tokens;

pub use access::{Access, AccessRefused, Transport};
pub use encoders::{
    EncoderSettings, Encoders, LOGIN_LABEL, Login, MAX_USED, MAX_USER, MAX_USERS_FILE, NoUser,
    RANDOM, Scheme, UsedNonces, UserMistake, Users,
};
pub use networks::{Network, NetworkError, Networks};
pub use rates::{MAX_ADDRESSES, RateRefused, RateSettings, Rates, Slowing};
pub use refusal::{Action, MAX_DESCRIPTION, Refusal, RefusedStatus};
pub use secret::{SharedKey, ShortSecret};
pub use tokens::{
    Claims, Key, KeyError, KeyKind, MAX_KEY_FILE, MAX_KEYS, MAX_TOKEN, Queries, TokenKey,
    TokenRefused, TokenRequest, TokenSettings, Tokens,
};
