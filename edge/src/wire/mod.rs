//! The sending side of one client's connection.
//!
//! The driver sends the session's own messages; the passes of the streams that it plays send media,
//! which was encoded for all viewers. Messages are never mixed: the rest of a message that was sent
//! in part leaves first, then the session's output, then media.

use std::{
    cell::{Cell, RefCell, RefMut},
    io::{self, IoSlice},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::Notify;
use tributary_protocol::session::ServerConnection;

mod parcel;
mod rest;
mod socket;
mod throttle;
mod transport;
mod upkeep;

pub(crate) use rest::Rest;
pub(crate) use socket::prepare;
pub(crate) use throttle::Throttle;
pub(crate) use transport::{Pipe, PipeBudget, PipeOwner, Pump, TlsFault, TlsSettings, Transport};
#[cfg(test)]
pub(crate) use upkeep::Probes;
pub(crate) use upkeep::{PING, Upkeep};

/// A transport, and the bytes that wait for it.
#[derive(Debug)]
pub(crate) struct Wire {
    transport: Transport,
    /// Wakes the driver: the socket takes no more, has failed, or a place in a feed is passed.
    signal: Notify,
    session: RefCell<ServerConnection>,
    state: Cell<State>,
    /// Whether the socket has reported room since a write found none.
    has_room: Cell<bool>,
    /// Bytes that were taken from the session's output and not all sent.
    unsent: RefCell<BytesMut>,
    /// The rest of a message for all viewers that was sent in part.
    begun: RefCell<Option<Box<Begun>>>,
    /// The time at which the peer last took bytes; set while bytes wait.
    progress: Cell<Option<Instant>>,
    sent: Cell<u64>,
    /// Messages that were sent, then messages of live streams that were dropped.
    messages: Cell<u64>,
    dropped: Cell<u64>,
    merging: Cell<Merging>,
    /// Whether nothing is written: the connection is on its way to another process.
    is_sealed: Cell<bool>,
    /// The limit on bytes per second to the client.
    limit: RefCell<Option<Box<Throttle>>>,
    all_sent: Counter,
    rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Clear,
    /// The socket takes no more.
    Blocked,
    /// The pace allows no more.
    Paced,
    Failed,
}

/// Whether the kernel may hold small writes back until the client has acknowledged what it has
/// (Nagle's algorithm, RFC 896), and merge them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Merging {
    /// So many streams that the client plays permit it.
    Permitted(u8),
    /// It may not from here on: the client calls, or plays a stream that does not wait.
    Refused,
}

/// The rest of a message that was sent in part.
#[derive(Debug)]
struct Begun {
    head: Box<[u8]>,
    body: Bytes,
    /// Sent bytes of head and body together.
    sent: usize,
}

/// The outcome of a write of shared messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrittenShared {
    /// All bytes were sent.
    All,
    /// So many bytes were sent; the caller keeps the rest of the message in which they end.
    Part(usize),
    /// No byte was sent: the socket takes no more, has failed, or other output goes first.
    Nothing,
}

/// Counts the bytes that the connections of this thread send from here on, with all that is around
/// RTMP.
pub(crate) fn count_sent(counter: Counter) {
    transport::count_sent(counter);
}

impl Wire {
    pub(crate) fn new(
        transport: Transport,
        session: ServerConnection,
        all_sent: Counter,
        rest: Rest,
    ) -> Self {
        Self {
            transport,
            signal: Notify::new(),
            session: RefCell::new(session),
            state: Cell::new(State::Clear),
            has_room: Cell::new(true),
            unsent: RefCell::default(),
            begun: RefCell::default(),
            progress: Cell::new(None),
            sent: Cell::new(0),
            messages: Cell::new(0),
            dropped: Cell::new(0),
            merging: Cell::new(Merging::Permitted(0)),
            is_sealed: Cell::new(false),
            limit: RefCell::default(),
            all_sent,
            rest,
        }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    pub(crate) fn signal(&self) -> &Notify {
        &self.signal
    }

    /// The protocol's side of the connection. Its output leaves with [`Wire::flush`].
    pub(crate) fn session(&self) -> RefMut<'_, ServerConnection> {
        self.session.borrow_mut()
    }

    /// Whether the client comes through a proxy.
    pub(crate) fn is_proxied(&self) -> bool {
        self.rest.is_proxied()
    }

    /// Bytes sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }

