//! The carrier of a client's RTMP bytes: a connection, and the framing on it.
//!
//! ```text
//!   wire ── RTMP bytes ──► Framing (Raw) ──► Lower (Plain, Tls) ──► socket
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

mod lower;
mod plain;
mod tls;

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    sync::Semaphore,
};

use lower::Lower;
use plain::Plain;
use tls::Tls;

pub(crate) use tls::{TlsFault, TlsSettings};

/// One client's connection, as bytes of RTMP.
#[derive(Debug)]
pub(crate) struct Transport {
    lower: Lower,
    framing: Framing,
}

/// The form of RTMP's bytes on the connection.
#[derive(Debug)]
enum Framing {
    /// RTMP's bytes without a frame.
    Raw,
}

impl Transport {
    /// RTMP on a TCP connection.
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self {
            lower: Lower::Plain(Plain::new(socket)),
            framing: Framing::Raw,
        }
    }

    /// RTMP on TLS: shakes hands. Each computation of the handshake takes one of `turns`.
    pub(crate) async fn tls(
        socket: TcpStream,
        settings: &TlsSettings,
        turns: &Semaphore,
    ) -> Result<Self, TlsFault> {
        let tls = Tls::accept(socket, settings, turns).await?;
        Ok(Self {
            lower: Lower::Tls(Box::new(tls)),
            framing: Framing::Raw,
        })
    }

    /// Lets bytes that arrive end [`Self::ready`], or not: then nothing does, and the caller reads at
    /// times of its own. The other operations are possible in either case. An error ends the
    /// connection.
    pub(crate) fn watch(&self, watched: bool) -> io::Result<()> {
        self.lower.watch(watched)
    }

    /// Waits until an operation of the interest may make progress. Cancel safe.
    pub(crate) fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        self.lower.ready(interest)
    }

    /// Reads the bytes that are there; 0 is the peer's end. A buffer that was not filled has
    /// emptied the connection: [`Self::ready`] then waits for more.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.framing {
            Framing::Raw => self.lower.try_read(buffer),
        }
    }

    /// Writes as many bytes as the connection takes. Returns their number.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.framing {
            Framing::Raw => self.lower.try_write(bytes),
        }
    }

    /// [`Self::try_write`] for bytes in several pieces.
    pub(crate) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.framing {
            Framing::Raw => self.lower.try_write_vectored(pieces),
        }
    }

    /// Sends the bytes that a level holds. Returns whether all of them left.
    pub(crate) fn try_flush(&self) -> io::Result<bool> {
        self.lower.try_flush()
    }

    /// Lets the kernel hold small writes back to merge them, or not.
    pub(crate) fn set_merging(&self, merging: bool) {
        self.lower.set_merging(merging);
    }

    /// Limits the time for which the kernel lets written bytes be unacknowledged, and ends its
    /// probes.
    pub(crate) fn limit_unacknowledged(&self, limit: Duration) {
        self.lower.limit_unacknowledged(limit);
    }

    /// Lets the kernel probe the peer after a silence, as the listener's options say, and ends the
    /// limit for unacknowledged bytes.
    pub(crate) fn probe(&self, after: Duration) {
        self.lower.probe(after);
    }

    /// Bytes that a level has taken and the kernel does not have yet.
    pub(crate) fn unsent(&self) -> usize {
        self.lower.unsent()
    }

    /// Ends the sending side: the peer gets all sent bytes, then the end.
    pub(crate) fn shutdown(&self) -> io::Result<()> {
        self.lower.shutdown()
    }
}

#[cfg(test)]
mod tests;
