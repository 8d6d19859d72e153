//! A network namespace without a name.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, BorrowedFd},
    panic::resume_unwind,
    process::Command,
    thread,
};

use nix::sched::{CloneFlags, unshare};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::Error;

/// A network namespace. It lives until this value is dropped and no process is in it any more.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// Makes a namespace with a loopback device that is up.
    pub(crate) fn create() -> Result<Self, Error> {
        let made = on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            File::open("/proc/thread-self/ns/net")
        });
        let namespace = Self(made.map_err(Error::Namespace)?);
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Runs `work` on a new thread in the namespace. Sockets and processes that it makes belong to
    /// the namespace for ever; they may be used anywhere.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        on_a_thread(|| {
            self.enter().expect("root made the namespace");
            work()
        })
    }

    /// Moves the calling thread into the namespace, for ever.
    pub fn enter(&self) -> io::Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(())
    }

    /// Runs `ip` with these arguments in the namespace.
    pub(crate) fn ip(&self, arguments: &str) -> Result<(), Error> {
        let fails = |said: String| Error::Command {
            line: format!("ip {arguments}"),
            said,
        };
        let mut command = Command::new("ip");
        command.args(arguments.split_whitespace());
        let output = self.run(|| command.output());
        let output = output.map_err(|error| fails(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(fails(said.trim().to_owned()))
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs `work` on a new thread, whose namespace it may change. A panic goes on in the caller.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| resume_unwind(panic))
}
