//! The UDP socket of an endpoint.
//!
//! Tokio's own UDP socket registers for reading and writing at once, and Linux reports a socket as
//! writable each time a datagram of it was consumed: every packet sent would wake its sender once
//! more. This socket is registered for reading only, and for writing while it is full.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket as StdUdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit, UdpSocketState},
};
use tokio::io::{Interest, unix::AsyncFd};

/// A socket that wakes its runtime only when necessary. It belongs to the runtime on which it was
/// made.
#[derive(Debug)]
pub(super) struct UdpSocket {
    socket: AsyncFd<StdUdpSocket>,
    state: UdpSocketState,
    /// Whether the last send found no room.
    is_full: AtomicBool,
}

/// Waits for room in the socket's send buffer.
#[derive(Debug)]
struct Room {
    socket: Arc<UdpSocket>,
    /// The socket under another descriptor, registered with the kernel while a send waits for room.
    watched: Option<AsyncFd<StdUdpSocket>>,
}

impl UdpSocket {
    pub(super) fn new(socket: StdUdpSocket) -> io::Result<Self> {
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            socket: registered(socket, Interest::READABLE)?,
            is_full: AtomicBool::new(false),
        })
    }
}

/// Registers a socket with the runtime. The function that replaces it in tokio is unsafe, since it
/// accepts types with a false descriptor; the standard library's sockets have none.
#[allow(deprecated, reason = "the replacement is for other types")]
fn registered(socket: StdUdpSocket, interest: Interest) -> io::Result<AsyncFd<StdUdpSocket>> {
    AsyncFd::with_interest(socket, interest)
}

impl AsyncUdpSocket for UdpSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room {
            socket: self,
            watched: None,
        })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.state.send(self.socket.get_ref().into(), transmit);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.is_full.store(true, Ordering::Release);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut readable = ready!(self.socket.poll_read_ready(cx))?;
            match self.state.recv(self.socket.get_ref().into(), buffers, meta) {
                Ok(count) => {
                    if count < buffers.len() {
                        // No datagram is left: the next poll need not read.
                        readable.clear_ready();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => readable.clear_ready(),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.get_ref().local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watched.is_none() && !self.socket.is_full.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        let watched = match self.watched.take() {
            Some(watched) => watched,
            None => {
                let socket = self.socket.socket.get_ref().try_clone()?;
                registered(socket, Interest::WRITABLE)?
            }
        };
        if watched.poll_write_ready(cx)?.is_pending() {
            self.watched = Some(watched);
            return Poll::Pending;
        }
        self.socket.is_full.store(false, Ordering::Release);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr, time::Duration};

    use socket2::{Domain, Socket, Type};
    use tokio::time::timeout;

    use super::*;

    fn bound(buffer: usize) -> StdUdpSocket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_send_buffer_size(buffer).unwrap();
        socket.set_nonblocking(true).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        socket.into()
    }

    fn datagram(contents: &[u8], destination: SocketAddr) -> Transmit<'_> {
        Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: None,
            src_ip: None,
        }
    }

    async fn receive(socket: &UdpSocket) -> Vec<Vec<u8>> {
        let mut storage = vec![vec![0; 2048]; 4];
        let mut buffers: Vec<_> = storage.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let mut meta = [RecvMeta::default(); 4];
        let count = poll_fn(|cx| socket.poll_recv(cx, &mut buffers, &mut meta)).await;
        let count = count.unwrap();
        let received = storage.iter().zip(meta).take(count);
        received
            .map(|(bytes, meta)| bytes[..meta.len].to_vec())
            .collect()
    }

    #[tokio::test]
    async fn what_comes_after_a_read_that_was_not_full_is_read() {
        let (one, other) = (bound(1 << 16), bound(1 << 16));
        let to = other.local_addr().unwrap();
        let one = UdpSocket::new(one).unwrap();
        let other = UdpSocket::new(other).unwrap();
        for turn in 0..50_u8 {
            // More than one read takes, in some turns.
            let count = turn % 9 + 1;
            for number in 0..count {
                one.try_send(&datagram(&[turn, number], to)).unwrap();
            }
            let mut next = 0;
            while next < count {
                let read = timeout(Duration::from_secs(5), receive(&other)).await;
                for datagram in read.expect("nothing is left behind") {
                    assert_eq!(datagram, [turn, next]);
                    next += 1;
                }
            }
        }
    }

    /// A socket has no room while its datagrams are not read, and has room after that.
    #[tokio::test]
    async fn a_full_socket_says_when_there_is_room() {
        let pairs = std::os::unix::net::UnixDatagram::pair().unwrap();
        pairs.0.set_nonblocking(true).unwrap();
        pairs.1.set_nonblocking(true).unwrap();
        // A local socket: sockets of UDP are never full over loopback.
        let socket = UdpSocket {
            state: UdpSocketState::new((&bound(1 << 16)).into()).unwrap(),
            socket: registered(
                std::os::fd::OwnedFd::from(pairs.0).into(),
                Interest::READABLE,
            )
            .unwrap(),
            is_full: AtomicBool::new(false),
        };
        let socket = Arc::new(socket);
        let mut room = Arc::clone(&socket).create_io_poller();
        let mut poll = async || poll_fn(|cx| Poll::Ready(room.as_mut().poll_writable(cx))).await;
        assert!(matches!(poll().await, Poll::Ready(Ok(()))));
        while socket.socket.get_ref().send(&[0; 1000]).is_ok() {}
        socket.is_full.store(true, Ordering::Release);
        assert!(poll().await.is_pending());
        let mut buffer = [0; 1000];
        while pairs.1.recv(&mut buffer).is_ok() {}
        let waited = timeout(Duration::from_secs(5), async {
            while poll().await.is_pending() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited.await.expect("it has room again");
        assert!(!socket.is_full.load(Ordering::Acquire));
        pairs.1.set_nonblocking(false).unwrap();
    }
}
