//! The messages between the two processes: a length of four bytes, and a parcel.

use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    time::Instant,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tributary_protocol::parcel::{ParcelReader, ParcelWriter};

use super::{HandoverError, Passed, SocketRole};

/// A message.
#[derive(Debug)]
pub(super) enum HandoverMessage {
    /// From the new process, first.
    Hello,
    /// The old process gives nothing, for this reason.
    Refuse(String),
    /// A socket; its descriptor comes with the message.
    Socket(Passed),
    /// There were so many sockets, and the old process has this number.
    End { count: u64, process: u32 },
    /// The new process is about to serve with them.
    Taken,
    /// The old process gives them up: the new one begins.
    Left,
}

/// The fields of a message.
const KIND: u16 = 1;
const TEXT: u16 = 2;
const COUNT: u16 = 3;
const PROCESS: u16 = 4;

const HELLO: u64 = 1;
const REFUSE: u64 = 2;
const SOCKET: u64 = 3;
const END: u64 = 4;
const TAKEN: u64 = 5;
const LEFT: u64 = 6;

const ADMIN: &str = "admin";
const HANDOVER: &str = "handover";

/// The bytes of a message. Reason: the longest has a sentence.
const MOST_BYTES: usize = 4096;
const MOST_TEXT: usize = 1024;

/// Sends a message.
pub(super) fn send(stream: &UnixStream, message: &HandoverMessage) -> Result<(), HandoverError> {
    let mut parcel = ParcelWriter::new(Instant::now());
    let mut put = |kind: u64, text: Option<&str>, count: Option<u64>| {
        parcel.number(KIND, kind);
        if let Some(text) = text {
            parcel.bytes(TEXT, text.as_bytes());
        }
        parcel.number_if(COUNT, count);
    };
    match message {
        HandoverMessage::Hello => put(HELLO, None, None),
        HandoverMessage::Refuse(reason) => put(REFUSE, Some(reason), None),
        HandoverMessage::Socket(passed) => put(SOCKET, Some(&name(passed.role)), None),
        HandoverMessage::End { count, process } => {
            put(END, None, Some(*count));
            parcel.number(PROCESS, *process);
        }
        HandoverMessage::Taken => put(TAKEN, None, None),
        HandoverMessage::Left => put(LEFT, None, None),
    }
    let parcel = parcel.finish()?;
    let length = u32::try_from(parcel.len()).expect("a message is short");
    let bytes = [&length.to_be_bytes()[..], &parcel].concat();
    let sent = match message {
        HandoverMessage::Socket(passed) => send_with(stream, &bytes, &passed.socket)?,
        _ => 0,
    };
    (&*stream).write_all(&bytes[sent..])?;
    Ok(())
}

/// Sends the first bytes with a descriptor; returns how many.
fn send_with(stream: &UnixStream, bytes: &[u8], socket: &OwnedFd) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [socket.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(bytes)],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(sent)
}

/// Waits for a message.
pub(super) fn receive(stream: &UnixStream) -> Result<HandoverMessage, HandoverError> {
    let mut length = [0; 4];
    // A descriptor comes with the first byte of its message, and never with a later one.
    let (count, descriptor) = receive_with(stream, &mut length)?;
    if count == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    (&*stream).read_exact(&mut length[count..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(HandoverError::Order);
    }
    let mut bytes = vec![0; length];
    (&*stream).read_exact(&mut bytes)?;
    decode(&bytes, descriptor)
}

fn receive_with(stream: &UnixStream, bytes: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(bytes)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Ok((received.bytes, descriptors.flatten().next()))
}

pub(super) fn decode(
    bytes: &[u8],
    descriptor: Option<OwnedFd>,
) -> Result<HandoverMessage, HandoverError> {
    let mut parcel = ParcelReader::new(bytes, "a message", Instant::now(), MOST_BYTES)?;
    let message = match parcel.number::<u64>(KIND)? {
        HELLO => HandoverMessage::Hello,
        REFUSE => HandoverMessage::Refuse(parcel.text(TEXT, MOST_TEXT)?.to_owned()),
        SOCKET => {
            let role = role(parcel.text(TEXT, MOST_TEXT)?).ok_or(HandoverError::Order)?;
            let socket = descriptor.ok_or(HandoverError::Order)?;
            HandoverMessage::Socket(Passed { role, socket })
        }
        END => HandoverMessage::End {
            count: parcel.count(COUNT)?,
            process: parcel.number(PROCESS)?,
        },
        TAKEN => HandoverMessage::Taken,
        LEFT => HandoverMessage::Left,
        _ => return Err(HandoverError::Order),
    };
    parcel.finish()?;
    Ok(message)
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
