//! The carrier of a client's RTMP bytes: a connection, and the framing on it.
//!
//! ```text
//!   wire ── RTMP bytes ──► Framing (Raw, Web) ──► Lower (Plain, Tls) ──► socket
//!                            └─ (Pipe) ──► requests of HTTP, on other connections
//! ```
//!
//! The operations that move bytes only try: they do at once what the kernel takes and leave no
//! waker, because passes write to the connections of other tasks. The connection's own task waits,
//! with [`Transport::ready`]. Both levels are enums, so that a pass has no call through a table and
//! no allocation.
//!
//! A level that changes bytes on their way may have to hold some of them. While it does, it takes
//! no more: it sends the held bytes first, and a write ends with `WouldBlock` as long as some are
//! left. [`Transport::unsent`] counts them, [`Transport::try_flush`] sends them.

mod count;
mod held;
mod lower;
mod parcel;
mod pipe;
mod plain;
mod tls;
mod web;

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};

use tributary_protocol::websocket::WebSocketClose;

use lower::Lower;
use pipe::PipeEnd;
use plain::Plain;
use tls::Tls;
use web::Web;

pub(super) use count::count_sent;
pub(crate) use parcel::Pump;
pub(crate) use pipe::{Pipe, PipeBudget, PipeOwner};
pub(crate) use tls::{TlsFault, TlsSettings};

/// One client's connection, as bytes of RTMP.
#[derive(Debug)]
pub(crate) struct Transport(Framing);

/// The form of RTMP's bytes on the connection.
#[derive(Debug)]
enum Framing {
    /// RTMP's bytes without a frame.
    Raw(Lower),
    /// RTMP's bytes in WebSocket messages.
    Web(Box<Web>),
    /// RTMP's bytes in the bodies of requests, which other tasks read and answer.
    Pipe(PipeEnd),
}

/// The time for which the edge waits for the client to close its side. Reason: a reset could
/// destroy the bytes that were sent last.
const LINGER: Duration = Duration::from_millis(500);

/// Reads within that time. Reason: a client that sends on gets a reset.
const LINGER_READS: usize = 64;

