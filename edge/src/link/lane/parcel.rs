//! A lane in a parcel, with its sessions and its audiences.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    fmt,
    rc::Rc,
    time::Instant,
};

use tokio::sync::Notify;
use tributary_protocol::{
    GroupName, LaneId, SessionId,
    link::{EdgeLane, EdgeLaneLimits, MAX_AUDIENCES, Rate},
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{
    Lane, LaneOpening, LaneSession, LaneSessions, Phase, Shared, audiences::MovedAudience,
};
use crate::link::{handle::Park, head::MAX_ORIGIN_NAME, journal::Journal, origin::Origin};

/// A lane on its way from another process.
#[derive(Debug)]
pub(in crate::link) struct MovedLane {
    pub(in crate::link) opening: LaneOpening,
    /// The name of its origin.
    pub(in crate::link) origin: String,
    /// Whether new sessions of its group join it.
    pub(in crate::link) is_listed: bool,
    opened: bool,
    is_closing: bool,
    idle_since: Option<Instant>,
    state: EdgeLane,
    pub(in crate::link) sessions: Vec<MovedLaneSession>,
    audiences: Vec<MovedAudience>,
}

/// A session of a lane.
#[derive(Debug)]
pub(in crate::link) struct MovedLaneSession {
    pub(in crate::link) id: SessionId,
    pub(in crate::link) journal: Option<Box<Journal>>,
}

const ID: u16 = 1;
const GROUP: u16 = 2;
const HOME: u16 = 3;
const ONLY_IF_LIVING: u16 = 4;
const ORIGIN: u16 = 5;
const LISTED: u16 = 6;
const OPENED: u16 = 7;
const CLOSING: u16 = 8;
const IDLE_SINCE: u16 = 9;
const STATE: u16 = 10;
const SESSION: u16 = 11;
const AUDIENCE: u16 = 12;

/// The fields of a session.
const OF: u16 = 1;
const JOURNAL: u16 = 2;

/// The sessions of a lane that moves. Reason: as many as an edge may have clients; the parcel is
/// bounded besides.
const MAX_SESSIONS: usize = 1_000_000;

impl Lane {
    /// Whether the lane moves: it is not over.
    pub(in crate::link) fn moves(&self) -> bool {
        self.phase.get() != Phase::Dead
    }

    /// Writes the fields of a lane that no stream carries.
    pub(in crate::link) fn export(&self, is_listed: bool, parcel: &mut ParcelWriter) {
        if self.is_carried() {
            parcel.refuse("a stream carries the lane");
        }
        if self.is_to_restore() {
            parcel.refuse("the lane is about to be restored");
        }
        parcel.number(ID, self.opening.id.0);
        parcel.bytes(GROUP, self.opening.group.to_string().as_bytes());
        parcel.bytes(HOME, self.opening.home.as_bytes());
        parcel.flag(ONLY_IF_LIVING, self.opening.only_if_living);
        parcel.bytes(ORIGIN, self.origin.name().as_bytes());
        parcel.flag(LISTED, is_listed);
        parcel.flag(OPENED, self.opened.get());
        parcel.flag(CLOSING, self.phase.get() == Phase::Closing);
        let sessions = self.sessions.borrow();
        let idle_since = self.idle_since.get();
        // A session that was too slow is gone before its client has said so.
        let idle_since = idle_since.or_else(|| sessions.is_empty().then(Instant::now));
        parcel.time_if(IDLE_SINCE, idle_since);
        parcel.carry(STATE, &*self.state.borrow());
        for (id, session) in sessions.in_order() {
            parcel.record(SESSION, |parcel| {
                parcel.number(OF, id.0);
                if let Some(journal) = &session.journal {
                    parcel.record(JOURNAL, |parcel| journal.export(id, parcel));
                }
            });
        }
        for audience in sessions.audiences_in_order() {
            parcel.record(AUDIENCE, |parcel| audience.export(parcel));
        }
    }

    /// A lane that has come from another process, with its sessions.
    pub(in crate::link) fn arrived(
        shared: Rc<Shared>,
        origin: Rc<Origin>,
        moved: MovedLane,
        sessions: Vec<(SessionId, LaneSession)>,
    ) -> Rc<Self> {
        let id = moved.opening.id;
        let mut table = LaneSessions::new(id, moved.opening.group.clone());
        for (session, state) in sessions {
            shared.sessions.insert(session, id);
            table.put(session, state);
        }
        let phase = match moved.is_closing {
            true => Phase::Closing,
            false => Phase::Open,
        };
        for audience in moved.audiences {
            shared.metrics.audiences.inc();
            table.put_audience(audience);
        }
        Rc::new(Self {
            opening: moved.opening,
            origin,
            shared,
            opened: Cell::new(moved.opened),
            played: RefCell::default(),
            state: RefCell::new(moved.state),
            sessions: RefCell::new(table),
            phase: Cell::new(phase),
            idle_since: Cell::new(moved.idle_since),
            is_carried: Cell::new(false),
            handed_to: RefCell::default(),
            wake: Notify::new(),
        })
    }
}

impl MovedLane {
    /// Reads the fields.
    pub(in crate::link) fn import(
        parcel: &mut ParcelReader<'_>,
        rate: Rate,
    ) -> Result<Self, ParcelError> {
        let id = LaneId(parcel.count(ID)?);
        let group = parcel.text(GROUP, GroupName::MAX_LENGTH)?.parse();
        let opening = LaneOpening {
            id,
            group: group.map_err(|_| parcel.illegal(GROUP))?,
            home: parcel.text(HOME, MAX_ORIGIN_NAME)?.to_owned(),
            only_if_living: parcel.flag(ONLY_IF_LIVING)?,
            restores: false,
        };
        let origin = parcel.text(ORIGIN, MAX_ORIGIN_NAME)?.to_owned();
        let is_listed = parcel.flag(LISTED)?;
        let opened = parcel.flag(OPENED)?;
        let is_closing = parcel.flag(CLOSING)?;
        parcel.require(!(is_listed && is_closing), CLOSING)?;
        let idle_since = parcel.time_if(IDLE_SINCE)?;
        let sessions = MAX_SESSIONS;
        let state: EdgeLane = parcel.carried(STATE, EdgeLaneLimits { rate, sessions })?;
        let sessions = import_sessions(parcel, &state, &opening.group)?;
        parcel.require(sessions.is_empty() == idle_since.is_some(), SESSION)?;
        Ok(Self {
            opening,
            origin,
            is_listed,
            opened,
            is_closing,
            idle_since,
            state,
            audiences: import_audiences(parcel, &sessions)?,
            sessions,
        })
    }

    /// The bytes of a session's messages in the lane, as its park counts them.
    pub(in crate::link) fn parked(&self, session: SessionId) -> usize {
        let messages = self.state.waiting_messages(session);
        messages.map(|payload| Park::MESSAGE + payload).sum()
    }
}

impl fmt::Display for MovedLane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} of {}", self.opening.id.0, self.opening.group)
    }
}

