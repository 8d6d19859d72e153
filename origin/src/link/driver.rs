//! The link thread of an origin: edges, their lanes, and which groups live here.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::spawn_local};
use tributary_node::{
    drain, queue,
    transport::{CloseCode, Endpoint, IDLE, Link, LinkError},
};
use tributary_protocol::{
    GroupName,
    link::{
        CloseReason, Control, Hello, OpenSession, credit::Budget, hello::GROUPS_PER_FRAME,
        lane_frame::OpenLane,
    },
};

use super::{
    edges::Edge, elsewhere::Elsewhere, lane::Lane, metrics::LinkMetrics, run::LinkConfig, serve,
};
use crate::{
    group::{Groups, OpenRefused},
    session::LaneKey,
};

/// Everything the link thread holds. Its tasks share it; none keeps a borrow across a wait.
pub(super) struct Driver {
    pub(super) config: LinkConfig,
    pub(super) groups: Groups,
    pub(super) metrics: LinkMetrics,
    pub(super) budget: Budget,
    edges: RefCell<HashMap<EdgeKey, Rc<Edge>>>,
    /// Groups with lanes here.
    living: RefCell<HashMap<GroupName, Living>>,
    pub(super) elsewhere: RefCell<Elsewhere>,
    next_lane: Cell<u64>,
    /// Groups that went away from home, or ceased to, and edges do not know of yet.
    moved: RefCell<HashSet<GroupName>>,
    announce: Notify,
    /// When the process last looked at its clock.
    awake: Cell<Instant>,
}

/// One start of one edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EdgeKey {
    name: Arc<str>,
    epoch: u64,
}

/// A group with lanes here.
struct Living {
    lanes: usize,
    /// It is away from its home, which the edges call so.
    home: Option<String>,
}

/// What becomes of a lane's opening.
pub(super) enum Admission {
    /// The lane, with what it goes on from.
    Lane {
        lane: Rc<Lane>,
        received_by_edge: u64,
    },
    /// There is nothing to resume.
    Unknown,
    /// Ask again after this.
    Wait(Duration),
    /// No more lanes.
    Refused,
}

/// Lanes one edge may have open. Reason: each is a group's; a broken edge must not fill the origin.
const MAX_LANES: usize = 50_000;

/// How often the clock is looked at, and lanes that nothing carries.
const TICK: Duration = Duration::from_millis(250);

/// A tick that comes later than this says that the process was stopped.
const STOPPED: Duration = Duration::from_millis(1250);

/// How soon an edge should ask again for a group that may live elsewhere.
const RETRY: Duration = Duration::from_millis(250);

impl Driver {
    pub(super) fn new(config: LinkConfig, groups: Groups, metrics: LinkMetrics) -> Rc<Self> {
        Rc::new(Self {
            budget: Budget::new(config.message_budget),
            config,
            groups,
            metrics,
            edges: RefCell::default(),
            living: RefCell::default(),
            elsewhere: RefCell::default(),
            next_lane: Cell::new(1),
            moved: RefCell::default(),
            announce: Notify::new(),
            awake: Cell::new(Instant::now()),
        })
    }

