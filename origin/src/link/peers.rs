//! The other origins of the cluster, as this one knows them.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
};

use tributary_node::{
    link::OriginAddress,
    queue,
    transport::{CloseCode, Link},
};
use tributary_protocol::link::Control;

/// The other origins of the cluster, by the names on their certificates.
#[derive(Default)]
pub(super) struct Peers {
    table: RefCell<BTreeMap<String, Rc<PeerOrigin>>>,
    /// Counts the links.
    pub(super) links: Cell<u64>,
}

/// Another origin.
pub(super) struct PeerOrigin {
    pub(super) name: String,
    /// Its address, if the configuration names it.
    pub(super) address: Option<String>,
    pub(super) links: RefCell<Vec<OpenLink>>,
    /// Its load, as it was stated last.
    pub(super) sessions: Cell<u64>,
    pub(super) groups: Cell<u64>,
}

/// A link that is up.
pub(super) struct OpenLink {
    pub(super) number: u64,
    /// The process at the other end.
    pub(super) epoch: u64,
    pub(super) link: Link,
    pub(super) control: queue::Sender<Control>,
}

/// Links of another origin. Reason: one that each end has dialled, and one that is lost without its end being
/// noticed.
const MAX_LINKS: usize = 4;

impl Peers {
    /// The other origins of the configuration.
    pub(super) fn new(origins: &[OriginAddress]) -> Self {
        let peers = Self::default();
        for origin in origins {
            let peer = PeerOrigin::new(origin.known_as(), Some(&origin.address));
            peers.table.borrow_mut().insert(peer.name.clone(), peer);
        }
        peers
    }

    pub(super) fn get(&self, name: &str) -> Option<Rc<PeerOrigin>> {
        self.table.borrow().get(name).cloned()
    }

    pub(super) fn all(&self) -> Vec<Rc<PeerOrigin>> {
        self.table.borrow().values().cloned().collect()
    }

    /// The origin of this name, which has a link now.
    pub(super) fn linked(&self, name: &str) -> Rc<PeerOrigin> {
        let mut table = self.table.borrow_mut();
        let peer = table.entry(name.to_owned());
        Rc::clone(peer.or_insert_with(|| PeerOrigin::new(name, None)))
    }

    /// Queues a control frame on every link.
    pub(super) fn tell_all(&self, control: &Control) {
        for peer in self.table.borrow().values() {
            for open in peer.links.borrow().iter() {
                if open.control.push(control.clone(), 1).is_err() {
                    // The next link begins with all of the state.
                    open.link.close(CloseCode::Shutdown);
                }
            }
        }
    }
}

impl PeerOrigin {
    fn new(name: &str, address: Option<&str>) -> Rc<Self> {
        Rc::new(Self {
            name: name.to_owned(),
            address: address.map(str::to_owned),
            links: RefCell::default(),
            sessions: Cell::new(0),
            groups: Cell::new(0),
        })
    }

    pub(super) fn is_linked(&self) -> bool {
        !self.links.borrow().is_empty()
    }

    /// Adds a link, in place of those to another process, and of the oldest if there are too many.
    pub(super) fn add(&self, open: OpenLink) {
        let mut links = self.links.borrow_mut();
        for other in links.extract_if(.., |other| other.epoch != open.epoch) {
            other.link.close(CloseCode::Fenced);
        }
        links.push(open);
        if links.len() > MAX_LINKS {
            links[0].link.close(CloseCode::Fenced);
        }
    }

    /// Closes its links, which begin anew.
    pub(super) fn begin_anew(&self) {
        for open in self.links.borrow().iter() {
            open.link.close(CloseCode::Shutdown);
        }
    }

    /// Queues a control frame on its newest link. Returns whether there is one that takes it.
    pub(super) fn tell(&self, control: Control) -> bool {
        let links = self.links.borrow();
        let newest = links.last();
        newest.is_some_and(|open| open.control.push(control, 1).is_ok())
    }
}
