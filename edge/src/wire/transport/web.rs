//! RTMP in WebSocket messages on a connection (RFC 6455), after the opening handshake.
//!
//! A write becomes a frame: its head stands before the slice that all viewers share, and nothing is
//! copied. A connection owns bytes only while the kernel has not taken all of a frame: the frame's
//! length has been stated, and other frames, such as the answer to a ping, have to wait for its
//! end. Reading unmasks in the reader's buffer, and moves the payloads together there.

use std::{
    cell::RefCell,
    io::{self, IoSlice},
    task::{Context, Poll},
};

use tokio::io::{Interest, Ready};
use tributary_protocol::{
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    websocket::{
        ControlPayload, MAX_CONTROL, ServerFrameHead, WebSocketClose, WebSocketEvent,
        WebSocketFault, WebSocketReader, write_close, write_pong,
    },
};

use super::{held::send_held, lower::Lower};

/// A connection to a client in a WebSocket; the operations are those of the transport.
#[derive(Debug)]
pub(super) struct Web {
    lower: Lower,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    reader: WebSocketReader,
    /// Bytes behind the request that opened the WebSocket, not read yet.
    ahead: Vec<u8>,
    end: Option<ReadEnd>,
    /// The rest of a frame that the kernel took in part, and a control frame behind it.
    held: Vec<u8>,
    /// The payload of the client's last ping, while the answer waits.
    ping: Option<Box<ControlPayload>>,
    /// The code of the close frame, if the server sends the first one.
    code: WebSocketClose,
    /// Whether the server has sent its close frame, or holds it.
    has_closed: bool,
}

/// The end of the frames that are read.
#[derive(Clone, Copy, Debug)]
enum ReadEnd {
    /// The client has closed the WebSocket, or the connection.
    Closed,
    /// The client has broken the protocol, which is not reported yet.
    Fault(WebSocketFault),
    /// The fault is reported. Bytes that come are dropped.
    Reported,
}

const READER: u16 = 1;
const AHEAD: u16 = 2;
const HAS_ENDED: u16 = 3;
const HELD: u16 = 4;
const PING: u16 = 5;
const CODE: u16 = 6;
const HAS_CLOSED: u16 = 7;

/// The payload of a frame in bytes. Its head of four bytes fits with it into 64 KiB, which TLS takes
/// at once. It bounds what a slow client's connection owns.
const MOST_PAYLOAD: usize = 64 * 1024 - 4;

/// Receptions for one read. Reason: a client that sends empty frames without pause leaves other
/// clients their turn.
const RECEPTIONS: usize = 4;

impl Web {
    /// A connection whose opening handshake is done. `ahead` came behind the client's request.
    pub(super) fn new(lower: Lower, ahead: Vec<u8>) -> Self {
        Self {
            lower,
            state: RefCell::new(State {
                reader: WebSocketReader::default(),
                ahead,
                end: None,
                held: Vec::new(),
                ping: None,
                code: WebSocketClose::NORMAL,
                has_closed: false,
            }),
        }
    }

    /// Writes the state. A client that has broken the protocol does not move.
    pub(super) fn export(&self, parcel: &mut ParcelWriter) {
        let state = self.state.borrow();
        if matches!(state.end, Some(ReadEnd::Fault(_) | ReadEnd::Reported)) {
            parcel.refuse("a fault of a WebSocket");
        }
        parcel.carry(READER, &state.reader);
        parcel.bytes(AHEAD, &state.ahead);
        parcel.flag(HAS_ENDED, state.end.is_some());
        parcel.bytes(HELD, &state.held);
        if let Some(ping) = &state.ping {
            parcel.bytes(PING, (**ping).as_ref());
        }
        parcel.number(CODE, state.code.0);
        parcel.flag(HAS_CLOSED, state.has_closed);
    }

