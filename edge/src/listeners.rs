//! The listeners of an edge. They can change while it runs.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::watch;

use crate::{
    config::{Listen, Protocol, WebOrigins},
    door::{self, Door, ListenError},
    tls::Certificates,
    tunnel::Tunnels,
    wire::Upkeep,
};

/// The listeners of an edge.
#[derive(Debug)]
pub(crate) struct Listeners {
    open: watch::Sender<Vec<OpenListener>>,
    /// Whether the edge accepts no clients any more, whatever its configuration.
    is_closed: AtomicBool,
    tunnels: Arc<Tunnels>,
    certificates: Certificates,
    upkeep: &'static Upkeep,
}

/// A listening socket, and the door behind it.
#[derive(Clone, Debug)]
pub(crate) struct OpenListener {
    listen: Listen,
    /// The address that the socket has: the configuration may leave the port to the system.
    address: SocketAddr,
    pub(crate) socket: Arc<TcpListener>,
    pub(crate) door: Arc<Door>,
}

/// The listeners of another configuration; those that were not open yet have been opened.
#[derive(Debug)]
pub(crate) struct NextListeners(Vec<(Listen, SocketAddr, Arc<TcpListener>)>);

impl Listeners {
    /// No listeners yet.
    pub(crate) fn new(certificates: Certificates, upkeep: &'static Upkeep) -> Self {
        let (open, _) = watch::channel(Vec::new());
        Self {
            open,
            is_closed: AtomicBool::new(false),
            tunnels: Arc::default(),
            certificates,
            upkeep,
        }
    }

    /// Opens the listeners of a configuration that are not open yet. Those that are keep their
    /// sockets, so that no connection of their queues is lost. They accept nobody before
    /// [`Self::put_in_force`].
    pub(crate) fn open_next(&self, listeners: Vec<Listen>) -> Result<NextListeners, ListenError> {
        let mut open = self.open.borrow().clone();
        let mut next = Vec::with_capacity(listeners.len());
        for listen in listeners {
            let known = open
                .iter()
                .position(|known| known.listen.address == listen.address);
            let (socket, address) = match known.map(|index| open.remove(index)) {
                Some(known) => (known.socket, known.address),
                None => {
                    let (socket, address) = door::bind(listen.address, self.upkeep)?;
                    (Arc::new(socket), address)
                }
            };
            next.push((listen, address, socket));
        }
        Ok(NextListeners(next))
    }

    /// Accepts clients at these listeners from now on, and closes the others. Clients that have been
    /// accepted stay.
    pub(crate) fn put_in_force(&self, next: NextListeners, origins: &WebOrigins) {
        let open = next.0.into_iter().map(|(listen, address, socket)| {
            let (tunnels, certificates) = (&self.tunnels, &self.certificates);
            let door = Door::new(&listen, origins, tunnels, certificates, self.upkeep);
            OpenListener {
                listen,
                address,
                socket,
                door: Arc::new(door),
            }
        });
        let open = open.collect();
        // Under the lock of the channel, as the end.
        self.open.send_modify(|now| {
            if !self.is_closed.load(Ordering::Relaxed) {
                *now = open;
            }
        });
    }

    /// Closes all listeners for good.
    pub(crate) fn close(&self) {
        self.open.send_modify(|now| {
            self.is_closed.store(true, Ordering::Relaxed);
            now.clear();
        });
    }

    /// The listeners of now and of later.
    pub(crate) fn watch(&self) -> watch::Receiver<Vec<OpenListener>> {
        self.open.subscribe()
    }

    /// The protocols that clients can speak, each with an address for it.
    pub(crate) fn listening(&self) -> Vec<(Protocol, SocketAddr)> {
        let open = self.open.borrow();
        let each = open.iter().flat_map(|open| {
            let protocols = open.listen.protocols.iter();
            protocols.map(|protocol| (*protocol, open.address))
        });
        each.collect()
    }
}

impl OpenListener {
    /// Whether this is the same socket.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }
}
