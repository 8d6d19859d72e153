//! Groups whose sessions edges bring: after the start of an origin in a cluster, and when another origin hands
//! a group over.
//!
//! The origin keeps the names of its edges on disk. Until each of them has said which groups it brings,
//! and has brought them, new sessions of those groups wait: names that are published and objects that are
//! in use must be known first.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap, HashSet},
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::GroupName;

use super::lane::Lane;
use crate::session::Brought;

/// The edges after a start, and the groups that they bring.
pub(super) struct Gathering {
    file: Option<PathBuf>,
    /// The edges that have had a link since the start.
    seen: RefCell<BTreeSet<String>>,
    /// Edges of the process before that have not said all that they bring.
    awaited: RefCell<HashSet<String>>,
    /// The groups that edges have said they bring and have not brought.
    coming: RefCell<HashMap<GroupName, Coming>>,
    /// The states that applications of the process before have handed to this one.
    states: RefCell<HashMap<GroupName, Bytes>>,
    /// Lanes that have brought all, whose groups wait for others.
    brought: RefCell<HashMap<GroupName, Vec<Rc<Lane>>>>,
    until: Instant,
    /// Whether the other origins of the cluster have said which groups they have, or had the time to.
    origins_known: Cell<bool>,
    origins_until: Instant,
    /// Lets lanes go on at the origin that has their group, if another has it; returns whether one has.
    pass_on: PassOn,
    is_over: Cell<bool>,
    /// How often the names have been written, and the number of the newest list in the file.
    lists: Cell<u64>,
    written: Arc<Mutex<u64>>,
}

/// A group that edges bring.
struct Coming {
    /// The edges that have not brought all that they have of it.
    edges: HashSet<Arc<str>>,
    until: Instant,
    /// Set if another origin hands it over.
    offered: Option<Offered>,
}

/// A group that another origin hands over.
struct Offered {
    /// The state that its application hands over; none until the group has stopped there.
    state: Option<Bytes>,
    arrived: Box<dyn FnOnce(usize)>,
}

/// Takes a group and the lanes that have brought sessions of it.
pub(super) type PassOn = Box<dyn Fn(&GroupName, &[Rc<Lane>]) -> bool>;

/// The time after a start for the other origins to say which groups they have. Reason: they dial within 100 ms
/// and are up; a group that has moved there must not be started here as well.
const ORIGINS: Duration = Duration::from_millis(500);

/// How long states are kept of which no edge has brought a session.
const STATES: Duration = Duration::from_secs(60);

/// The longest gathering. Reason: links came back after 0.24 to 1.2 s when that was measured; an edge
/// that is gone for good must not hold up the others for long.
const LONGEST: Duration = Duration::from_secs(4);

/// Edges that are remembered.
const MAX_EDGES: usize = 10_000;

impl Gathering {
    /// `file` has the names of the edges; without one there is nothing to gather.
    /// `states` are those that applications of the process before have handed to this one.
    pub(super) fn new(
        file: Option<PathBuf>,
        states: HashMap<GroupName, Bytes>,
        has_others: bool,
        pass_on: PassOn,
    ) -> Self {
        let text = file.as_deref().and_then(read_names);
        let names = text.iter().flat_map(|text| text.lines());
        let names = names.take(MAX_EDGES).map(str::to_owned);
        let awaited: HashSet<_> = names.filter(|name| !name.is_empty()).collect();
        Self {
            file,
            seen: RefCell::default(),
            is_over: Cell::new(awaited.is_empty() && !has_others),
            awaited: RefCell::new(awaited),
            coming: RefCell::default(),
            states: RefCell::new(states),
            brought: RefCell::default(),
            until: Instant::now() + LONGEST,
            origins_known: Cell::new(!has_others),
            origins_until: Instant::now() + ORIGINS,
            pass_on,
            lists: Cell::new(0),
            written: Arc::default(),
        }
    }

    /// The other origins have said which groups they have.
    pub(super) fn origins_are_known(&self) {
        self.origins_known.set(true);
        self.end_if_known();
    }

