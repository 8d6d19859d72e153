//! A connection on its way to another process.
//!
//! The socket goes as a descriptor, with what the kernel holds of it. The keys of TLS stay: this
//! process goes on to encrypt and to decrypt, and copies the bytes between the client and a pair of
//! local sockets, of which the other process gets one end in place of the client's socket.
//!
//! ```text
//!   client ══ TLS ══► Pump in the old process ── local socket ──► session in the new one
//! ```

use std::{
    future::poll_fn,
    io,
    net::TcpStream as StdTcpStream,
    os::{fd::OwnedFd, unix::net::UnixStream as StdUnixStream},
    sync::Arc,
};

use socket2::SockRef;
use tokio::{
    io::{Interest, Ready},
    net::{TcpStream, UnixStream},
    time::{Instant, sleep_until},
};
use tributary_protocol::parcel::{ParcelError, ParcelReader, ParcelWriter};

use super::{Framing, LINGER, Pipe, Transport, lower::Lower, plain::Plain, web::Web};

/// A connection that goes to another process.
#[derive(Debug)]
pub(crate) struct Departed {
    /// The socket for the other process; a session in requests has none of its own.
    pub(crate) socket: Option<OwnedFd>,
    /// The work that stays here.
    pub(crate) pump: Option<Pump>,
}

/// The end of a local connection that takes the place of a client's socket in another process.
#[derive(Debug)]
pub(crate) struct Pump(StdUnixStream);

/// Bytes that a pump moves at once.
const PIECE: usize = 16 * 1024;

/// Bytes that the kernel holds between the processes in one direction; it doubles them for its own
/// bookkeeping. Reason: a viewer is behind by them besides the bytes of its own connection.
const LOCAL_BUFFER: usize = 32 * 1024;

const FRAMING: u16 = 1;
const WEB: u16 = 2;
const TUNNEL: u16 = 3;

const RAW_FRAMING: u8 = 0;
const WEB_FRAMING: u8 = 1;
const PIPE_FRAMING: u8 = 2;

impl Transport {
    /// The socket for another process. This process keeps its own until it is dropped.
    pub(crate) fn depart(&self) -> io::Result<Departed> {
        match self.lower() {
            None => Ok(Departed {
                socket: None,
                pump: None,
            }),
            Some(Lower::Plain(plain)) => Ok(Departed {
                socket: Some(plain.share()?),
                pump: None,
            }),
            Some(Lower::Tls(_)) => {
                let (here, there) = StdUnixStream::pair()?;
                for end in [&here, &there] {
                    end.set_nonblocking(true)?;
                    // As much as the kernel takes of a client's bytes.
                    SockRef::from(end).set_send_buffer_size(LOCAL_BUFFER)?;
                }
                Ok(Departed {
                    socket: Some(there.into()),
                    pump: Some(Pump(here)),
                })
            }
        }
    }

    /// Writes the framing's state, between two operations.
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        match &self.0 {
            Framing::Raw(_) => parcel.number(FRAMING, RAW_FRAMING),
            Framing::Web(web) => {
                parcel.number(FRAMING, WEB_FRAMING);
                parcel.record(WEB, |parcel| web.export(parcel));
            }
            Framing::Pipe(pipe) => {
                parcel.number(FRAMING, PIPE_FRAMING);
                match pipe.0.owner() {
                    Some(owner) => parcel.record(TUNNEL, |parcel| owner.export(parcel)),
                    None => parcel.refuse("its requests have ended"),
                }
            }
        }
    }

    /// Whether the session is in requests, on no connection of its own.
    pub(crate) fn is_in_requests(&self) -> bool {
        matches!(self.0, Framing::Pipe(_))
    }

    /// Whether a request of the session's client is under way.
    pub(crate) fn is_in_request(&self) -> bool {
        match &self.0 {
            Framing::Pipe(pipe) => pipe.0.owner().is_some_and(|it| it.is_busy()),
            _ => false,
        }
    }

    /// The connection on this socket, of another process; call it within a runtime. `in_requests` reads
    /// the record of a session in requests.
    pub(crate) fn import(
        parcel: &mut ParcelReader<'_>,
        socket: Option<OwnedFd>,
        in_requests: impl FnOnce(&mut ParcelReader<'_>) -> Result<Arc<Pipe>, ParcelError>,
    ) -> Result<Self, ParcelError> {
        let framing: u8 = parcel.number(FRAMING)?;
        if framing == PIPE_FRAMING {
            let pipe = parcel.record_if(TUNNEL, "a tunnel", in_requests)?;
            let pipe = pipe.ok_or_else(|| parcel.illegal(FRAMING))?;
            return Ok(Self::pipe(pipe));
        }
        let lower = Lower::Plain(plain(socket)?);
        match framing {
            RAW_FRAMING => Ok(Self(Framing::Raw(lower))),
            WEB_FRAMING => {
                let read = |parcel: &mut ParcelReader<'_>| Web::import(parcel, lower);
                let web = parcel.record_if(WEB, "the WebSocket", read)?;
                let web = web.ok_or_else(|| parcel.illegal(FRAMING))?;
                Ok(Self(Framing::Web(Box::new(web))))
            }
            _ => Err(parcel.illegal(FRAMING)),
        }
    }

    /// Copies bytes between the client and the other process, until one of them ends.
    pub(crate) async fn pump(&self, pump: Pump) -> io::Result<()> {
        let lower = self.lower().ok_or(io::ErrorKind::Unsupported)?;
        lower.watch(true)?;
        let local = UnixStream::from_std(pump.0)?;
        let mut pumping = Pumping {
            lower,
            local,
            inward: Flow::default(),
            outward: Flow::default(),
        };
        pumping.run().await
    }
}

