//! TLS on a TCP connection (RFC 8446, RFC 5246).
//!
//! Bytes are encrypted from the slice that all viewers share into a buffer of the thread, and
//! leave from there. A connection owns bytes only while the kernel has not taken all of a write,
//! and the part of a record whose rest has not arrived.

use std::{
    cell::RefCell,
    fmt,
    io::{self, IoSlice},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    server::{Acceptor, ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
    },
};
use tokio::{net::TcpStream, sync::Semaphore, task::yield_now};

use super::{count, held::send_held, plain::Plain};

/// The settings of TLS for a listener.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    /// For clients that offer no protocol by ALPN (RFC 7301), as RTMP's own clients do. It sends no
    /// session ticket after the handshake: librtmp on GnuTLS takes one for an error.
    pub(crate) native: Arc<ServerConfig>,
    /// For clients that offer one, such as browsers.
    pub(crate) web: Arc<ServerConfig>,
}

/// A TLS connection after its handshake.
#[derive(Debug)]
pub(super) struct Tls {
    plain: Plain,
    state: RefCell<State>,
}

struct State {
    session: UnbufferedServerConnection,
    /// Received bytes of a record that is not there in whole, or has not been opened.
    incoming: Vec<u8>,
    /// Whether `incoming`, or rustls, may hold a whole record.
    has_record: bool,
    /// Opened bytes that the reader had no room for.
    opened: Vec<u8>,
    /// Encrypted bytes that the kernel has not taken.
    unsent: Vec<u8>,
    /// Whether the peer has ended its side.
    is_closed: bool,
}

/// The buffers of a thread.
struct Buffers {
    received: Vec<u8>,
    gathered: Vec<u8>,
    encrypted: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers::NONE) };
}

/// Bytes that are encrypted at once; they bound what a slow client's connection owns.
const PART: usize = 64 * 1024;

/// [`PART`] in records of 16 KiB, each with a head, a type, a tag and, in TLS 1.2, a nonce.
const ENCRYPTED: usize = PART + 5 * 64;

/// Received bytes that are kept. Reason: the longest record (RFC 5246, 6.2.3), or a handshake message
/// of several records, which rustls bounds by 64 KiB.
const MOST_INCOMING: usize = 80 * 1024;

/// Bytes that are received at once at least, however few the reader takes.
const LEAST_READ: usize = 4 * 1024;

/// The longest alert or key update, with room to spare.
const SHORT: usize = 256;

impl Tls {
    /// Shakes hands. `turns` lets other tasks of the thread run between the computations.
    pub(super) async fn accept(
        socket: TcpStream,
        settings: &TlsSettings,
        turns: &Semaphore,
    ) -> Result<Self, TlsFault> {
        let (incoming, offers_alpn) = hello(&socket).await?;
        let settings = match offers_alpn {
            true => &settings.web,
            false => &settings.native,
        };
        let session = UnbufferedServerConnection::new(Arc::clone(settings));
        let mut state = State {
            session: session.map_err(TlsFault::Handshake)?,
            incoming,
            has_record: false,
            opened: Vec::new(),
            unsent: Vec::new(),
            is_closed: false,
        };
        loop {
            let step = {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                let step = state.shake();
                yield_now().await;
                step
            };
            if !state.unsent.is_empty() {
                let sent = write_all(&socket, &state.unsent).await;
                state.unsent = Vec::new();
                if step.is_ok() {
                    sent.map_err(TlsFault::Connection)?;
                }
            }
            match step? {
                Step::Done => break,
                Step::Reads => receive(&socket, &mut state.incoming).await?,
            }
        }
        // The first bytes may have come with the handshake's last ones, and be opened already.
        state.has_record = true;
        Ok(Self {
            plain: Plain::new(socket),
            state: RefCell::new(state),
        })
    }

    pub(super) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Whether a read gives bytes, or the end, without new ones from the socket.
    pub(super) fn holds_bytes(&self) -> bool {
        let state = self.state.borrow();
        !state.opened.is_empty() || state.has_record || state.is_closed
    }

