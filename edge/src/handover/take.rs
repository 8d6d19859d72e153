//! The new process: it takes the sockets.

use std::{os::unix::net::UnixStream, path::Path};

use rustix::{net::sockopt::socket_peercred, process::geteuid};

use super::{
    HandoverError, MOST_SOCKETS, PATIENCE, Passed,
    message::{HandoverMessage, receive, send},
};

/// The sockets of the running edge, which serves until [`Takeover::confirm`].
#[derive(Debug)]
pub struct Takeover {
    pub sockets: Vec<Passed>,
    stream: UnixStream,
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
    loop {
        match receive(&stream)? {
            HandoverMessage::Refuse(reason) => return Err(HandoverError::Refused(reason)),
            HandoverMessage::Socket(passed) if (sockets.len() as u64) < MOST_SOCKETS => {
                sockets.push(passed);
            }
            HandoverMessage::End(count) if count == sockets.len() as u64 => break,
            _ => return Err(HandoverError::Order),
        }
    }
    Ok(Takeover { sockets, stream })
}

impl Takeover {
    /// Tells the other process that this one serves: it leaves. Without this call it goes on.
    pub fn confirm(self) -> Result<(), HandoverError> {
        send(&self.stream, &HandoverMessage::Taken)
    }
}

/// Whether the process at the other end has the same user.
pub(super) fn is_own(stream: &UnixStream) -> Result<bool, HandoverError> {
    let peer = socket_peercred(stream).map_err(std::io::Error::from)?;
    Ok(peer.uid == geteuid())
}
