//! The connection below the framing.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
};

use socket2::SockRef;
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

/// A connection to a client; the operations are those of the transport.
#[derive(Debug)]
pub(super) enum Lower {
    /// TCP alone: the kernel has every byte that was taken.
    Plain(TcpStream),
}

impl Lower {
    /// Returns the socket's future itself: every client holds one.
    pub(super) fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        match self {
            Self::Plain(socket) => socket.ready(interest),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => read_plain(socket, buffer),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
        }
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write_vectored(pieces),
        }
    }

    pub(super) fn try_flush(&self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(true),
        }
    }

    pub(super) fn set_merging(&self, merging: bool) {
        match self {
            Self::Plain(socket) => {
                // It fails on a connection that is gone, which the next write reports.
                let _ = socket.set_nodelay(!merging);
            }
        }
    }

    pub(super) fn unsent(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
        }
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => SockRef::from(socket).shutdown(Shutdown::Write),
        }
    }
}

/// Reads the bytes that are there. A buffer that was not filled has emptied the socket: the runtime
/// is notified, so that the next wait does not end with an empty read.
fn read_plain(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut emptied = None;
    let result = socket.try_io(Interest::READABLE, || {
        let bytes = rustix::io::read(socket, &mut *buffer)?;
        if bytes > 0 && bytes < buffer.len() {
            emptied = Some(bytes);
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(bytes)
    });
    emptied.map_or(result, Ok)
}
