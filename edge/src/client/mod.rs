//! One client's connection: handshake, session, publishes and plays.
//!
//! ```text
//!  accepted ─► Handshake ─► AwaitConnect ─► Pending ─► Accepted ─┐
//!                 │              │             │                 ├─► flushed, closed
//!                 └──────────────┴─────────────┴─────────────────┘
//! ```
//!
//! A connection is one task on a worker's thread. [`driver`] waits and moves bytes, [`session`]
//! decides, [`forwarding`] sends to the origin, [`crate::wire`] writes to the client,
//! [`publishing`] and [`playing`] hold the state of message streams.

mod act;
mod driver;
mod end;
mod figures;
mod forwarding;
mod freeze;
mod outcome;
mod pace;
mod playing;
mod publishing;
mod read_times;
mod reading;
mod route;
mod session;
mod ticks;
mod timers;

pub(crate) use driver::{serve, take};

#[cfg(test)]
mod tests;
