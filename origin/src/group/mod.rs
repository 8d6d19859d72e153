//! Groups: application instances, each an actor that owns its clients and streams.
//!
//! [`Groups`] starts them on its worker threads and finds them by name; a [`GroupHandle`] is a
//! lane's way into one. What a group is made of, outermost first:
//!
//! | module | what it does |
//! |---|---|
//! | `actor` | takes mail, one turn at a time; contains panics; ends the group |
//! | `turn` | what a turn does: sessions, commands, deadlines |
//! | `net_stream`, `live_streams` | publish, play, pause and the rest |
//! | `context` | what an application may do |
//! | `lend` | the context of a script that runs |
//! | `handle`, `refusal` | the ways in |
//! | `trial` | an instance without clients, apart from all others |
//! | `core` | what a group owns, and how it speaks to its sessions |
//! | `client`, `streams` | one session; all live streams by name |
//! | `shared_objects` | all shared objects, their members, and what clients ask of them |
//! | `bandwidth` | how fast a client takes what it is sent |
//! | `access` | what a client may read and write |
//! | `own_streams`, `stream` | the streams of the application, and what it may do with one |
//! | `connections`, `connection` | its connections to others, and what it may do with one |

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};
use tributary_node::{config, queue};
use tributary_protocol::GroupName;

use crate::{
    app::{Applications, InUse, Registered},
    metrics::{ConnectResult, Metrics},
    session::LaneKey,
    store::{Extent, Store},
};

mod access;
mod actor;
mod answer;
mod bandwidth;
mod client;
mod clock;
mod connection;
mod connections;
mod context;
mod core;
mod encoders;
mod handle;
mod lend;
mod live_streams;
mod media;
mod name;
mod net_stream;
mod own_streams;
mod playlist;
mod publisher;
mod publishing;
mod refusal;
mod remote_objects;
mod remote_sources;
mod restarts;
mod shared_objects;
mod stream;
mod streams;
mod timers;
mod token;
mod trial;
mod turn;
mod watched;
mod worker;

#[cfg(test)]
mod tests;

pub use client::{Client, read_connect};
pub use connection::{Connection, NetStream};
pub use context::{Context, Poster};
pub use handle::GroupHandle;
pub use lend::lent;
pub use refusal::{OpenRefused, refusal};
pub use remote_objects::RemoteObject;
pub use shared_objects::{
    CROWD, MAX_GROUP_BYTES, MAX_OBJECTS, SharedObject, SharedObjectMut, object_name,
};
pub use stream::Stream;
pub(crate) use trial::trial;
pub use watched::Rates;

use actor::Actor;
use clock::Clock;
use handle::{Item, Lease, MAILBOX};
use media::Media;
use refusal::Refusal;
use worker::Workers;

/// All groups of this process.
#[derive(Clone)]
pub struct Groups {
    shared: Arc<Shared>,
}

/// What a process of groups is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that run groups; at least one.
    pub workers: usize,
    /// The most groups at a time.
    pub max_groups: usize,
    /// `fmsVer` in the answer to connect.
    pub fms_version: String,
    /// Where persistent shared objects are; without one there are none.
    pub store: Option<Store>,
    /// The stack of each thread, in bytes.
    pub stack: usize,
}

impl Settings {
    /// The stack of a thread that runs groups of Rust applications.
    pub const DEFAULT_STACK: usize = 8 * 1024 * 1024;
}

/// What all groups of a process share.
struct Shared {
    settings: Settings,
    applications: Applications,
    metrics: Metrics,
    live_ids: Arc<AtomicU64>,
    /// Lanes that no edge has: of connections within the process.
    own_lanes: AtomicU64,
    table: Mutex<HashMap<Arc<GroupName>, Slot>>,
    workers: Workers,
    media: Media,
    clock: Clock,
    closing: AtomicBool,
    /// The key of secret names: another one in every process.
    name_key: RandomState,
    objects: AtomicU64,
    /// Told whenever a group has ended.
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
        let shared = Arc::downgrade(&groups.shared);
        let ticking = groups.shared.workers.spawn(move |_| tick(shared));
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

