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
        CloseReason, Control, EdgeEvent, FrameError, Generation, credit, hello::GROUPS_PER_FRAME,
    },
};

use super::{
    config::LinkConfig,
    handle::{FromOrigin, ToLane},
    lane::{Journal, Lane, Phase, Session},
    metrics::LinkMetrics,
    origin::{self, Origin},
    publish::{self, PublishFeed},
    run::Readiness,
    waiting::{Waiting, WaitingRoom},
};
use crate::{
    fanout::Streams,
    routing::{Health, Place, Table},
};

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

/// Groups with waiting sessions that are placed before others get a turn.
const PLACED: usize = 64;

/// How long a lane without sessions is kept: the next session of its group needs no new one.
const LANE_IDLE: Duration = Duration::from_secs(10);

/// How often idle lanes are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// Sessions that may wait for an origin at once. Reason: while no origin can be reached, clients
/// that reconnect must not fill the edge's memory; beyond it they are told at once.
const MAX_WAITING: usize = 20_000;

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
            spawn_local(origin::run(Rc::clone(&self), index));
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
            ToLane::Open {
                session,
                request,
                inbox,
                park,
            } => {
                let journal = Box::new(Journal {
                    request: *request,
                    messages: Vec::new(),
                    asked_home: false,
                });
                self.place(Waiting {
                    session,
                    journal,
                    inbox,
                    park,
                });
            }
            ToLane::Message {
                session,
                message,
                generation,
            } => {
                self.handle_message(session, message, generation);
            }
            ToLane::Stalled {
                session,
                stream,
                stalled,
            } => {
                if let Some(lane) = self.lane_of(session) {
                    lane.state.borrow_mut().stalled(session, stream, stalled);
                    lane.wake.notify_one();
                }
            }
            ToLane::Close { session, reason } => self.handle_close(session, reason),
        }
    }

    fn handle_message(&self, session: SessionId, message: Message, generation: Generation) {
        if let Some(lane) = self.lane_of(session) {
            if let Some(state) = lane.sessions.borrow_mut().get_mut(&session) {
                state
                    .journal
                    .take_if(|journal| journal.messages.len() >= MAX_JOURNAL);
                if let Some(journal) = &mut state.journal {
                    journal.messages.push((message.clone(), generation));
                }
            }
            lane.state.borrow_mut().send(session, &message, generation);
            lane.wake.notify_one();
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
            let _ = session.inbox.push_final(FromOrigin::Close {
                reason: CloseReason::Limit,
            });
        }
    }

    fn handle_close(&self, session: SessionId, reason: CloseReason) {
        let Some(lane) = self.sessions.borrow_mut().remove(&session) else {
            self.waiting.borrow_mut().remove(session);
            return;
        };
        lane.sessions.borrow_mut().remove(&session);
        lane.state.borrow_mut().close(session, reason);
        if lane.sessions.borrow().is_empty() {
            lane.idle_since.set(Some(Instant::now()));
        }
        lane.wake.notify_one();
        self.metrics
            .sessions
            .set(self.sessions.borrow().len() as i64);
    }

    fn lane_of(&self, session: SessionId) -> Option<Rc<Lane>> {
        self.sessions.borrow().get(&session).cloned()
    }

    /// Gives a session its lane, lets it wait, or tells it that there is none.
    fn place(self: &Rc<Self>, session: Waiting) {
        let place = self.find_place(&session.journal);
        self.place_at(session, place);
    }

    fn place_at(self: &Rc<Self>, session: Waiting, place: Place) {
        match place {
            Place::At(origin) => self.open(session, origin),
            Place::Wait(until) if self.waiting.borrow().len() < MAX_WAITING => {
                self.wait(session, until);
            }
            Place::Wait(_) | Place::Nowhere => {
                let what = match &session.journal.request.origin {
                    Some(host) if self.origin_named(host).is_none() => FromOrigin::UnknownOrigin,
                    _ => FromOrigin::NoOrigin,
                };
                let _ = session.inbox.push_final(what);
            }
        }
    }

    /// Lets a session wait, at most until then.
    fn wait(&self, session: Waiting, until: Instant) {
        self.waiting.borrow_mut().add(session, until);
        if self.look_at.get().is_none_or(|at| until < at) {
            self.look_at.set(Some(until));
            self.placed.notify_one();
        }
    }

    fn find_place(&self, journal: &Journal) -> Place {
        let request = &journal.request;
        if let Some(lane) = self.lanes.borrow().get(&request.group) {
            return Place::At(lane.origin);
        }
        let (table, now) = (self.table.borrow(), Instant::now());
        let Some(host) = &request.origin else {
            return table.place(&request.group, now);
        };
        if let Some(until) = table.starting(now) {
            // Neither the origins' names nor their displaced groups are all known.
            return Place::Wait(until);
        }
        let Some(named) = self.origin_named(host) else {
            return Place::Nowhere;
        };
        if table.displaced_at(&request.group).is_some() {
            return table.place(&request.group, now);
        }
        let home = table.home(&request.group);
        if home != named && !journal.asked_home && table.health(home) == Health::Up {
            return Place::At(home);
        }
        match table.health(named) {
            Health::Up => Place::At(named),
            Health::Lost { until } if until > now => Place::Wait(until),
            _ => Place::Nowhere,
        }
    }

    /// Whether a session goes to an origin other than the one its client names, to see whether the
    /// group lives there.
    fn only_asks(&self, journal: &Journal, origin: usize) -> bool {
        let request = &journal.request;
        let named = request.origin.as_ref().map(|host| self.origin_named(host));
        let displaced = self.table.borrow().displaced_at(&request.group);
        named.is_some_and(|named| named != Some(origin)) && displaced.is_none()
    }

    /// The configured origin that answers to `host`, a port cut off.
    fn origin_named(&self, host: &str) -> Option<usize> {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        (0..self.origins.len()).find(|&index| {
            let configured = &self.config.origins[index];
            configured.known_as().eq_ignore_ascii_case(host)
                || configured.known_as().eq_ignore_ascii_case(bare)
                || self.origins[index].answers_to(bare)
        })
    }

    fn open(self: &Rc<Self>, waiting: Waiting, origin: usize) {
        let Waiting {
            session,
            journal,
            inbox,
            park,
        } = waiting;
        let lane = self.lane(&journal, origin);
        {
            let mut state = lane.state.borrow_mut();
            state.open(session, journal.request.open.clone());
            for (message, generation) in &journal.messages {
                state.send(session, message, *generation);
            }
        }
        let entry = Session {
            inbox,
            park,
            journal: Some(journal),
        };
        lane.sessions.borrow_mut().insert(session, entry);
        lane.idle_since.set(None);
        lane.wake.notify_one();
        self.sessions.borrow_mut().insert(session, lane);
        self.metrics
            .sessions
            .set(self.sessions.borrow().len() as i64);
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
            EdgeEvent::Accepted { session } => {
                if let Some(state) = lane.sessions.borrow_mut().get_mut(&session) {
                    state.journal = None;
                }
                lane.tell(session, FromOrigin::Accepted, 0);
            }
            EdgeEvent::Message {
                session,
                message,
                after,
            } => {
                let weight = message.payload.len();
                lane.tell(session, FromOrigin::Message { message, after }, weight);
            }
            EdgeEvent::Closed { session, reason } => {
                let state = lane.sessions.borrow_mut().remove(&session);
                if let Some(state) = state {
                    let _ = state.inbox.push_final(FromOrigin::Close { reason });
                }
                self.sessions.borrow_mut().remove(&session);
                if lane.sessions.borrow().is_empty() {
                    lane.idle_since.set(Some(Instant::now()));
                }
                self.metrics
                    .sessions
                    .set(self.sessions.borrow().len() as i64);
            }
            EdgeEvent::Attach {
                session,
                stream,
                live,
            } => {
                let live = self
                    .streams
                    .get_or_create(self.origins[lane.origin].process(), live);
                lane.tell(session, FromOrigin::Attach { stream, live }, 0);
            }
            EdgeEvent::Detach { session, stream } => {
                lane.tell(session, FromOrigin::Detach { stream }, 0);
            }
            EdgeEvent::AcceptPublish {
                session,
                stream,
                generation,
                live,
                writer,
            } => {
                let (feed, source) = PublishFeed::new();
                spawn_local(publish::run(
                    Rc::clone(self),
                    lane.origin,
                    live,
                    writer,
                    source,
                ));
                lane.tell(
                    session,
                    FromOrigin::AcceptPublish {
                        stream,
                        generation,
                        feed,
                    },
                    0,
                );
            }
            EdgeEvent::StopPublish {
                session,
                stream,
                generation,
            } => {
                lane.tell(session, FromOrigin::StopPublish { stream, generation }, 0);
            }
            EdgeEvent::Filter {
                session,
                stream,
                filter,
            } => {
                lane.tell(session, FromOrigin::Filter { stream, filter }, 0);
            }
            EdgeEvent::Throttled { .. } => {
                self.metrics.throttled.inc();
            }
            EdgeEvent::Left { session, bytes } => {
                if let Some(state) = lane.sessions.borrow().get(&session) {
                    state.park.remove(bytes);
                }
            }
            _ => {}
        }
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

    /// What the edges call the home of a group.
    pub(super) fn home(&self, group: &GroupName) -> String {
        let table = self.table.borrow();
        table.name(table.home(group)).to_owned()
    }

    /// Waits until the origin's task has noticed that its link is gone.
    pub(super) async fn link_closed(&self, origin: usize) {
        let mut links = self.links(origin);
        // The origin's task lives as long as the driver.
        let _ = links
            .wait_for(|link| link.as_ref().is_none_or(|link| !link.is_closed()))
            .await;
    }

    /// The origin has no such lane any more: what was accepted is over, the rest goes elsewhere.
    pub(super) fn lane_unknown(self: &Rc<Self>, lane: &Rc<Lane>) {
        if lane.only_if_living {
            for session in lane.sessions.borrow_mut().values_mut() {
                if let Some(journal) = &mut session.journal {
                    journal.asked_home = true;
                }
            }
        }
        self.replace(lane, true);
    }

    /// The origin does not open the lane yet: its sessions look for their place once more.
    pub(super) fn place_again(self: &Rc<Self>, lane: &Rc<Lane>) {
        self.replace(lane, false);
    }

    /// The link to an origin came up; `new_process` if it is not the process known before.
    pub(super) fn origin_up(self: &Rc<Self>, origin: usize, new_process: bool) {
        if new_process {
            self.table.borrow_mut().forget(origin);
            for lane in self.lanes_at(origin) {
                if lane.state.borrow().has_history() {
                    self.replace(&lane, true);
                }
            }
        }
        self.set_health(origin, Health::Up);
        for lane in self.lanes_at(origin) {
            lane.tell_all(|| FromOrigin::LinkBack);
        }
        for lane in self.lanes_at(origin) {
            let copy = self.table.borrow().displaced_at(&lane.group);
            if let (Some(home), Some(copy)) = (self.home_in_use(&lane.group), copy)
                && home != copy
            {
                self.tell_at_home(copy, home, vec![lane.group.clone()]);
            }
        }
        self.tell_living_end(origin, !new_process);
    }

    /// The link to an origin is lost. Groups without an accepted session are free at once.
    pub(super) fn origin_lost(self: &Rc<Self>, origin: usize, until: Instant) {
        self.set_health(origin, Health::Lost { until });
        let mut living = Vec::new();
        for lane in self.lanes_at(origin) {
            if lane.state.borrow().has_accepted() {
                lane.tell_all(|| FromOrigin::LinkLost);
                living.push(lane.group.clone());
            } else {
                self.replace(&lane, false);
            }
        }
        self.tell_living(origin, &living);
    }

    /// The grace time of an origin is over: its groups are free to start elsewhere.
    pub(super) fn origin_down(self: &Rc<Self>, origin: usize) {
        self.set_health(origin, Health::Down);
        for lane in self.lanes_at(origin) {
            self.replace(&lane, true);
        }
        for lane in self.all.borrow().values() {
            if lane.origin == origin {
                lane.give_up_closing();
            }
        }
        self.tell_living_end(origin, false);
    }

    fn set_health(&self, origin: usize, health: Health) {
        let mut table = self.table.borrow_mut();
        table.set_health(origin, health);
        self.readiness.set(table.is_ready());
        drop(table);
        self.place_all();
    }

    /// Says to every other origin which groups live at a lost one.
    fn tell_living(&self, lost: usize, groups: &[GroupName]) {
        let name = self.table.borrow().name(lost).to_owned();
        let mut rest = groups;
        loop {
            let (groups, later) = rest.split_at(rest.len().min(GROUPS_PER_FRAME));
            let living = Control::Living {
                origin: name.clone(),
                complete: later.is_empty(),
                groups: groups.to_vec(),
            };
            self.tell_origins(lost, &living);
            if later.is_empty() {
                break;
            }
            rest = later;
        }
    }

    fn tell_living_end(&self, origin: usize, resumed: bool) {
        let name = self.table.borrow().name(origin).to_owned();
        self.tell_origins(
            origin,
            &Control::LivingEnd {
                origin: name,
                resumed,
            },
        );
    }

    /// What lives at origins that are lost now: for an origin whose link comes up meanwhile.
    pub(super) fn tell_new_link(&self, to: usize) {
        for lost in (0..self.origins.len()).filter(|&other| other != to) {
            if !matches!(self.table.borrow().health(lost), Health::Lost { .. }) {
                continue;
            }
            let groups: Vec<_> = self
                .lanes_at(lost)
                .iter()
                .map(|lane| lane.group.clone())
                .collect();
            self.tell_living(lost, &groups);
        }
    }

    fn tell_origins(&self, but: usize, control: &Control) {
        for (index, origin) in self.origins.iter().enumerate() {
            if index != but {
                origin.tell(control.clone());
            }
        }
    }

    fn lanes_at(&self, origin: usize) -> Vec<Rc<Lane>> {
        let lanes = self.lanes.borrow();
        lanes
            .values()
            .filter(|lane| lane.origin == origin)
            .cloned()
            .collect()
    }

    /// Ends a lane whose origin cannot go on with it. Sessions not yet accepted find a new place;
    /// accepted ones are closed if `close`, and there are none otherwise.
    fn replace(self: &Rc<Self>, lane: &Rc<Lane>, close: bool) {
        debug_assert!(close || !lane.state.borrow().has_accepted());
        self.unlist(lane);
        let sessions = std::mem::take(&mut *lane.sessions.borrow_mut());
        // As they came, not as they lie in the table.
        let mut sessions: Vec<_> = sessions.into_iter().collect();
        sessions.sort_unstable_by_key(|(session, _)| *session);
        for (
            session,
            Session {
                inbox,
                park,
                journal,
            },
        ) in sessions
        {
            self.sessions.borrow_mut().remove(&session);
            match journal {
                Some(journal) => {
                    let waiting = Waiting {
                        session,
                        journal,
                        inbox,
                        park,
                    };
                    self.wait(waiting, Instant::now());
                }
                None => {
                    let reason = CloseReason::OriginLost;
                    let _ = inbox.push_final(FromOrigin::Close { reason });
                }
            }
        }
        lane.end(CloseReason::OriginLost);
    }

    /// A lane's task is over.
    pub(super) fn forget_lane(&self, lane: &Rc<Lane>) {
        self.unlist(lane);
        self.all.borrow_mut().remove(&lane.id);
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

    /// An origin named groups that live there away from home, and groups that no longer do.
    pub(super) fn displaced(
        self: &Rc<Self>,
        origin: usize,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        let homes = added
            .iter()
            .filter_map(|group| Some((self.home_in_use(group)?, group)));
        for (home, group) in homes.filter(|&(home, _)| home != origin) {
            self.tell_at_home(origin, home, vec![group.clone()]);
        }
        let named: Vec<_> = added.iter().chain(removed).cloned().collect();
        let mut table = self.table.borrow_mut();
        let starting = table.starting(Instant::now());
        table.displaced(origin, complete, added, removed);
        let has_started = starting != table.starting(Instant::now());
        drop(table);
        if has_started {
            self.place_all();
        }
        for group in &named {
            self.place_group(group);
        }
    }

    /// The home of a group, if it is up and this edge has accepted sessions of the group there.
    fn home_in_use(&self, group: &GroupName) -> Option<usize> {
        let lanes = self.lanes.borrow();
        let lane = lanes
            .get(group)
            .filter(|lane| lane.state.borrow().has_accepted())?;
        let table = self.table.borrow();
        let home = table.home(group);
        (lane.origin == home && table.health(home) == Health::Up).then_some(home)
    }

    fn tell_at_home(&self, to: usize, home: usize, groups: Vec<GroupName>) {
        let origin = self.table.borrow().name(home).to_owned();
        self.origins[to].tell(Control::AtHome { origin, groups });
    }

    /// Tries every waiting session again.
    fn place_all(&self) {
        self.changed.set(true);
        self.placed.notify_one();
    }

    /// Tries waiting sessions again whenever something changes or a wait is over.
    async fn place_waiting(self: Rc<Self>) {
        loop {
            let due = self.waiting.borrow().due();
            self.look_at.set(due);
            tokio::select! {
                () = self.placed.notified() => {}
                () = until(due) => {}
            }
            let now = (!self.changed.take()).then(Instant::now);
            let groups = self.waiting.borrow().groups(now);
            for (index, group) in groups.iter().enumerate() {
                self.place_group(group);
                if index % PLACED == PLACED - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Tries again the sessions that wait for a group, all that want the same at once.
    fn place_group(self: &Rc<Self>, group: &GroupName) {
        let wishes = self.waiting.borrow_mut().take(group);
        for wish in wishes {
            let Some(first) = wish.first() else { continue };
            let place = self.find_place(&first.journal);
            for session in wish {
                self.place_at(session, place);
            }
        }
    }

    /// Closes lanes that have had no sessions for a while.
    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let now = Instant::now();
            let idle = |lane: &Rc<Lane>| {
                let since = lane.idle_since.get();
                since.is_some_and(|since| now.duration_since(since) >= LANE_IDLE)
            };
            let idle: Vec<_> = self
                .lanes
                .borrow()
                .values()
                .filter(|l| idle(l))
                .cloned()
                .collect();
            for lane in idle {
                self.lanes.borrow_mut().remove(&lane.group);
                if lane.phase.get() == Phase::Open {
                    lane.close();
                }
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
