//! A lane's edge in a parcel.

use std::collections::{HashMap, VecDeque};

use super::{EdgeLane, session::EdgeSession};
use crate::{
    SessionId,
    link::{Rate, inbound::Inbound, varint},
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

/// The importer's part of a lane.
#[derive(Clone, Copy, Debug)]
pub struct EdgeLaneLimits {
    /// The rate of each session.
    pub rate: Rate,
    /// Sessions of the lane.
    pub sessions: usize,
}

const HIGHEST: u16 = 1;
const SESSION: u16 = 2;
const TURN: u16 = 3;
const THROTTLED: u16 = 4;
const AUDIENCES: u16 = 5;
const OUTBOX: u16 = 6;
const RECEIVED: u16 = 7;

/// The fields of a session, the first of which is here.
const ID: u16 = 1;

/// The fields of a session that has used up its rate.
const UNTIL: u16 = 1;
const OF: u16 = 2;

/// A lane whose events have all been polled. It moves as it is after [`EdgeLane::disconnected`]: the
/// importer resumes it on a link of its own.
impl Carried for EdgeLane {
    const NAME: &'static str = "the lane";
    type Limits = EdgeLaneLimits;

    fn export(&self, parcel: &mut ParcelWriter) {
        if !self.events.is_empty() {
            parcel.refuse("events of the lane have not been handled");
        }
        parcel.number_if(HIGHEST, self.highest.map(|session| session.0));
        let mut sessions: Vec<_> = self.sessions.iter().collect();
        sessions.sort_unstable_by_key(|(id, _)| **id);
        for (id, session) in sessions {
            parcel.record(SESSION, |parcel| {
                parcel.number(ID, id.0);
                session.export(parcel, *id);
            });
        }
        for session in &self.turns {
            parcel.number(TURN, session.0);
        }
        for (until, session) in &self.throttled {
            parcel.record(THROTTLED, |parcel| {
                parcel.time(UNTIL, *until);
                parcel.number(OF, session.0);
            });
        }
        parcel.carry(AUDIENCES, &self.audiences);
        parcel.carry(OUTBOX, &self.outbox);
        parcel.number(RECEIVED, self.inbound.received());
    }

    fn import(parcel: &mut ParcelReader<'_>, limits: EdgeLaneLimits) -> Result<Self, ParcelError> {
        let mut lane = Self::new(limits.rate);
        lane.highest = parcel.number_if(HIGHEST)?.map(SessionId);
        lane.sessions = lane.import_sessions(parcel, limits)?;
        lane.turns = lane.import_turns(parcel)?;
        while let Some(throttled) = parcel.record_if(THROTTLED, "a throttled session", |it| {
            Ok((it.time(UNTIL)?, SessionId(it.number(OF)?)))
        })? {
            parcel.require(lane.waits(throttled.1), THROTTLED)?;
            lane.throttled.push(throttled);
        }
        lane.audiences = parcel.carried(AUDIENCES, ())?;
        lane.outbox = parcel.carried(OUTBOX, ())?;
        lane.inbound = Inbound::resumed(parcel.count(RECEIVED)?);
        Ok(lane)
    }
}

impl EdgeLane {
    fn import_sessions(
        &self,
        parcel: &mut ParcelReader<'_>,
        limits: EdgeLaneLimits,
    ) -> Result<HashMap<SessionId, EdgeSession>, ParcelError> {
        let mut sessions = HashMap::new();
        let mut last = None;
        while let Some((id, session)) =
            parcel.record_if(SESSION, "a session of the lane", |it| {
                let id = SessionId(it.number(ID)?);
                Ok((id, EdgeSession::import(it, id)?))
            })?
        {
            parcel.fits(sessions.len() < limits.sessions, "sessions")?;
            let is_next = Some(id) > last && Some(id) <= self.highest;
            parcel.require(is_next && id.0 <= varint::MAX, SESSION)?;
            last = Some(id);
            sessions.insert(id, session);
        }
        Ok(sessions)
    }

    /// The turns may still name sessions that are over.
    fn import_turns(
        &mut self,
        parcel: &mut ParcelReader<'_>,
    ) -> Result<VecDeque<SessionId>, ParcelError> {
        let mut turns = VecDeque::new();
        while let Some(session) = parcel.number_if(TURN)?.map(SessionId) {
            parcel.require(self.waits(session), TURN)?;
            turns.push_back(session);
        }
        Ok(turns)
    }

    /// Notes that a session is among the turns or the throttled ones; false if it is there twice,
    /// or was never opened.
    fn waits(&mut self, session: SessionId) -> bool {
        let state = self.sessions.get_mut(&session);
        let was = state.is_some_and(|state| std::mem::replace(&mut state.in_turns, true));
        !was && Some(session) <= self.highest
    }
}
