//! The old process: it gives its sockets away.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use tributary_protocol::parcel::VERSION;

use super::{
    FREEZE, HandoverError, PATIENCE, Passed, START,
    message::{HandoverMessage, LinksPart, receive, send},
    take::is_own,
};
use crate::{
    link::MovedLinks,
    live::{Followers, LiveClients},
};

/// The longest wait for the request of a process that is refused while another one starts.
const HELLO_WITHIN: Duration = Duration::from_secs(1);

/// The pause after a request that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The socket on which replacements are asked for.
#[derive(Debug)]
pub struct Giver(UnixListener);

impl Giver {
    /// Opens the socket. It replaces a file that a process left behind, on which nobody listens any
    /// more.
    ///
    /// # Errors
    /// Another edge listens there, or the socket cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path).or_else(|error| {
            let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
            let is_left = error.kind() == io::ErrorKind::AddrInUse
                && is_socket
                && UnixStream::connect(path)
                    .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            if !is_left {
                return Err(error);
            }
            fs::remove_file(path)?;
            UnixListener::bind(path)
        })?;
        // The directory may let others in; the user of each caller is checked as well.
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(Self(listener))
    }

    /// The socket of the process before this one.
    pub fn adopt(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(false)?;
        Ok(Self(listener))
    }

    /// The socket, for the next process.
    pub fn socket(&self) -> io::Result<UnixListener> {
        self.0.try_clone()
    }
}

/// The edge that is given away.
pub trait Given: Send + 'static {
    /// The name of the edge.
    fn name(&self) -> &str;

    /// The sockets to give, or the reason to give none.
    fn sockets(&self) -> Result<Vec<Passed>, String>;

    /// The live clients. Without them the sockets alone are given.
    fn clients(&self) -> Option<LiveClients>;

    /// Another process serves in place of this one.
    fn taken(&self);
}

/// Answers requests for a replacement, one after the other, on a thread of its own, until one is
/// done.
pub fn give(giver: Giver, given: impl Given) -> io::Result<()> {
    let thread = thread::Builder::new().name("handover".to_owned());
    thread.spawn(move || {
        for stream in giver.0.incoming() {
            let Ok(stream) = stream else {
                // Without descriptors it can give none away; the next request may find some.
                thread::sleep(PATIENCE);
                continue;
            };
            match give_to(&stream, &giver.0, &given) {
                Ok(followers) => {
                    given.taken();
                    // The next process has this socket as well.
                    drop(giver);
                    return followers.into_iter().for_each(|it| send_after(&stream, it));
                }
                Err(HandoverError::Io(error)) => {
                    tracing::warn!(%error, "this edge is not replaced; it goes on serving");
                }
                Err(error) => {
                    tracing::warn!(%error, "this edge is not replaced; it goes on serving");
                }
            }
        }
    })?;
    Ok(())
}

/// Gives the edge to one process. Returns the clients that follow.
fn give_to(
    stream: &UnixStream,
    others: &UnixListener,
    given: &impl Given,
) -> Result<Option<Followers>, HandoverError> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // The request is read first, or an answer to it could be lost with the connection.
    let HandoverMessage::Hello { version, name } = receive(stream)? else {
        return Err(HandoverError::Order);
    };
    if !is_own(stream)? {
        let reason = "the new process is another user's".to_owned();
        send(stream, HandoverMessage::Refuse(reason))?;
        return Err(HandoverError::Stranger);
    }
    let sockets = match name == given.name() {
        true => given.sockets(),
        false => Err(format!("this edge has the name {}", given.name())),
    };
    let sockets = match sockets {
        Ok(sockets) => sockets,
        Err(reason) => {
            send(stream, HandoverMessage::Refuse(reason.clone()))?;
            return Err(HandoverError::Refused(reason));
        }
    };
    let count = sockets.len() as u64;
    for passed in sockets {
        send(stream, HandoverMessage::Socket(passed))?;
    }
    // The new process reads its own version and the one before.
    let reads = version == VERSION || version == VERSION + 1;
    let clients = given.clients().filter(|_| reads);
    send(
        stream,
        HandoverMessage::End {
            count,
            process: std::process::id(),
            is_live: clients.is_some(),
        },
    )?;
    tracing::info!(
        sockets = count,
        live = clients.is_some(),
        "another process takes the sockets of this one"
    );
    await_start(stream, others)?;
    match (receive(stream)?, clients) {
        // Without this answer the other process does not begin, and this one goes on.
        (HandoverMessage::Taken, _) => {
            send(stream, HandoverMessage::Left)?;
            Ok(None)
        }
        (HandoverMessage::Ready, Some(clients)) => move_clients(stream, &clients).map(Some),
        _ => Err(HandoverError::Order),
    }
}

