//! One session of RTMPT.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{
    sync::Notify,
    time::{sleep_until, timeout_at},
};
use tributary_protocol::tunnel::{CLOSED, Reception, Tunnel, TunnelFault, TunnelId, TunnelKind};

use crate::wire::Pipe;

/// A session, as its requests see it. Its lock is taken before the pipe's.
#[derive(Debug)]
pub(crate) struct TunnelSession {
    id: TunnelId,
    pipe: Arc<Pipe>,
    state: Mutex<State>,
    closed: Notify,
    /// Whether requests are answered at once: the session is about to go to another process.
    hurries: Arc<AtomicBool>,
}

/// The state of a session that comes from another process.
#[derive(Debug)]
pub(super) struct MovedState {
    pub(super) tunnel: Tunnel,
    pub(super) closed_at: Option<Instant>,
}

#[derive(Debug)]
struct State {
    tunnel: Tunnel,
    /// The request under way, or the last one.
    holder: Ticket,
    closed_at: Option<Instant>,
}

/// A request at a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) sequence: u64,
    /// A number that no other request of the edge has.
    pub(crate) number: u64,
}

/// The time for which a session that has ended is known. Reason: a proxy may repeat its last request.
const REMEMBERED: Duration = Duration::from_secs(5);

impl TunnelSession {
    pub(super) fn new(
        id: TunnelId,
        pipe: Arc<Pipe>,
        hurries: Arc<AtomicBool>,
        now: Instant,
    ) -> Arc<Self> {
        let state = MovedState {
            tunnel: Tunnel::new(now),
            closed_at: None,
        };
        Self::moved(id, pipe, state, hurries)
    }

    /// The session of another process. No request is under way.
    pub(super) fn moved(
        id: TunnelId,
        pipe: Arc<Pipe>,
        state: MovedState,
        hurries: Arc<AtomicBool>,
    ) -> Arc<Self> {
        let holder = Ticket {
            sequence: 0,
            number: 0,
        };
        let session = Arc::new(Self {
            id,
            pipe,
            state: Mutex::new(State {
                tunnel: state.tunnel,
                holder,
                closed_at: state.closed_at,
            }),
            closed: Notify::new(),
            hurries,
        });
        let owner = Arc::downgrade(&session);
        session.pipe.belong(owner);
        session
    }

    pub(super) fn id(&self) -> TunnelId {
        self.id
    }

    pub(super) fn pipe(&self) -> &Pipe {
        &self.pipe
    }

    /// Reads the state.
    pub(super) fn with_state<T>(&self, read: impl FnOnce(&Tunnel, Option<Instant>) -> T) -> T {
        let state = self.lock();
        read(&state.tunnel, state.closed_at)
    }

    /// Lets the requests look again.
    pub(super) fn notify(&self) {
        self.pipe.notify();
    }

    /// Handles the head of a request. A fault ends the session.
    pub(crate) fn handle_request(
        &self,
        kind: TunnelKind,
        ticket: Ticket,
        length: u32,
        now: Instant,
    ) -> Result<Reception, TunnelFault> {
        let mut state = self.lock();
        let tunnel = &mut state.tunnel;
        let reception = tunnel.handle_request(kind, ticket.sequence, length, now);
        match &reception {
            Ok(Reception::New | Reception::Overtaking | Reception::Again) => {
                state.holder = ticket;
                drop(state);
                // The request that had the place is answered or closed.
                self.pipe.notify();
            }
            Ok(_) => {}
            Err(fault) => {
                drop(state);
                self.end(Some(*fault));
            }
        }
        reception
    }

    /// Takes bytes of a request's body, `offset` bytes behind its start, as fast as the session reads
    /// them.
    pub(crate) async fn take_body(&self, ticket: Ticket, mut offset: u32, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let changed = self.pipe.changed();
            let room = self.pipe.room().min(bytes.len());
            if room == 0 {
                changed.await;
                continue;
            }
            let (now, later) = bytes.split_at(room);
            let mut state = self.lock();
            if state.holder == ticket {
                self.pipe
                    .push(state.tunnel.take_body(ticket.sequence, offset, now));
            }
            (offset, bytes) = (offset + room as u32, later);
        }
    }

    /// Waits for the answer to a request whose body is complete. `None`: another connection has
    /// brought the request again and gets the answer.
    pub(crate) async fn answer(&self, ticket: Ticket) -> Option<Bytes> {
        loop {
            let changed = self.pipe.changed();
            let at = match self.try_answer(ticket) {
                Ok(answer) => return answer,
                Err(at) => at,
            };
            // The time is over, or something has changed.
            let _ = timeout_at(at.into(), changed).await;
        }
    }

    /// The answer, or the time at which there is one without output.
    fn try_answer(&self, ticket: Ticket) -> Result<Option<Bytes>, Instant> {
        let mut state = self.lock();
        if state.holder != ticket {
            let is_again = state.holder.sequence == ticket.sequence;
            return Ok((!is_again).then(|| state.polling_byte()));
        }
        if self.pipe.is_finished() {
            self.close(&mut state);
        }
        let has_output = self.pipe.has_output();
        let Some(at) = state.tunnel.answer_at(has_output) else {
            return Ok(Some(state.polling_byte()));
        };
        if at > Instant::now() && !self.hurries.load(Ordering::Acquire) {
            return Err(at);
        }
        let mut body = BytesMut::zeroed(1);
        self.pipe.take(&mut body);
        Ok(Some(state.tunnel.answer(body)))
    }

    /// The answer to a request that is older than the last one.
    pub(crate) fn old_answer(&self) -> Bytes {
        self.lock().polling_byte()
    }

    /// Ends the session; its task reads the end of the connection, or the fault.
    pub(crate) fn end(&self, fault: Option<TunnelFault>) {
        self.close(&mut self.lock());
        self.pipe.end(fault);
    }

    fn close(&self, state: &mut State) {
        state.tunnel.close();
        state.closed_at.get_or_insert_with(Instant::now);
        self.closed.notify_one();
    }

    /// Waits until the session may be forgotten.
    pub(super) async fn over(&self) {
        loop {
            let (at, is_closed) = {
                let state = self.lock();
                let closed = state.closed_at.map(|at| at + REMEMBERED);
                let at = state.tunnel.ends_at().min(closed.unwrap_or_else(far));
                (at, closed.is_some())
            };
            if at <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(at.into()) => {}
                () = self.closed.notified(), if !is_closed => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn polling_byte(&self) -> Bytes {
        Bytes::copy_from_slice(&[self.tunnel.polling_byte()])
    }
}

/// The whole answer of a session that has ended.
pub(crate) fn closed_answer() -> Bytes {
    Bytes::from_static(&[CLOSED])
}

/// A time that does not come.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}
