//! Connects that are answered without a group.

use std::fmt;

use tributary_protocol::{
    GroupName, Message,
    command::{ObjectEncoding, Status},
    link::{CloseReason, OpenSession, ToSession},
};

use super::{Shared, answer, client};
use crate::{
    app::ClientId,
    metrics::ConnectResult,
    session::{LaneOut, SessionKey},
};

/// Why a group cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenRefused {
    /// There is no such application.
    InvalidApp,
    /// The application is there, and no version of it could be deployed.
    NoVersion,
    /// The application failed to start, or has failed too often.
    DoesNotStart,
    /// This process holds as many groups as it may.
    Limit,
    /// The threads that run groups take no more: one hangs in an application.
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

    fn status(self) -> Status {
        match self {
            Self::InvalidApp | Self::NoVersion => Status::ConnectInvalidApp,
            Self::Limit | Self::Busy => Status::ConnectFailed,
            Self::DoesNotStart | Self::Shutdown => Status::ConnectAppShutdown,
        }
    }

    /// What the client is told, where the status alone would mislead.
    fn description(self) -> Option<&'static str> {
        match self {
            Self::NoVersion | Self::DoesNotStart => Some(DOES_NOT_START),
            _ => None,
        }
    }
}

/// How a connect is refused without a group.
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) reason: CloseReason,
    /// In place of the status's own.
    pub(super) description: Option<&'static str>,
}

impl From<OpenRefused> for Refusal {
    fn from(refused: OpenRefused) -> Self {
        Self {
            status: refused.status(),
            reason: refused.reason(),
            description: refused.description(),
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

impl Shared {
    /// Answers a connect to this group without it, and closes the session.
    pub(super) fn refuse(
        &self,
        group: &GroupName,
        lane: &LaneOut,
        key: SessionKey,
        open: &OpenSession,
        refusal: Refusal,
    ) {
        for message in refusal_with(open, refusal.status, refusal.description) {
            lane.send(
                key.session,
                ToSession::Message {
                    message,
                    after: None,
                },
            );
        }
        lane.send(key.session, ToSession::Close(refusal.reason));
        self.metrics.connected(ConnectResult::Rejected);
        tracing::info!(
            client = %ClientId(key),
            address = %open.peer,
            edge = %lane.edge(),
            application = group.application(),
            instance = group.instance(),
            reason = refusal.reason.label(),
            "session refused",
        );
    }
}

/// What a client whose connect is refused gets before its connection closes: `_error`, `close`.
pub fn refusal(open: &OpenSession, refused: OpenRefused) -> Vec<Message> {
    refusal_with(open, refused.status(), refused.description())
}

/// As [`refusal`], with this status.
fn refusal_with(open: &OpenSession, status: Status, description: Option<&str>) -> Vec<Message> {
    let connect = client::read_connect(&open.connect);
    let transaction = connect.map_or(answer::CONNECT_TRANSACTION, |connect| connect.transaction);
    answer::refusal(transaction, status.info(description, None))
        .iter()
        .map(|command| answer::on_connection(command, ObjectEncoding::Amf0))
        .collect()
}
