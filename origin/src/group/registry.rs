//! The groups of a process, by name.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, oneshot, watch};
use tributary_node::{config, queue};
use tributary_protocol::GroupName;

use super::{
    actor::{self, Actor, Home, Moved},
    clock::{self, Clock},
    core::Core,
    hand_over::HandOver,
    handle::{GroupHandle, Lease},
    keeper::{self, Keeps},
    mailbox::{Item, MAILBOX},
    media::Media,
    open_refused::OpenRefused,
    process::{Instances, Process, Settings},
    worker::Load,
    workers::Workers,
};
use crate::{
    app::{AppVersion, Applications, InUse, Registered, Runs},
    exchange::{self, Board},
    metrics::{ConnectResult, Metrics},
    session::{Destination, LaneKey},
    store::{Extent, Store},
};

/// The time for an application to answer whether it expects to go on elsewhere.
const ASKED: Duration = Duration::from_secs(1);

/// All groups of this process.
#[derive(Clone)]
pub struct Groups {
    registry: Arc<Registry>,
}

/// The table of groups, and the means to start and end them.
struct Registry {
    process: Arc<Process>,
    applications: Applications,
    table: Mutex<HashMap<Arc<GroupName>, Slot>>,
    workers: Workers,
    closing: AtomicBool,
    /// The groups that live without clients; a keeper ends when its end here is dropped.
    kept: Mutex<BTreeMap<GroupName, oneshot::Sender<()>>>,
    /// Notified whenever a group has ended.
    ended: Notify,
}

struct Slot {
    mailbox: queue::Sender<Item>,
    lease: Weak<Lease>,
    /// The version the group has.
    of: InUse,
}

impl Groups {
    /// Starts the worker threads.
    pub fn start(
        settings: Settings,
        applications: Applications,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let workers = Workers::start(settings.workers.max(1), settings.stack)?;
        let clock = Clock::new(actor::now());
        let media = Media::start()?;
        let groups = Self::new(settings, applications, metrics, workers, media, clock);
        let process = Arc::downgrade(&groups.registry.process);
        let workers = &groups.registry.workers;
        let ticking = workers.spawn(Runs::OnWorker, move |_| tick(process));
        ticking.map_err(|_| io::Error::other("no thread runs groups"))?;
        Ok(groups)
    }

    /// Groups on the caller's own `LocalSet`.
    #[cfg(any(test, feature = "test"))]
    pub(crate) fn local(settings: Settings, applications: Applications) -> Self {
        Self::new(
            settings,
            applications,
            Metrics::default(),
            Workers::local(),
            Media::Local,
            Clock::plain(),
        )
    }

    pub(super) fn new(
        settings: Settings,
        applications: Applications,
        metrics: Metrics,
        workers: Workers,
        media: Media,
        clock: Clock,
    ) -> Self {
        let registry = Arc::new_cyclic(|registry: &Weak<Registry>| {
            let instances: Weak<dyn Instances> = registry.clone();
            Registry {
                process: Arc::new(Process::new(settings, metrics, media, clock, instances)),
                applications,
                table: Mutex::default(),
                workers,
                closing: AtomicBool::new(false),
                kept: Mutex::default(),
                ended: Notify::new(),
            }
        });
        Self { registry }
    }

    /// Runs groups of short turns on the thread and `LocalSet` of the caller, which is the thread of
    /// the links, beside those of the workers.
    pub(crate) fn run_beside_link(&self) -> impl Future<Output = ()> + use<> {
        self.registry.workers.run_beside_link()
    }

    /// The group of this name, started if it does not run. Answer a refusal with
    /// [`refusal()`](super::refusal()).
    pub fn open(&self, name: &GroupName, lane: LaneKey) -> Result<GroupHandle, OpenRefused> {
        Registry::open(&self.registry, name, lane)
    }

    /// A group outside the table.
    pub(super) fn actor(
        &self,
        name: Arc<GroupName>,
        registered: Registered,
        mailbox: queue::Sender<Item>,
        inbox: queue::Receiver<Item>,
        load: Load,
    ) -> Actor {
        Arc::clone(&self.registry).actor(name, registered, mailbox, inbox, load)
    }

    #[cfg(test)]
    pub(super) fn process(&self) -> &Process {
        &self.registry.process
    }

