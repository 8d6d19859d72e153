//! A client's frames.

use super::{MAX_CONTROL, WebSocketClose, WebSocketFault, mask::Mask, opcode};

mod parcel;

/// The bytes before a payload: two, a length of up to eight, a mask of four.
const FRAME_HEAD: usize = 14;

/// Reads a client's frames from pieces of any size.
///
/// ```text
/// Head ──data frame──► Data ──payload──► Head
///   ├──control frame─► Control ──payload, event──► Head
///   └──close frame───► Control ──payload, event──► Closed
/// ```
///
/// A reader has 32 bytes; a control frame with a payload takes 126 more until all of it is there.
#[derive(Debug)]
pub struct WebSocketReader {
    state: State,
    /// Whether a message has begun and its last frame has not come.
    in_message: bool,
}

#[derive(Debug)]
enum State {
    Head {
        bytes: [u8; FRAME_HEAD],
        filled: u8,
    },
    Data {
        left: u64,
        mask: Mask,
    },
    Control {
        opcode: u8,
        length: u8,
        mask: Mask,
        payload: Box<ControlPayload>,
    },
    /// The client has sent its close frame.
    Closed,
}

/// The content of a client's frames.
#[derive(Debug, PartialEq, Eq)]
pub enum WebSocketEvent<'b> {
    /// Bytes of the RTMP connection, unmasked: never empty.
    Payload(&'b [u8]),
    /// A ping; the server answers with a pong of the same payload.
    Ping(ControlPayload),
    /// A close frame. The server answers with a frame of the same code, unless it has sent one, and
    /// ends the connection; the reader drops all bytes behind it.
    Close(Option<WebSocketClose>),
}

/// The payload of a control frame: at most [`MAX_CONTROL`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPayload {
    filled: u8,
    bytes: [u8; MAX_CONTROL],
}

impl ControlPayload {
    /// A payload of these bytes; `None` if they are more than [`MAX_CONTROL`].
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut payload = Self::new();
        (bytes.len() <= MAX_CONTROL).then(|| payload.push(bytes))?;
        Some(payload)
    }

    fn new() -> Self {
        Self {
            filled: 0,
            bytes: [0; MAX_CONTROL],
        }
    }

    fn push(&mut self, piece: &[u8]) {
        self.bytes[usize::from(self.filled)..][..piece.len()].copy_from_slice(piece);
        self.filled += piece.len() as u8;
    }
}

impl AsRef<[u8]> for ControlPayload {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.filled)]
    }
}

impl Default for WebSocketReader {
    fn default() -> Self {
        Self {
            state: State::start(),
            in_message: false,
        }
    }
}

