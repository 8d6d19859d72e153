//! Moving of live clients to another process of the edge.
//!
//! ```text
//!   old process                                       new process
//!   Serves ─► Freezes ── sessions with a lane ──────► Holds: imported, they wait
//!     ▲          │                                       │
//!     └─ abort ──┤                                       ▼
//!                └─► Left ── those that were younger ──► Serves
//! ```
//!
//! A worker has one stage. In `Freezes` each session with a lane handles its inbox up to the mark of the
//! link thread, becomes a parcel and stands still; others stand still at once. In `Left` the ones that
//! have moved end here without a word to the origin, and younger ones follow when they have come as far
//! as their connect command.

mod links;

use std::{io, os::fd::OwnedFd};

use bytes::Bytes;
use tokio::sync::mpsc;
use tributary_gate::HookAnswer;
use tributary_protocol::{SessionId, parcel::ParcelError};

pub(crate) use links::{LinksState, LinksToTake, StateOfLinks, run_links};

use crate::{admission::Permit, spread::WorkerSlot};

/// A client on its way to another process.
#[derive(Debug)]
pub struct MovedClient {
    /// The state of its session.
    pub parcel: Bytes,
    /// Its socket; a session in requests has none of its own.
    pub socket: Option<OwnedFd>,
}

/// An item that goes to another process.
#[derive(Debug)]
pub enum Moved {
    Client(MovedClient),
    /// A connection that carries requests of RTMPT.
    Requests(MovedClient),
    /// A client could not be sent, as no further one could: the replacement is given up.
    Failed(io::Error),
    /// The answer of a service to a session that went before.
    Answer {
        session: SessionId,
        answer: HookAnswer,
    },
}

/// Items between the workers and the thread that sends them. Reason: each has a descriptor, of which
/// a process has a limited number.
pub(crate) const ON_THE_WAY: usize = 64;

/// The part of a worker in a replacement.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    #[default]
    Serves,
    /// Sessions have come from another process, and wait.
    Holds,
    /// Sessions with a lane go into this queue, and stand still.
    Freezes(Option<mpsc::Sender<Moved>>),
    /// Another process has the sessions. Younger ones go into this queue.
    Left(mpsc::Sender<Moved>),
}

/// An order to a worker.
#[derive(Debug)]
pub(crate) enum WorkerOrder {
    /// Another stage begins.
    Begin {
        stage: Stage,
        /// Gets an item once it has begun.
        done: mpsc::Sender<()>,
    },
    /// Clients of another process.
    Take {
        arrivals: Vec<MovedArrival>,
        /// Gets the outcomes.
        done: mpsc::Sender<Vec<Result<(), ParcelError>>>,
    },
    /// The answer that a client of another process waits for.
    Answer {
        session: SessionId,
        answer: HookAnswer,
    },
    /// No such answer comes any more.
    EndAnswers,
}

/// A client of another process on its way to a worker.
#[derive(Debug)]
pub(crate) struct MovedArrival {
    pub(crate) client: MovedClient,
    /// Whether it is a connection that carries requests.
    pub(crate) is_for_requests: bool,
    pub(crate) permit: Permit,
    pub(crate) slot: WorkerSlot,
}
