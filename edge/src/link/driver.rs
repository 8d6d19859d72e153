//! The link thread of an edge: takes what clients' drivers say to the lanes of their groups.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_local,
};
use tributary_node::{
    drain, queue,
    transport::{CloseCode, Link},
};
use tributary_protocol::{
    GroupName, LaneId, Message, SessionId,
    link::{
        CloseReason, Control, EdgeEvent, FrameError, FromSession, Generation, Source, ToSession,
        credit, features,
    },
};

use super::{
    config::LinkConfig,
    handle::{FromOrigin, ObjectInfo, Opening, Park, ToLane},
    lane::{Journal, Lane, Phase},
    metrics::LinkMetrics,
    origin::{self, Origin},
    publish::{self, PublishFeed},
    run::Readiness,
    waiting::{Waiting, WaitingRoom},
};
use crate::{fanout::Streams, objects::ObjectMessage, routing::Table};

mod ownership;
mod placing;

/// Everything the link thread holds. Its tasks share it; none keeps a borrow across a wait.
pub(super) struct Driver {
    pub(super) config: LinkConfig,
    /// Drawn when the process started.
    pub(super) epoch: u64,
    pub(super) streams: Arc<Streams>,
    pub(super) metrics: LinkMetrics,
    readiness: Readiness,
    pub(super) table: RefCell<Table>,
    pub(super) origins: Vec<Origin>,
    lanes: RefCell<HashMap<GroupName, Rc<Lane>>>,
    /// Every lane that is not over, those that close among them.
    all: RefCell<HashMap<LaneId, Rc<Lane>>>,
    sessions: RefCell<HashMap<SessionId, Rc<Lane>>>,
    next_lane: Cell<u64>,
    processes: Cell<u64>,
    waiting: RefCell<WaitingRoom>,
    /// An origin fares otherwise than before: everyone who waits may have a place.
    changed: Cell<bool>,
    /// There is something to place, or to be waited for.
    placed: Notify,
    /// When waiting sessions are looked at next.
    look_at: Cell<Option<Instant>>,
}

/// Commands of clients that are followed before lanes and links get a turn.
const COMMANDS: usize = 256;

/// How long a lane without sessions is kept: the next session of its group needs no new one.
const LANE_IDLE: Duration = Duration::from_secs(10);

/// How often idle lanes are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Messages a session may send before its connect is decided, kept so that it can be opened at
/// another origin: as many as its credit allows.
const MAX_JOURNAL: usize = (credit::BASE / credit::MESSAGE_COST) as usize;

impl Driver {
    pub(super) fn new(
        config: LinkConfig,
        epoch: u64,
        streams: Arc<Streams>,
        metrics: LinkMetrics,
        readiness: Readiness,
    ) -> Rc<Self> {
        let names = config
            .origins
            .iter()
            .map(|origin| origin.known_as().to_owned())
            .collect();
        let origins = config.origins.iter().map(|_| Origin::new()).collect();
        Rc::new(Self {
            table: RefCell::new(Table::new(names, Instant::now())),
            config,
            epoch,
            streams,
            metrics,
            readiness,
            origins,
            lanes: RefCell::default(),
            all: RefCell::default(),
            sessions: RefCell::default(),
            next_lane: Cell::new(1),
            processes: Cell::new(0),
            waiting: RefCell::default(),
            changed: Cell::new(false),
            placed: Notify::new(),
            look_at: Cell::new(None),
        })
    }

    /// Runs until the drain ends.
    pub(super) async fn run(
        self: Rc<Self>,
        mut commands: queue::Receiver<ToLane>,
        mut drain: drain::Watch,
    ) {
        for index in 0..self.origins.len() {
            spawn_local(origin::run(Rc::clone(&self), index, drain.clone()));
        }
        spawn_local(Rc::clone(&self).place_waiting());
        spawn_local(Rc::clone(&self).sweep());
        let mut count: usize = 0;
        while let Some(command) = commands.next().await {
            self.handle_command(command);
            count = count.wrapping_add(1);
            if count.is_multiple_of(COMMANDS) {
                // The queue is always ready while clients are faster than this.
                tokio::task::yield_now().await;
            }
        }
        // Every client's driver is gone; what they said last still goes out.
        drain.signaled().await;
        self.finish().await;
    }

