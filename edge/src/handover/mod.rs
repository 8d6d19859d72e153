//! Replacing an edge's program: the new process takes the sockets and the clients of the old one over.
//!
//! ```text
//!   new                                    old, which serves its clients all the while
//!    │ ── Hello ───────────────────────────► │ same user and name, not leaving, no other replacement
//!    │ ◄── Socket (with a descriptor) ... ── │ or Refuse
//!    │ ◄── End ───────────────────────────── │
//!    │ starts with these sockets             │
//!    │ ── Ready ───────────────────────────► │ its clients stand still
//!    │ ◄── Moved (a client) ... ──────────── │
//!    │ ◄── Links (a part) ... ────────────── │
//!    │ ◄── AllMoved ──────────────────────── │
//!    │ takes them in                         │
//!    │ ── Taken ───────────────────────────► │
//!    │ ◄── Left ──────────────────────────── │ closes its copies, and leaves
//!    │ dials, serves, accepts clients        │
//!    │ ◄── Moved (one that follows) ... ──── │ until it ends
//! ```
//!
//! Until `Left` either side may end the connection: the old process then serves as before, and the
//! new one ends. Both have the sockets, so that no client is refused at any moment, and one of them uses
//! them. If the versions of the programs differ too much, `End` says so: the new process waits for a
//! link, says `Taken` at once, and the clients stay with the old one until they leave.
//! `docs/replace.md` has the messages.

mod give;
mod message;
mod take;

use std::{fmt, io, net::SocketAddr, os::fd::OwnedFd, time::Duration};

use tributary_protocol::parcel::ParcelError;

pub use give::{Given, Giver, give};
pub use take::{Following, Takeover, take};

use crate::{link::MoveError, live::TakeError};

/// The longest wait for a message. Reason: the other process sends at once, but for the new one that
/// starts with the sockets, which waits for its first link at most [`START`].
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest start of the new process.
const START: Duration = Duration::from_secs(60);

/// The longest time for which clients stand still before the replacement is given up, and for which
/// the new process may take them in.
const FREEZE: Duration = Duration::from_secs(5);

/// The sockets of an edge. Reason: its configuration has a listener for each, and it may have as many
/// as a message has names.
const MOST_SOCKETS: u64 = 1024;

/// A socket that changes hands.
#[derive(Debug)]
pub struct Passed {
    pub role: SocketRole,
    pub socket: OwnedFd,
}

/// The use of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRole {
    /// The listener for clients with this address in the configuration.
    Clients(SocketAddr),
    /// The listener of the admin server.
    Admin,
    /// The socket on which the next replacement is asked for.
    Handover,
}

/// The reason for which sockets do not change hands.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandoverError {
    /// No process listens there.
    Nobody(io::Error),
    /// The other process refuses, for this reason.
    Refused(String),
    /// The other process is another user's.
    Stranger,
    /// The connection has failed.
    Io(io::Error),
    /// The other process sends something else.
    Message(ParcelError),
    /// The messages come in another order.
    Order,
    /// This process is stopped.
    Stopped,
    /// The links cannot move.
    Links(MoveError),
    /// This process cannot take the clients.
    Take(TakeError),
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(error) => write!(
                f,
                "no edge answers: {error}; start without --replace, or name the socket of the \
                 running edge in edge.handover"
            ),
            Self::Refused(reason) => write!(f, "the running edge refuses: {reason}"),
            Self::Stranger => f.write_str(
                "the running edge is another user's; start the new one as the same user",
            ),
            Self::Io(error) => write!(f, "the running edge does not answer: {error}"),
            Self::Message(error) => write!(
                f,
                "the running edge is of a version that cannot hand over to this one ({error}); \
                 start another edge, and stop the old one with SIGTERM"
            ),
            Self::Order => f.write_str("the other process is no edge that hands over"),
            Self::Stopped => f.write_str("this process is stopped; the running edge goes on"),
            Self::Links(error) => write!(f, "the links cannot move: {error}"),
            Self::Take(error) => write!(f, "the clients cannot be taken over: {error}"),
        }
    }
}

impl std::error::Error for HandoverError {}

impl From<io::Error> for HandoverError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<MoveError> for HandoverError {
    fn from(error: MoveError) -> Self {
        Self::Links(error)
    }
}

impl From<TakeError> for HandoverError {
    fn from(error: TakeError) -> Self {
        Self::Take(error)
    }
}

impl From<ParcelError> for HandoverError {
    fn from(error: ParcelError) -> Self {
        Self::Message(error)
    }
}

#[cfg(test)]
mod tests;
