//! Links that come from another process, until they are at work.

use std::{collections::HashSet, fmt, rc::Rc, time::Instant};

use tributary_protocol::{
    SessionId,
    parcel::{Carried, MAX_PARCEL, ParcelError, ParcelReader, unpack},
};

use super::{
    config::LinkConfig,
    handle::Upstream,
    head::Head,
    lane::{LaneSession, MovedLane},
    moved::{MoveError, MovedLinks},
    placing::Placing,
    session::{LinkSession, MovedWaiting, Waiting},
};

/// The state of the links, with an inbox for each session.
pub(super) struct ArrivedLinks {
    head: Head,
    lanes: Vec<(MovedLane, Vec<(SessionId, LaneSession)>)>,
    waiting: Vec<Waiting>,
}

impl ArrivedLinks {
    /// Reads the state of the links, all of it or nothing.
    pub(super) fn read(
        moved: &MovedLinks,
        config: &LinkConfig,
        upstream: &Upstream,
    ) -> Result<Self, MoveError> {
        let now = Instant::now();
        let head = unpack(&moved.head, now, (), MAX_PARCEL);
        let head: Head = head.map_err(|error| refused(Head::NAME, error))?;
        upstream.continue_at(head.next_session);
        let mut lanes = Vec::new();
        let (mut numbers, mut groups) = (HashSet::new(), HashSet::new());
        for (place, parcel) in moved.lanes.iter().enumerate() {
            let lane = read_lane(parcel, place, config, now)?;
            let id = lane.opening.id;
            let is_new = id.0 < head.next_lane && numbers.insert(id);
            agrees(is_new, &lane.to_string(), "its number")?;
            let is_only = !lane.is_listed || groups.insert(lane.opening.group.clone());
            agrees(is_only, &lane.to_string(), "it is the lane of its group")?;
            lanes.push(with_sessions(lane, upstream)?);
        }
        let mut waiting = Vec::new();
        for parcel in &moved.waiting {
            let moved = MovedWaiting::read(parcel, now)?;
            let session = berth(upstream, moved.id, moved.parked())?;
            waiting.push(Waiting {
                id: moved.id,
                session,
                journal: moved.journal,
            });
        }
        Ok(Self {
            head,
            lanes,
            waiting,
        })
    }

    /// The epoch of the edge.
    pub(super) fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// Puts the lanes and sessions in their places. They stand still.
    pub(super) fn settle(self, placing: &Rc<Placing>) {
        placing.restore(self.head);
        for (lane, sessions) in self.lanes {
            placing.take_lane(lane, sessions);
        }
        for waiting in self.waiting {
            placing.take_waiting(waiting);
        }
    }
}

impl fmt::Debug for ArrivedLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrivedLinks").finish_non_exhaustive()
    }
}

fn read_lane(
    parcel: &[u8],
    place: usize,
    config: &LinkConfig,
    now: Instant,
) -> Result<MovedLane, MoveError> {
    let import = || {
        let mut reader = ParcelReader::new(parcel, "a lane of the links", now, MAX_PARCEL)?;
        let lane = MovedLane::import(&mut reader, config.rate)?;
        reader.finish()?;
        Ok(lane)
    };
    let lane = import().map_err(|error| refused(&format!("lane at place {place}"), error))?;
    let mut origins = config.origins.iter();
    if !origins.any(|origin| origin.known_as() == lane.origin) {
        return Err(MoveError::UnknownOrigin {
            of: lane.to_string(),
            origin: lane.origin,
        });
    }
    Ok(lane)
}

/// Gives each session of a lane an inbox.
fn with_sessions(
    mut lane: MovedLane,
    upstream: &Upstream,
) -> Result<(MovedLane, Vec<(SessionId, LaneSession)>), MoveError> {
    let mut sessions = Vec::new();
    for session in std::mem::take(&mut lane.sessions) {
        let link = berth(upstream, session.id, lane.parked(session.id))?;
        sessions.push((session.id, LaneSession::new(link, session.journal)));
    }
    Ok((lane, sessions))
}

fn berth(upstream: &Upstream, id: SessionId, parked: usize) -> Result<LinkSession, MoveError> {
    let (inbox, park) = upstream
        .berth(id, parked)
        .ok_or_else(|| MoveError::Contradiction {
            of: format!("session {}", id.0),
            fact: "its number",
        })?;
    Ok(LinkSession {
        inbox,
        park,
        hub: None,
    })
}

fn agrees(does: bool, of: &str, fact: &'static str) -> Result<(), MoveError> {
    let of = || of.to_owned();
    does.then_some(())
        .ok_or_else(|| MoveError::Contradiction { of: of(), fact })
}

fn refused(of: &str, error: ParcelError) -> MoveError {
    let of = of.to_owned();
    MoveError::Parcel { of, error }
}
