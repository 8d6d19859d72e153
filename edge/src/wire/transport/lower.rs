//! The connection below the framing.

use std::{
    io::{self, IoSlice},
    time::Duration,
};

use tokio::io::{Interest, Ready};

use super::plain::Plain;

/// A connection to a client; the operations are those of the transport.
#[derive(Debug)]
pub(super) enum Lower {
    Plain(Plain),
}

impl Lower {
    pub(super) fn watch(&self, watched: bool) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.watch(watched),
        }
    }

    pub(super) fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        match self {
            Self::Plain(plain) => plain.ready(interest),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_read(buffer),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_write(bytes),
        }
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(plain) => plain.try_write_vectored(pieces),
        }
    }

    pub(super) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
        }
    }

    pub(super) fn set_merging(&self, merging: bool) {
        match self {
            Self::Plain(plain) => plain.set_merging(merging),
        }
    }

    pub(super) fn limit_unacknowledged(&self, limit: Duration) {
        match self {
            Self::Plain(plain) => plain.limit_unacknowledged(limit),
        }
    }

    pub(super) fn probe(&self, after: Duration) {
        match self {
            Self::Plain(plain) => plain.probe(after),
        }
    }

    pub(super) fn unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Plain(plain) => plain.shutdown(),
        }
    }
}
