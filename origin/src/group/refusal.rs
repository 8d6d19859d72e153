//! Connects that are answered without a group.

use tributary_protocol::{
    GroupName, Message,
    command::{ObjectEncoding, Status},
    link::{CloseReason, OpenSession, ToSession},
};

use super::{answer, client, open_refused::OpenRefused, process::Process};
use crate::{
    app::ClientId,
    metrics::ConnectResult,
    session::{LaneOut, SessionKey},
};

/// How a connect is refused without a group.
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) reason: CloseReason,
    /// It replaces the status's own.
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

impl Process {
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

/// The messages to a client whose connect is refused, before its connection closes: `_error`,
/// `close`.
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
