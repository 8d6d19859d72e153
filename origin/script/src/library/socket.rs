//! TCP connections of scripts: texts that end with a zero byte, as XMLSocket sends them.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use tributary_web::{Allowed, OutboundThread};

/// Sockets that a group has at a time.
pub(crate) const MAX_SOCKETS: usize = 16;

/// Bytes of one received text, and of all texts that wait for the group.
pub(crate) const MAX_TEXT: usize = 1024 * 1024;

/// Bytes of the texts of one socket that wait to be sent.
pub(crate) const MAX_UNSENT: usize = 1024 * 1024;

/// Texts of one socket that wait to be sent.
const UNSENT_TEXTS: usize = 1024;

/// The time for a connection, name lookup included.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Makes sockets for the scripts of a process.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    thread: OutboundThread,
}

/// A group's sockets.
pub(crate) struct GroupSockets {
    thread: OutboundThread,
    allowed: Allowed,
    open: Arc<AtomicUsize>,
}

/// The script's end of a socket. Dropping it closes the connection after the queued texts have
/// left.
#[derive(Debug)]
pub(crate) struct Socket {
    unsent: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// An event of a socket.
#[derive(Debug)]
pub(crate) enum SocketEvent {
    /// It is connected.
    Connected,
    /// The connection failed; the reason.
    Failed(String),
    /// A received text. Its weight is free again when this is dropped.
    Text(
        String,
        #[expect(dead_code, reason = "its drop counts")] OwnedSemaphorePermit,
    ),
    /// The connection has ended; no event follows.
    Closed,
}

/// The group has [`MAX_SOCKETS`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManySockets;

impl Sockets {
    pub(crate) fn new(thread: OutboundThread) -> Self {
        Self { thread }
    }

