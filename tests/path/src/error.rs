//! The reasons for which a path does not open.

use std::{
    fmt::{self, Display, Formatter},
    io,
};

/// The part of a path that could not be made.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    Namespace(io::Error),
    Device(io::Error),
    /// A command that sets up addresses and routes.
    Command {
        line: String,
        said: String,
    },
    Thread(io::Error),
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(error) => {
                write!(
                    f,
                    "cannot make a network namespace (it needs root): {error}"
                )
            }
            Self::Device(error) => write!(
                f,
                "cannot make a TUN device (it needs root and /dev/net/tun): {error}"
            ),
            Self::Command { line, said } => {
                write!(f, "`{line}` fails (it is of the package iproute2): {said}")
            }
            Self::Thread(error) => write!(f, "cannot start the path's thread: {error}"),
        }
    }
}

impl std::error::Error for Error {}