    /// Messages that were sent or will be, and messages of live streams that the client did not
    /// get.
    pub(crate) fn messages(&self) -> (u64, u64) {
        (self.messages.get(), self.dropped.get())
    }

    /// Counts messages that go to the client.
    pub(crate) fn count_messages(&self, count: u64) {
        self.messages.set(self.messages.get() + count);
    }

    /// Counts messages of a live stream that the client does not get.
    pub(crate) fn count_dropped(&self, count: u64) {
        self.dropped.set(self.dropped.get() + count);
    }

    /// One stream that the client plays permits the kernel to merge writes, or no longer does.
    pub(crate) fn let_merge(&self, permits: bool) {
        let Merging::Permitted(count) = self.merging.get() else {
            return;
        };
        let now = if permits {
            count.saturating_add(1)
        } else {
            count.saturating_sub(1)
        };
        self.merging.set(Merging::Permitted(now));
        if (count == 0) != (now == 0) {
            self.transport.set_merging(now > 0);
        }
    }

    /// Whether the kernel may merge writes, if a stream permits it.
    pub(crate) fn may_merge(&self) -> bool {
        self.merging.get() != Merging::Refused
    }

    /// Every write to the client leaves at once from here on.
    pub(crate) fn refuse_merging(&self) {
        if let Merging::Permitted(1..) = self.merging.replace(Merging::Refused) {
            self.transport.set_merging(false);
        }
    }

    /// Limits the bytes per second that the client is sent; `None` sets no limit.
    pub(crate) fn set_limit(&self, bytes_per_second: Option<u32>) {
        let pace = bytes_per_second.map(|rate| Box::new(Throttle::new(rate, Instant::now())));
        *self.limit.borrow_mut() = pace;
        // The driver computes its deadline anew.
        self.signal.notify_one();
    }

    /// The time at which the pace allows more, while the wire waits for that.
    pub(crate) fn paced_until(&self) -> Option<Instant> {
        let is_paced = self.state.get() == State::Paced;
        let pace = self.limit.borrow();
        let shut = |pace: &Throttle| pace.shut_until(Instant::now());
        is_paced.then(|| pace.as_deref().and_then(shut).unwrap_or_else(Instant::now))
    }

    /// Whether the wire waits for the socket.
    pub(crate) fn awaits_socket(&self) -> bool {
        matches!(self.state.get(), State::Blocked | State::Failed)
    }

    /// Notes that the socket has reported room.
    pub(crate) fn note_room(&self) {
        self.has_room.set(true);
    }

