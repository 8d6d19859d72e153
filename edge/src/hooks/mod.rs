//! HTTP hooks: services that decide who may connect, publish and play, and that are told of ends.
//!
//! ```text
//!   session (edge-N)                         thread web
//!   Conversation ── ask ──► Question ── all URLs ──► services
//!        ▲                     │
//!        ├──── answer ◄────────┤ if the session has left meanwhile:
//!        │                     ▼ an allowed decision is told as over
//!        └── end, leave ──► deliver ── three attempts ──► services
//! ```
//!
//! | file | content |
//! |---|---|
//! | `card` | the session, as services learn of it |
//! | `services` | requests by HTTP, bounded for each service |
//! | `owed` | the count of done-hooks under way |
//! | `lines` | log lines, not too many |
//! | `shared` | the parts that all sessions of an edge share |
//! | `deliver` | done-hooks and their attempts |
//! | `ask` | questions and updates |
//! | `conversation` | one session's questions, debts and updates |

mod ask;
mod card;
mod conversation;
mod deliver;
mod lines;
mod owed;
mod services;
mod shared;
#[cfg(test)]
mod tests;

pub(crate) use ask::Answering;
pub(crate) use card::Card;
pub(crate) use conversation::{Asked, Conversation, HookNews, MovedQuestion};
pub(crate) use deliver::Farewell;
pub(crate) use shared::{Hooks, OfApplication};