    /// Lets the lanes send what they have, within reason, then closes the links.
    async fn finish(&self) {
        let settled = async {
            loop {
                let busy = |lane: &Rc<Lane>| !lane.state.borrow().is_settled();
                if !self.all.borrow().values().any(busy) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(500), settled).await;
        for origin in &self.origins {
            if let Some(link) = origin.link() {
                link.close(CloseCode::Shutdown);
            }
        }
        // The close leaves with the endpoint's next turn.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    fn handle_command(self: &Rc<Self>, command: ToLane) {
        match command {
            ToLane::Session { session, event } => self.handle_session(session, event),
            ToLane::ListObjects(answer) => {
                let _ = answer.send(self.objects());
            }
        }
    }

    fn handle_session(self: &Rc<Self>, session: SessionId, event: FromSession<Box<Opening>>) {
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
                    if !self.origins[lane.origin].has(features::COUNTED) {
                        statistics.received = None;
                    }
                    lane.send(session, FromSession::Statistics(statistics));
                }
            }
            FromSession::Close(reason) => self.handle_close(session, reason),
            _ => {}
        }
    }

    fn handle_message(&self, session: SessionId, generation: Generation, message: Message) {
        if let Some(lane) = self.lane_of(session) {
            if let Some(state) = lane.sessions.borrow_mut().get_mut(&session) {
                state
                    .journal
                    .take_if(|journal| journal.messages.len() >= MAX_JOURNAL);
                if let Some(journal) = &mut state.journal {
                    journal.messages.push((message.clone(), generation));
                }
            }
            let event = FromSession::Message {
                generation,
                message,
            };
            lane.send(session, event);
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let Some(journal) = waiting.journal(session) else {
            return;
        };
        journal.messages.push((message, generation));
        if journal.messages.len() > MAX_JOURNAL
            && let Some(session) = waiting.remove(session)
        {
            let close = FromOrigin::Order(ToSession::Close(CloseReason::Limit));
            let _ = session.inbox.push_final(close);
        }
    }

    fn handle_close(&self, session: SessionId, reason: CloseReason) {
        let Some(lane) = self.sessions.borrow_mut().remove(&session) else {
            self.waiting.borrow_mut().remove(session);
            return;
        };
        lane.forget(session);
        lane.send(session, FromSession::Close(reason));
        if lane.sessions.borrow().is_empty() {
            lane.idle_since.set(Some(Instant::now()));
        }
        self.count_sessions();
    }

    fn count_sessions(&self) {
        let count = self.sessions.borrow().len();
        self.metrics.sessions.set(count as i64);
    }

    fn lane_of(&self, session: SessionId) -> Option<Rc<Lane>> {
        self.sessions.borrow().get(&session).cloned()
    }

    /// The lane of a session's group, made if there is none.
    fn lane(self: &Rc<Self>, journal: &Journal, origin: usize) -> Rc<Lane> {
        let group = &journal.request.group;
        if let Some(lane) = self.lanes.borrow().get(group) {
            return Rc::clone(lane);
        }
        let id = LaneId(self.next_lane.get());
        self.next_lane.set(id.0 + 1);
        let only_asks = self.only_asks(journal, origin);
        let lane = Lane::new(id, group.clone(), origin, only_asks, self.config.rate);
        self.lanes
            .borrow_mut()
            .insert(group.clone(), Rc::clone(&lane));
        self.all.borrow_mut().insert(id, Rc::clone(&lane));
        self.metrics.lanes.set(self.all.borrow().len() as i64);
        spawn_local(Rc::clone(&lane).run(Rc::clone(self)));
        lane
    }

    /// Hands on one thing that happened in a lane.
    pub(super) fn handle_event(self: &Rc<Self>, lane: &Lane, event: EdgeEvent) {
        match event {
            EdgeEvent::Session { session, order } => self.handle_order(lane, session, order),
            EdgeEvent::Object {
                session,
                member,
                body,
            } => {
                if let Some(message) = ObjectMessage::new(body) {
                    let message = Arc::new(message);
                    lane.tell_object(session, member.flags, member.encoding, &message);
                }
            }
            EdgeEvent::Audience { audience, event } => lane.audience(self, audience, event),
            EdgeEvent::Throttled { .. } => {
                self.metrics.throttled.inc();
            }
            EdgeEvent::Left {
                session,
                bytes,
                finished,
            } => {
                if let Some(state) = lane.sessions.borrow().get(&session) {
                    let head = if finished { Park::MESSAGE } else { 0 };
                    state.park.remove(bytes + head);
                }
            }
            _ => {}
        }
    }

    /// Resolves an order and puts it into the session's inbox.
    fn handle_order(self: &Rc<Self>, lane: &Lane, session: SessionId, order: ToSession) {
        match order {
            ToSession::Accept => {
                if let Some(state) = lane.sessions.borrow_mut().get_mut(&session) {
                    state.journal = None;
                }
            }
            ToSession::Close(reason) => return self.session_closed(lane, session, reason),
            _ => {}
        }
        let size = order.size();
        let order = order.resolve(
            |_, source| Source {
                live: self
                    .streams
                    .get_or_create(self.origins[lane.origin].process(), source.live),
                publication: source.publication,
            },
            |_, target| {
                let (feed, source) = PublishFeed::new();
                let driver = Rc::clone(self);
                spawn_local(publish::run(driver, lane.origin, target, source));
                feed
            },
        );
        lane.tell(session, order.into(), size);
    }

    /// The origin has closed a session.
    fn session_closed(&self, lane: &Lane, session: SessionId, reason: CloseReason) {
        let _ = lane.tell_place(session);
        if let Some(state) = lane.forget(session) {
            let close = FromOrigin::Order(ToSession::Close(reason));
            let _ = state.inbox.push_final(close);
        }
        self.sessions.borrow_mut().remove(&session);
        if lane.sessions.borrow().is_empty() {
            lane.idle_since.set(Some(Instant::now()));
        }
        self.count_sessions();
    }

    /// The shared objects that sessions here use.
    fn objects(&self) -> Vec<ObjectInfo> {
        let mut objects = Vec::new();
        for lane in self.all.borrow().values() {
            let group = lane.group.to_string();
            lane.audiences.borrow().info(&group, &mut objects);
        }
        objects
    }

    /// The peer broke the link protocol: nothing it says can be trusted.
    pub(super) fn protocol_error(&self, link: &Link, error: &FrameError) {
        tracing::error!(origin = %link.peer().name, %error, "link closed: protocol error");
        self.metrics.protocol_errors.inc();
        link.close(CloseCode::Protocol);
    }

    /// A number for an origin's process that was not seen before.
    pub(super) fn new_process(&self) -> u64 {
        self.processes.set(self.processes.get() + 1);
        self.processes.get()
    }

    /// This edge's load.
    pub(super) fn heartbeat(&self) -> Control {
        Control::Heartbeat {
            sessions: self.sessions.borrow().len() as u64,
            groups: self.lanes.borrow().len() as u64,
        }
    }

    /// The links of an origin as they come and go.
    pub(super) fn links(&self, origin: usize) -> watch::Receiver<Option<Link>> {
        self.origins[origin].links()
    }

    /// Waits until the origin's task has noticed that its link is gone.
    pub(super) async fn link_closed(&self, origin: usize) {
        let mut links = self.links(origin);
        // The origin's task lives as long as the driver.
        let _ = links
            .wait_for(|link| link.as_ref().is_none_or(|link| !link.is_closed()))
            .await;
    }

    /// A lane's task is over.
    pub(super) fn forget_lane(&self, lane: &Rc<Lane>) {
        self.unlist(lane);
        self.all.borrow_mut().remove(&lane.id);
        self.metrics
            .audiences
            .dec_by(lane.audiences.borrow().len() as i64);
        self.metrics.lanes.set(self.all.borrow().len() as i64);
    }

    /// New sessions of the lane's group get another lane.
    fn unlist(&self, lane: &Rc<Lane>) {
        let mut lanes = self.lanes.borrow_mut();
        if lanes
            .get(&lane.group)
            .is_some_and(|other| Rc::ptr_eq(other, lane))
        {
            lanes.remove(&lane.group);
        }
    }

    /// Closes lanes that have had no sessions for a while.
    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.close_idle(Instant::now());
        }
    }

    /// Closes lanes that have had no sessions for a while, and at once those to origins that go
    /// away: the next session of their group may go elsewhere.
    fn close_idle(&self, now: Instant) {
        let table = self.table.borrow();
        let is_idle = |lane: &&Rc<Lane>| {
            let long = |since| now.duration_since(since) >= LANE_IDLE;
            let since = lane.idle_since.get();
            since.is_some_and(|since| long(since) || table.is_leaving(lane.origin))
        };
        let lanes = self.lanes.borrow();
        let idle: Vec<_> = lanes.values().filter(is_idle).cloned().collect();
        drop(lanes);
        for lane in idle {
            self.lanes.borrow_mut().remove(&lane.group);
            if lane.phase.get() == Phase::Open {
                lane.close();
            }
        }
    }
}

/// Waits until then, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