    /// A group's sockets.
    pub(crate) fn group(&self, allowed: Allowed) -> GroupSockets {
        GroupSockets {
            thread: self.thread.clone(),
            allowed,
            open: Arc::default(),
        }
    }
}

impl GroupSockets {
    /// Begins a connection. `tell` is called on another thread; it returns whether the event
    /// reached the group.
    pub(crate) fn connect(
        &self,
        host: &str,
        port: u16,
        tell: impl Fn(SocketEvent) -> bool + Send + Sync + 'static,
    ) -> Result<Socket, TooManySockets> {
        let place = Place::take(&self.open).ok_or(TooManySockets)?;
        let (unsent, queue) = mpsc::channel(UNSENT_TEXTS);
        let bytes = Arc::new(AtomicUsize::new(0));
        let connection = Connection {
            queue,
            bytes: Arc::clone(&bytes),
            tell,
        };
        let allowed = (self.allowed)(host, port);
        let host = host.to_owned();
        self.thread.spawn(async move {
            connection.run(&host, port, allowed).await;
            drop(place);
        });
        Ok(Socket { unsent, bytes })
    }
}

impl Socket {
    /// Queues a text; `false` if the connection has ended or the queue is full.
    pub(crate) fn send(&self, text: &str) -> bool {
        let length = text.len() + 1;
        if self.bytes.fetch_add(length, Ordering::Relaxed) + length > MAX_UNSENT {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
            return false;
        }
        let mut bytes = BytesMut::with_capacity(length);
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend_from_slice(&[0]);
        let sent = self.unsent.try_send(bytes.freeze()).is_ok();
        if !sent {
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        sent
    }
}

struct Connection<T> {
    queue: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
    tell: T,
}

impl<T: Fn(SocketEvent) -> bool + Send + Sync> Connection<T> {
    async fn run(mut self, host: &str, port: u16, allowed: bool) {
        let stream = if allowed {
            connect(host, port).await
        } else {
            let why = format!("{host}:{port} is not in the application's setting outgoing");
            Err(why)
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(why) => {
                (self.tell)(SocketEvent::Failed(why));
                return;
            }
        };
        if !(self.tell)(SocketEvent::Connected) {
            return;
        }
        let (reader, writer) = stream.into_split();
        tokio::select! {
            _ = read(reader, &self.tell) => {}
            _ = write(writer, &mut self.queue, &self.bytes) => {}
        }
        (self.tell)(SocketEvent::Closed);
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, String> {
    let connecting = TcpStream::connect((host, port));
    let timed = tokio::time::timeout(CONNECT_TIME, connecting).await;
    let stream = timed
        .map_err(|_| format!("{host}:{port} does not answer"))?
        .map_err(|error| format!("{host}:{port}: {error}"))?;
    // Texts are short, and each waits for an answer.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Reads texts until the peer ends the connection or sends a text that is too long.
async fn read(
    mut reader: tcp::OwnedReadHalf,
    tell: &(impl Fn(SocketEvent) -> bool + Send + Sync),
) -> io::Result<()> {
    let budget = Arc::new(Semaphore::new(MAX_TEXT));
    let mut buffer = BytesMut::new();
    let mut searched = 0;
    while reader.read_buf(&mut buffer).await? > 0 {
        while let Some(end) = position(&buffer, searched) {
            let text = buffer.split_to(end + 1);
            searched = 0;
            let text = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
            // A slow group stops the reading, and so the peer.
            let weight = u32::try_from(end.clamp(1, MAX_TEXT)).unwrap_or(u32::MAX);
            let permit = Arc::clone(&budget).acquire_many_owned(weight).await;
            let permit = permit.map_err(io::Error::other)?;
            if !tell(SocketEvent::Text(text, permit)) {
                return Ok(());
            }
        }
        searched = buffer.len();
        if buffer.len() > MAX_TEXT {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
}

fn position(buffer: &[u8], searched: usize) -> Option<usize> {
    let rest = buffer.get(searched..)?;
    Some(searched + rest.iter().position(|&byte| byte == 0)?)
}

/// Sends texts until the script drops its end.
async fn write(
    mut writer: tcp::OwnedWriteHalf,
    queue: &mut mpsc::Receiver<Bytes>,
    bytes: &AtomicUsize,
) -> io::Result<()> {
    while let Some(text) = queue.recv().await {
        writer.write_all(&text).await?;
        bytes.fetch_sub(text.len(), Ordering::Relaxed);
    }
    writer.shutdown().await
}

/// A place among a group's sockets.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < MAX_SOCKETS {
            return Some(Self(Arc::clone(count)));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for GroupSockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupSockets")
            .field("open", &self.open.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        sync::mpsc as channel,
    };

    use super::*;

    fn group(allowed: bool) -> GroupSockets {
        Sockets::new(OutboundThread::default()).group(Arc::new(move |_, _| allowed))
    }

    fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    fn connect(group: &GroupSockets, port: u16) -> (Socket, channel::Receiver<SocketEvent>) {
        let (sender, events) = channel::sync_channel(16);
        let tell = move |event| sender.send(event).is_ok();
        (group.connect("127.0.0.1", port, tell).unwrap(), events)
    }

    #[test]
    fn texts_go_both_ways() {
        let (listener, port) = listen();
        let group = group(true);
        let (socket, events) = connect(&group, port);
        let (mut peer, _) = listener.accept().unwrap();
        assert!(matches!(events.recv().unwrap(), SocketEvent::Connected));
        assert!(socket.send("<a/>") && socket.send("é"));
        let mut seen = [0; 8];
        peer.read_exact(&mut seen).unwrap();
        assert_eq!(&seen, b"<a/>\0\xc3\xa9\0");
        peer.write_all(b"one\0tw").unwrap();
        peer.write_all(b"o\0\0").unwrap();
        for expected in ["one", "two", ""] {
            match events.recv().unwrap() {
                SocketEvent::Text(text, _) => assert_eq!(text, expected),
                other => panic!("{other:?}"),
            }
        }
        drop(peer);
        assert!(matches!(events.recv().unwrap(), SocketEvent::Closed));
        assert!(events.recv().is_err());
    }

    #[test]
    fn dropping_the_script_end_closes_the_connection() {
        let (listener, port) = listen();
        let group = group(true);
        let (socket, events) = connect(&group, port);
        let (mut peer, _) = listener.accept().unwrap();
        events.recv().unwrap();
        assert!(socket.send("last"));
        drop(socket);
        let mut seen = Vec::new();
        peer.read_to_end(&mut seen).unwrap();
        assert_eq!(seen, b"last\0");
    }

    #[test]
    fn only_allowed_targets_are_reached() {
        let (listener, port) = listen();
        let group = group(false);
        let (_socket, events) = connect(&group, port);
        match events.recv().unwrap() {
            SocketEvent::Failed(why) => assert!(why.contains("outgoing"), "{why}"),
            other => panic!("{other:?}"),
        }
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err());
    }

    #[test]
    fn sockets_texts_and_what_waits_are_bounded() {
        let (listener, port) = listen();
        let group = group(true);
        let all: Vec<_> = (0..MAX_SOCKETS).map(|_| connect(&group, port)).collect();
        assert!(group.connect("127.0.0.1", port, |_| true).is_err());
        drop(all);
        let (socket, events) = loop {
            let (sender, events) = channel::sync_channel(16);
            let tell = move |event| sender.send(event).is_ok();
            if let Ok(socket) = group.connect("127.0.0.1", port, tell) {
                break (socket, events);
            }
            std::thread::yield_now();
        };
        assert!(!socket.send(&"x".repeat(MAX_UNSENT)));
        assert!(matches!(events.recv().unwrap(), SocketEvent::Connected));
        let long = vec![b'x'; MAX_TEXT + 64 * 1024];
        // The last waiting connection is that of `socket`.
        std::thread::spawn(move || {
            for peer in listener.incoming() {
                let (mut peer, long) = (peer.unwrap(), long.clone());
                std::thread::spawn(move || drop(peer.write_all(&long)));
            }
        });
        assert!(matches!(events.recv().unwrap(), SocketEvent::Closed));
    }
}
