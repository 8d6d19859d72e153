//! A connection in memory: the bytes between a session and the requests that carry them.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{Interest, Ready},
    sync::{Notify, futures::Notified},
};
use tributary_protocol::{parcel::ParcelWriter, tunnel::TunnelFault};

/// Bytes in both directions, with a bound each. It takes the place of a socket and its buffers in
/// the kernel. The requests may be on other threads than the session.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    budget: Arc<PipeBudget>,
    /// Wakes the requests: there is output, room for input, or the end.
    changed: Notify,
    /// The session of RTMPT to which the pipe belongs.
    of: OnceLock<Weak<dyn PipeOwner>>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes from the client, which the session has not read.
    input: BytesMut,
    /// Bytes for the client, which no request has taken.
    output: BytesMut,
    /// The length of the last answer, which is kept until the next one.
    answer: usize,
    /// The end of the input.
    end: Option<Option<TunnelFault>>,
    /// Whether the session writes no more.
    has_shut: bool,
    session: Option<Waker>,
}

mod parcel;

/// The session of RTMPT to which a pipe belongs.
pub(crate) trait PipeOwner: fmt::Debug + Send + Sync {
    /// Whether a request is under way.
    fn is_busy(&self) -> bool;

    /// Writes the session, with its pipe.
    fn export(&self, parcel: &mut ParcelWriter);
}

/// The bytes in all pipes of an edge.
#[derive(Debug, Default)]
pub(crate) struct PipeBudget(AtomicUsize);

/// Bytes in one direction. Reason: as much as the kernel holds of a client that reads slowly.
const ROOM: usize = 64 * 1024;

/// The same once all pipes together are full: a session goes on slowly.
const LEAST_ROOM: usize = 4 * 1024;

/// Bytes in all pipes from which on each has [`LEAST_ROOM`].
const MOST_IN_ALL: usize = 256 * 1024 * 1024;

impl Pipe {
    pub(crate) fn new(budget: Arc<PipeBudget>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            budget,
            changed: Notify::new(),
            of: OnceLock::new(),
        })
    }

    /// Notes the session to which the pipe belongs.
    pub(crate) fn belong(&self, owner: Weak<dyn PipeOwner>) {
        let _ = self.of.set(owner);
    }

    /// The session to which the pipe belongs.
    pub(super) fn owner(&self) -> Option<Arc<dyn PipeOwner>> {
        self.of.get()?.upgrade()
    }

    /// Completes with the next change that concerns the requests, from this call on.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Lets the requests look again.
    pub(crate) fn notify(&self) {
        self.changed.notify_waiters();
    }

    /// The bytes of the client that the pipe takes now. Those of a session that has ended are lost.
    pub(crate) fn room(&self) -> usize {
        let state = self.lock();
        match state.is_over() {
            true => usize::MAX,
            false => self.budget.room(state.input.len()),
        }
    }

    /// Takes bytes of the client, for which there was [`Self::room`].
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = self.lock();
        if bytes.is_empty() || state.is_over() {
            return;
        }
        self.budget.add(bytes.len());
        state.input.extend_from_slice(bytes);
        wake(state);
    }

    /// Moves the bytes for the client behind `answer`.
    pub(crate) fn take(&self, answer: &mut BytesMut) {
        let mut state = self.lock();
        let output = std::mem::take(&mut state.output);
        let before = std::mem::replace(&mut state.answer, output.len());
        self.budget.sub(before);
        answer.extend_from_slice(&output);
        wake(state);
    }

    /// Whether bytes wait for the client.
    pub(crate) fn has_output(&self) -> bool {
        !self.lock().output.is_empty()
    }

    /// Whether the session has ended, and no byte of it is left.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.lock();
        state.has_shut && state.output.is_empty()
    }

    /// Ends the client's side.
    pub(crate) fn end(&self, fault: Option<TunnelFault>) {
        let mut state = self.lock();
        state.end.get_or_insert(fault);
        wake(state);
        self.notify();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let state = self.lock();
        let held = state.input.len() + state.output.len() + state.answer;
        self.budget.sub(held);
    }
}

impl State {
    /// Whether nobody reads the input any more.
    fn is_over(&self) -> bool {
        self.has_shut || self.end.is_some()
    }
}

/// Wakes the session, after the lock is free.
fn wake(mut state: MutexGuard<'_, State>) {
    let session = state.session.take();
    drop(state);
    if let Some(session) = session {
        session.wake();
    }
}

impl PipeBudget {
    fn room(&self, filled: usize) -> usize {
        let room = match self.0.load(Ordering::Relaxed) < MOST_IN_ALL {
            true => ROOM,
            false => LEAST_ROOM,
        };
        room.saturating_sub(filled)
    }

    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The session's end of a pipe; the operations are those of the transport. Its drop ends the session's
/// side.
#[derive(Debug)]
pub(super) struct PipeEnd(pub(super) Arc<Pipe>);

impl PipeEnd {
    pub(super) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        let mut state = self.0.lock();
        let mut ready = Ready::EMPTY;
        if interest.is_readable() && (!state.input.is_empty() || state.end.is_some()) {
            ready |= Ready::READABLE;
        }
        let has_room = self.0.budget.room(state.output.len()) > 0;
        if interest.is_writable() && (has_room || state.end.is_some()) {
            ready |= Ready::WRITABLE;
        }
        if ready.is_empty() {
            state.session = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(ready))
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.input.is_empty() {
            return match state.end {
                None => Err(io::ErrorKind::WouldBlock.into()),
                Some(None) => Ok(0),
                Some(Some(fault)) => {
                    state.end = Some(None);
                    Err(io::Error::new(io::ErrorKind::InvalidData, fault))
                }
            };
        }
        let bytes = state.input.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&state.input[..bytes]);
        state.input.advance(bytes);
        if state.input.is_empty() {
            // An idle session owns no buffer.
            state.input = BytesMut::new();
        }
        drop(state);
        self.0.budget.sub(bytes);
        self.0.notify();
        Ok(bytes)
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.is_over() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let taken = self.0.budget.room(state.output.len()).min(bytes.len());
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.output.extend_from_slice(&bytes[..taken]);
        drop(state);
        self.0.budget.add(taken);
        self.0.notify();
        Ok(taken)
    }

    pub(super) fn shutdown(&self) {
        self.0.lock().has_shut = true;
        self.0.notify();
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_pipes_leave_each_a_little_room() {
        let budget = Arc::new(PipeBudget::default());
        let pipe = Pipe::new(Arc::clone(&budget));
        let end = PipeEnd(Arc::clone(&pipe));
        budget.add(MOST_IN_ALL);
        assert_eq!(pipe.room(), LEAST_ROOM);
        assert_eq!(end.try_write(&[0; 2 * LEAST_ROOM]).ok(), Some(LEAST_ROOM));
        assert!(end.try_write(&[0]).is_err());
        budget.sub(MOST_IN_ALL);
        assert_eq!(end.try_write(&[0; ROOM]).ok(), Some(ROOM - LEAST_ROOM));
        // The answer counts until the next one.
        pipe.take(&mut BytesMut::new());
        assert_eq!(budget.0.load(Ordering::Relaxed), ROOM);
        pipe.take(&mut BytesMut::new());
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
        pipe.push(b"left");
        drop((pipe, end));
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }
}