    /// Counts a connect that was refused with the error of [`Groups::open`].
    pub(crate) fn count_refused(&self) {
        self.registry
            .process
            .metrics
            .connected(ConnectResult::Rejected);
    }

    /// The extent of the groups with data in the store, which changes as groups begin to store data
    /// or an application is purged; `None` without a store.
    pub(crate) fn kept_changed(&self) -> Option<watch::Receiver<Extent>> {
        let store = self.registry.process.settings.store.as_ref()?;
        Some(store.kept().changed())
    }

    /// The groups with data in the store, except the first so many, and except those that may start
    /// elsewhere all the same.
    pub(crate) fn kept_since(&self, first: usize) -> Vec<GroupName> {
        let Some(store) = &self.registry.process.settings.store else {
            return Vec::new();
        };
        let stays = |group: &GroupName| {
            let found = self.registry.applications.find(group.application());
            found.is_none_or(|of| of.version.settings().displace != config::Displace::Always)
        };
        let mut groups = store.kept().since(first);
        groups.retain(stays);
        groups
    }

    /// Keeps the groups of these applications alive that have pulls without viewers, and no others.
    pub(crate) fn keep_for(&self, applications: &BTreeMap<String, config::Application>) {
        for keeper in self.keepers(applications) {
            self.registry.process.media.spawn(keeper);
        }
    }

