//! Identifiers and facts of one session that both tiers use.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::PeerAddress;

/// Counts the publish, closeStream and deleteStream commands of one message stream. The edge stamps
/// it on them; media belongs to the generation in which it arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// A live stream of one origin process, which never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LiveId(pub u64);

/// One accepted publish of a live stream. A take-over or a return has a higher number; media with
/// an older number is dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(pub u64);

/// A place in the feed attached to a message stream: the number of a message in it. A message tied
/// to the place leaves after the viewer's cursor has passed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedPlace(pub u64);

/// A session as the edge presents it to the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The client's real address.
    pub peer: PeerAddress,
    /// The kind of its connection: `rtmp`, later `rtmps`, `rtmpt`.
    pub protocol: String,
    /// The body of its connect command, AMF0, byte for byte.
    pub connect: Bytes,
    /// The facts that the edge has verified, if it knows some; `None` towards an origin without the
    /// feature [`CLAIMS`](super::features::CLAIMS).
    pub claims: Option<Arc<ClientClaims>>,
}

/// The facts about a client that its edge has verified before it opened the session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientClaims {
    /// The person or program that the client is, of at most [`MAX_USER`](Self::MAX_USER) bytes.
    pub user: Option<String>,
    /// A JSON object with what a token says, of at most [`MAX_JSON`](Self::MAX_JSON) bytes.
    pub json: Option<String>,
}

impl ClientClaims {
    /// Bytes of a user. Reason: both tiers keep it for each session.
    pub const MAX_USER: usize = 256;

    /// Bytes of the claims. Reason: both tiers keep them for each session; those of a usual token have
    /// a few hundred.
    pub const MAX_JSON: usize = 4_096;

    /// Bytes of both texts.
    pub(super) fn size(&self) -> usize {
        let texts = [&self.user, &self.json];
        texts.into_iter().flatten().map(String::len).sum()
    }
}

/// Neither: a token may say what is private.
impl fmt::Debug for ClientClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientClaims").finish_non_exhaustive()
    }
}

/// Why a session ended; each has one code on the link and one label in logs and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed its connection.
    Client,
    /// The client's TCP connection failed.
    Transport,
    /// The client violated RTMP.
    Protocol,
    /// The client exceeded a limit on queued or sent bytes.
    Limit,
    /// The client's handshake, connect command or sign of life was late.
    Timeout,
    /// The client read too slowly: its queue overflowed or its cursor made no progress.
    SlowReader,
    /// The application refused the connect, or sent a redirect.
    Rejected,
    /// The application does not exist.
    InvalidApp,
    /// The application disconnected the client.
    Application,
    /// The application or its process shuts down.
    Shutdown,
    /// The origin was lost for longer than the grace time, or came back as a new process.
    OriginLost,
    /// The link's retention bound did not hold this session's frames through an outage.
    Retention,
    /// The group runs at another origin now.
    Moved,
    /// An encoder's publish was refused or taken over, and the session did nothing else.
    PublishOver,
    /// The client has come back and goes on by another connection.
    Resumed,
}

impl CloseReason {
    /// All reasons, in the order of their codes.
    pub const ALL: [Self; 15] = [
        Self::Client,
        Self::Transport,
        Self::Protocol,
        Self::Limit,
        Self::Timeout,
        Self::SlowReader,
        Self::Rejected,
        Self::InvalidApp,
        Self::Application,
        Self::Shutdown,
        Self::OriginLost,
        Self::Retention,
        Self::Moved,
        Self::PublishOver,
        Self::Resumed,
    ];

    /// The code on the link: the place in [`Self::ALL`].
    pub fn code(self) -> u8 {
        Self::ALL
            .iter()
            .position(|&reason| reason == self)
            .expect("ALL holds every reason") as u8
    }

    /// The reason with this code; unknown codes of a newer peer read as [`Self::Application`].
    pub fn from_code(code: u8) -> Self {
        Self::ALL
            .get(usize::from(code))
            .copied()
            .unwrap_or(Self::Application)
    }

    /// The label in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Client => "client_closed",
            Self::Transport => "transport_error",
            Self::Protocol => "protocol_error",
            Self::Limit => "limit_exceeded",
            Self::Timeout => "timeout",
            Self::SlowReader => "slow_reader",
            Self::Resumed => "resumed_elsewhere",
            Self::Rejected => "rejected",
            Self::InvalidApp => "invalid_app",
            Self::Application => "disconnected_by_application",
            Self::Shutdown => "shutdown",
            Self::OriginLost => "origin_lost",
            Self::Retention => "link_retention_exceeded",
            Self::Moved => "group_moved",
            Self::PublishOver => "publish_over",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_reason_has_its_own_code_and_label() {
        let mut labels = std::collections::HashSet::new();
        for (code, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.code()), code);
            assert_eq!(CloseReason::from_code(reason.code()), reason);
            assert!(labels.insert(reason.label()));
        }
        assert_eq!(CloseReason::from_code(200), CloseReason::Application);
    }
}
