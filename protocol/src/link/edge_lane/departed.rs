//! Sessions whose clients have left, and whose close the origin may not have: another process of it hears
//! of them as of the others, and then of their end.

use std::collections::VecDeque;

use super::session::EdgeSession;
use crate::{
    SessionId,
    link::{CloseReason, FromSession},
};

/// The sessions in the order of their closes.
#[derive(Debug, Default)]
pub(super) struct Departed {
    sessions: VecDeque<Departure>,
}

#[derive(Debug)]
struct Departure {
    /// The frames of the lane up to its close.
    frames: u64,
    session: SessionId,
    state: EdgeSession,
}

impl Departed {
    /// Keeps a session whose close is the last of so many frames, if it can be restored.
    pub(super) fn add(
        &mut self,
        frames: u64,
        session: SessionId,
        reason: CloseReason,
        mut state: EdgeSession,
    ) {
        if state.kept.is_none() || !state.accepted {
            return;
        }
        state.push(FromSession::Close(reason));
        self.sessions.push_back(Departure {
            frames,
            session,
            state,
        });
    }

    /// A session that has departed.
    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut EdgeSession> {
        let mut sessions = self.sessions.iter_mut();
        let departure = sessions.find(|it| it.session == session);
        departure.map(|it| &mut it.state)
    }

    /// The origin has received so many frames of the lane.
    pub(super) fn acknowledge(&mut self, received: u64) {
        while let Some(first) = self.sessions.front()
            && first.frames <= received
        {
            self.sessions.pop_front();
        }
        if self.sessions.is_empty() {
            self.sessions = VecDeque::new();
        }
    }

    /// Takes all out.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (SessionId, EdgeSession)> + use<> {
        let sessions = std::mem::take(&mut self.sessions);
        sessions.into_iter().map(|it| (it.session, it.state))
    }
}