    /// Opens bytes and leaves them unread. Returns the first one; `None` is the peer's end.
    pub(super) fn try_peek(&self) -> io::Result<Option<u8>> {
        self.try_read(&mut [])?;
        Ok(self.state.borrow().opened.first().copied())
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        loop {
            if !state.opened.is_empty() {
                return Ok(give(&mut state.opened, buffer));
            }
            if state.is_closed {
                return Ok(0);
            }
            let read = BUFFERS.with_borrow_mut(|buffers| self.read(&mut state, buffers, buffer));
            // An answer to the peer, such as a key update, or an alert about a fault.
            let sent = self.flush(&mut state);
            let bytes = read?;
            sent?;
            if bytes > 0 {
                return Ok(bytes);
            }
        }
    }

    /// Receives once and opens what is there. Returns the opened bytes; 0 shows that no record was
    /// there in whole, or the end.
    fn read(&self, state: &mut State, buffers: &mut Buffers, into: &mut [u8]) -> io::Result<usize> {
        let received = buffers.received();
        let kept = state.incoming.len();
        received[..kept].copy_from_slice(&state.incoming);
        let mut filled = kept;
        if !state.has_record {
            let room = into.len().clamp(LEAST_READ, PART);
            match self.plain.try_read(&mut received[kept..kept + room])? {
                // The end without a notice may be an attack on the last bytes (RFC 8446, 6.1), which
                // RTMP itself does not need to know: it has no end of its own either.
                0 => state.is_closed = true,
                bytes => filled += bytes,
            }
        }
        if state.is_closed {
            return Ok(0);
        }
        state.incoming = Vec::new();
        state.has_record = false;
        state.open(&mut received[..filled], into)
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let mut taken = 0;
        while taken < bytes.len() && self.flush(&mut state)? {
            let part = &bytes[taken..bytes.len().min(taken + PART)];
            BUFFERS.with_borrow_mut(|buffers| self.send(&mut state, part, buffers.encrypted()))?;
            taken += part.len();
        }
        match taken {
            0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [only] = pieces {
            return self.try_write(only);
        }
        // A record of its own for a head of a few bytes would cost more than the copy.
        let mut gathered = BUFFERS.with_borrow_mut(|buffers| std::mem::take(&mut buffers.gathered));
        gathered.clear();
        for piece in pieces {
            let room = PART - gathered.len();
            gathered.extend_from_slice(&piece[..piece.len().min(room)]);
        }
        let written = self.try_write(&gathered);
        BUFFERS.with_borrow_mut(|buffers| buffers.gathered = gathered);
        written
    }

    /// Sends the encrypted bytes that the kernel has not taken. Returns whether all of them left.
    pub(super) fn try_flush(&self) -> io::Result<bool> {
        self.flush(&mut self.state.borrow_mut())
    }

    pub(super) fn unsent(&self) -> usize {
        self.state.borrow().unsent.len()
    }

    /// Tells the peer that no more bytes come, as far as the kernel takes it, and ends the
    /// sending side.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.notify_close();
        // A peer that takes nothing misses the notice.
        let _ = self.flush(&mut state);
        self.plain.shutdown()
    }

    /// Encrypts bytes and sends them. The connection keeps what the kernel does not take.
    fn send(&self, state: &mut State, bytes: &[u8], into: &mut [u8]) -> io::Result<()> {
        let length = state.encrypt(bytes, into)?;
        let sent = match self.plain.try_write(&into[..length]) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        state.unsent.extend_from_slice(&into[sent..length]);
        Ok(())
    }

    fn flush(&self, state: &mut State) -> io::Result<bool> {
        send_held(&mut state.unsent, |bytes| self.plain.try_write(bytes))
    }
}

/// The next step of the handshake.
enum Step {
    Done,
    Reads,
}