    /// An edge has a link. An edge without the feature RESTORE brings nothing.
    pub(super) fn linked(&self, edge: &str, restores: bool) {
        if self.file.is_none() {
            return;
        }
        let is_new = self.seen.borrow_mut().insert(edge.to_owned());
        if !restores {
            self.has_said_all(edge);
        }
        if is_new {
            self.note_edges();
        }
    }

    /// An edge has sessions of these groups; `complete` ends its list.
    pub(super) fn brings(&self, edge: &Arc<str>, groups: Vec<GroupName>, complete: bool) {
        let mut coming = self.coming.borrow_mut();
        for group in groups {
            let coming = coming.entry(group).or_insert_with(|| Coming {
                edges: HashSet::new(),
                until: self.until,
                offered: None,
            });
            coming.edges.insert(Arc::clone(edge));
        }
        drop(coming);
        if complete {
            self.has_said_all(edge);
        }
    }

    /// Another origin has offered a group, which these edges will bring. `arrived` is called once it goes on
    /// here, with the count of its sessions.
    pub(super) fn expect(
        &self,
        group: GroupName,
        edges: HashSet<Arc<str>>,
        until: Instant,
        arrived: Box<dyn FnOnce(usize)>,
    ) {
        let offered = Some(Offered {
            state: None,
            arrived,
        });
        let coming = Coming {
            edges,
            until,
            offered,
        };
        self.coming.borrow_mut().insert(group, coming);
    }

    /// Whether another origin hands this group over.
    pub(super) fn expects(&self, group: &GroupName) -> bool {
        let coming = self.coming.borrow();
        coming.get(group).is_some_and(|it| it.offered.is_some())
    }

    /// Whether any group is on its way here from another origin.
    pub(super) fn expects_any(&self) -> bool {
        let coming = self.coming.borrow();
        coming.values().any(|it| it.offered.is_some())
    }

    /// A group that was offered has stopped at the other origin.
    pub(super) fn committed(&self, group: &GroupName, state: Bytes) {
        let mut coming = self.coming.borrow_mut();
        if let Some(coming) = coming.get_mut(group)
            && let Some(offered) = &mut coming.offered
        {
            offered.state = Some(state);
            coming.until = Instant::now() + LONGEST;
        }
        drop(coming);
        self.release_if_whole(group);
    }

    /// The other origin keeps a group that it had offered.
    pub(super) fn withdrawn(&self, group: &GroupName) {
        if self.expects(group) {
            self.coming.borrow_mut().remove(group);
        }
    }

    /// A lane of an edge has brought all that it had of its group.
    pub(super) fn has_brought(&self, edge: &Arc<str>, lane: Rc<Lane>) {
        let group = lane.name.clone();
        if let Some(coming) = self.coming.borrow_mut().get_mut(&group) {
            coming.edges.remove(edge);
        }
        let mut brought = self.brought.borrow_mut();
        brought.entry(group.clone()).or_default().push(lane);
        drop(brought);
        self.release_if_whole(&group);
    }

    /// Whether lanes of a group have brought all, and wait for others.
    pub(super) fn waits_with(&self, group: &GroupName) -> bool {
        self.brought.borrow().contains_key(group)
    }

    /// Whether new lanes of a group have to wait.
    pub(super) fn holds(&self, group: &GroupName) -> bool {
        !self.is_over.get() || self.coming.borrow().contains_key(group)
    }

    /// Looks at the time. `are_naming`: other origins have a link and have not named all of their groups.
    pub(super) fn tick(&self, now: Instant, are_naming: bool) {
        let origins_until = match are_naming {
            true => self.until,
            false => self.origins_until,
        };
        if now >= origins_until && !self.origins_known.get() {
            tracing::warn!("other origins have not said which groups they have");
            self.origins_are_known();
        }
        if now >= self.until + STATES {
            self.states.borrow_mut().clear();
        }
        if now >= self.until && !self.is_over.get() {
            let awaited = self.awaited.take();
            tracing::warn!(edges = ?awaited, "edges of before the start have not come back in time");
            self.end();
            self.note_edges();
        }
        let is_late = |_: &GroupName, coming: &mut Coming| coming.until <= now;
        let late: Vec<_> = self.coming.borrow_mut().extract_if(is_late).collect();
        for (group, coming) in late {
            let has_come = self.waits_with(&group);
            let was_given = |offered: &Offered| offered.state.is_some();
            if !has_come && coming.offered.as_ref().is_some_and(|it| !was_given(it)) {
                tracing::warn!(%group, "the group has not come from the origin that has offered it");
                continue;
            }
            if has_come || coming.offered.is_none() {
                let edges = &coming.edges;
                tracing::warn!(%group, ?edges, "edges have not brought all of the group in time");
            }
            self.release(&group, coming.offered);
        }
    }

