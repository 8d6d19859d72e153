//! Sessions of RTMPT: between the requests that carry their bytes, on any connection and thread, and
//! the tasks that serve them as any other client.
//!
//! ```text
//!   requests ──► Tunnels ──id──► TunnelSession ──(Pipe)──► Transport of the session's task
//! ```

mod parcel;
mod session;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use tributary_protocol::tunnel::TunnelId;

pub(crate) use session::{Ticket, TunnelSession, closed_answer};

use crate::wire::{Pipe, PipeBudget, Transport};

/// The sessions of RTMPT of an edge.
#[derive(Debug, Default)]
pub(crate) struct Tunnels {
    sessions: Mutex<HashMap<TunnelId, Arc<TunnelSession>>>,
    budget: Arc<PipeBudget>,
    tickets: AtomicU64,
    /// Whether requests are answered at once.
    hurries: Arc<AtomicBool>,
}

/// Sessions, those included that have ended and are known for a while.
const MOST_SESSIONS: usize = 65_536;

impl Tunnels {
    /// Begins a session, and returns the connection for its task; `None` if there are too many. A
    /// session ends 60 s after its last request.
    pub(crate) fn open(
        self: &Arc<Self>,
        id: TunnelId,
        now: Instant,
    ) -> Option<(Arc<TunnelSession>, Transport)> {
        let mut sessions = self.lock();
        if sessions.len() >= MOST_SESSIONS {
            return None;
        }
        let pipe = Pipe::new(Arc::clone(&self.budget));
        let hurries = Arc::clone(&self.hurries);
        let session = TunnelSession::new(id, Arc::clone(&pipe), hurries, now);
        sessions.insert(id, Arc::clone(&session));
        Some((session, Transport::pipe(pipe)))
    }

    /// The session with this id.
    pub(crate) fn find(&self, id: TunnelId) -> Option<Arc<TunnelSession>> {
        self.lock().get(&id).cloned()
    }

    /// A ticket for a request with this number.
    pub(crate) fn ticket(&self, sequence: u64) -> Ticket {
        let number = self.tickets.fetch_add(1, Ordering::Relaxed) + 1;
        Ticket { sequence, number }
    }

    /// Waits for the end of a session and forgets it.
    pub(crate) async fn keep(&self, id: TunnelId, session: &TunnelSession) {
        session.over().await;
        session.end(None);
        self.lock().remove(&id);
    }

    /// The sessions that are known.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TunnelId, Arc<TunnelSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_session_without_requests_ends_and_is_forgotten() {
        let tunnels = Arc::new(Tunnels::default());
        let id = TunnelId {
            worker: 0,
            secret: 1,
        };
        let silence = Duration::from_secs(60);
        let Some(last) = Instant::now().checked_sub(silence - Duration::from_millis(50)) else {
            return;
        };
        let (session, transport) = tunnels.open(id, last).expect("there is room");
        assert_eq!(tunnels.len(), 1);
        assert!(tunnels.find(id).is_some());
        let kept = tokio::time::timeout(silence, tunnels.keep(id, &session));
        kept.await.expect("in time");
        assert_eq!(tunnels.len(), 0);
        let read = transport.try_read(&mut [0; 8]);
        assert_eq!(read.expect("the end"), 0);
    }
}