impl Transport {
    /// RTMP on a TCP connection.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self(Framing::Raw(Lower::Plain(Plain::new(socket))))
    }

    /// RTMP on TLS: shakes hands. Each computation of the handshake takes one of `turns`.
    pub(crate) async fn tls(
        socket: TcpStream,
        settings: &TlsSettings,
        turns: &Semaphore,
    ) -> Result<Self, TlsFault> {
        let tls = Tls::accept(socket, settings, turns).await?;
        Ok(Self(Framing::Raw(Lower::Tls(Box::new(tls)))))
    }

    /// RTMP in a WebSocket on this connection, which has answered the request for one. `ahead` are
    /// the bytes that came behind the request.
    pub(crate) fn into_web(self, ahead: Vec<u8>) -> Self {
        match self.0 {
            Framing::Raw(lower) => Self(Framing::Web(Box::new(Web::new(lower, ahead)))),
            framed => Self(framed),
        }
    }

    /// RTMP in requests that are read and answered at the other end of the pipe.
    pub(crate) fn pipe(pipe: Arc<Pipe>) -> Self {
        Self(Framing::Pipe(PipeEnd(pipe)))
    }

    /// The connection of its own, if it has one.
    fn lower(&self) -> Option<&Lower> {
        match &self.0 {
            Framing::Raw(lower) => Some(lower),
            Framing::Web(web) => Some(web.lower()),
            Framing::Pipe(_) => None,
        }
    }

    /// The first byte that comes in TLS, which stays unread; `None` is the peer's end.
    pub(crate) async fn first_in_tls(&self) -> io::Result<Option<u8>> {
        let Some(Lower::Tls(tls)) = self.lower() else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        loop {
            self.ready(Interest::READABLE).await?;
            match tls.try_peek() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                peeked => return peeked,
            }
        }
    }

    /// Lets bytes that arrive end [`Self::ready`], or not: then nothing does, and the caller reads at
    /// times of its own. The other operations are possible in either case. An error ends the
    /// connection.
    pub(crate) fn watch(&self, watched: bool) -> io::Result<()> {
        self.lower().map_or(Ok(()), |lower| lower.watch(watched))
    }

    /// Waits until an operation of the interest may make progress. Cancel safe.
    pub(crate) fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        poll_fn(move |context| match &self.0 {
            Framing::Raw(lower) => lower.poll_ready(interest, context),
            Framing::Web(web) => web.poll_ready(interest, context),
            Framing::Pipe(pipe) => pipe.poll_ready(interest, context),
        })
    }

    /// Reads the bytes that are there; 0 is the peer's end. [`Self::ready`] then waits for more, if
    /// the buffer was not filled.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.0 {
            Framing::Raw(lower) => lower.try_read(buffer),
            Framing::Web(web) => web.try_read(buffer),
            Framing::Pipe(pipe) => pipe.try_read(buffer),
        }
    }

    /// Writes as many bytes as the connection takes. Returns their number.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Framing::Raw(lower) => lower.try_write(bytes),
            Framing::Web(web) => web.try_write(bytes),
            Framing::Pipe(pipe) => pipe.try_write(bytes),
        }
    }

    /// [`Self::try_write`] for bytes in two pieces.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.0 {
            Framing::Raw(lower) => lower.try_write_vectored(pieces),
            Framing::Web(web) => web.try_write_vectored(pieces),
            Framing::Pipe(pipe) => {
                // The caller goes on behind it; an empty piece says nothing.
                let filled = pieces.iter().find(|piece| !piece.is_empty());
                pipe.try_write(filled.map_or(&[], |piece| &**piece))
            }
        }
    }

    /// Notes that the edge leaves: a close frame says so.
    pub(crate) fn goes_away(&self) {
        if let Framing::Web(web) = &self.0 {
            web.set_close(WebSocketClose::GOING_AWAY);
        }
    }

    /// Sends the bytes that a level holds. Returns whether all of them left.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        match &self.0 {
            Framing::Raw(lower) => lower.try_flush(),
            Framing::Web(web) => web.try_flush(),
            Framing::Pipe(_) => Ok(true),
        }
    }

    /// Lets the kernel hold small writes back to merge them, or not.
    pub(crate) fn set_merging(&self, merging: bool) {
        if let Some(lower) = self.lower() {
            lower.set_merging(merging);
        }
    }

    /// Limits the time for which the kernel lets written bytes be unacknowledged, and ends its
    /// probes.
    pub(crate) fn limit_unacknowledged(&self, limit: Duration) {
        if let Some(lower) = self.lower() {
            lower.limit_unacknowledged(limit);
        }
    }

    /// Lets the kernel probe the peer after a silence, as the listener's options say, and ends the
    /// limit for unacknowledged bytes.
    pub(crate) fn probe(&self, after: Duration) {
        if let Some(lower) = self.lower() {
            lower.probe(after);
        }
    }

    /// Bytes that a level has taken and the kernel does not have yet.
    pub(crate) fn unsent(&self) -> usize {
        match &self.0 {
            Framing::Raw(lower) => lower.unsent(),
            Framing::Web(web) => web.unsent(),
            Framing::Pipe(_) => 0,
        }
    }

    /// Ends the sending side: the peer gets all sent bytes, then the end.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        match &self.0 {
            Framing::Raw(lower) => lower.shutdown(),
            Framing::Web(web) => web.shutdown(),
            Framing::Pipe(pipe) => {
                pipe.shutdown();
                Ok(())
            }
        }
    }

    /// Waits after [`Self::shutdown`] for the peer's end or an error. `read` reads, and drops what
    /// it gets.
    pub(crate) async fn linger(&self, mut read: impl FnMut(&Self) -> io::Result<usize>) {
        let ended = timeout(LINGER, async {
            for _ in 0..LINGER_READS {
                if self.ready(Interest::READABLE).await.is_err() {
                    break;
                }
                match read(self) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        });
        // The connection closes in either case.
        let _ = ended.await;
    }

    /// Receives up to `most` bytes behind those that are there. Returns whether some came; the peer
    /// has ended otherwise.
    pub(crate) async fn receive(&self, received: &mut Vec<u8>, most: usize) -> io::Result<bool> {
        let before = received.len();
        loop {
            self.ready(Interest::READABLE).await?;
            received.resize(before + most, 0);
            let read = self.try_read(&mut received[before..]);
            received.truncate(before + read.as_ref().map_or(0, |bytes| *bytes));
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|bytes| bytes > 0),
            }
        }
    }

    /// Sends all of it.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || !self.try_flush()? {
            self.ready(Interest::WRITABLE).await?;
            match self.try_write(bytes) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
