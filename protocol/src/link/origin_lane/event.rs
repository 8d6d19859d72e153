//! The events of a lane at its origin.

use crate::{
    SessionId,
    link::{AudienceId, FromSession, RestoredObject, RestoredSession, lane_frame::Reached},
};

/// An event of a lane at its origin.
#[derive(Clone, Debug, PartialEq)]
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
    /// A session that the edge brings from another process of this origin. It goes on here.
    Restored {
        session: SessionId,
        restored: Box<RestoredSession>,
    },
    /// The end of what viewers at the edge have of a live stream of the process before.
    Reached(Reached),
    /// The contents of a shared object at the process before.
    Contents(RestoredObject),
    /// The edge has said all that it knew of the group.
    RestoreEnd,
    /// The edge ended the lane.
    Ended,
}
