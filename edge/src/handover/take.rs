//! The new process: it takes the sockets and the clients.

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    net::sockopt::socket_peercred,
    process::{Pid, geteuid, test_kill_process},
};
use tributary_protocol::parcel::VERSION;

use super::{
    FREEZE, HandoverError, MOST_SOCKETS, PATIENCE, Passed,
    message::{HandoverMessage, receive, send},
};
use crate::{
    link::MovedLinks,
    live::{Taken, Taking},
    moving::Moved,
};

/// The sockets of the running edge, which serves until [`Takeover::confirm`].
#[derive(Debug)]
pub struct Takeover {
    pub sockets: Vec<Passed>,
    stream: UnixStream,
    /// The number of the running edge's process.
    process: u32,
    is_live: bool,
}

/// The time in which a process whose connection has ended is gone, and the interval of the looks.
const ENDS: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);

/// The clients that come after those of a [`Takeover`].
#[derive(Debug)]
pub struct Following(UnixStream);

/// Asks the edge of this name behind this socket for its sockets. It blocks for some seconds at most.
///
/// # Errors
/// No edge is there, or it gives nothing; it goes on serving.
pub fn take(path: &Path, name: &str) -> Result<Takeover, HandoverError> {
    let stream = UnixStream::connect(path).map_err(HandoverError::Nobody)?;
    if !is_own(&stream)? {
        return Err(HandoverError::Stranger);
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let hello = HandoverMessage::Hello {
        version: VERSION,
        name: name.to_owned(),
    };
    send(&stream, hello)?;
    let mut sockets = Vec::new();
    loop {
        match receive(&stream)? {
            HandoverMessage::Refuse(reason) => return Err(HandoverError::Refused(reason)),
            HandoverMessage::Socket(passed) if (sockets.len() as u64) < MOST_SOCKETS => {
                sockets.push(passed);
            }
            HandoverMessage::End {
                count,
                process,
                is_live,
            } if count == sockets.len() as u64 => {
                return Ok(Takeover {
                    sockets,
                    stream,
                    process,
                    is_live,
                });
            }
            _ => return Err(HandoverError::Order),
        }
    }
}

impl Takeover {
    /// Whether the running edge gives its clients, too.
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Takes the clients of the running edge. They stand still until [`Taking::begin`], which follows
    /// [`Self::confirm`]. It blocks for some seconds at most.
    ///
    /// # Errors
    /// The running edge goes on serving them, and this process must not begin.
    pub fn take_clients(&self, taking: &Taking) -> Result<Taken, HandoverError> {
        let stream = &self.stream;
        // The other process waits for its sessions.
        stream.set_read_timeout(Some(FREEZE + PATIENCE))?;
        send(stream, HandoverMessage::Ready)?;
        let mut clients = Vec::new();
        let mut links = MovedLinks::default();
        let mut parts = 0;
        loop {
            match receive(stream)? {
                HandoverMessage::Moved(moved) => clients.extend(moved),
                HandoverMessage::Links(part, bytes) => {
                    part.put(bytes, &mut links);
                    parts += 1;
                }
                HandoverMessage::AllMoved {
                    clients: sent,
                    parts: sent_parts,
                } => match (clients.len() as u64, parts) == (sent, sent_parts) {
                    true => break,
                    false => return Err(HandoverError::Order),
                },
                _ => return Err(HandoverError::Order),
            }
        }
        taking.take_links(links)?;
        // The sessions come before the requests for them.
        let (sessions, others): (Vec<_>, Vec<_>) = clients
            .into_iter()
            .partition(|moved| matches!(moved, Moved::Client(_)));
        let taken = taking.take_clients(sessions)?;
        Ok(taken + taking.take_clients(others)?)
    }

    /// Tells the other process that this one is about to serve, and waits until it has given its
    /// sockets up. Without this call it goes on serving.
    ///
    /// # Errors
    /// The other process goes on serving, or nothing is known of it: this one must not begin.
    pub fn confirm(self) -> Result<Following, HandoverError> {
        let told = send(&self.stream, HandoverMessage::Taken);
        match told.and_then(|()| receive(&self.stream)) {
            Ok(HandoverMessage::Left) => Ok(Following(self.stream)),
            Ok(_) => Err(HandoverError::Order),
            Err(error) => match self.is_other_gone() {
                true => Ok(Following(self.stream)),
                false => Err(error),
            },
        }
    }

    /// Whether the other process has ended, or does so soon.
    pub fn is_other_gone(&self) -> bool {
        let late = Instant::now() + ENDS;
        loop {
            if self.has_ended() {
                return true;
            }
            if Instant::now() >= late {
                return false;
            }
            thread::sleep(LOOK);
        }
    }

    /// Whether the other process has ended. (The credentials of the socket name the process that
    /// opened it, which may be an earlier one.)
    fn has_ended(&self) -> bool {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        process.is_none_or(|process| test_kill_process(process).is_err())
    }
}

impl Following {
    /// Takes the clients that follow, until the other process has ended. It blocks as long.
    pub fn run(self, taking: &Taking) {
        if let Err(error) = self.take_all(taking)
            && !matches!(&error, HandoverError::Io(it) if it.kind() == io::ErrorKind::UnexpectedEof)
        {
            tracing::warn!(%error, "no more clients follow from the process before this one");
        }
        taking.end();
    }

    fn take_all(&self, taking: &Taking) -> Result<(), HandoverError> {
        self.0.set_read_timeout(None)?;
        loop {
            match receive(&self.0)? {
                HandoverMessage::Moved(moved) => taking.follow(moved)?,
                _ => return Err(HandoverError::Order),
            }
        }
    }
}

/// Whether the process at the other end has the same user.
pub(super) fn is_own(stream: &UnixStream) -> Result<bool, HandoverError> {
    let peer = socket_peercred(stream).map_err(io::Error::from)?;
    Ok(peer.uid == geteuid())
}