/// A socket of another process.
fn plain(socket: Option<OwnedFd>) -> Result<Plain, ParcelError> {
    let lost = ParcelError::Unsettled {
        state: "its socket cannot be used",
    };
    // The local end of a pump is a stream socket as well, on which TCP's options fail.
    let socket = StdTcpStream::from(socket.ok_or(lost)?);
    socket.set_nonblocking(true).map_err(|_| lost)?;
    let socket = TcpStream::from_std(socket).map_err(|_| lost)?;
    Ok(Plain::new(socket))
}

/// A pump at work.
struct Pumping<'t> {
    lower: &'t Lower,
    local: UnixStream,
    /// Towards the other process.
    inward: Flow,
    /// Towards the client.
    outward: Flow,
}

/// The bytes of one direction.
#[derive(Default)]
struct Flow {
    held: Vec<u8>,
    has_ended: bool,
}

impl Flow {
    fn reads(&self) -> bool {
        self.held.is_empty() && !self.has_ended
    }

    /// Reads once, if nothing is held.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<()> {
        if !self.reads() {
            return Ok(());
        }
        self.held.resize(PIECE, 0);
        let read = or_none(read(&mut self.held));
        self.held
            .truncate(*read.as_ref().ok().and_then(Option::as_ref).unwrap_or(&0));
        match read? {
            Some(0) => {
                self.has_ended = true;
                self.held = Vec::new();
            }
            Some(_) => {}
            // A connection that waits owns no buffer.
            None => self.held = Vec::new(),
        }
        Ok(())
    }

    /// Writes what is held, as far as it is taken.
    fn drain(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.held.is_empty() {
            match or_none(write(&self.held))? {
                Some(bytes) => {
                    self.held.drain(..bytes);
                }
                None => return Ok(()),
            }
        }
        self.held = Vec::new();
        Ok(())
    }
}

impl Pumping<'_> {
    async fn run(&mut self) -> io::Result<()> {
        // Set once the session has ended: its client has some time to end as well.
        let mut until = None;
        loop {
            self.turn()?;
            if self.inward.has_ended && self.outward.has_ended {
                return Ok(());
            }
            if self.outward.has_ended && self.outward.held.is_empty() {
                until.get_or_insert_with(|| Instant::now() + LINGER);
            }
            let late = until.unwrap_or_else(Instant::now);
            let client = interest(
                self.inward.reads(),
                !self.outward.held.is_empty() || self.lower.unsent() > 0,
            );
            let other = interest(
                self.outward.reads() && self.lower.unsent() == 0,
                !self.inward.held.is_empty(),
            );
            tokio::select! {
                ready = ready(self.lower, client.unwrap_or(Interest::READABLE)), if client.is_some() => {
                    ready?;
                }
                ready = self.local.ready(other.unwrap_or(Interest::READABLE)), if other.is_some() => {
                    ready?;
                }
                () = sleep_until(late), if until.is_some() => return Ok(()),
                else => return Ok(()),
            }
        }
    }

    /// Moves what can be moved now.
    fn turn(&mut self) -> io::Result<()> {
        let (lower, local) = (self.lower, &self.local);
        let had_ended = (self.inward.has_ended, self.outward.has_ended);
        self.inward.fill(|buffer| lower.try_read(buffer))?;
        self.inward.drain(|bytes| local.try_write(bytes))?;
        if lower.try_flush()? {
            self.outward.fill(|buffer| local.try_read(buffer))?;
        }
        self.outward.drain(|bytes| lower.try_write(bytes))?;
        if self.inward.has_ended && !had_ended.0 {
            SockRef::from(local).shutdown(std::net::Shutdown::Write)?;
        }
        if self.outward.has_ended && !had_ended.1 {
            lower.shutdown()?;
        }
        Ok(())
    }
}

fn interest(reads: bool, writes: bool) -> Option<Interest> {
    match (reads, writes) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    }
}

fn ready(lower: &Lower, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
    poll_fn(move |context| lower.poll_ready(interest, context))
}

/// The bytes of an operation that only tries; `None` if it would block.
fn or_none(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
