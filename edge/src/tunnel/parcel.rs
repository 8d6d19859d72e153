//! A session of RTMPT in a parcel.
//!
//! The requests that were under way are answered, so that the next one finds the session in the other
//! process, on a connection that has moved or on another one.

use std::sync::{Arc, atomic::Ordering};

use tokio::task::spawn_local;
use tributary_protocol::{
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    tunnel::{Tunnel, TunnelId},
};

use super::{MOST_SESSIONS, TunnelSession, Tunnels, session::MovedState};
use crate::wire::{Pipe, PipeOwner};

const ID: u16 = 1;
const TUNNEL: u16 = 2;
const CLOSED_AT: u16 = 3;
const PIPE: u16 = 4;

/// The longest answer: as much as a pipe holds, and the polling byte.
const LONGEST: usize = 64 * 1024 + 1;

impl Tunnels {
    /// Lets requests that wait for output be answered at once, or wait again.
    pub(crate) fn hurry(&self, hurries: bool) {
        self.hurries.store(hurries, Ordering::Release);
        let sessions: Vec<_> = self.lock().values().cloned().collect();
        for session in sessions {
            session.notify();
        }
    }

    /// Takes a session of another process over, and returns its pipe; call it within a `LocalSet`.
    pub(crate) fn import(
        self: &Arc<Self>,
        parcel: &mut ParcelReader<'_>,
    ) -> Result<Arc<Pipe>, ParcelError> {
        let id: TunnelId = parcel.carried(ID, ())?;
        let tunnel: Tunnel = parcel.carried(TUNNEL, LONGEST)?;
        let closed_at = parcel.time_if(CLOSED_AT)?;
        let budget = Arc::clone(&self.budget);
        let read = |parcel: &mut ParcelReader<'_>| Pipe::import(parcel, budget);
        let pipe = parcel.record_if(PIPE, "the pipe", read)?;
        let pipe = pipe.ok_or_else(|| parcel.illegal(PIPE))?;
        let state = MovedState { tunnel, closed_at };
        let hurries = Arc::clone(&self.hurries);
        let session = TunnelSession::moved(id, Arc::clone(&pipe), state, hurries);
        let mut sessions = self.lock();
        let is_new = sessions.len() < MOST_SESSIONS && !sessions.contains_key(&id);
        parcel.require(is_new, ID)?;
        sessions.insert(id, Arc::clone(&session));
        drop(sessions);
        let tunnels = Arc::clone(self);
        spawn_local(async move { tunnels.keep(id, &session).await });
        Ok(pipe)
    }
}

impl PipeOwner for TunnelSession {
    fn is_busy(&self) -> bool {
        self.with_state(|tunnel, _| tunnel.is_busy())
    }

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.carry(ID, &self.id());
        self.with_state(|tunnel, closed_at| {
            parcel.carry(TUNNEL, tunnel);
            parcel.time_if(CLOSED_AT, closed_at);
        });
        parcel.record(PIPE, |parcel| self.pipe().export(parcel));
    }
}
