//! Refusals: the status, the label and the sentence for the person at the client.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An act that the gate decides about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The connect command of a session.
    Connect,
    /// Publishing under a name; releaseStream, FCPublish and FCUnpublish with a name count as well.
    Publish,
    /// Playing a name.
    Play,
}

/// The status with which an edge tells a refused client. `tributary_protocol` has the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedStatus {
    /// `NetConnection.Connect.Rejected`, as the `_error` of a connect.
    ConnectRejected,
    /// `NetStream.Publish.Denied`.
    PublishDenied,
    /// `NetStream.Play.Failed`.
    PlayFailed,
}

/// The refusal of one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: RefusedStatus,
    /// The label in metrics and logs; one of a fixed set.
    pub label: &'static str,
    /// The description of the status: a sentence for the person at the client, below 200 bytes
    /// (ffmpeg copies 256).
    pub text: String,
}

impl Refusal {
    /// The refusal of an act for a reason, whose text is cut to a description's length.
    pub(crate) fn new(action: Action, label: &'static str, text: &impl fmt::Display) -> Self {
        let status = match action {
            Action::Connect => RefusedStatus::ConnectRejected,
            Action::Publish => RefusedStatus::PublishDenied,
            Action::Play => RefusedStatus::PlayFailed,
        };
        let text = text.to_string();
        let end = text.floor_char_boundary(MAX_DESCRIPTION);
        Self {
            status,
            label,
            text: text[..end].to_owned(),
        }
    }
}

/// Bytes of a description. Reason: ffmpeg copies it into 256 bytes, with what it sends back.
pub const MAX_DESCRIPTION: usize = 199;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_the_status_of_its_act_and_a_short_text() {
        for (action, status) in [
            (Action::Connect, RefusedStatus::ConnectRejected),
            (Action::Publish, RefusedStatus::PublishDenied),
            (Action::Play, RefusedStatus::PlayFailed),
        ] {
            let refusal = Refusal::new(action, "label", &"\u{e9}".repeat(300));
            assert_eq!(refusal.status, status);
            assert_eq!(refusal.text.len(), MAX_DESCRIPTION - 1);
        }
    }
}
