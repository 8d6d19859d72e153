//! The sessions of a lane and their audiences; this file fills the inboxes.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tributary_protocol::{
    GroupName, LaneId, Message, SessionId,
    amf::ObjectEncoding,
    link::{AudienceId, CloseReason, Generation},
    shared_object::Flags,
};

use super::{
    audiences::{Audiences, MovedAudience, SalvagedObject, Standing},
    session::{InboxFull, LaneSession},
};
use crate::{
    link::{
        handle::{FromOrigin, ObjectInfo, Park},
        session::Waiting,
    },
    objects::{Delivery, HubOut, ObjectMessage},
};

/// The sessions of one lane.
#[derive(Debug)]
pub(super) struct LaneSessions {
    table: HashMap<SessionId, LaneSession>,
    audiences: Audiences,
}

impl LaneSessions {
    pub(super) fn new(lane: LaneId, group: GroupName) -> Self {
        Self {
            table: HashMap::new(),
            audiences: Audiences::new(lane, group),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn insert(&mut self, waiting: Waiting) {
        let session = LaneSession::new(waiting.session, Some(waiting.journal));
        self.table.insert(waiting.id, session);
    }

    /// The sessions, in the order of their numbers.
    pub(super) fn in_order(&self) -> Vec<(SessionId, &LaneSession)> {
        let mut sessions: Vec<_> = self.table.iter().map(|(id, it)| (*id, it)).collect();
        sessions.sort_unstable_by_key(|(session, _)| *session);
        sessions
    }

    /// The audiences, in the order of their numbers.
    pub(super) fn audiences_in_order(&self) -> Vec<MovedAudience> {
        self.audiences.in_order()
    }

    /// Puts in a session that has come from another process.
    pub(super) fn put(&mut self, session: SessionId, state: LaneSession) {
        self.table.insert(session, state);
    }

    /// Puts in an audience that has come from another process, behind its members.
    pub(super) fn put_audience(&mut self, moved: MovedAudience) {
        for (session, _) in &moved.members {
            if let Some(state) = self.table.get_mut(session) {
                state.audiences.push(moved.id);
            }
        }
        self.audiences.put(moved);
    }

    /// The worker of a session that has come from another process has this hub.
    pub(super) fn adopt(
        &mut self,
        session: SessionId,
        hub: Option<Arc<HubOut>>,
    ) -> Result<(), InboxFull> {
        let Some(state) = self.table.get_mut(&session) else {
            return Ok(());
        };
        state.session.hub = hub;
        self.audiences.adopt(session, state)
    }

    /// Queues the last item before the links stand still.
    pub(super) fn mark_all(&self, item: impl Fn() -> FromOrigin) {
        for state in self.table.values() {
            let _ = state.session.inbox.push_final(item());
        }
    }

    /// Appends a message to the journal of a session that is not accepted. If the journal is full,
    /// the session can no longer move.
    pub(super) fn note(&mut self, session: SessionId, message: &Message, generation: Generation) {
        let Some(state) = self.table.get_mut(&session) else {
            return;
        };
        if let Some(journal) = &mut state.journal
            && journal.append(message.clone(), generation).is_err()
        {
            state.journal = None;
        }
    }

    /// The origin has accepted the session's connect: the session no longer moves.
    pub(super) fn accepted(&mut self, session: SessionId) {
        if let Some(state) = self.table.get_mut(&session) {
            state.journal = None;
        }
    }

    /// Records that the group does not live at its home.
    pub(super) fn home_was_asked(&mut self) {
        let journals = self.table.values_mut();
        for journal in journals.filter_map(|session| session.journal.as_mut()) {
            journal.asked_home = true;
        }
    }

    /// Counts bytes of a session that left its lane.
    pub(super) fn left(&self, session: SessionId, bytes: usize, finished: bool) {
        if let Some(state) = self.table.get(&session) {
            let head = if finished { Park::MESSAGE } else { 0 };
            state.session.park.remove(bytes + head);
        }
    }

    /// Queues an item for a session, behind its objects' messages in the worker's hub.
    pub(super) fn push(
        &mut self,
        session: SessionId,
        item: FromOrigin,
        weight: usize,
    ) -> Result<(), InboxFull> {
        self.push_place(session)?;
        match self.table.get(&session) {
            Some(state) => state.push(item, weight),
            None => Ok(()),
        }
    }

    /// Queues a message of a shared object for a session.
    pub(super) fn push_object(
        &mut self,
        session: SessionId,
        flags: Flags,
        encoding: Option<ObjectEncoding>,
        message: &Arc<ObjectMessage>,
    ) -> Result<(), InboxFull> {
        let item = FromOrigin::Object {
            message: Arc::clone(message),
            encoding,
            flags,
        };
        self.push(session, item, message.size())
    }

    fn push_place(&mut self, session: SessionId) -> Result<(), InboxFull> {
        match self.table.get_mut(&session) {
            Some(state) => state.push_place(self.audiences.place_before(session, state)),
            None => Ok(()),
        }
    }

    /// Queues an item about the link for every session. A full inbox drops the item: it has others
    /// of the kind.
    pub(super) fn push_all(&self, item: impl Fn() -> FromOrigin) {
        for state in self.table.values() {
            let _ = state.session.inbox.push_control(item());
        }
    }

    /// Ends every session.
    pub(super) fn end_all(&mut self, item: impl Fn() -> FromOrigin) {
        for (_, state) in self.table.drain() {
            state.session.end(item());
        }
    }

    /// Closes a session at this edge, behind its objects' messages in the worker's hub.
    pub(super) fn close(&mut self, session: SessionId, reason: CloseReason) {
        // The close is queued even if the inbox is full.
        let _ = self.push_place(session);
        if let Some(state) = self.forget(session) {
            state.session.close(reason);
        }
    }

    /// Removes a session that is over at this edge.
    pub(super) fn forget(&mut self, session: SessionId) -> Option<LaneSession> {
        let state = self.table.remove(&session)?;
        self.audiences.forget(session, &state);
        Some(state)
    }

    /// Takes all sessions out of the lane, in the order in which they came.
    pub(super) fn take_all(&mut self) -> Vec<(SessionId, LaneSession)> {
        let mut sessions: Vec<_> = self.table.drain().collect();
        sessions.sort_unstable_by_key(|(session, _)| *session);
        sessions
    }

    /// Takes all shared objects out; the sessions no longer use them here.
    pub(super) fn take_objects(&mut self) -> Vec<SalvagedObject> {
        self.audiences.take_all(&mut self.table)
    }

    /// The origin takes in the members of these objects, each with a join.
    pub(super) fn expect_objects(&mut self, objects: Vec<SalvagedObject>) {
        self.audiences.expect(objects);
    }

    /// Looks at the time.
    pub(super) fn tick(&mut self, now: Instant) {
        self.audiences.tick(now);
    }

    /// The number of audiences.
    pub(super) fn audience_count(&self) -> usize {
        self.audiences.len()
    }

    /// Lists the shared objects.
    pub(super) fn objects(&self, out: &mut Vec<ObjectInfo>) {
        self.audiences.info(out);
    }

    pub(super) fn begin_audience(&mut self, id: AudienceId, name: String, persistent: bool) {
        self.audiences.begin(id, name, persistent);
    }

    pub(super) fn end_audience(&mut self, id: AudienceId) {
        self.audiences.end(id, &mut self.table);
    }

    pub(super) fn join(
        &mut self,
        id: AudienceId,
        session: SessionId,
        standing: Standing,
    ) -> Result<(), InboxFull> {
        match self.table.get_mut(&session) {
            Some(state) => self.audiences.join(id, session, state, standing),
            None => Ok(()),
        }
    }

    pub(super) fn leave(&mut self, id: AudienceId, session: SessionId) {
        if let Some(state) = self.table.get_mut(&session) {
            self.audiences.leave(id, session, state);
        }
    }

    /// Delivers a message to the members of an audience. Returns the sessions that do not keep up.
    pub(super) fn deliver(&mut self, delivery: &Delivery) -> Vec<SessionId> {
        let delivered = self.audiences.deliver(delivery, &self.table);
        let mut slow = delivered.slow;
        for (session, flags) in delivered.without_hub {
            let pushed = self.push_object(session, flags, delivery.encoding, &delivery.message);
            slow.extend(pushed.is_err().then_some(session));
        }
        slow
    }
}
