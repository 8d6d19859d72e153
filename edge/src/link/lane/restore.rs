//! A lane that brings the sessions of another process of its origin to the present one.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Instant,
};

use bytes::Bytes;
use tributary_protocol::{
    SessionId,
    link::{LiveId, SalvagedSession},
};

use super::{Lane, LaneSession, audiences::SalvagedObject};
use crate::{fanout::LiveStream, link::handle::FromOrigin};

/// The live streams that sessions of a lane play, by their numbers. A number is never used by two
/// processes of an origin.
#[derive(Debug, Default)]
pub(super) struct PlayedStreams {
    streams: HashMap<LiveId, Weak<LiveStream>>,
    /// The number of entries at which those are removed that nothing holds any more.
    sweep_at: usize,
}

/// Entries below which those that nothing holds stay.
const SWEEP: usize = 64;

/// Everything of a lane whose origin's process is gone, but for the sessions themselves.
pub(in crate::link) struct LaneLegacy {
    objects: Vec<SalvagedObject>,
    played: PlayedStreams,
}

impl Lane {
    /// Whether the sessions of this lane, whose origin is another process now, can go on there.
    pub(in crate::link) fn is_restorable(&self) -> bool {
        self.state.borrow().keeps()
    }

    /// Whether the lane has yet to be restored at its origin.
    pub(in crate::link) fn is_to_restore(&self) -> bool {
        self.opening.restores && !self.opened.get()
    }

    /// Notes a live stream that a session plays.
    pub(super) fn note_played(&self, id: LiveId, live: &Arc<LiveStream>) {
        if self.is_restorable() {
            self.played.borrow_mut().note(id, live);
        }
    }

    /// Takes everything out of a lane whose origin's process is gone, but for the sessions.
    pub(in crate::link) fn take_legacy(&self) -> LaneLegacy {
        let mut sessions = self.sessions.borrow_mut();
        let audiences = sessions.audience_count();
        self.shared.metrics.audiences.dec_by(audiences as i64);
        let objects = sessions.take_objects();
        LaneLegacy {
            objects,
            played: self.played.take(),
        }
    }

    /// Takes a session's state out of the lane; none if it cannot be restored.
    pub(in crate::link) fn salvage(&self, session: SessionId) -> Option<SalvagedSession> {
        self.state.borrow_mut().salvage(session)
    }

    /// Takes the sessions out whose clients have left, and whose end the process may not have had.
    pub(in crate::link) fn salvage_departed(&self) -> Vec<(SessionId, SalvagedSession)> {
        self.state.borrow_mut().salvage_departed()
    }

    /// Puts in a session whose client has left: the present process hears of it, and of its end.
    pub(in crate::link) fn bring_departed(&self, id: SessionId, salvaged: SalvagedSession) {
        self.state.borrow_mut().restore(id, salvaged, []);
    }

    /// Puts in a session that goes on at the present process, with the objects that it uses.
    pub(in crate::link) fn bring(
        &self,
        id: SessionId,
        session: LaneSession,
        salvaged: SalvagedSession,
        legacy: &LaneLegacy,
    ) {
        let uses = legacy.objects.iter().filter_map(|object| {
            let flags = object.members.get(&id)?;
            Some((object.name.clone(), *flags))
        });
        self.state.borrow_mut().restore(id, salvaged, uses);
        let session = LaneSession::new(session.session, None);
        self.sessions.borrow_mut().put(id, session);
        self.idle_since.set(None);
        self.shared.sessions.insert(id, self.id());
    }

    /// Ends what the lane says of the group: the contents of objects, and how far the live streams
    /// have come that sessions play.
    pub(in crate::link) fn end_restore(&self, legacy: LaneLegacy) {
        let mut state = self.state.borrow_mut();
        for object in &legacy.objects {
            if object.persistent {
                // It is in the origin's store, which is not told its contents, only what it is.
                state.restore_contents(&object.name, true, &Bytes::new());
            } else if object.mirror.is_complete() {
                state.restore_contents(&object.name, false, &object.snapshot());
            }
        }
        let now = Instant::now();
        for (id, live) in legacy.played.living() {
            if let Some((time, at)) = live.newest() {
                let age = now.saturating_duration_since(at).as_millis();
                state.restore_reached(id, time, u32::try_from(age).unwrap_or(u32::MAX));
            }
        }
        state.end_restore();
        drop(state);
        self.sessions.borrow_mut().expect_objects(legacy.objects);
        self.played.replace(legacy.played);
        self.wake.notify_one();
    }

    /// A session goes on at the present process.
    pub(super) fn restored(&self, session: SessionId) {
        self.shared.metrics.restored.inc();
        let mut sessions = self.sessions.borrow_mut();
        let pushed = sessions.push(session, FromOrigin::LinkBack, 0);
        drop(sessions);
        self.close_if_full(session, pushed);
    }

    /// A live stream goes on with the one that had another number at the process before.
    pub(super) fn continues(&self, live: LiveId, was: LiveId) {
        let before = self.played.borrow_mut().take(was);
        if let Some(stream) = before {
            let streams = &self.shared.streams;
            streams.go_on_as(&stream, self.origin.process(), live);
            self.note_played(live, &stream);
        }
    }
}

impl PlayedStreams {
    fn note(&mut self, id: LiveId, live: &Arc<LiveStream>) {
        if self.streams.len() >= self.sweep_at {
            self.streams.retain(|_, live| live.strong_count() > 0);
            self.sweep_at = (self.streams.len() * 2).max(SWEEP);
        }
        self.streams.insert(id, Arc::downgrade(live));
    }

    fn take(&mut self, id: LiveId) -> Option<Arc<LiveStream>> {
        self.streams.remove(&id)?.upgrade()
    }

    fn living(&self) -> impl Iterator<Item = (LiveId, Arc<LiveStream>)> {
        let streams = self.streams.iter();
        streams.filter_map(|(id, live)| Some((*id, live.upgrade()?)))
    }
}