    /// The WebSocket of a parcel, on this connection.
    pub(super) fn import(parcel: &mut ParcelReader<'_>, lower: Lower) -> Result<Self, ParcelError> {
        let reader = parcel.carried(READER, ())?;
        let ahead = parcel.bytes(AHEAD)?.to_vec();
        let end = parcel.flag(HAS_ENDED)?.then_some(ReadEnd::Closed);
        let held = parcel.bytes(HELD)?.to_vec();
        let ping = match parcel.bytes_if(PING)? {
            None => None,
            Some(bytes) => {
                let ping = ControlPayload::of(bytes).ok_or_else(|| parcel.illegal(PING))?;
                Some(Box::new(ping))
            }
        };
        let state = State {
            reader,
            ahead,
            end,
            held,
            ping,
            code: WebSocketClose(parcel.number(CODE)?),
            has_closed: parcel.flag(HAS_CLOSED)?,
        };
        Ok(Self {
            lower,
            state: RefCell::new(state),
        })
    }

    /// Sets the code of the close frame, if the client has not broken the protocol.
    pub(super) fn set_close(&self, code: WebSocketClose) {
        let mut state = self.state.borrow_mut();
        if state.code == WebSocketClose::NORMAL {
            state.code = code;
        }
    }

    pub(super) fn lower(&self) -> &Lower {
        &self.lower
    }

    /// Waits for the level below, unless a read gives bytes, or the end, without it.
    pub(super) fn poll_ready(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Ready>> {
        match interest.is_readable() && self.state.borrow().has_news() {
            true => Poll::Ready(Ok(Ready::READABLE)),
            false => self.lower.poll_ready(interest, context),
        }
    }

    /// Reads payloads. A fault of the client is an error with the [`WebSocketFault`] in it, after
    /// the bytes that stand before it.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if let Some(end) = state.end {
            return self.read_past(&mut state, end, buffer);
        }
        let had_closed = state.has_closed;
        let mut filled = 0;
        for _ in 0..RECEPTIONS {
            let room = &mut buffer[filled..];
            let received = match state.receive(&self.lower, room) {
                Ok(0) if !room.is_empty() => {
                    state.end = Some(ReadEnd::Closed);
                    break;
                }
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let has_emptied = received < room.len();
            filled += state.unframe(&mut room[..received]);
            if has_emptied || state.end.is_some() || filled == buffer.len() {
                break;
            }
        }
        // A connection that is gone is reported by the next read or write.
        if state.ping.is_some() || state.has_closed {
            let _ = self.flush(&mut state);
        }
        if state.has_closed && !had_closed {
            let _ = self.lower.shutdown();
        }
        match state.end {
            _ if filled > 0 => Ok(filled),
            Some(end) => self.read_past(&mut state, end, buffer),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Reads behind the last payload.
    fn read_past(&self, state: &mut State, end: ReadEnd, buffer: &mut [u8]) -> io::Result<usize> {
        match end {
            ReadEnd::Closed => Ok(0),
            ReadEnd::Fault(fault) => {
                state.end = Some(ReadEnd::Reported);
                Err(io::Error::new(io::ErrorKind::InvalidData, fault))
            }
            ReadEnd::Reported => self.lower.try_read(buffer),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let mut taken = 0;
        for part in bytes.chunks(MOST_PAYLOAD) {
            if !self.send(&mut state, [part, &[]])? {
                break;
            }
            taken += part.len();
        }
        or_would_block(taken, bytes.len())
    }

    /// Sends one frame, with bytes of the first two pieces.
    pub(super) fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut room = MOST_PAYLOAD;
        let mut part = [&[][..]; 2];
        for (part, piece) in part.iter_mut().zip(pieces) {
            *part = &piece[..piece.len().min(room)];
            room -= part.len();
        }
        let length = MOST_PAYLOAD - room;
        let is_taken = length > 0 && self.send(&mut self.state.borrow_mut(), part)?;
        or_would_block(if is_taken { length } else { 0 }, length)
    }

    /// Sends a frame, if no other bytes wait. Returns whether it was taken: the connection holds
    /// what the kernel does not take.
    fn send(&self, state: &mut State, [first, second]: [&[u8]; 2]) -> io::Result<bool> {
        if state.has_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !self.flush(state)? {
            return Ok(false);
        }
        let head = ServerFrameHead::binary(first.len() + second.len());
        let frame = [head.as_ref(), first, second];
        let pieces = frame.map(IoSlice::new);
        let pieces = &pieces[..if second.is_empty() { 2 } else { 3 }];
        let mut sent = match self.lower.try_write_vectored(pieces) {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        };
        for piece in frame {
            let left = sent.min(piece.len());
            state.held.extend_from_slice(&piece[left..]);
            sent -= left;
        }
        Ok(true)
    }

    pub(super) fn try_flush(&self) -> io::Result<bool> {
        self.flush(&mut self.state.borrow_mut())
    }

    fn flush(&self, state: &mut State) -> io::Result<bool> {
        loop {
            if !send_held(&mut state.held, |bytes| self.lower.try_write(bytes))? {
                return Ok(false);
            }
            match state.ping.take() {
                Some(ping) => write_pong((*ping).as_ref(), &mut state.held),
                None => return self.lower.try_flush(),
            }
        }
    }

    pub(super) fn unsent(&self) -> usize {
        let state = self.state.borrow();
        let pong = state.ping.as_ref().map_or(0, |_| MAX_CONTROL + 2);
        state.held.len() + pong + self.lower.unsent()
    }

    /// Sends a close frame, as far as the kernel takes it, unless one was sent, and ends the
    /// sending side.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let code = state.code;
        state.close(Some(code));
        // A peer that takes nothing misses the frame.
        let _ = self.flush(&mut state);
        self.lower.shutdown()
    }
}

impl State {
    /// Whether a read gives something without new bytes from below.
    fn has_news(&self) -> bool {
        !self.ahead.is_empty() || matches!(self.end, Some(ReadEnd::Closed | ReadEnd::Fault(_)))
    }

