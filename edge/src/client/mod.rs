//! One client's connection: handshake, session, and what it publishes and plays.
//!
//! ```text
//!  accepted ─► Handshake ─► AwaitConnect ─► Pending ─► Accepted ─┐
//!                 │              │             │                 ├─► flushed, closed
//!                 └──────────────┴─────────────┴─────────────────┘
//! ```
//!
//! A connection is one task on a worker's thread. [`driver`] waits and moves bytes, [`session`]
//! decides, [`crate::wire`] writes, [`publishing`] and [`playing`] keep what message streams carry.

mod driver;
mod pace;
mod playing;
mod publishing;
mod route;
mod session;
mod timers;

pub(crate) use driver::serve;

#[cfg(test)]
mod tests;
