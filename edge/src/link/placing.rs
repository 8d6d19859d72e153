//! The places of sessions: each session goes to a lane, waits, or is refused.

use std::{
    cell::{Cell, Ref, RefCell},
    rc::Rc,
    time::Instant,
};

use tokio::task::spawn_local;
use tributary_node::link::OriginAddress;
use tributary_protocol::{
    GroupName, Message, SessionId,
    cluster::routing::{Named, OriginId, OriginTable, Placement, Router, SessionPlace, Wish},
    link::{CloseReason, FromSession, Generation, Rate, features},
};

use super::{
    config::LinkConfig,
    handle::{FromOrigin, Opening},
    journal::Journal,
    lane::{Lane, LaneEnd, LaneOpening},
    lanes::Lanes,
    origin::Origin,
    origins::Origins,
    session::Waiting,
    shared::Shared,
};

mod line;
mod moving;
mod restore;
mod waiting;

use line::WaitingLine;

/// The sessions of this edge and their lanes.
pub(super) struct Placing {
    shared: Rc<Shared>,
    /// The rate of each session.
    rate: Rate,
    router: RefCell<Router>,
    pub(super) origins: Origins,
    pub(super) lanes: Lanes,
    line: WaitingLine,
    /// The mark of the present freeze that the sessions have, so that a new one gets it as well.
    mark: Cell<Option<u64>>,
}

/// Groups with waiting sessions that are placed before other tasks get a turn.
const PLACED: usize = 64;

impl Placing {
    /// All origins are new, and `placement` has none.
    pub(super) fn new(
        config: &LinkConfig,
        shared: Rc<Shared>,
        placement: Box<dyn Placement>,
    ) -> Rc<Self> {
        let placing = Self {
            rate: config.rate,
            router: RefCell::new(Router::new(placement, Instant::now())),
            origins: Origins::default(),
            lanes: Lanes::new(shared.metrics.clone()),
            line: WaitingLine::default(),
            mark: Cell::default(),
            shared,
        };
        for address in &config.origins {
            placing.add_origin(address.clone());
        }
        Rc::new(placing)
    }

    /// Adds an origin that has not been reached yet.
    pub(super) fn add_origin(&self, address: OriginAddress) -> Rc<Origin> {
        let id = self.router.borrow_mut().add(address.known_as());
        self.origins.add(Origin::new(id, address))
    }

    /// Removes an origin that has no lanes.
    pub(super) fn remove_origin(&self, origin: OriginId) {
        self.router.borrow_mut().remove(origin);
        self.origins.remove(origin);
    }

