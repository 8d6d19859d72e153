//! The events of a lane at its origin.

use crate::{
    SessionId,
    link::{AudienceId, FromSession},
};

/// An event of a lane at its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginEvent {
    /// An event of a session. A message's credit returns to the session when the caller calls
    /// [`OriginLane::consumed`](crate::link::OriginLane::consumed). A close comes from the edge, or
    /// from the lane when the session exceeds a limit.
    Session {
        session: SessionId,
        event: FromSession,
    },
    /// An audience has lapsed: its messages did not fit the retention and were dropped. There is
    /// room again. The caller answers with
    /// [`ToAudience::Snapshot`](crate::link::ToAudience::Snapshot); until then every message to all
    /// of the audience is dropped.
    SnapshotWanted { audience: AudienceId },
    /// The edge ended the lane.
    Ended,
}
