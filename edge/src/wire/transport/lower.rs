//! The connection below the framing.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
    time::Duration,
};

use tokio::io::{Interest, Ready};

use super::{plain::Plain, tls::Tls};

/// A connection to a client; the operations are those of the transport.
#[derive(Debug)]
pub(super) enum Lower {
    Plain(Plain),
    Tls(Box<Tls>),
}

impl Lower {
    /// The TCP connection itself.
    fn tcp(&self) -> &Plain {
        match self {
            Self::Plain(plain) => plain,
            Self::Tls(tls) => tls.plain(),
        }
    }

    pub(super) fn watch(&self, watched: bool) -> io::Result<()> {
        self.tcp().watch(watched)
    }

    /// Waits for the socket, unless TLS holds bytes for the reader already.
    pub(super) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        match self {
            Self::Tls(tls) if interest.is_readable() && tls.holds_bytes() => {
                Poll::Ready(Ok(Ready::READABLE))
            }
            _ => self.tcp().poll_ready(interest, context),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_read(buffer),
            Self::Tls(tls) => tls.try_read(buffer),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_write(bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_write_vectored(pieces),
            Self::Tls(tls) => tls.try_write_vectored(pieces),
        }
    }

    pub(super) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
            Self::Tls(tls) => tls.try_flush(),
        }
    }

    pub(super) fn set_merging(&self, merging: bool) {
        self.tcp().set_merging(merging);
    }

    pub(super) fn limit_unacknowledged(&self, limit: Duration) {
        self.tcp().limit_unacknowledged(limit);
    }

    pub(super) fn probe(&self, after: Duration) {
        self.tcp().probe(after);
    }

    pub(super) fn unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(tls) => tls.unsent(),
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.shutdown(),
            Self::Tls(tls) => tls.shutdown(),
        }
    }
}
