//! The server's end of a connection.

use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::{ConnectionLimits, Error, ServerEvent, connection::Connection};
use crate::{
    ChunkStreamId, Message, MessageStreamId,
    chunk::ReadLimits,
    handshake::{self, ServerHandshake},
    message::user_control::UserControl,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

/// The server's end of one RTMP connection, without I/O or clock.
///
/// ```text
/// Handshake ──C2──► Open        (ServerEvent::Connected)
///     │               │
///     └──── Error ◄───┘         every call after an error returns it again
/// ```
///
/// The driver passes the bytes that it reads to [`Self::handle_input`], polls events until there
/// are none, sends the bytes of [`Self::take_output`], and calls [`Self::handle_timeout`] when
/// [`Self::poll_timeout`] is due. Events before an error can still be polled after it.
///
/// Messages to many viewers are not copied through here. The driver writes the shared encoding to
/// the socket itself, after [`Self::take_output`] and in chunk size [`Self::chunk_size`], and
/// reports it with [`Self::note_written_shared`].
#[derive(Debug)]
pub struct ServerConnection {
    /// None once it is done.
    handshake: Option<ServerHandshake>,
    deadline: Instant,
    failed: Option<Error>,
    connection: Connection,
}

impl ServerConnection {
    /// The window that this server states: 2,500,000 bytes, as common servers do.
    pub const WINDOW: u32 = super::flow::DEFAULT_WINDOW;

    /// The chunk size of this server: 65,536 bytes, so that most frames are one chunk.
    pub const CHUNK_SIZE: u32 = 65_536;

    /// A connection right after its TCP accept. `random` goes into S1.
    pub fn new(random: [u8; handshake::RANDOM], now: Instant, limits: ConnectionLimits) -> Self {
        Self {
            handshake: Some(ServerHandshake::new(&random)),
            deadline: now + limits.handshake,
            failed: None,
            connection: Connection::new(now, limits),
        }
    }

    /// Reads all bytes of `input`.
    pub fn handle_input(&mut self, now: Instant, mut input: &[u8]) -> Result<(), Error> {
        self.check()?;
        let result = self.read(now, &mut input);
        self.keep(result)
    }

    /// Handles the timers that are due at `now`: a ping, or an error for a peer that is late.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check()?;
        let result = match self.handshake {
            Some(_) if now >= self.deadline => Err(Error::HandshakeTimeout),
            Some(_) => Ok(()),
            None => self.connection.handle_timeout(now),
        };
        self.keep(result)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.connection.poll_event()
    }

    /// Events that wait for [`Self::poll_event`].
    pub fn events(&self) -> usize {
        self.connection.events()
    }

    /// The next time for [`Self::handle_timeout`]; `None` after an error.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.failed, &self.handshake) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(self.deadline),
            (None, None) => Some(self.connection.poll_timeout()),
        }
    }

    /// Takes all bytes to be sent, as one buffer.
    pub fn take_output(&mut self) -> BytesMut {
        self.connection.take_output()
    }

    /// The bytes that [`Self::take_output`] would return.
    pub fn output_len(&self) -> usize {
        self.connection.output_len()
    }

    /// Sends this server's window, the limit of the peer's bandwidth and this server's chunk size:
    /// a server sends them when the connect command arrives, before its answer.
    pub fn begin(&mut self, chunk_size: u32, window: u32) {
        self.connection.begin(chunk_size, window);
    }

    /// Sends a message on a chunk stream, with a compressed header.
    pub fn send(&mut self, csid: ChunkStreamId, message: &Message) {
        self.connection.send(csid, message);
    }

    /// Sends a message with a complete header, for a chunk stream on which the driver also writes
    /// past this connection: the peer remembers other headers there.
    pub fn send_full(&mut self, csid: ChunkStreamId, message: &Message) {
        self.connection.send_full(csid, message);
    }

    /// Sends a user control event.
    pub fn send_user_control(&mut self, event: &UserControl) {
        self.connection.send_user_control(event);
    }

    /// Sends StreamBegin: the message stream carries a stream from now on.
    pub fn stream_begin(&mut self, stream: MessageStreamId) {
        self.send_user_control(&UserControl::StreamBegin(stream));
    }

    /// Sends StreamEof: the stream on the message stream is over.
    pub fn stream_eof(&mut self, stream: MessageStreamId) {
        self.send_user_control(&UserControl::StreamEof(stream));
    }

    /// Sends StreamIsRecorded: the stream on the message stream is a recording.
    pub fn stream_is_recorded(&mut self, stream: MessageStreamId) {
        self.send_user_control(&UserControl::StreamIsRecorded(stream));
    }

    /// Pings the peer, unless a ping is under way. [`ServerEvent::Pong`] is the answer. A peer without
    /// any bytes in [`ConnectionLimits::ping_timeout`] causes an error.
    pub fn send_ping(&mut self, now: Instant) {
        self.connection.send_ping(now);
    }

    /// Whether the peer has not answered the last ping yet.
    pub fn awaits_pong(&self) -> bool {
        self.connection.awaits_pong()
    }

    /// Sets the silence after which the peer is pinged: [`ConnectionLimits::ping_after`] from here on.
    pub fn set_ping_after(&mut self, silence: Duration) {
        self.connection.set_ping_after(silence);
    }

    /// Counts bytes that the driver wrote past this connection.
    pub fn note_written_shared(&mut self, bytes: usize) {
        self.connection.note_sent(bytes);
    }

    /// Restarts the peer's silence at `now`, because the driver does not read. The driver calls it
    /// at least every [`ConnectionLimits::ping_after`] meanwhile.
    pub fn note_unread(&mut self, now: Instant) {
        self.connection.restart_silence(now);
    }

    /// Moves every deadline by `by`, the time for which the process was stopped.
    pub fn postpone(&mut self, by: Duration) {
        self.deadline += by;
        self.connection.postpone(by);
    }

    /// Sets the limits of incomplete messages from the peer; a publisher needs higher ones.
    pub fn set_read_limits(&mut self, limits: ReadLimits) {
        self.connection.reader().set_limits(limits);
    }

    /// The time until which the driver should not read, because the peer exceeds
    /// [`ConnectionLimits::chunks_per_second`].
    pub fn throttled_until(&self) -> Option<Instant> {
        self.connection.throttled_until()
    }

    /// Whether the handshake is done.
    pub fn is_connected(&self) -> bool {
        self.handshake.is_none()
    }

    /// The outbound chunk size, which shared encodings for this peer must have.
    pub fn chunk_size(&self) -> u32 {
        self.connection.chunk_size()
    }

    /// The bytes sent after the handshake, shared ones included.
    pub fn bytes_sent(&self) -> u64 {
        self.connection.flow().sent()
    }

    /// The last sequence number that the peer acknowledged, for statistics alone.
    pub fn peer_acknowledged(&self) -> Option<u32> {
        self.connection.flow().peer_acknowledged()
    }

    fn read(&mut self, now: Instant, input: &mut &[u8]) -> Result<(), Error> {
        if let Some(handshake) = &mut self.handshake {
            if now >= self.deadline {
                return Err(Error::HandshakeTimeout);
            }
            if !handshake.read(input, self.connection.output())? {
                return Ok(());
            }
            self.handshake = None;
            self.connection.push_event(ServerEvent::Connected);
        }
        self.connection.read(now, input)
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    fn keep(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.failed = result.err();
        result
    }
}

const CONNECTION: u16 = 1;

/// A connection whose handshake is done, without an error, whose events have all been polled. Settings
/// that the driver has changed, [`ServerConnection::set_ping_after`] and
/// [`ServerConnection::set_read_limits`], are in the importer's limits.
impl Carried for ServerConnection {
    const NAME: &'static str = "the server's connection";
    type Limits = ConnectionLimits;

    fn export(&self, parcel: &mut ParcelWriter) {
        if self.handshake.is_some() {
            parcel.refuse("the handshake is not done");
        }
        if self.failed.is_some() {
            parcel.refuse("the connection has failed");
        }
        parcel.carry(CONNECTION, &self.connection);
    }

    fn import(
        parcel: &mut ParcelReader<'_>,
        limits: ConnectionLimits,
    ) -> Result<Self, ParcelError> {
        Ok(Self {
            handshake: None,
            deadline: parcel.now(),
            failed: None,
            connection: parcel.carried(CONNECTION, limits)?,
        })
    }
}