    /// Receives bytes of frames: first those that came with the request.
    fn receive(&mut self, lower: &Lower, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return lower.try_read(buffer);
        }
        let bytes = self.ahead.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&self.ahead[..bytes]);
        self.ahead.drain(..bytes);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Ok(bytes)
    }

    /// Reads the frames in `bytes` and moves the payloads to its start. Returns their length.
    fn unframe(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut filled) = (0, 0);
        while at < bytes.len() && self.end.is_none() {
            let mut rest = &mut bytes[at..];
            let event = match self.reader.read(&mut rest) {
                Ok(event) => event,
                Err(fault) => {
                    self.code = fault.close();
                    self.end = Some(ReadEnd::Fault(fault));
                    break;
                }
            };
            let left = rest.len();
            let payload = match event {
                Some(WebSocketEvent::Payload(payload)) => payload.len(),
                Some(WebSocketEvent::Ping(ping)) => {
                    self.ping = Some(Box::new(ping));
                    0
                }
                Some(WebSocketEvent::Close(code)) => {
                    self.close(code);
                    self.end = Some(ReadEnd::Closed);
                    0
                }
                None => 0,
            };
            at = bytes.len() - left;
            bytes.copy_within(at - payload..at, filled);
            filled += payload;
        }
        filled
    }

    /// Puts the close frame behind what is held. It is the last one.
    fn close(&mut self, code: Option<WebSocketClose>) {
        if !self.has_closed {
            self.has_closed = true;
            self.ping = None;
            write_close(code, &mut self.held);
        }
    }
}

/// The result of a write that took so many bytes of these.
fn or_would_block(taken: usize, of: usize) -> io::Result<usize> {
    match taken {
        0 if of > 0 => Err(io::ErrorKind::WouldBlock.into()),
        taken => Ok(taken),
    }
}
