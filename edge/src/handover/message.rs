//! The messages between the two processes: a length of four bytes, a kind of one byte, and content.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use bytes::Bytes;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tributary_gate::HookAnswer;
use tributary_protocol::{
    SessionId,
    parcel::{MAX_PARCEL, pack, unpack},
};

use super::{HandoverError, Passed, SocketRole};
use crate::{
    link::MovedLinks,
    moving::{Moved, MovedClient, ON_THE_WAY},
};

/// A message.
#[derive(Debug)]
pub(super) enum HandoverMessage {
    /// From the new process, first: the newest version of parcels that it reads, and the name of
    /// the edge.
    Hello { version: u16, name: String },
    /// The old process gives nothing, for this reason.
    Refuse(String),
    /// A socket; its descriptor comes with the message.
    Socket(Passed),
    /// There were so many sockets, and the old process has this number.
    End {
        count: u64,
        process: u32,
        /// Whether live clients can come.
        is_live: bool,
    },
    /// The new process has started, and takes live clients.
    Ready,
    /// Clients with their descriptors, and answers of services to clients that came before.
    Moved(Vec<Moved>),
    /// A part of the links.
    Links(LinksPart, Vec<u8>),
    /// There were so many clients and parts of the links.
    AllMoved { clients: u64, parts: u64 },
    /// The new process is about to serve.
    Taken,
    /// The old process gives them up: the new one begins.
    Left,
}

/// A part of the links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinksPart {
    Head,
    Lane,
    Waiting,
}

const HELLO: u8 = 1;
const REFUSE: u8 = 2;
const SOCKET: u8 = 3;
const END: u8 = 4;
const TAKEN: u8 = 5;
const LEFT: u8 = 6;
const READY: u8 = 7;
const MOVED: u8 = 8;
const LINKS_HEAD: u8 = 10;
const LANE: u8 = 11;
const WAITING: u8 = 12;
const ALL_MOVED: u8 = 13;

/// The kinds of items in a message.
const CLIENT: u8 = 1;
const REQUESTS: u8 = 2;
const ANSWER: u8 = 3;

const ADMIN: &str = "admin";
const HANDOVER: &str = "handover";

/// The bytes of a message with parcels: some of the longest, which few sessions have.
const MOST_BYTES: usize = 4 * MAX_PARCEL - 1;

/// Bytes by which the memory for a message grows, once those before have come.
const PIECE: usize = 256 * 1024;

/// The content of a message that is no parcel. Reason: the longest has a sentence.
const MOST_TEXT: usize = 4096;

impl LinksPart {
    /// Puts a part where it belongs.
    pub(super) fn put(self, bytes: Vec<u8>, links: &mut MovedLinks) {
        match self {
            Self::Head => links.head = bytes,
            Self::Lane => links.lanes.push(bytes),
            Self::Waiting => links.waiting.push(bytes),
        }
    }
}