impl State {
    /// Goes on with the handshake as far as the received bytes allow. Bytes for the peer are in
    /// `unsent`, also after a fault: they are an alert then.
    fn shake(&mut self) -> Result<Step, TlsFault> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            let step = match state {
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.unsent);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    // The caller sends the bytes before it does anything else.
                    sent.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Ok(Step::Reads)),
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::ReadTraffic(_)) => {
                    Some(Ok(Step::Done))
                }
                Ok(_) => Some(Err(TlsFault::Gone)),
                Err(error) => Some(Err(TlsFault::Handshake(error))),
            };
            self.incoming.drain(..discard);
            if let Some(Err(_)) = step {
                collect_alert(&mut self.session, &mut self.incoming, &mut self.unsent);
            }
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Opens the records of `received`. Returns the number of bytes in `into`.
    fn open(&mut self, received: &mut [u8], into: &mut [u8]) -> io::Result<usize> {
        let (mut at, mut filled) = (0, 0);
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut received[at..]);
            let next = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        let fits = record.payload.len().min(into.len() - filled);
                        let (now, later) = record.payload.split_at(fits);
                        into[filled..filled + fits].copy_from_slice(now);
                        self.opened.extend_from_slice(later);
                        filled += fits;
                    }
                    Ok(true)
                }
                Ok(ConnectionState::EncodeTlsData(data)) => {
                    encode(data, &mut self.unsent);
                    Ok(true)
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    sent.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.is_closed = true;
                    Ok(false)
                }
                Ok(_) => Ok(false),
                Err(error) => Err(error),
            };
            at += discard;
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    collect_alert(&mut self.session, &mut received[at..], &mut self.unsent);
                    return Err(invalid(error));
                }
            }
        }
        let rest = &received[at..];
        if rest.len() > MOST_INCOMING {
            return Err(invalid("a record is too long"));
        }
        self.incoming.extend_from_slice(rest);
        Ok(filled)
    }

    /// Encrypts bytes, at most [`PART`]. Returns the length in `into`.
    fn encrypt(&mut self, bytes: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let encrypted = self.write_with(|mut traffic| traffic.encrypt(bytes, into))?;
        encrypted.map_err(|error| match error {
            EncryptError::InsufficientSize(_) => invalid("a part is too long"),
            EncryptError::EncryptExhausted => invalid("the keys are worn out"),
        })
    }

    fn notify_close(&mut self) {
        let mut notice = [0; SHORT];
        let length = self.write_with(|mut traffic| traffic.queue_close_notify(&mut notice));
        if let Ok(Ok(length)) = length {
            self.unsent.extend_from_slice(&notice[..length]);
        }
    }

    /// Acts once the session is in its state for writing. rustls gets the bytes that it has seen
    /// before, because it counts from their begin.
    fn write_with<T>(
        &mut self,
        act: impl FnOnce(WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> io::Result<T> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming);
            match state.map_err(invalid)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        self.opened.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.unsent),
                ConnectionState::TransmitTlsData(sent) => sent.done(),
                ConnectionState::PeerClosed => self.is_closed = true,
                ConnectionState::WriteTraffic(traffic) => {
                    let done = act(traffic);
                    self.incoming.drain(..discard);
                    return Ok(done);
                }
                _ => return Err(io::ErrorKind::NotConnected.into()),
            }
            self.incoming.drain(..discard);
        }
    }
}

