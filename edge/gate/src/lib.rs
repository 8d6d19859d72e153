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
//!
//! Two modules serve the others: `networks` (lists of addresses) and `refusal` (the status and the
//! sentence of a refusal).

mod access;
mod networks;
mod refusal;

pub use access::{Access, AccessRefused, Transport};
pub use networks::{Network, NetworkError, Networks};
pub use refusal::{Action, MAX_DESCRIPTION, Refusal, RefusedStatus};