/// Sends a message.
pub(super) fn send(stream: &UnixStream, message: HandoverMessage) -> Result<(), HandoverError> {
    let mut sockets = Vec::new();
    let (kind, content) = match message {
        HandoverMessage::Hello { version, name } => {
            (HELLO, [&version.to_be_bytes(), name.as_bytes()].concat())
        }
        HandoverMessage::Refuse(reason) => (REFUSE, reason.into_bytes()),
        HandoverMessage::Socket(passed) => {
            sockets.push(passed.socket);
            (SOCKET, name(passed.role).into_bytes())
        }
        HandoverMessage::End {
            count,
            process,
            is_live,
        } => {
            let (count, process) = (count.to_be_bytes(), process.to_be_bytes());
            (END, [&count[..], &process, &[u8::from(is_live)]].concat())
        }
        HandoverMessage::Ready => (READY, Vec::new()),
        HandoverMessage::Moved(items) => {
            let mut content = Vec::new();
            for item in items {
                sockets.extend(put(item, &mut content)?);
            }
            (MOVED, content)
        }
        HandoverMessage::Links(part, bytes) => {
            let kind = match part {
                LinksPart::Head => LINKS_HEAD,
                LinksPart::Lane => LANE,
                LinksPart::Waiting => WAITING,
            };
            (kind, bytes)
        }
        HandoverMessage::AllMoved { clients, parts } => (
            ALL_MOVED,
            [clients.to_be_bytes(), parts.to_be_bytes()].concat(),
        ),
        HandoverMessage::Taken => (TAKEN, Vec::new()),
        HandoverMessage::Left => (LEFT, Vec::new()),
    };
    let length = u32::try_from(content.len() + 1).map_err(|_| HandoverError::Order)?;
    let [a, b, c, d] = length.to_be_bytes();
    let head = [a, b, c, d, kind];
    let sent = send_some(stream, &[&head, &content], &sockets)?;
    let rest = head.get(sent..).unwrap_or_default();
    let mut stream = stream;
    stream.write_all(rest)?;
    let rest = content.get(sent.saturating_sub(head.len())..);
    stream.write_all(rest.unwrap_or_default())?;
    Ok(())
}

/// Puts an item behind others: its kind, whether it has a descriptor, its length and its bytes. Returns
/// the descriptor.
fn put(item: Moved, content: &mut Vec<u8>) -> Result<Option<OwnedFd>, HandoverError> {
    let (kind, socket, bytes) = match item {
        Moved::Client(client) => (CLIENT, client.socket, client.parcel),
        Moved::Requests(client) => (REQUESTS, client.socket, client.parcel),
        Moved::Failed(error) => return Err(error.into()),
        Moved::Answer { session, answer } => {
            let answer = pack(&answer, Instant::now())?;
            let bytes = [&session.0.to_be_bytes()[..], &answer].concat();
            (ANSWER, None, bytes.into())
        }
    };
    let length = u32::try_from(bytes.len()).map_err(|_| HandoverError::Order)?;
    content.extend_from_slice(&[kind, u8::from(socket.is_some())]);
    content.extend_from_slice(&length.to_be_bytes());
    content.extend_from_slice(&bytes);
    Ok(socket)
}

/// Sends the first bytes of two pieces, with descriptors; returns how many.
fn send_some(stream: &UnixStream, pieces: &[&[u8]; 2], sockets: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ON_THE_WAY))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = sockets.iter().map(OwnedFd::as_fd).collect();
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for the descriptors"));
    }
    let pieces = pieces.map(IoSlice::new);
    Ok(sendmsg(stream, &pieces, &mut control, SendFlags::NOSIGNAL)?)
}

/// Waits for a message.
pub(super) fn receive(stream: &UnixStream) -> Result<HandoverMessage, HandoverError> {
    let mut head = [0; 5];
    // Descriptors come with the first byte of their message, and never with a later one.
    let (count, descriptors) = receive_with(stream, &mut head)?;
    if count == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    (&*stream).read_exact(&mut head[count..])?;
    let [length @ .., kind] = head;
    let length = u32::from_be_bytes(length)
        .checked_sub(1)
        .ok_or(HandoverError::Order)?;
    let most = match kind {
        MOVED | LINKS_HEAD | LANE | WAITING => MOST_BYTES,
        _ => MOST_TEXT,
    };
    if length as usize > most {
        return Err(HandoverError::Order);
    }
    // Memory grows with the bytes that come.
    let (mut content, length) = (Vec::new(), length as usize);
    while content.len() < length {
        let begin = content.len();
        content.resize(length.min(begin + PIECE), 0);
        (&*stream).read_exact(&mut content[begin..])?;
    }
    decode(kind, content, descriptors)
}

fn receive_with(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(ON_THE_WAY))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        // The kernel has closed those for which this process has no room.
        return Err(io::Error::other(
            "no room for the descriptors of all clients; raise the limit of open files",
        ));
    }
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().collect()))
}

