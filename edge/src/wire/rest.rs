//! The change between a connection that is written to and one that rests.
//!
//! Two limits of the kernel exclude each other. TCP_USER_TIMEOUT notices soon that bytes stay
//! unacknowledged, but while it is set, a single keep-alive probe without an answer breaks a
//! connection that has been silent for longer than it (Linux, `tcp_keepalive_timer`). So it is set
//! while the edge writes, and the probes while the connection rests:
//!
//! ```text
//!             two looks without a write between them
//!   written ────────────────────────────────────────► rests
//!   TCP_USER_TIMEOUT ◄─────────────────────────────── SO_KEEPALIVE
//!                               a write
//! ```

use std::{cell::Cell, time::Instant};

use super::{Transport, Upkeep, upkeep::Probes};

/// Whether a connection rests.
#[derive(Debug)]
pub(crate) struct Rest {
    upkeep: &'static Upkeep,
    state: Cell<State>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Written {
        /// Whether bytes were written since the last look.
        since_look: bool,
        next_look: Instant,
    },
    Rests,
    /// The kernel sends no probes.
    NeverRests,
}

impl Rest {
    /// The state of an accepted connection, which has the options of its listener.
    pub(crate) fn new(upkeep: &'static Upkeep, now: Instant) -> Self {
        let state = match upkeep.probes {
            Some(probes) => State::written(now, &probes),
            None => State::NeverRests,
        };
        Self {
            upkeep,
            state: Cell::new(state),
        }
    }

    /// Whether the upkeep is that of clients behind a proxy.
    pub(super) fn is_proxied(&self) -> bool {
        self.upkeep.probes.is_none()
    }

    /// Sets the options of a connection that was written to: it comes from another process, at which
    /// it may have rested.
    pub(super) fn restore(&self, transport: &Transport) {
        if self.upkeep.probes.is_some() {
            transport.limit_unacknowledged(self.upkeep.unacknowledged);
        }
    }

    /// Notes that bytes were written. Returns whether the connection rested until then.
    pub(super) fn written(&self, transport: &Transport) -> bool {
        match (self.state.get(), &self.upkeep.probes) {
            (State::Written { next_look, .. }, _) => {
                self.state.set(State::Written {
                    since_look: true,
                    next_look,
                });
                false
            }
            (State::Rests, Some(probes)) => {
                transport.limit_unacknowledged(self.upkeep.unacknowledged);
                self.state.set(State::written(Instant::now(), probes));
                true
            }
            (State::Rests | State::NeverRests, _) => false,
        }
    }

    /// The time for the next [`Self::look`].
    pub(super) fn next_look(&self) -> Option<Instant> {
        match self.state.get() {
            State::Written { next_look, .. } => Some(next_look),
            State::Rests | State::NeverRests => None,
        }
    }

    /// Looks for writes if it is time. `waits`: bytes wait for the peer, so that it does not rest.
    pub(super) fn look(&self, now: Instant, waits: bool, transport: &Transport) {
        let Some(probes) = &self.upkeep.probes else {
            return;
        };
        let State::Written {
            since_look,
            next_look,
        } = self.state.get()
        else {
            return;
        };
        if now < next_look {
            return;
        }
        let state = if since_look || waits {
            State::Written {
                since_look: false,
                next_look: now + probes.look,
            }
        } else {
            // All bytes are acknowledged: they are older than the limit, which holds so far.
            transport.probe(probes.after);
            State::Rests
        };
        self.state.set(state);
    }
}

impl State {
    fn written(now: Instant, probes: &Probes) -> Self {
        Self::Written {
            since_look: true,
            next_look: now + probes.look + probes.spread.mul_f64(rand::random()),
        }
    }
}
