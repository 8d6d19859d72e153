//! The new process: it takes the sockets.

use std::{os::unix::net::UnixStream, path::Path};

use rustix::{
    net::sockopt::socket_peercred,
    process::{Pid, geteuid, test_kill_process},
};

use super::{
    HandoverError, MOST_SOCKETS, PATIENCE, Passed,
    message::{HandoverMessage, receive, send},
};

/// The sockets of the running edge, which serves until [`Takeover::confirm`].
#[derive(Debug)]
pub struct Takeover {
    pub sockets: Vec<Passed>,
    stream: UnixStream,
    /// The number of the running edge's process.
    process: u32,
}

/// Asks the edge behind this socket for its sockets. It blocks for some seconds at most.
///
/// # Errors
/// No edge is there, or it gives nothing; it goes on serving.
pub fn take(path: &Path) -> Result<Takeover, HandoverError> {
    let stream = UnixStream::connect(path).map_err(HandoverError::Nobody)?;
    if !is_own(&stream)? {
        return Err(HandoverError::Stranger);
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    send(&stream, &HandoverMessage::Hello)?;
    let mut sockets = Vec::new();
    let process = loop {
        match receive(&stream)? {
            HandoverMessage::Refuse(reason) => return Err(HandoverError::Refused(reason)),
            HandoverMessage::Socket(passed) if (sockets.len() as u64) < MOST_SOCKETS => {
                sockets.push(passed);
            }
            HandoverMessage::End { count, process } if count == sockets.len() as u64 => {
                break process;
            }
            _ => return Err(HandoverError::Order),
        }
    };
    Ok(Takeover {
        sockets,
        stream,
        process,
    })
}

impl Takeover {
    /// Tells the other process that this one is about to serve, and waits until it has given its
    /// sockets up. Without this call it goes on serving.
    ///
    /// # Errors
    /// The other process goes on serving, or nothing is known of it: this one must not begin.
    pub fn confirm(self) -> Result<(), HandoverError> {
        let told = send(&self.stream, &HandoverMessage::Taken);
        match told.and_then(|()| receive(&self.stream)) {
            Ok(HandoverMessage::Left) => Ok(()),
            Ok(_) => Err(HandoverError::Order),
            Err(error) => match self.is_other_gone() {
                true => Ok(()),
                false => Err(error),
            },
        }
    }

    /// Whether the other process has ended. (The credentials of the socket name the process that
    /// opened it, which may be an earlier one.)
    fn is_other_gone(&self) -> bool {
        let process = i32::try_from(self.process).ok().and_then(Pid::from_raw);
        process.is_none_or(|process| test_kill_process(process).is_err())
    }
}

/// Whether the process at the other end has the same user.
pub(super) fn is_own(stream: &UnixStream) -> Result<bool, HandoverError> {
    let peer = socket_peercred(stream).map_err(std::io::Error::from)?;
    Ok(peer.uid == geteuid())
}