/// The message of this kind with this content.
pub(super) fn decode(
    kind: u8,
    content: Vec<u8>,
    descriptors: Vec<OwnedFd>,
) -> Result<HandoverMessage, HandoverError> {
    let order = HandoverError::Order;
    let mut descriptors = descriptors.into_iter();
    let text = |content: Vec<u8>| String::from_utf8(content).map_err(|_| HandoverError::Order);
    Ok(match kind {
        HELLO => {
            let (version, name) = content.split_first_chunk().ok_or(order)?;
            HandoverMessage::Hello {
                version: u16::from_be_bytes(*version),
                name: text(name.to_vec())?,
            }
        }
        REFUSE => HandoverMessage::Refuse(text(content)?),
        SOCKET => {
            let role = role(&text(content)?).ok_or(order)?;
            let socket = descriptors.next().ok_or(HandoverError::Order)?;
            HandoverMessage::Socket(Passed { role, socket })
        }
        END => {
            let (count, rest) = content.split_first_chunk().ok_or(order)?;
            let (process, rest) = rest.split_first_chunk().ok_or(HandoverError::Order)?;
            HandoverMessage::End {
                count: u64::from_be_bytes(*count),
                process: u32::from_be_bytes(*process),
                is_live: match rest {
                    [0] => false,
                    [1] => true,
                    _ => return Err(HandoverError::Order),
                },
            }
        }
        READY => HandoverMessage::Ready,
        MOVED => HandoverMessage::Moved(items(&content, descriptors)?),
        LINKS_HEAD => HandoverMessage::Links(LinksPart::Head, content),
        LANE => HandoverMessage::Links(LinksPart::Lane, content),
        WAITING => HandoverMessage::Links(LinksPart::Waiting, content),
        ALL_MOVED => {
            let (clients, parts) = content.split_first_chunk().ok_or(order)?;
            let parts = parts.try_into().map_err(|_| HandoverError::Order)?;
            HandoverMessage::AllMoved {
                clients: u64::from_be_bytes(*clients),
                parts: u64::from_be_bytes(parts),
            }
        }
        TAKEN => HandoverMessage::Taken,
        LEFT => HandoverMessage::Left,
        _ => return Err(order),
    })
}

/// The items of a message.
fn items(
    mut content: &[u8],
    mut descriptors: impl Iterator<Item = OwnedFd>,
) -> Result<Vec<Moved>, HandoverError> {
    let mut items = Vec::new();
    while !content.is_empty() {
        let (&[kind, has_socket, length @ ..], rest) = content
            .split_first_chunk::<6>()
            .ok_or(HandoverError::Order)?;
        let length = u32::from_be_bytes(length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or(HandoverError::Order)?;
        let socket = match has_socket {
            0 => None,
            _ => Some(descriptors.next().ok_or(HandoverError::Order)?),
        };
        items.push(match kind {
            ANSWER => {
                let (session, answer) = bytes.split_first_chunk().ok_or(HandoverError::Order)?;
                Moved::Answer {
                    session: SessionId(u64::from_be_bytes(*session)),
                    answer: unpack::<HookAnswer>(answer, Instant::now(), (), MAX_PARCEL)?,
                }
            }
            CLIENT | REQUESTS => {
                let client = MovedClient {
                    parcel: Bytes::copy_from_slice(bytes),
                    socket,
                };
                match kind {
                    CLIENT => Moved::Client(client),
                    _ => Moved::Requests(client),
                }
            }
            _ => return Err(HandoverError::Order),
        });
        content = rest;
    }
    Ok(items)
}

fn name(role: SocketRole) -> String {
    match role {
        SocketRole::Clients(address) => address.to_string(),
        SocketRole::Admin => ADMIN.to_owned(),
        SocketRole::Handover => HANDOVER.to_owned(),
    }
}

fn role(name: &str) -> Option<SocketRole> {
    match name {
        ADMIN => Some(SocketRole::Admin),
        HANDOVER => Some(SocketRole::Handover),
        address => address.parse().ok().map(SocketRole::Clients),
    }
}