/// Puts the alert that tells the peer of a fault into `unsent`.
fn collect_alert(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    unsent: &mut Vec<u8>,
) {
    while let Ok(ConnectionState::EncodeTlsData(data)) = session.process_tls_records(incoming).state
    {
        encode(data, unsent);
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, into: &mut Vec<u8>) {
    let begin = into.len();
    let mut size = SHORT;
    // The second attempt has the size that the first has asked for.
    for _ in 0..2 {
        into.resize(begin + size, 0);
        match data.encode(&mut into[begin..]) {
            Ok(length) => {
                into.truncate(begin + length);
                return;
            }
            Err(EncodeError::InsufficientSize(needed)) => size = needed.required_size,
            Err(EncodeError::AlreadyEncoded) => break,
        }
    }
    into.truncate(begin);
}

fn give(opened: &mut Vec<u8>, buffer: &mut [u8]) -> usize {
    let bytes = opened.len().min(buffer.len());
    buffer[..bytes].copy_from_slice(&opened[..bytes]);
    opened.drain(..bytes);
    if opened.is_empty() {
        *opened = Vec::new();
    }
    bytes
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(sent) => {
                count::sent(sent);
                bytes = &bytes[sent..];
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives the client's first message. Returns the bytes, and whether it offers protocols by ALPN.
async fn hello(socket: &TcpStream) -> Result<(Vec<u8>, bool), TlsFault> {
    let (mut incoming, mut seen) = (Vec::new(), 0);
    let mut acceptor = Acceptor::default();
    loop {
        receive(socket, &mut incoming).await?;
        while seen < incoming.len() {
            let bytes = acceptor.read_tls(&mut &incoming[seen..]);
            seen += bytes.map_err(TlsFault::Connection)?;
            match acceptor.accept() {
                Ok(Some(hello)) => {
                    let offers_alpn = hello.client_hello().alpn().is_some();
                    return Ok((incoming, offers_alpn));
                }
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    // It is written to memory; a client that has gone misses it.
                    let _ = alert.write_all(&mut bytes);
                    let _ = write_all(socket, &bytes).await;
                    return Err(TlsFault::Handshake(error));
                }
            }
        }
    }
}

async fn receive(socket: &TcpStream, incoming: &mut Vec<u8>) -> Result<(), TlsFault> {
    if incoming.len() > MOST_INCOMING {
        return Err(TlsFault::TooLong);
    }
    loop {
        socket.readable().await.map_err(TlsFault::Connection)?;
        let read = BUFFERS.with_borrow_mut(|buffers| {
            let received = buffers.received();
            let bytes = socket.try_read(received)?;
            incoming.extend_from_slice(&received[..bytes]);
            Ok(bytes)
        });
        match read {
            Ok(0) => return Err(TlsFault::Gone),
            Ok(_) => return Ok(()),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(TlsFault::Connection(error)),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Buffers {
    /// A thread without TLS owns none.
    const NONE: Self = Self {
        received: Vec::new(),
        gathered: Vec::new(),
        encrypted: Vec::new(),
    };

    fn received(&mut self) -> &mut [u8] {
        self.received.resize(MOST_INCOMING + PART, 0);
        &mut self.received
    }

    fn encrypted(&mut self) -> &mut [u8] {
        self.encrypted.resize(ENCRYPTED, 0);
        &mut self.encrypted
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("incoming", &self.incoming.len())
            .field("unsent", &self.unsent.len())
            .finish_non_exhaustive()
    }
}

/// The reason for which a TLS handshake failed.
#[derive(Debug)]
pub(crate) enum TlsFault {
    /// The client closed the connection first.
    Gone,
    /// The connection broke.
    Connection(io::Error),
    /// The client's bytes are no handshake that this edge accepts.
    Handshake(rustls::Error),
    /// A message of the handshake has too many bytes.
    TooLong,
}

impl TlsFault {
    /// The label of the fault, in logs and figures; a connection that ends is none.
    pub(crate) fn label(&self) -> Option<&'static str> {
        match self {
            Self::Gone | Self::Connection(_) => None,
            Self::Handshake(_) | Self::TooLong => Some("tls_handshake"),
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the client closed the connection in the TLS handshake"),
            Self::Connection(error) => {
                write!(f, "the connection broke in the TLS handshake: {error}")
            }
            Self::Handshake(error) => write!(f, "no TLS handshake: {error}"),
            Self::TooLong => f.write_str("no TLS handshake: a message has too many bytes"),
        }
    }
}