    /// The state of the origins.
    pub(super) fn table(&self) -> Ref<'_, OriginTable> {
        Ref::map(self.router.borrow(), Router::table)
    }

    /// The router.
    pub(super) fn router(&self) -> Ref<'_, Router> {
        self.router.borrow()
    }

    /// Changes the router. The caller places the affected sessions afterwards.
    pub(super) fn update<R>(&self, change: impl FnOnce(&mut Router) -> R) -> R {
        change(&mut self.router.borrow_mut())
    }

    /// Handles an event of a session.
    pub(super) fn handle(self: &Rc<Self>, session: SessionId, event: FromSession<Box<Opening>>) {
        if self.shared.stages.has_left() {
            return self.handle_left(session, event);
        }
        match event {
            FromSession::Open(opening) => self.place(Waiting::new(session, *opening)),
            FromSession::Message {
                generation,
                message,
            } => self.handle_message(session, generation, message),
            FromSession::Stalled { stream, stalled } => {
                if let Some(lane) = self.lane_of(session) {
                    lane.send(session, FromSession::Stalled { stream, stalled });
                }
            }
            FromSession::Statistics(mut statistics) => {
                if let Some(lane) = self.lane_of(session) {
                    if !lane.origin.has(features::COUNTED) {
                        statistics.received = None;
                    }
                    lane.send(session, FromSession::Statistics(statistics));
                }
            }
            FromSession::Reconnects(key) => {
                let lane = self.lane_of(session);
                if let Some(lane) = lane.filter(|lane| lane.origin.has(features::TAKEOVER)) {
                    lane.send(session, FromSession::Reconnects(key));
                }
            }
            FromSession::Relay { stream, address } => {
                let lane = self.lane_of(session);
                if let Some(lane) = lane.filter(|lane| lane.origin.has(features::RELAYS)) {
                    lane.send(session, FromSession::Relay { stream, address });
                }
            }
            FromSession::Close(reason) => self.handle_close(session, reason),
        }
    }

    fn handle_message(&self, session: SessionId, generation: Generation, message: Message) {
        if let Some(lane) = self.lane_of(session) {
            lane.send_message(session, generation, message);
        } else if self.line.append(session, message, generation).is_err()
            && let Some(waiting) = self.line.remove(session)
        {
            waiting.session.close(CloseReason::Limit);
        }
    }

    fn handle_close(&self, session: SessionId, reason: CloseReason) {
        let Some(lane) = self.shared.sessions.remove(session) else {
            self.line.remove(session);
            return;
        };
        if let Some(lane) = self.lanes.get(lane) {
            lane.session_ended(session, reason);
        }
    }

    fn lane_of(&self, session: SessionId) -> Option<Rc<Lane>> {
        self.lanes.get(self.shared.sessions.lane(session)?)
    }

    /// Gives a session its lane, lets it wait, or refuses it.
    fn place(self: &Rc<Self>, session: Waiting) {
        let place = match self.shared.stages.is_running() {
            true => self.decide(&session.journal),
            // It is placed once lanes are carried.
            false => SessionPlace::Wait(Instant::now()),
        };
        if let Some(number) = self.mark.get() {
            session.session.end(FromOrigin::Freeze(number));
        }
        self.place_at(session, place);
    }

    fn place_at(self: &Rc<Self>, session: Waiting, place: SessionPlace) {
        match place {
            SessionPlace::At(origin) => self.open(session, origin),
            SessionPlace::Wait(until) if !self.line.is_full() => self.line.add(session, until),
            SessionPlace::Wait(_) | SessionPlace::Nowhere => {
                let item = match self.named(&session.journal) {
                    Named::Unknown => FromOrigin::UnknownOrigin,
                    Named::None | Named::Origin(_) => FromOrigin::NoOrigin,
                };
                session.session.end(item);
            }
        }
    }

    fn decide(&self, journal: &Journal) -> SessionPlace {
        match self.lanes.of(&journal.request.group) {
            Some(lane) => SessionPlace::At(lane.origin.id),
            None => {
                let router = self.router.borrow();
                self.wish(journal).decide(&router, Instant::now())
            }
        }
    }

    fn wish<'a>(&self, journal: &'a Journal) -> Wish<'a> {
        Wish {
            group: &journal.request.group,
            named: self.named(journal),
            asked_home: journal.asked_home,
        }
    }

    fn named(&self, journal: &Journal) -> Named {
        match &journal.request.origin {
            None => Named::None,
            Some(host) => match self.origins.named(host) {
                Some(origin) => Named::Origin(origin),
                None => Named::Unknown,
            },
        }
    }

    fn open(self: &Rc<Self>, session: Waiting, origin: OriginId) {
        let lane = self.lanes.of(&session.journal.request.group);
        match lane.or_else(|| self.new_lane(&session.journal, origin)) {
            Some(lane) => lane.open(session),
            None => session.session.end(FromOrigin::NoOrigin),
        }
    }

    /// Makes a lane for the session's group, and starts its task; `None` if the origin has gone.
    fn new_lane(self: &Rc<Self>, journal: &Journal, origin: OriginId) -> Option<Rc<Lane>> {
        let to = self.origins.get(origin)?;
        let group = &journal.request.group;
        let wish = self.wish(journal);
        let opening = LaneOpening {
            id: self.lanes.next_id(),
            group: group.clone(),
            home: self.home_name(group),
            only_if_living: wish.only_asks(&self.table(), origin),
            restores: false,
        };
        let lane = Lane::new(Rc::clone(&self.shared), to, opening, self.rate);
        self.lanes.add(&lane);
        self.start(&lane);
        Some(lane)
    }

    /// Starts the task of a lane.
    fn start(self: &Rc<Self>, lane: &Rc<Lane>) {
        let (placing, running) = (Rc::clone(self), Rc::clone(lane));
        spawn_local(async move {
            let end = running.run().await;
            placing.lane_ended(&running, end);
        });
    }

    /// The name by which the edges call the home of a group.
    fn home_name(&self, group: &GroupName) -> String {
        let home = self.router.borrow().home(group);
        let home = home.and_then(|home| self.origins.get(home));
        home.map_or_else(String::new, |home| home.name().to_owned())
    }

    fn lane_ended(self: &Rc<Self>, lane: &Rc<Lane>, end: LaneEnd) {
        self.shared.note_change();
        match end {
            LaneEnd::Over => {}
            LaneEnd::Unknown => {
                if lane.opening.only_if_living {
                    lane.home_was_asked();
                }
                self.replace(lane);
            }
            LaneEnd::PlaceAgain => {
                debug_assert!(!lane.has_accepted());
                self.replace(lane);
            }
            LaneEnd::HandedOver(to) => self.follow(lane, &to),
        }
        self.lanes.forget(lane);
        self.shared.progress.notify_waiters();
    }

    /// Waits until the origins have acknowledged everything.
    pub(super) async fn settled(&self) {
        loop {
            let progress = self.shared.progress.notified();
            if self.lanes.are_settled() {
                return;
            }
            progress.await;
        }
    }

    /// Ends a lane whose origin cannot go on with it. Sessions that are not accepted are placed
    /// again; accepted ones are closed.
    pub(super) fn replace(&self, lane: &Rc<Lane>) {
        self.lanes.unlist(lane);
        for (id, session) in lane.take_sessions() {
            match session.leave(id) {
                Ok(waiting) => self.line.add(waiting, Instant::now()),
                Err(accepted) => accepted.close(CloseReason::OriginLost),
            }
        }
        lane.end(CloseReason::OriginLost);
    }

    /// Lets all waiting sessions be placed again.
    pub(super) fn try_all(&self) {
        self.line.try_all();
    }

    /// Places waiting sessions again whenever an origin changes or a wait ends.
    pub(super) async fn place_waiting(self: Rc<Self>) {
        loop {
            for (index, group) in self.line.due().await.iter().enumerate() {
                self.shared.stages.runs().await;
                self.place_group(group);
                if index % PLACED == PLACED - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Places again the sessions that wait for a group; sessions with the same wish go together.
    /// While lanes stand still, so do the sessions.
    pub(super) fn place_group(self: &Rc<Self>, group: &GroupName) {
        if !self.shared.stages.is_running() {
            return;
        }
        for wish in self.line.take(group) {
            let Some(first) = wish.first() else { continue };
            let place = self.decide(&first.journal);
            for session in wish {
                self.place_at(session, place);
            }
        }
    }

    /// Closes lanes that have had no sessions for a while.
    pub(super) fn close_idle(&self, now: Instant) {
        if !self.shared.stages.is_running() {
            return;
        }
        let table = self.table();
        self.lanes
            .close_idle(now, |origin| table.is_leaving(origin));
    }
}