    fn has_said_all(&self, edge: &str) {
        if self.awaited.borrow_mut().remove(edge) {
            self.end_if_known();
        }
    }

    fn end_if_known(&self) {
        let is_known = self.origins_known.get() && self.awaited.borrow().is_empty();
        if is_known && !self.is_over.get() {
            self.end();
        }
    }

    /// All edges have said what they bring, or the time is over.
    fn end(&self) {
        self.is_over.set(true);
        let groups: Vec<_> = self.brought.borrow().keys().cloned().collect();
        for group in groups {
            self.release_if_whole(&group);
        }
    }

    /// Lets a group go on if all has been brought that edges have of it.
    fn release_if_whole(&self, group: &GroupName) {
        let mut coming = self.coming.borrow_mut();
        let is_whole = match coming.get(group) {
            None => self.is_over.get(),
            Some(coming) => {
                let has_stopped = |offered: &Offered| offered.state.is_some();
                let is_known = match &coming.offered {
                    Some(offered) => has_stopped(offered),
                    None => self.is_over.get(),
                };
                coming.edges.is_empty() && is_known
            }
        };
        if is_whole {
            let coming = coming.remove(group);
            let offered = coming.and_then(|coming| coming.offered);
            self.release(group, offered);
        }
    }

    /// Lets a group go on with what has been brought.
    fn release(&self, group: &GroupName, offered: Option<Offered>) {
        let lanes = self.brought.borrow_mut().remove(group);
        let lanes = lanes.unwrap_or_default();
        let (state, arrived) = match offered {
            Some(Offered { state, arrived }) => (state, Some(arrived)),
            None => (self.states.borrow_mut().remove(group), None),
        };
        if arrived.is_none() && (self.pass_on)(group, &lanes) {
            return;
        }
        let mut with_group = lanes.iter().filter(|lane| lane.has_group());
        if let (Some(first), Some(state)) = (with_group.next(), state) {
            first.bring(Brought::State(state));
        }
        let mut sessions = 0;
        for lane in &lanes {
            sessions += lane.state.borrow().session_count();
            lane.gathered();
        }
        if let Some(arrived) = arrived {
            arrived(sessions);
        }
    }

    /// Writes the names of the edges, on a thread that may wait for the disk.
    fn note_edges(&self) {
        let Some(file) = self.file.clone() else {
            return;
        };
        let mut names = self.seen.borrow().clone();
        names.extend(self.awaited.borrow().iter().cloned());
        let list = self.lists.get() + 1;
        self.lists.set(list);
        let written = Arc::clone(&self.written);
        tokio::task::spawn_blocking(move || {
            // One at a time, and no older list after a newer one.
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if *written > list {
                return;
            }
            *written = list;
            if let Err(error) = write_names(&file, &names) {
                let file = file.display();
                tracing::error!(
                    %file,
                    %error,
                    "the names of the edges are not kept: after a crash new clients do not wait for their \
                     sessions; see that the data directory can be written and has room"
                );
            }
        });
    }
}

/// Replaces the file: a reader finds all of the names before or after.
fn write_names(file: &PathBuf, names: &BTreeSet<String>) -> io::Result<()> {
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    let new = file.with_extension("new");
    let mut written = fs::File::create(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&new, file)
}

/// The names of the file, if there is one.
fn read_names(file: &Path) -> Option<String> {
    match fs::read_to_string(file) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let file = file.display();
            tracing::error!(
                %file,
                %error,
                "the names of the edges cannot be read: new clients do not wait for their sessions"
            );
            None
        }
    }
}
