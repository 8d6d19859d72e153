//! The reasons for which a group cannot be opened.

use std::fmt;

use tributary_protocol::{command::Status, link::CloseReason};

/// The reason why a group cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRefused {
    /// The application does not exist.
    InvalidApp,
    /// The application exists, and no version of it could be deployed.
    NoVersion,
    /// The application failed to start, or has failed too often.
    DoesNotStart,
    /// This process holds as many groups as it may.
    Limit,
    /// The threads that run groups take no more: an application hangs on one.
    Busy,
    /// The process shuts down.
    Shutdown,
}

/// The application's log has the reason, which is none of a client's business.
const DOES_NOT_START: &str = "The application is there, but it does not start.";

impl OpenRefused {
    /// The reason in logs and on the link.
    pub fn reason(self) -> CloseReason {
        match self {
            Self::InvalidApp | Self::NoVersion => CloseReason::InvalidApp,
            Self::Limit | Self::Busy => CloseReason::Limit,
            Self::DoesNotStart | Self::Shutdown => CloseReason::Shutdown,
        }
    }

    pub(super) fn status(self) -> Status {
        match self {
            Self::InvalidApp | Self::NoVersion => Status::ConnectInvalidApp,
            Self::Limit | Self::Busy => Status::ConnectFailed,
            Self::DoesNotStart | Self::Shutdown => Status::ConnectAppShutdown,
        }
    }

    /// The description for the client, where the status alone would mislead.
    pub(super) fn description(self) -> Option<&'static str> {
        match self {
            Self::NoVersion | Self::DoesNotStart => Some(DOES_NOT_START),
            _ => None,
        }
    }
}

impl fmt::Display for OpenRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidApp => "there is no such application",
            Self::NoVersion => "no version of the application could be deployed",
            Self::DoesNotStart => "the application does not start",
            Self::Limit => "the origin is full",
            Self::Busy => "the origin is too busy to start another group",
            Self::Shutdown => "the application is shutting down",
        })
    }
}

impl std::error::Error for OpenRefused {}