/// Moves the live clients. An error lets them go on here.
fn move_clients(stream: &UnixStream, clients: &LiveClients) -> Result<Followers, HandoverError> {
    let begun = Instant::now();
    let mut frozen = clients.freeze(begun + FREEZE)?;
    let mut clients: u64 = 0;
    loop {
        let moved = frozen.next_clients()?;
        if moved.is_empty() {
            break;
        }
        clients += moved.len() as u64;
        send(stream, HandoverMessage::Moved(moved))?;
    }
    let MovedLinks {
        head,
        lanes,
        waiting,
    } = frozen.links()?;
    let lanes = lanes.into_iter().map(|it| (LinksPart::Lane, it));
    let waiting = waiting.into_iter().map(|it| (LinksPart::Waiting, it));
    let mut parts: u64 = 0;
    for (part, bytes) in [(LinksPart::Head, head)]
        .into_iter()
        .chain(lanes)
        .chain(waiting)
    {
        send(stream, HandoverMessage::Links(part, bytes))?;
        parts += 1;
    }
    send(stream, HandoverMessage::AllMoved { clients, parts })?;
    let sent = begun.elapsed();
    stream.set_read_timeout(Some(FREEZE))?;
    let HandoverMessage::Taken = receive(stream)? else {
        return Err(HandoverError::Order);
    };
    // Without this message the other process does not begin.
    send(stream, HandoverMessage::Left)?;
    tracing::info!(
        clients,
        parts,
        sent_ms = sent.as_millis() as u64,
        took_ms = begun.elapsed().as_millis() as u64,
        "the clients of this process have moved to another one"
    );
    Ok(frozen.leave())
}

/// Sends the clients that follow, as long as the other process takes them.
fn send_after(stream: &UnixStream, mut followers: Followers) {
    loop {
        let moved = followers.next_clients();
        if moved.is_empty() {
            return;
        }
        if let Err(error) = send(stream, HandoverMessage::Moved(moved)) {
            tracing::warn!(%error, "clients that were connecting are lost");
            return;
        }
    }
}

/// Waits for a message of the process that starts, and refuses others meanwhile.
fn await_start(stream: &UnixStream, others: &UnixListener) -> Result<(), HandoverError> {
    let late = Instant::now() + START;
    loop {
        let mut ready = [
            PollFd::new(stream, PollFlags::IN),
            PollFd::new(others, PollFlags::IN),
        ];
        let rest = late.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        match poll(&mut ready, Some(&rest)) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(io::Error::from(error).into()),
            Ok(_) => {}
        }
        if !ready[0].revents().is_empty() {
            return Ok(());
        }
        // The other process notices a closed connection as well.
        let _ = refuse_other(others);
    }
}

fn refuse_other(others: &UnixListener) -> Result<(), HandoverError> {
    let other = others.accept();
    if other.is_err() {
        // Without descriptors it would be asked again at once.
        thread::sleep(PAUSE);
    }
    let (other, _) = other?;
    other.set_read_timeout(Some(HELLO_WITHIN))?;
    other.set_write_timeout(Some(HELLO_WITHIN))?;
    receive(&other)?;
    let reason = "another replacement is under way".to_owned();
    send(&other, HandoverMessage::Refuse(reason))
}
