//! Decisions of an edge: who may connect, publish and play.
//!
//! The crate decides and does nothing else: it opens no file and no socket and has no clock and no
//! random source. Its caller reads the files, sends the requests of hooks, and gives the time and
//! random bytes. An edge asks before an origin hears of a session, in this order; the first refusal wins:
//!
//! | module | decides by | settings, below `[applications.NAME]` |
//! |---|---|---|
//! | `access` | address and transport | `access` |
//! | `rates` | rates of one address, and its failures | `limits` |
//! | `encoders` | user and password of encoders | `encoders` |
//! | `tokens` | signed texts in a query | `tokens` |
//! | `hooks` | a service that is asked by HTTP | `hooks` |
//!
//! `gate` has this order, up to the hooks, whose answers come later:
//!
//! ```
//! use tributary_gate::{Access, Client, Gate, Memory, Now, RateSettings, Stopped, Transport};
//!
//! let gate = Gate {
//!     application: "live".into(),
//!     access: Access { deny: ["192.0.2.0/24".parse()?].into_iter().collect(), ..Access::default() },
//!     limits: RateSettings::default(),
//!     encoders: None,
//!     tokens: None,
//! };
//! let client = Client {
//!     address: Some("192.0.2.7".parse()?),
//!     transport: Transport::Rtmp,
//!     is_encoder: false,
//!     app: "live",
//!     instance: "_definst_",
//!     tc_url: "rtmp://edge.example.com/live",
//!     user: None,
//! };
//! # #[allow(clippy::disallowed_methods)]
//! let now = Now { instant: std::time::Instant::now(), unix: 1_800_000_000 };
//! let Err(Stopped::Refused(refusal)) = gate.connect(&Memory::default(), &client, now, [0; 6]) else {
//!     panic!("the address is on the list");
//! };
//! assert_eq!(refusal.text, "the address 192.0.2.7 may not connect here");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Four modules serve the others: `networks` (lists of addresses), `query` (fields of a query), `secret`
//! (keys that edges share) and `refusal` (the status and the sentence of a refusal).

mod access;
mod encoders;
mod gate;
mod hooks;
mod networks;
mod query;
mod rates;
mod refusal;
mod secret;
mod tokens;

pub use access::{Access, AccessRefused, NoTransport, Transport};
pub use encoders::{
    EncoderSettings, Encoders, LOGIN_LABEL, Login, MAX_USED, MAX_USER, MAX_USERS_FILE, NoUser,
    RANDOM, Scheme, UsedNonces, UserMistake, Users,
};
pub use gate::{Client, Gate, Memory, Named, Now, Passed, Stopped};
pub use hooks::{
    Caller, Debt, FieldTooLong, HookAnswer, HookEvent, HookFault, HookMethod, HookRefused,
    HookRequest, HookResponse, HookSettings, HookStyle, HookVerdict, Ledger, MAX_ANSWER, MAX_DEBTS,
    MAX_FIELD, MAX_URLS, NoRoom, OnFailure, Told, Urls,
};
pub use networks::{Network, NetworkError, Networks};
pub use rates::{MAX_ADDRESSES, RateRefused, RateSettings, Rates, Slowing};
pub use refusal::{Action, MAX_DESCRIPTION, Refusal, RefusedStatus};
pub use secret::{SharedKey, ShortSecret};
pub use tokens::{
    Claims, Key, KeyError, KeyKind, MAX_KEY_FILE, MAX_KEYS, MAX_TOKEN, Queries, TokenKey,
    TokenRefused, TokenRequest, TokenSettings, Tokens,
};