    /// The tasks that keep groups of these applications alive that are not kept yet. Tasks of groups
    /// that need none any more end.
    pub(super) fn keepers(
        &self,
        applications: &BTreeMap<String, config::Application>,
    ) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let names = exchange::kept(applications);
        let kept = self.registry.kept.lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        kept.retain(|name, _| names.contains(name));
        let new: Vec<_> = (names.into_iter())
            .filter(|name| !kept.contains_key(name))
            .collect();
        let keeper = |name: GroupName| {
            let (alive, over) = oneshot::channel();
            let keeper = keeper::keep(Arc::downgrade(&self.registry), name.clone());
            kept.insert(name, alive);
            async move {
                tokio::select! {
                    () = keeper => {}
                    _ = over => {}
                }
            }
        };
        new.into_iter().map(keeper).collect()
    }

    /// Lets the running groups of an application follow other pushes and pulls of its settings.
    pub(crate) fn relays_changed(&self, application: &str) {
        for (name, slot) in self.registry.lock().iter() {
            if name.application() == application {
                // A group that is about to end has no relays.
                let _ = slot.mailbox.push_control(Item::RelaysChanged);
            }
        }
    }

    /// The pushes and pulls of this process.
    pub(crate) fn relays(&self) -> &Board {
        &self.registry.process.metrics.relays
    }

    /// How many groups run now.
    pub fn count(&self) -> usize {
        self.registry.lock().len()
    }

    /// Ends the sessions of every running group of an application with
    /// NetConnection.Connect.AppShutdown. The next connect starts it anew, in the version in force.
    /// Returns how many instances lived.
    pub fn restart(&self, application: &str) -> usize {
        let table = self.registry.lock();
        let of_it = table
            .iter()
            .filter(|(name, _)| name.application() == application);
        let living = self.registry.applications.instances(application);
        for (_, slot) in of_it {
            // A group that is about to end needs no restart, and a full mailbox has one already.
            let _ = slot.mailbox.push_control(Item::Restart);
        }
        living
    }

    /// The store of persistent shared objects.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.registry.process.settings.store.as_ref()
    }

    /// The applications.
    pub fn applications(&self) -> &Applications {
        &self.registry.applications
    }

    /// Whether a group may have data in the store.
    pub(crate) fn has_data(&self, group: &GroupName) -> bool {
        let store = self.registry.process.settings.store.as_ref();
        store.is_some_and(|store| store.kept().may_contain(group))
    }

    /// Has a group that is here without clients end. Returns whether it has not ended yet.
    pub(crate) fn end_idle(&self, group: &GroupName) -> bool {
        let table = self.registry.lock();
        let slot = table.get(group);
        if let Some(slot) = slot {
            // A full mailbox has something to do.
            let _ = slot.mailbox.push_control(Item::EndIfIdle);
        }
        slot.is_some()
    }

    /// Whether a group may start, beside so many that are about to.
    pub(crate) fn has_room(&self, group: &GroupName, coming: usize) -> bool {
        let of_it = self.registry.applications.find(group.application());
        let is_full = of_it.is_none_or(|of_it| of_it.version.is_full());
        !is_full && self.count() + coming < self.registry.process.settings.max_groups
    }

    /// Whether the clients of a group are closed when it goes on elsewhere.
    pub(crate) fn closes_clients(&self, group: &GroupName) -> bool {
        let of_it = self.registry.applications.find(group.application());
        of_it.is_some_and(|of_it| of_it.version.settings().restore == config::Restore::Close)
    }

    /// Whether a group's application expects to go on elsewhere. A group that hangs does not.
    pub(crate) async fn may_hand_over(&self, group: &GroupName) -> bool {
        let (answer, may) = oneshot::channel();
        let asks = Item::MayHandOver(answer);
        {
            let table = self.registry.lock();
            let Some(slot) = table.get(group) else {
                return true;
            };
            if slot.mailbox.push_control(asks).is_err() {
                return false;
            }
        }
        let may = tokio::time::timeout(ASKED, may).await;
        may.is_ok_and(|may| may.unwrap_or(true))
    }

    /// Lets a group go on elsewhere. Returns whether it runs.
    pub(crate) fn hand_over(&self, name: &GroupName, order: HandOver) -> bool {
        let table = self.registry.lock();
        let order = Item::HandOver(Box::new(order));
        let slot = table.get(name);
        slot.is_some_and(|slot| slot.mailbox.push_final(order).is_ok())
    }

    /// The groups that run; no further one starts.
    pub(crate) fn close(&self) -> Vec<Arc<GroupName>> {
        let table = self.registry.lock();
        self.registry.closing.store(true, Ordering::Release);
        table.keys().cloned().collect()
    }

    /// Refuses new groups and connects, ends every session with NetConnection.Connect.AppShutdown
    /// and every group after it; resolves when all have ended.
    pub async fn shutdown(&self) {
        {
            let table = self.registry.lock();
            self.registry.closing.store(true, Ordering::Release);
            for slot in table.values() {
                let _ = slot.mailbox.push_final(Item::Shutdown);
            }
        }
        loop {
            let ended = self.registry.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Reads the clock often enough for it to notice when the process is stopped.
async fn tick(process: Weak<Process>) {
    loop {
        tokio::time::sleep(clock::TICK).await;
        let Some(process) = process.upgrade() else {
            return;
        };
        process.clock.read(actor::now());
    }
}

impl Registry {
    fn open(self: &Arc<Self>, name: &GroupName, lane: LaneKey) -> Result<GroupHandle, OpenRefused> {
        let mut table = self.lock();
        if self.closing.load(Ordering::Acquire) {
            return Err(OpenRefused::Shutdown);
        }
        if let Some((name, _)) = table.get_key_value(name) {
            let name = Arc::clone(name);
            return self.join(&mut table, name);
        }
        let Some(registered) = self.applications.find(name.application()) else {
            return Err(self.unknown(name));
        };
        if table.len() >= self.process.settings.max_groups || registered.version.is_full() {
            return Err(OpenRefused::Limit);
        }
        let name = Arc::new(name.clone());
        let (mailbox, inbox) = queue::queue(MAILBOX);
        let lease = self.lease(Arc::clone(&name), &registered.version, mailbox.clone());
        let slot = Slot {
            mailbox: mailbox.clone(),
            lease: Arc::downgrade(&lease),
            of: InUse::new(Arc::clone(&registered.version)),
        };
        let key = Arc::clone(&name);
        let registry = Arc::clone(self);
        let runs = registered.version.runs;
        let start = move |load| registry.actor(name, registered, mailbox, inbox, load).run();
        let started = self.workers.spawn(runs, start);
        if started.is_err() {
            tracing::error!(group = %key, "no worker takes another group: one hangs");
            return Err(OpenRefused::Busy);
        }
        self.process.metrics.groups.inc();
        tracing::debug!(group = %key, lane = lane.0, "group starts");
        table.insert(key, slot);
        Ok(GroupHandle { lease })
    }

    fn actor(
        self: Arc<Self>,
        name: Arc<GroupName>,
        registered: Registered,
        mailbox: queue::Sender<Item>,
        inbox: queue::Receiver<Item>,
        load: Load,
    ) -> Actor {
        let process = Arc::clone(&self.process);
        let core = Core::new(name, registered.version, process, mailbox, load);
        Actor::new(core, registered.factory, self, inbox)
    }

    /// A handle to a group that runs.
    fn join(
        &self,
        table: &mut HashMap<Arc<GroupName>, Slot>,
        name: Arc<GroupName>,
    ) -> Result<GroupHandle, OpenRefused> {
        let slot = table.get_mut(&name).ok_or(OpenRefused::Shutdown)?;
        if let Some(lease) = slot.lease.upgrade() {
            return Ok(GroupHandle { lease });
        }
        let lease = self.lease(name, slot.of.version(), slot.mailbox.clone());
        slot.lease = Arc::downgrade(&lease);
        Ok(GroupHandle { lease })
    }

    fn lease(
        &self,
        name: Arc<GroupName>,
        version: &Arc<AppVersion>,
        mailbox: queue::Sender<Item>,
    ) -> Arc<Lease> {
        Arc::new(Lease {
            name,
            version: Arc::clone(version),
            process: Arc::clone(&self.process),
            mailbox,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<GroupName>, Slot>> {
        // Only whole entries come and go under this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reason for the refusal of an application without a version.
    fn unknown(&self, name: &GroupName) -> OpenRefused {
        match self.applications.is_kept(name.application()) {
            true => OpenRefused::NoVersion,
            false => OpenRefused::InvalidApp,
        }
    }

    fn take(&self, table: &mut HashMap<Arc<GroupName>, Slot>, name: &GroupName) {
        if table.remove(name).is_some() {
            self.process.metrics.groups.dec();
        }
    }
}

impl Home for Registry {
    /// Takes a group out for good.
    fn remove(&self, name: &GroupName) {
        self.take(&mut self.lock(), name);
        self.ended.notify_waiters();
    }

    /// Takes a group out that no lane holds on to and that has nothing in its mailbox.
    fn remove_idle(&self, name: &GroupName, nothing_waits: &mut dyn FnMut() -> bool) -> bool {
        let mut table = self.lock();
        // Under the lock no handle is made, and without a handle no mail comes.
        if table.get(name).is_some_and(Slot::is_leased) || !nothing_waits() {
            return false;
        }
        self.take(&mut table, name);
        drop(table);
        self.ended.notify_waiters();
        true
    }

    /// Takes the version in force for a group whose application starts.
    fn newest(
        &self,
        name: &GroupName,
        present: &Arc<AppVersion>,
    ) -> Result<Registered, OpenRefused> {
        let newest = self.applications.find(name.application());
        let newest = newest.ok_or_else(|| self.unknown(name))?;
        if !Arc::ptr_eq(&newest.version, present)
            && let Some(slot) = self.lock().get_mut(name)
        {
            slot.of = InUse::new(Arc::clone(&newest.version));
        }
        Ok(newest)
    }

    /// Whether a lane holds on to the group.
    fn is_leased(&self, name: &GroupName) -> bool {
        self.lock().get(name).is_some_and(Slot::is_leased)
    }

    fn has_worker(&self) -> bool {
        self.workers.has_worker()
    }

    fn go_on_at_worker(self: Arc<Self>, moved: Moved) {
        let (registry, name) = (Arc::clone(&self), Arc::clone(moved.name()));
        let start = move |load| Actor::arrived(moved, registry, load).run();
        if self.workers.spawn(Runs::OnWorker, start).is_err() {
            // Its mailbox is closed with it: its lanes open the group anew.
            tracing::error!(group = %name, "no worker takes another group: one hangs");
            self.remove(&name);
        }
    }
}

impl Keeps for Registry {
    fn keep(self: Arc<Self>, name: &GroupName) -> Result<GroupHandle, OpenRefused> {
        Self::open(&self, name, self.process.own_lane())
    }
}

impl Instances for Registry {
    fn open(
        self: Arc<Self>,
        name: &GroupName,
        lane: LaneKey,
    ) -> Result<Box<dyn Destination>, OpenRefused> {
        let group = Self::open(&self, name, lane)?;
        Ok(Box::new(group))
    }
}

impl Slot {
    fn is_leased(&self) -> bool {
        self.lease.strong_count() > 0
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}