    /// Whether nothing can be written now.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.get() != State::Clear || self.is_sealed.get()
    }

    /// Writes nothing from now on, or writes again.
    pub(crate) fn seal(&self, is_sealed: bool) {
        self.is_sealed.set(is_sealed);
    }

    /// Whether a write has failed: the connection is gone.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.get() == State::Failed
    }

    /// The time since when the peer has taken no bytes, while bytes wait for it.
    pub(crate) fn stuck_since(&self) -> Option<Instant> {
        self.progress.get().filter(|_| self.awaits_socket())
    }

    /// Restarts the time without progress at `now`, if it runs.
    pub(crate) fn excuse(&self, now: Instant) {
        if self.progress.get().is_some() {
            self.progress.set(Some(now));
        }
    }

    /// Shifts all times by that for which the process was stopped.
    pub(crate) fn postpone(&self, by: Duration) {
        self.progress.set(self.progress.get().map(|at| at + by));
        if let Some(pace) = &mut *self.limit.borrow_mut() {
            pace.postpone(by);
        }
    }

    /// The time for the next [`Self::look_for_rest`].
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.rest.next_look()
    }

    /// Lets the connection rest, if it is time and nothing is written to the client.
    pub(crate) fn look_for_rest(&self, now: Instant) {
        self.rest.look(now, self.awaits_socket(), &self.transport);
    }

    /// Waiting bytes of the session's own output.
    pub(crate) fn pending(&self) -> usize {
        let output = self.unsent.borrow().len() + self.session.borrow().output_len();
        output + self.transport.unsent()
    }

    /// Sends the rest of a message and the session's output. Returns whether all of it left. A socket
    /// that has taken nothing blocks the wire until it reports room, also if no output waits: another
    /// attempt before that would fail again, and again at once.
    pub(crate) fn flush(&self) -> bool {
        if self.has_failed() || self.is_sealed.get() || self.must_wait() {
            return false;
        }
        match self.flush_all() {
            Ok(true) => {
                if self.has_room.get() {
                    self.state.set(State::Clear);
                    self.progress.set(None);
                }
                true
            }
            Ok(false) => {
                self.block(State::Blocked);
                false
            }
            Err(_) => {
                self.block(State::Failed);
                false
            }
        }
    }

    fn flush_all(&self) -> io::Result<bool> {
        Ok(self.finish_begun()? && self.flush_session()? && self.transport.try_flush()?)
    }

    /// Sends whole messages that were encoded for many clients. The session's output goes first.
    pub(crate) fn write_shared(&self, bytes: &[u8], messages: u64) -> WrittenShared {
        if self.is_blocked() || !self.flush() {
            return WrittenShared::Nothing;
        }
        match self.transport.try_write(bytes) {
            Ok(sent) => {
                self.count_shared(sent);
                if sent < bytes.len() || self.transport.unsent() > 0 {
                    self.block(State::Blocked);
                }
                match sent {
                    sent if sent == bytes.len() => {
                        self.count_messages(messages);
                        WrittenShared::All
                    }
                    0 => WrittenShared::Nothing,
                    _ => WrittenShared::Part(sent),
                }
            }
            Err(error) => {
                self.block_for(&error);
                WrittenShared::Nothing
            }
        }
    }

    /// Keeps a message of which `sent` bytes have left; its body is shared with other clients.
    pub(crate) fn keep_rest(&self, head: &[u8], body: Bytes, sent: usize) {
        if sent < head.len() + body.len() {
            let head = head.into();
            *self.begun.borrow_mut() = Some(Box::new(Begun { head, body, sent }));
        }
    }

    fn block_for(&self, error: &io::Error) {
        self.block(match error.kind() {
            io::ErrorKind::WouldBlock => State::Blocked,
            _ => State::Failed,
        });
    }

    fn finish_begun(&self) -> io::Result<bool> {
        let mut slot = self.begun.borrow_mut();
        while let Some(begun) = slot.as_mut() {
            let head = &begun.head[begun.sent.min(begun.head.len())..];
            let body = &begun.body[begun.sent.saturating_sub(begun.head.len())..];
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            let left = head.len() + body.len();
            let Some(bytes) = would_block(self.transport.try_write_vectored(&slices))? else {
                return Ok(false);
            };
            begun.sent += bytes;
            self.count_shared(bytes);
            if bytes == left {
                *slot = None;
            }
        }
        Ok(true)
    }

    fn flush_session(&self) -> io::Result<bool> {
        let mut unsent = self.unsent.borrow_mut();
        loop {
            if unsent.is_empty() {
                *unsent = self.session.borrow_mut().take_output();
                if unsent.is_empty() {
                    // An idle connection owns no buffer.
                    *unsent = BytesMut::new();
                    return Ok(true);
                }
            }
            let Some(bytes) = would_block(self.transport.try_write(&unsent))? else {
                return Ok(false);
            };
            unsent.advance(bytes);
            self.count(bytes);
        }
    }

    fn count_shared(&self, bytes: usize) {
        self.session.borrow_mut().note_written_shared(bytes);
        self.count(bytes);
    }

    fn count(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
        self.all_sent.inc_by(bytes as u64);
        if self.rest.written(&self.transport) {
            // The driver waits for the next look.
            self.signal.notify_one();
        }
        if let Some(pace) = &mut *self.limit.borrow_mut() {
            pace.spend(bytes, Instant::now());
        }
        if bytes > 0 && self.progress.get().is_some() {
            self.progress.set(Some(Instant::now()));
        }
    }

    /// Whether the pace allows no bytes now.
    fn must_wait(&self) -> bool {
        let pace = self.limit.borrow();
        let Some(pace) = pace.as_deref() else {
            return false;
        };
        let now = Instant::now();
        if pace.shut_until(now).is_none() {
            return false;
        }
        if self.state.replace(State::Paced) == State::Clear {
            self.signal.notify_one();
        }
        // The pace, not the client, stops the progress.
        self.excuse(now);
        true
    }

    fn block(&self, state: State) {
        self.has_room.set(false);
        if self.state.replace(state) == State::Clear || state == State::Failed {
            self.signal.notify_one();
        }
        if self.progress.get().is_none() {
            self.progress.set(Some(Instant::now()));
        }
    }
}

fn would_block(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
