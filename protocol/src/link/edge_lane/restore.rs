//! Sessions that leave a lane whose origin's process is gone, and a lane that restores them at
//! another process.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    EdgeLane, Settled,
    kept::{Kept, Salvage, requeue},
    session::EdgeSession,
};
use crate::{
    RtmpTimestamp, SessionId,
    link::{
        FromSession, LiveId,
        lane_frame::{
            ContentsHead, ContentsPiece, MAX_FRAGMENT, MAX_OBJECT_NAME, Reached, RestoreFrame,
            ToOrigin,
        },
    },
    mutant::Mutant,
    shared_object::Flags,
};

/// A session on its way from a lane to another, with everything that its edge keeps of it.
#[derive(Debug)]
pub struct SalvagedSession {
    salvage: Salvage,
    /// Events that have not left.
    queue: VecDeque<FromSession>,
}

impl SalvagedSession {
    /// None if the session cannot be restored. `settled` if the origin has carried out exactly what it has
    /// reported.
    fn of(state: EdgeSession, settled: bool) -> Option<Self> {
        let kept = state.kept.filter(|kept| kept.is_whole())?;
        Some(Self {
            salvage: kept.salvage(settled),
            queue: state.queue,
        })
    }
}

impl EdgeLane {
    /// A lane that keeps what it needs to bring its sessions to another process of the origin.
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// Sessions that open from here on keep what they need to go on at another process.
    pub fn keep(&mut self) {
        self.keeps = true;
    }

    /// Whether all accepted sessions can be brought to another process.
    pub fn keeps(&self) -> bool {
        self.keeps
    }

    /// Takes a session out of the lane, whose origin's process is gone; none if the session was not
    /// accepted, closes, or cannot be restored.
    pub fn salvage(&mut self, session: SessionId) -> Option<SalvagedSession> {
        let open = |state: &EdgeSession| state.accepted && !state.closing;
        self.sessions.get(&session).filter(|it| open(it))?;
        SalvagedSession::of(self.sessions.remove(&session)?, self.is_settled_end())
    }

    /// Whether the lane was handed over, and what was carried out is known exactly.
    fn is_settled_end(&self) -> bool {
        self.handed_over == Some(Settled(true)) && !Mutant::HandOverIsACrash.is_on()
    }

    /// Takes the sessions out whose clients have left, and whose close the origin's process may not have
    /// had: it follows when they are restored.
    pub fn salvage_departed(&mut self) -> Vec<(SessionId, SalvagedSession)> {
        if Mutant::DeparturesAreForgotten.is_on() {
            return Vec::new();
        }
        let closing = |_: &SessionId, state: &mut EdgeSession| state.accepted && state.closing;
        let mut departed: Vec<_> = self.sessions.extract_if(closing).collect();
        departed.extend(self.departed.take());
        departed.sort_unstable_by_key(|(session, _)| *session);
        let settled = self.is_settled_end();
        let departed = departed.into_iter();
        let salvaged =
            departed.map(|(session, state)| Some((session, SalvagedSession::of(state, settled)?)));
        salvaged.flatten().collect()
    }

    /// Brings a session to the lane's origin, with the shared objects that it uses. Only before
    /// [`Self::end_restore`].
    pub fn restore(
        &mut self,
        session: SessionId,
        salvaged: SalvagedSession,
        uses: impl IntoIterator<Item = (String, Flags)>,
    ) {
        let SalvagedSession { salvage, mut queue } = salvaged;
        let mut open = salvage.open.clone();
        if let Some(claims) = open.claims.take() {
            self.append(&ToOrigin::Claims { session, claims });
        }
        self.append_restore(RestoreFrame::Session { session, open });
        let mut kept = Kept::new(salvage.open).told();
        for record in salvage.records {
            self.append_restore(RestoreFrame::Record {
                session,
                record: record.clone(),
            });
            kept.remember(record);
        }
        if !salvage.unanswered.is_empty() {
            // The present process may be lost as well before it has failed them.
            kept.awaits(&salvage.unanswered);
            self.append_restore(RestoreFrame::Unanswered {
                session,
                transactions: salvage.unanswered,
            });
        }
        for (name, flags) in uses {
            if name.len() <= MAX_OBJECT_NAME {
                self.append_restore(RestoreFrame::Uses {
                    session,
                    name,
                    flags,
                });
            }
        }
        requeue(salvage.again, &mut queue);
        self.highest = self.highest.max(Some(session));
        let mut state = EdgeSession::new();
        state.accepted = true;
        state.closing = matches!(queue.back(), Some(FromSession::Close(_)));
        state.queue = queue;
        state.kept = Some(Box::new(kept));
        self.sessions.insert(session, state);
        self.take_place(session);
    }

    /// States the end of what viewers here have of a live stream.
    pub fn restore_reached(&mut self, live: LiveId, time: RtmpTimestamp, age_ms: u32) {
        self.append_restore(RestoreFrame::Reached(Reached { live, time, age_ms }));
    }

    /// States the contents of a shared object: a body with a clear and all slots.
    pub fn restore_contents(&mut self, name: &str, persistent: bool, body: &Bytes) {
        let (Ok(length), true) = (u32::try_from(body.len()), name.len() <= MAX_OBJECT_NAME) else {
            return;
        };
        let mut rest = body.clone();
        let mut head = Some(ContentsHead {
            name: name.to_owned(),
            persistent,
            length,
        });
        while head.is_some() || !rest.is_empty() {
            let data = rest.split_to(rest.len().min(MAX_FRAGMENT - MAX_OBJECT_NAME));
            let head = head.take();
            self.append_restore(RestoreFrame::Contents(ContentsPiece { head, data }));
        }
    }

    /// All has been said that the edge knows of the group.
    pub fn end_restore(&mut self) {
        self.append_restore(RestoreFrame::End);
    }

    fn append_restore(&mut self, frame: RestoreFrame) {
        self.append(&ToOrigin::Restore(frame));
    }

    fn append(&mut self, frame: &ToOrigin) {
        self.outbox.append(|out| frame.encode(out));
    }
}
