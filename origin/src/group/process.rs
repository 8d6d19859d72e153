//! The state that all groups of a process share.

use std::{
    borrow::Cow,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tributary_protocol::GroupName;

use super::{clock::Clock, media::Media, open_refused::OpenRefused};
use crate::{
    metrics::Metrics,
    outgoing::reach::Roots,
    session::{Destination, LaneKey},
    store::Store,
};

/// The settings of a process of groups.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Threads that run groups; at least one.
    pub workers: usize,
    /// The most groups at a time.
    pub max_groups: usize,
    /// `fmsVer` in the answer to connect.
    pub fms_version: String,
    /// The store of persistent shared objects; without one there are none.
    pub store: Option<Store>,
    /// The stack of each thread, in bytes.
    pub stack: usize,
    /// Whether edges keep what sessions need to go on at the next process: then no two processes of this
    /// origin have a number of a live stream in common.
    pub restores: bool,
}

impl Settings {
    /// The stack of a thread that runs groups of Rust applications.
    pub const DEFAULT_STACK: usize = 8 * 1024 * 1024;
}

/// The state that all groups of a process share.
pub(super) struct Process {
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) live_ids: Arc<AtomicU64>,
    pub(super) media: Media,
    pub(super) clock: Clock,
    pub(super) roots: Roots,
    /// The servers that a test plays for pushes and pulls.
    #[cfg(test)]
    pub(super) servers: std::sync::Mutex<Option<crate::exchange::Dialler>>,
    /// Marks the pushes of this process.
    pub(super) mark: Box<str>,
    /// Counts the lanes of connections within the process, which have no edge.
    own_lanes: AtomicU64,
    /// The key that hides secret names in logs: another one in every process.
    name_key: RandomState,
    objects: AtomicU64,
    instances: Weak<dyn Instances>,
}

/// The instances of a process, which connections of an application join.
pub(super) trait Instances: Send + Sync {
    /// The group of this name, started if it does not run.
    fn open(
        self: Arc<Self>,
        name: &GroupName,
        lane: LaneKey,
    ) -> Result<Box<dyn Destination>, OpenRefused>;
}

/// The bits of a live stream's number within its process. Reason: with 32 random bits before them it
/// fits a varint.
const LIVE_IDS: u32 = 28;

impl Process {
    pub(super) fn new(
        settings: Settings,
        metrics: Metrics,
        media: Media,
        clock: Clock,
        instances: Weak<dyn Instances>,
    ) -> Self {
        let first = match settings.restores {
            true => u64::from(rand::random::<u32>()) << LIVE_IDS | 1,
            false => 1,
        };
        Self {
            settings,
            metrics,
            live_ids: Arc::new(AtomicU64::new(first)),
            media,
            clock,
            roots: Roots::default(),
            #[cfg(test)]
            servers: std::sync::Mutex::default(),
            mark: format!("{:016x}", rand::random::<u64>()).into(),
            own_lanes: AtomicU64::new(0),
            name_key: RandomState::new(),
            objects: AtomicU64::new(0),
            instances,
        }
    }

    /// Opens another instance of this process for a connection.
    pub(super) fn open(
        &self,
        name: &GroupName,
        lane: LaneKey,
    ) -> Result<Box<dyn Destination>, OpenRefused> {
        let instances = self.instances.upgrade().ok_or(OpenRefused::Shutdown)?;
        instances.open(name, lane)
    }

    /// A lane for a connection within the process.
    pub(super) fn own_lane(&self) -> LaneKey {
        LaneKey::within(self.own_lanes.fetch_add(1, Ordering::Relaxed))
    }

    /// A number for a new shared object that no other one has.
    pub(super) fn incarnation(&self) -> u64 {
        let number = self.objects.fetch_add(1, Ordering::Relaxed);
        self.name_key.hash_one(number)
    }

    /// A stream's name as logs show it.
    pub(super) fn shown<'a>(&self, name: &'a str, secret: bool) -> Cow<'a, str> {
        if secret {
            Cow::Owned(format!("#{:016x}", self.name_key.hash_one(name)))
        } else {
            Cow::Borrowed(name)
        }
    }
}