    fn new(
        settings: Settings,
        applications: Applications,
        metrics: Metrics,
        workers: Workers,
        media: Media,
        clock: Clock,
    ) -> Self {
        let shared = Shared {
            settings,
            applications,
            metrics,
            live_ids: Arc::new(AtomicU64::new(1)),
            own_lanes: AtomicU64::new(0),
            table: Mutex::default(),
            workers,
            media,
            clock,
            closing: AtomicBool::new(false),
            name_key: RandomState::new(),
            objects: AtomicU64::new(0),
            ended: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The group of this name, started if it does not run. Answer a refusal with [`refusal()`].
    pub fn open(&self, name: &GroupName, lane: LaneKey) -> Result<GroupHandle, OpenRefused> {
        let mut table = self.shared.lock();
        if self.shared.closing.load(Ordering::Acquire) {
            return Err(OpenRefused::Shutdown);
        }
        if let Some((name, _)) = table.get_key_value(name) {
            let name = Arc::clone(name);
            return self.join(&mut table, name);
        }
        let Some(registered) = self.shared.applications.find(name.application()) else {
            return Err(self.shared.unknown(name));
        };
        if table.len() >= self.shared.settings.max_groups || registered.is_full() {
            return Err(OpenRefused::Limit);
        }
        let name = Arc::new(name.clone());
        let (mailbox, inbox) = queue::queue(MAILBOX);
        let lease = self.lease(Arc::clone(&name), &registered, mailbox.clone());
        let slot = Slot {
            mailbox: mailbox.clone(),
            lease: Arc::downgrade(&lease),
            of: InUse::new(Arc::clone(&registered)),
        };
        let (key, shared) = (Arc::clone(&name), Arc::clone(&self.shared));
        let started = self
            .shared
            .workers
            .spawn(move |load| Actor::new(name, registered, shared, mailbox, inbox, load).run());
        if started.is_err() {
            tracing::error!(group = %key, "no worker takes another group: one hangs");
            return Err(OpenRefused::Busy);
        }
        self.shared.metrics.groups.inc();
        tracing::debug!(group = %key, lane = lane.0, "group starts");
        table.insert(key, slot);
        Ok(GroupHandle { lease })
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
        let lease = self.lease(name, slot.of.registered(), slot.mailbox.clone());
        slot.lease = Arc::downgrade(&lease);
        Ok(GroupHandle { lease })
    }

    fn lease(
        &self,
        name: Arc<GroupName>,
        registered: &Arc<Registered>,
        mailbox: queue::Sender<Item>,
    ) -> Arc<Lease> {
        let (registered, shared) = (Arc::clone(registered), Arc::clone(&self.shared));
        Arc::new(Lease {
            name,
            registered,
            shared,
            mailbox,
        })
    }

    #[cfg(test)]
    fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Counts a connect that was answered with what [`Groups::open`] said.
    pub(crate) fn count_refused(&self) {
        self.shared.metrics.connected(ConnectResult::Rejected);
    }

    /// Counts the groups that have something in the store, as more begin to or an application is
    /// purged; none without a store.
    pub(crate) fn kept_changed(&self) -> Option<watch::Receiver<Extent>> {
        let store = self.shared.settings.store.as_ref()?;
        Some(store.kept().changed())
    }

    /// The groups with something in the store, but for so many that were there first, and those
    /// that may start elsewhere all the same.
    pub(crate) fn kept_since(&self, first: usize) -> Vec<GroupName> {
        let Some(store) = &self.shared.settings.store else {
            return Vec::new();
        };
        let stays = |group: &GroupName| {
            let found = self.shared.applications.find(group.application());
            found.is_none_or(|of| of.settings.displace != config::Displace::Always)
        };
        let mut groups = store.kept().since(first);
        groups.retain(stays);
        groups
    }

    /// How many groups run now.
    pub fn count(&self) -> usize {
        self.shared.lock().len()
    }

    /// The names of the groups that run now.
    pub fn names(&self) -> Vec<Arc<GroupName>> {
        self.shared.lock().keys().cloned().collect()
    }

    /// Ends the sessions of every running group of an application with
    /// NetConnection.Connect.AppShutdown; what connects after that starts it anew, in the version
    /// in force. How many instances lived.
    pub fn restart(&self, application: &str) -> usize {
        let table = self.shared.lock();
        let of_it = table
            .iter()
            .filter(|(name, _)| name.application() == application);
        let living = self.shared.applications.instances(application);
        for (_, slot) in of_it {
            // A group that is just ending needs no restart, and one with too many unread has one.
            let _ = slot.mailbox.push_control(Item::Restart);
        }
        living
    }

    /// Where persistent shared objects are kept.
    pub(crate) fn store(&self) -> Option<&Store> {
        self.shared.settings.store.as_ref()
    }

    /// The applications.
    pub fn applications(&self) -> &Applications {
        &self.shared.applications
    }

    /// Refuses new groups and connects, ends every session with NetConnection.Connect.AppShutdown
    /// and every group after it; resolves when all have ended.
    pub async fn shutdown(&self) {
        {
            let table = self.shared.lock();
            self.shared.closing.store(true, Ordering::Release);
            for slot in table.values() {
                let _ = slot.mailbox.push_final(Item::Shutdown);
            }
        }
        loop {
            let ended = self.shared.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Reads the clock often enough for it to notice when the process is stopped.
async fn tick(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(clock::TICK).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        shared.clock.read(actor::now());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<GroupName>, Slot>> {
        // Only whole entries come and go under this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane for a connection within the process.
    fn own_lane(&self) -> LaneKey {
        LaneKey::within(self.own_lanes.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a group out for good.
    fn remove(&self, name: &GroupName) {
        self.take(&mut self.lock(), name);
        self.ended.notify_waiters();
    }

    /// Takes a group out that no lane holds on to and that has nothing in its mailbox.
    fn remove_idle(&self, name: &GroupName, nothing_waits: impl FnOnce() -> bool) -> bool {
        let mut table = self.lock();
        // Under the lock no handle is made, and without one nothing comes.
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
        present: &Arc<Registered>,
    ) -> Result<Arc<Registered>, OpenRefused> {
        let newest = self.applications.find(name.application());
        let newest = newest.ok_or_else(|| self.unknown(name))?;
        if !Arc::ptr_eq(&newest, present)
            && let Some(slot) = self.lock().get_mut(name)
        {
            slot.of = InUse::new(Arc::clone(&newest));
        }
        Ok(newest)
    }

    /// Why an application without a version refuses.
    fn unknown(&self, name: &GroupName) -> OpenRefused {
        match self.applications.is_kept(name.application()) {
            true => OpenRefused::NoVersion,
            false => OpenRefused::InvalidApp,
        }
    }

    fn take(&self, table: &mut HashMap<Arc<GroupName>, Slot>, name: &GroupName) {
        if table.remove(name).is_some() {
            self.metrics.groups.dec();
        }
    }

    /// Whether a lane holds on to the group.
    fn is_leased(&self, name: &GroupName) -> bool {
        self.lock().get(name).is_some_and(Slot::is_leased)
    }

    /// A number for a new shared object that no other one has.
    fn incarnation(&self) -> u64 {
        let number = self.objects.fetch_add(1, Ordering::Relaxed);
        self.name_key.hash_one(number)
    }

    /// A stream's name as logs show it.
    fn shown<'a>(&self, name: &'a str, secret: bool) -> Cow<'a, str> {
        if secret {
            Cow::Owned(format!("#{:016x}", self.name_key.hash_one(name)))
        } else {
            Cow::Borrowed(name)
        }
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
