//! A TCP connection without a layer of its own.

use std::{
    cell::RefCell,
    io::{self, IoSlice, Write},
    net::{self, Shutdown},
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
};

use super::count;

/// A TCP connection: the kernel has every byte that was taken.
#[derive(Debug)]
pub(super) struct Plain {
    socket: RefCell<Socket>,
}

#[derive(Debug)]
enum Socket {
    /// The runtime wakes the connection's task when bytes arrive.
    Watched(TcpStream),
    /// Arriving bytes wake no thread.
    Unwatched(net::TcpStream),
    /// The runtime has refused the socket, which is closed.
    Lost,
}

impl Plain {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket: RefCell::new(Socket::Watched(socket)),
        }
    }

    /// Another descriptor of the socket.
    pub(super) fn share(&self) -> io::Result<OwnedFd> {
        match &*self.socket.borrow() {
            Socket::Watched(socket) => socket.as_fd().try_clone_to_owned(),
            Socket::Unwatched(socket) => socket.as_fd().try_clone_to_owned(),
            Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Lets the runtime watch the socket, or not. An error ends the connection.
    pub(super) fn watch(&self, watched: bool) -> io::Result<()> {
        let mut socket = self.socket.borrow_mut();
        if watched == matches!(*socket, Socket::Watched(_)) {
            return Ok(());
        }
        *socket = match std::mem::replace(&mut *socket, Socket::Lost) {
            Socket::Watched(watched) => Socket::Unwatched(watched.into_std()?),
            Socket::Unwatched(unwatched) => Socket::Watched(TcpStream::from_std(unwatched)?),
            Socket::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        Ok(())
    }

    /// Waits until an operation of the interest may make progress. It has no state of its own:
    /// every client holds one.
    pub(super) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        let socket = self.socket.borrow();
        let socket = match &*socket {
            Socket::Watched(socket) => socket,
            Socket::Unwatched(_) => return Poll::Pending,
            Socket::Lost => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        };
        let mut ready = Ready::EMPTY;
        if interest.is_readable() && socket.poll_read_ready(context)?.is_ready() {
            ready |= Ready::READABLE;
        }
        if interest.is_writable() && socket.poll_write_ready(context)?.is_ready() {
            ready |= Ready::WRITABLE;
        }
        match ready.is_empty() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(ready)),
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &*self.socket.borrow() {
            Socket::Watched(socket) => read_watched(socket, buffer),
            Socket::Unwatched(socket) => Ok(rustix::io::read(socket, buffer)?),
            Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let sent = match &*self.socket.borrow() {
            Socket::Watched(socket) => write_watched(socket, bytes)?,
            Socket::Unwatched(socket) => (&*socket).write(bytes)?,
            Socket::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        count::sent(sent);
        Ok(sent)
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let sent = match &*self.socket.borrow() {
            Socket::Watched(socket) => write_vectored_watched(socket, pieces)?,
            Socket::Unwatched(socket) => (&*socket).write_vectored(pieces)?,
            Socket::Lost => return Err(io::ErrorKind::NotConnected.into()),
        };
        count::sent(sent);
        Ok(sent)
    }

    pub(super) fn set_merging(&self, merging: bool) {
        // It fails on a connection that is gone, which the next write reports.
        let _ = self.with(|socket| socket.set_tcp_nodelay(!merging));
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.with(|socket| socket.shutdown(Shutdown::Write))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn limit_unacknowledged(&self, limit: Duration) {
        // It fails on a connection that is gone, which the next read or write reports.
        let _ = self.with(|socket| {
            socket.set_keepalive(false)?;
            socket.set_tcp_user_timeout(Some(limit))
        });
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(super) fn probe(&self, after: Duration) {
        // As above. The kernel counts `after` from the peer's last packet because it is set after
        // SO_KEEPALIVE.
        let _ = self.with(|socket| {
            socket.set_tcp_user_timeout(None)?;
            socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(after))
        });
    }

    /// Other systems have no such limit, and no probes for whose sake it would change.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn limit_unacknowledged(&self, _limit: Duration) {}

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(super) fn probe(&self, _after: Duration) {}

    fn with(&self, act: impl FnOnce(SockRef<'_>) -> io::Result<()>) -> io::Result<()> {
        match &*self.socket.borrow() {
            Socket::Watched(socket) => act(SockRef::from(socket)),
            Socket::Unwatched(socket) => act(SockRef::from(socket)),
            Socket::Lost => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// Reads the bytes that are there. A buffer that was not filled has emptied the socket: the runtime
/// is notified, so that the next wait does not end with an empty read.
fn read_watched(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
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

/// Writes past the runtime, which keeps its state of each socket elsewhere in memory: a pass over many
/// viewers would wait for that memory at each. Only what the kernel does not take at once is tried
/// again through the runtime, which notes that the socket is full.
fn write_watched(socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match SockRef::from(socket).send(bytes) {
        Ok(sent) => Ok(sent),
        Err(_) => socket.try_write(bytes),
    }
}

/// As [`write_watched`], for bytes in several pieces.
fn write_vectored_watched(socket: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    match SockRef::from(socket).send_vectored(pieces) {
        Ok(sent) => Ok(sent),
        Err(_) => socket.try_write_vectored(pieces),
    }
}