impl WebSocketReader {
    /// Consumes bytes from `input` up to the next event and returns it; `None` once `input` is
    /// empty. The payload is unmasked where it stands in `input`. After a fault the reader is used no
    /// more: the driver sends a close frame with the fault's code and ends the connection.
    pub fn read<'b>(
        &mut self,
        input: &mut &'b mut [u8],
    ) -> Result<Option<WebSocketEvent<'b>>, WebSocketFault> {
        while !input.is_empty() {
            match &mut self.state {
                State::Head { bytes, filled } => {
                    let needed = head_length(&bytes[..usize::from(*filled)]);
                    let piece = take(input, needed - usize::from(*filled));
                    bytes[usize::from(*filled)..][..piece.len()].copy_from_slice(piece);
                    *filled += piece.len() as u8;
                    if usize::from(*filled) == needed {
                        let head = *bytes;
                        if let Some(event) = self.handle_head(&head[..needed])? {
                            return Ok(Some(event));
                        }
                    }
                }
                State::Data { left, mask } => {
                    let piece = take(input, usize::try_from(*left).unwrap_or(usize::MAX));
                    mask.apply(piece);
                    *left -= piece.len() as u64;
                    if *left == 0 {
                        self.state = State::start();
                    }
                    return Ok(Some(WebSocketEvent::Payload(piece)));
                }
                State::Control {
                    opcode,
                    length,
                    mask,
                    payload,
                } => {
                    let piece = take(input, usize::from(*length - payload.filled));
                    mask.apply(piece);
                    payload.push(piece);
                    if payload.filled == *length {
                        let (opcode, payload) = (*opcode, (**payload).clone());
                        self.state = State::start();
                        if let Some(event) = self.handle_control(opcode, payload)? {
                            return Ok(Some(event));
                        }
                    }
                }
                State::Closed => drop(std::mem::take(input)),
            }
        }
        Ok(None)
    }

    /// Handles the first two bytes of a frame, or all that stand before its payload.
    fn handle_head(
        &mut self,
        head: &[u8],
    ) -> Result<Option<WebSocketEvent<'static>>, WebSocketFault> {
        let &[first, second, ref extended @ .., a, b, c, d] = head else {
            self.check(head[0], head[1])?;
            return Ok(None);
        };
        let mask = Mask::new([a, b, c, d]);
        let left = payload_length(second & LENGTH, extended)?;
        let opcode = first & OPCODE;
        if opcode & CONTROL == 0 {
            self.in_message = first & FINAL == 0;
            self.state = match left {
                0 => State::start(),
                _ => State::Data { left, mask },
            };
            return Ok(None);
        }
        self.state = State::start();
        if left == 0 {
            return self.handle_control(opcode, ControlPayload::new());
        }
        self.state = State::Control {
            opcode,
            length: left as u8,
            mask,
            payload: Box::new(ControlPayload::new()),
        };
        Ok(None)
    }

    /// Checks the first two bytes of a frame.
    fn check(&self, first: u8, second: u8) -> Result<(), WebSocketFault> {
        if first & RESERVED != 0 {
            return Err(WebSocketFault::ReservedBits);
        }
        if second & MASKED == 0 {
            return Err(WebSocketFault::Unmasked);
        }
        let opcode = first & OPCODE;
        match opcode {
            opcode::CONTINUATION if !self.in_message => Err(WebSocketFault::Fragment),
            opcode::BINARY if self.in_message => Err(WebSocketFault::Fragment),
            opcode::CONTINUATION | opcode::BINARY => Ok(()),
            opcode::TEXT => Err(WebSocketFault::Text),
            opcode::CLOSE | opcode::PING | opcode::PONG => {
                let is_whole = first & FINAL != 0 && usize::from(second & LENGTH) <= MAX_CONTROL;
                is_whole.then_some(()).ok_or(WebSocketFault::Control)
            }
            _ => Err(WebSocketFault::Opcode { opcode }),
        }
    }

    fn handle_control(
        &mut self,
        opcode: u8,
        payload: ControlPayload,
    ) -> Result<Option<WebSocketEvent<'static>>, WebSocketFault> {
        match opcode {
            opcode::CLOSE => {
                self.state = State::Closed;
                let code = close_code(payload.as_ref())?;
                Ok(Some(WebSocketEvent::Close(code)))
            }
            opcode::PING => Ok(Some(WebSocketEvent::Ping(payload))),
            _ => Ok(None),
        }
    }
}

impl State {
    fn start() -> Self {
        Self::Head {
            bytes: [0; FRAME_HEAD],
            filled: 0,
        }
    }
}

/// The bytes of the head that must be there next, by those that are: the first two, then all.
fn head_length(bytes: &[u8]) -> usize {
    match bytes.get(1).map(|second| second & LENGTH) {
        None => 2,
        Some(126) => 8,
        Some(127) => 14,
        Some(_) => 6,
    }
}

/// The length of the payload; it must stand in the fewest bytes that hold it.
fn payload_length(short: u8, extended: &[u8]) -> Result<u64, WebSocketFault> {
    let bytes = extended.iter();
    let long = bytes.fold(0, |length, &byte| length << 8 | u64::from(byte));
    match (short, long) {
        (126, 126..) => Ok(long),
        (127, 0x1_0000..=0x7fff_ffff_ffff_ffff) => Ok(long),
        (126 | 127, _) => Err(WebSocketFault::Length),
        (short, _) => Ok(u64::from(short)),
    }
}

/// The code in the payload of a close frame (RFC 6455, section 5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<WebSocketClose>, WebSocketFault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        let is_empty = payload.is_empty();
        return is_empty.then_some(None).ok_or(WebSocketFault::CloseCode);
    };
    let code = WebSocketClose(u16::from_be_bytes(*code));
    if !code.may_be_sent() {
        return Err(WebSocketFault::CloseCode);
    }
    let is_text = str::from_utf8(reason).is_ok();
    is_text
        .then_some(Some(code))
        .ok_or(WebSocketFault::CloseReason)
}

/// Takes up to `count` bytes from the start of `input`.
fn take<'b>(input: &mut &'b mut [u8], count: usize) -> &'b mut [u8] {
    let count = count.min(input.len());
    let (piece, rest) = std::mem::take(input).split_at_mut(count);
    *input = rest;
    piece
}

/// The parts of the first two bytes (RFC 6455, section 5.2).
const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
/// The bit of an opcode that control frames have.
const CONTROL: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