/// The sessions: each is one of the lane's state, and of its group.
fn import_sessions(
    parcel: &mut ParcelReader<'_>,
    state: &EdgeLane,
    group: &GroupName,
) -> Result<Vec<MovedLaneSession>, ParcelError> {
    let known: HashSet<_> = state.sessions().collect();
    let mut sessions: Vec<MovedLaneSession> = Vec::new();
    while let Some(session) = parcel.record_if(SESSION, "a session at its lane", moved_session)? {
        let last = sessions.last().map(|session| session.id);
        let is_next = known.contains(&session.id) && Some(session.id) > last;
        let journal = session.journal.as_ref();
        let is_of_group = journal.is_none_or(|journal| journal.request.group == *group);
        parcel.require(is_next && is_of_group, SESSION)?;
        sessions.push(session);
    }
    Ok(sessions)
}

fn moved_session(parcel: &mut ParcelReader<'_>) -> Result<MovedLaneSession, ParcelError> {
    let id = SessionId(parcel.number(OF)?);
    let journal = parcel.record_if(JOURNAL, "a journal", |it| Journal::import(id, it))?;
    let journal = journal.map(Box::new);
    Ok(MovedLaneSession { id, journal })
}

fn import_audiences(
    parcel: &mut ParcelReader<'_>,
    sessions: &[MovedLaneSession],
) -> Result<Vec<MovedAudience>, ParcelError> {
    let sessions: HashSet<_> = sessions.iter().map(|session| session.id).collect();
    let mut audiences: Vec<MovedAudience> = Vec::new();
    while let Some(audience) = parcel.record_if(AUDIENCE, "an audience", |it| {
        MovedAudience::import(it, &sessions)
    })? {
        parcel.fits(audiences.len() < MAX_AUDIENCES, "audiences")?;
        let last = audiences.last().map(|audience| audience.id);
        parcel.require(Some(audience.id) > last, AUDIENCE)?;
        audiences.push(audience);
    }
    Ok(audiences)
}