    /// Looks at the clock. After a stop of the process, whatever the grace time does not cover any
    /// more ends here: call it before anything that was received is applied.
    pub(super) fn wake(self: &Rc<Self>) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.awake.replace(now));
        if passed < STOPPED {
            return;
        }
        tracing::warn!(
            for_ms = passed.as_millis() as u64,
            "the process was stopped"
        );
        self.elsewhere.borrow_mut().postpone(passed);
        let edges: Vec<_> = self.edges.borrow().values().cloned().collect();
        for edge in edges {
            let silent = now.saturating_duration_since(edge.heard_at());
            if silent > IDLE {
                // The edge has given this link up; what it sent before is sent again.
                serve::fence(self, &edge);
                self.end_overdue(&edge);
            }
            for lane in edge.lanes.borrow().values() {
                lane.state.borrow_mut().excuse(now);
            }
        }
    }

    async fn tick(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TICK).await;
            self.wake();
            let now = Instant::now();
            let edges: Vec<_> = self.edges.borrow().values().cloned().collect();
            for edge in edges.iter().filter(|edge| edge.link().is_some()) {
                edge.listen(now);
                let lanes: Vec<_> = edge
                    .lanes
                    .borrow()
                    .values()
                    .filter(|lane| lane.is_overdue(now))
                    .cloned()
                    .collect();
                for lane in lanes {
                    lane.end(&self, CloseReason::OriginLost);
                }
            }
        }
    }

    /// Tells every edge which groups have gone from home, or back, since it was last told.
    async fn announce(self: Rc<Self>) {
        loop {
            self.announce.notified().await;
            let moved = std::mem::take(&mut *self.moved.borrow_mut());
            let (added, removed): (Vec<_>, Vec<_>) = {
                let living = self.living.borrow();
                let away = |name: &GroupName| living.get(name).is_some_and(|l| l.home.is_some());
                moved.into_iter().partition(away)
            };
            for names in removed.chunks(GROUPS_PER_FRAME) {
                self.tell_all(&change(Vec::new(), names.to_vec()));
            }
            for names in added.chunks(GROUPS_PER_FRAME) {
                self.tell_all(&change(names.to_vec(), Vec::new()));
            }
        }
    }

    /// Tells edges which groups have begun to store something, and all anew if some have nothing
    /// any more.
    async fn announce_kept(self: Rc<Self>) {
        let Some(mut changed) = self.groups.kept_changed() else {
            return;
        };
        let mut told = *changed.borrow_and_update();
        while changed.changed().await.is_ok() {
            let extent = *changed.borrow_and_update();
            let whole = extent.edition != told.edition;
            let first = if whole { 0 } else { told.count };
            for control in kept(&self.groups.kept_since(first), whole) {
                self.tell_all(&control);
            }
            told = extent;
        }
    }

    /// The groups with data here, as a new link is told them.
    pub(super) fn kept(&self) -> Vec<Control> {
        kept(&self.groups.kept_since(0), true)
    }

    /// Accepts links until the drain; returns when every group has ended and the edges know.
    pub(super) async fn run(self: Rc<Self>, endpoint: Endpoint, mut drain: drain::Watch) {
        spawn_local(Rc::clone(&self).tick());
        spawn_local(Rc::clone(&self).announce());
        spawn_local(Rc::clone(&self).announce_kept());
        loop {
            let incoming = tokio::select! {
                incoming = endpoint.accept() => incoming,
                () = drain.signaled() => break,
            };
            let Some(incoming) = incoming else { break };
            let driver = Rc::clone(&self);
            spawn_local(async move {
                let address = incoming.address();
                match incoming.handshake().await {
                    Ok(link) => serve::link(driver, link).await,
                    Err(error) => driver.refused(&address.to_string(), &error),
                }
            });
        }
        self.shut_down(&endpoint).await;
    }

    async fn shut_down(&self, endpoint: &Endpoint) {
        let edges: Vec<_> = self.edges.borrow().values().cloned().collect();
        for edge in &edges {
            edge.tell(Control::GoAway { within_ms: 0 });
        }
        let limit = Duration::from_secs(2);
        if tokio::time::timeout(limit, self.groups.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("groups did not end in time");
        }
        let sent = async {
            let busy = |edge: &Rc<Edge>| {
                let up = edge.link().is_some();
                up && edge
                    .lanes
                    .borrow()
                    .values()
                    .any(|lane| lane.state.borrow().retained() > 0)
            };
            while edges.iter().any(busy) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), sent).await;
        endpoint.close().await;
    }

    pub(super) fn refused(&self, who: &str, error: &LinkError) {
        self.metrics.refused.inc();
        tracing::warn!(from = who, %error, "link refused");
    }

    /// The peer broke the link protocol: nothing it says can be trusted.
    pub(super) fn protocol_error(&self, link: &Link, error: &dyn fmt::Display) {
        tracing::error!(edge = %link.peer().name, %error, "link closed: protocol error");
        self.metrics.protocol_errors.inc();
        link.close(CloseCode::Protocol);
    }

    /// A connect is refused because its group could not be opened.
    pub(super) fn note_refused(&self, group: &GroupName, open: &OpenSession, why: OpenRefused) {
        self.groups.count_refused();
        let address = open.peer;
        tracing::info!(
            %address,
            application = group.application(),
            instance = group.instance(),
            reason = why.reason().label(),
            "session refused",
        );
    }

    /// The edge process that says this hello. A newer link of it fences the older one; `None` if
    /// this is not a newer one.
    pub(super) fn edge(self: &Rc<Self>, hello: &Hello) -> Option<Rc<Edge>> {
        let name: Arc<str> = hello.node.as_str().into();
        let key = EdgeKey {
            name: Arc::clone(&name),
            epoch: hello.epoch,
        };
        let mut edges = self.edges.borrow_mut();
        let edge = edges
            .entry(key)
            .or_insert_with(|| Edge::new(name, hello.epoch));
        if hello.incarnation <= edge.incarnation.get() {
            return None;
        }
        edge.incarnation.set(hello.incarnation);
        *edge.known_as.borrow_mut() = hello.known_as.clone();
        edge.features.set(hello.features);
        Some(Rc::clone(edge))
    }

    /// Ends what the grace time does not cover any more, now that a link of the edge is back:
    /// before anything is read from it.
    pub(super) fn end_overdue(self: &Rc<Self>, edge: &Edge) {
        let Some(lost) = edge.lost_at() else { return };
        let now = Instant::now();
        let lanes: Vec<_> = edge.lanes.borrow().values().cloned().collect();
        for lane in lanes {
            if now.duration_since(lost) >= lane.grace() {
                lane.end(self, CloseReason::OriginLost);
            }
        }
    }

    /// The link of an edge is lost: its lanes wait for the next one, each for its grace time.
    pub(super) fn edge_lost(self: &Rc<Self>, edge: &Rc<Edge>, error: &LinkError) {
        edge.link_lost(error, Instant::now());
        self.metrics.links.dec();
        self.metrics.capacity.remove(&edge.place.borrow());
        self.metrics.lost.inc();
        if error.is_orderly() {
            tracing::info!(edge = %edge.name, %error, "link ends");
        } else {
            tracing::warn!(edge = %edge.name, %error, "link lost");
        }
        let lost = edge.heard_at();
        let lanes: Vec<_> = edge.lanes.borrow().values().cloned().collect();
        let mut graces: Vec<Duration> = lanes.iter().map(|lane| lane.grace()).collect();
        for lane in &lanes {
            lane.disconnect(lost);
            lane.outage(true);
        }
        graces.sort_unstable();
        graces.dedup();
        let (driver, edge) = (Rc::clone(self), Rc::clone(edge));
        spawn_local(async move {
            for grace in graces {
                tokio::time::sleep_until((lost + grace).into()).await;
                if edge.lost_at() != Some(lost) {
                    return;
                }
                driver.end_overdue(&edge);
            }
            driver.forget(&edge);
        });
    }

    /// An edge that has no lanes and no link is forgotten.
    pub(super) fn forget(&self, edge: &Rc<Edge>) {
        if edge.link().is_none() && edge.lanes.borrow().is_empty() {
            self.elsewhere
                .borrow_mut()
                .edge_gone(&edge.name, edge.epoch);
            let key = EdgeKey {
                name: Arc::clone(&edge.name),
                epoch: edge.epoch,
            };
            self.edges.borrow_mut().remove(&key);
        }
    }

    /// Forgets edge processes of which there is nothing.
    pub(super) fn forget_unused(&self) {
        let edges: Vec<_> = self.edges.borrow().values().cloned().collect();
        for edge in edges {
            self.forget(&edge);
        }
    }

    fn may_live_elsewhere(&self, open: &OpenLane) -> bool {
        let edges = self.edges.borrow();
        let edges = edges.keys().map(|key| (Arc::clone(&key.name), key.epoch));
        let elsewhere = self.elsewhere.borrow();
        elsewhere.may_live(&open.group, &open.home, edges, Instant::now())
    }

    /// Decides on a lane's opening.
    pub(super) fn admit(self: &Rc<Self>, edge: &Rc<Edge>, open: OpenLane) -> Admission {
        let known = edge.lanes.borrow().get(&open.lane).cloned();
        if let Some(lane) = known {
            if lane.name != open.group {
                return Admission::Refused;
            }
            self.metrics.resumed.inc();
            return Admission::Lane {
                lane,
                received_by_edge: open.resume.unwrap_or(0),
            };
        }
        if open.resume.is_some() {
            return Admission::Unknown;
        }
        if edge.lanes.borrow().len() >= MAX_LANES {
            return Admission::Refused;
        }
        let lives_here = self.living.borrow().contains_key(&open.group);
        if open.only_if_living && !lives_here {
            return Admission::Unknown;
        }
        if !lives_here && self.may_live_elsewhere(&open) || !edge.may_open_lane(Instant::now()) {
            return Admission::Wait(RETRY);
        }
        let key = LaneKey(self.next_lane.get());
        self.next_lane.set(key.0 + 1);
        let id = open.lane;
        let lane = Lane::new(self, edge, key, open);
        edge.lanes.borrow_mut().insert(id, Rc::clone(&lane));
        self.metrics.lanes.inc();
        Admission::Lane {
            lane,
            received_by_edge: 0,
        }
    }

    /// A lane of the group has its group.
    pub(super) fn lives(&self, group: &GroupName, home: &str, known_as: &str) {
        let mut living = self.living.borrow_mut();
        if let Some(state) = living.get_mut(group) {
            state.lanes += 1;
            return;
        }
        let home = (home != known_as).then(|| home.to_owned());
        let is_displaced = home.is_some();
        living.insert(group.clone(), Living { lanes: 1, home });
        drop(living);
        if is_displaced {
            self.metrics.displaced.inc();
            self.has_moved(group);
        }
    }

    /// A lane ended that had its group; the last one of a displaced group lets it go home.
    pub(super) fn lives_less(&self, group: &GroupName) {
        let mut living = self.living.borrow_mut();
        let Some(state) = living.get_mut(group) else {
            return;
        };
        state.lanes -= 1;
        if state.lanes > 0 {
            return;
        }
        let state = living.remove(group);
        drop(living);
        if state.is_some_and(|state| state.home.is_some()) {
            self.metrics.displaced.dec();
            self.has_moved(group);
        }
    }

    fn has_moved(&self, group: &GroupName) {
        self.moved.borrow_mut().insert(group.clone());
        self.announce.notify_one();
    }

    /// The groups that live here away from home, as a new link is told them.
    pub(super) fn displaced(&self) -> Vec<Control> {
        let living = self.living.borrow();
        let displaced = living.iter().filter(|(_, state)| state.home.is_some());
        let names: Vec<_> = displaced.map(|(name, _)| name.clone()).collect();
        let mut frames: Vec<_> = names
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(names.to_vec(), Vec::new()))
            .collect();
        frames.push(Control::Displaced {
            complete: true,
            added: Vec::new(),
            removed: Vec::new(),
        });
        frames
    }

    /// `home` has these groups. Copies of them that were started here meanwhile are closed: their
    /// sessions go home.
    pub(super) fn close_copies(self: &Rc<Self>, home: &str, groups: &[GroupName]) {
        let is_copy = |group: &&GroupName| {
            let living = self.living.borrow();
            living
                .get(*group)
                .is_some_and(|here| here.home.as_deref() == Some(home))
        };
        let edges: Vec<_> = self.edges.borrow().values().cloned().collect();
        for group in groups.iter().filter(is_copy) {
            tracing::warn!(%group, home, "its home has it: the copy here is closed");
            for edge in &edges {
                let lanes: Vec<_> = edge.lanes.borrow().values().cloned().collect();
                for lane in lanes.into_iter().filter(|lane| lane.name == *group) {
                    lane.close_sessions(self, CloseReason::Moved);
                }
            }
        }
    }

    fn tell_all(&self, control: &Control) {
        for edge in self.edges.borrow().values() {
            edge.tell(control.clone());
        }
    }

    /// This origin's load.
    pub(super) fn heartbeat(&self) -> Control {
        let lanes = |edge: &Rc<Edge>| -> usize {
            let lanes = edge.lanes.borrow();
            lanes
                .values()
                .map(|lane| lane.state.borrow().session_count())
                .sum()
        };
        let sessions: usize = self.edges.borrow().values().map(lanes).sum();
        Control::Heartbeat {
            sessions: sessions as u64,
            groups: self.living.borrow().len() as u64,
        }
    }
}

fn change(added: Vec<GroupName>, removed: Vec<GroupName>) -> Control {
    Control::Displaced {
        complete: false,
        added,
        removed,
    }
}

fn kept(groups: &[GroupName], whole: bool) -> Vec<Control> {
    let mut frames: Vec<_> = groups
        .chunks(GROUPS_PER_FRAME)
        .map(|groups| Control::Kept {
            anew: false,
            groups: groups.to_vec(),
        })
        .collect();
    if whole {
        // Also when there are none.
        let groups = Vec::new();
        frames.insert(0, Control::Kept { anew: true, groups });
    }
    frames
}

/// Control frames that may wait for the stream at once.
pub(super) const CONTROL_QUEUE: usize = 4096;

/// A control queue of one link.
pub(super) fn control_queue() -> (queue::Sender<Control>, queue::Receiver<Control>) {
    queue::queue(CONTROL_QUEUE)
}
