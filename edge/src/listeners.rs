//! The listeners of an edge. They can change while it runs.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, PoisonError,
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
    /// Whether clients are accepted yet; meanwhile they wait in the queues of the sockets.
    accepts: watch::Sender<bool>,
    /// Whether the edge accepts no clients any more, whatever its configuration.
    is_closed: AtomicBool,
    tunnels: Arc<Tunnels>,
    certificates: Certificates,
    upkeep: &'static Upkeep,
    /// Sockets for the first configuration.
    inherited: Mutex<Vec<InheritedListener>>,
}

/// A listening socket that another process has opened.
#[derive(Debug)]
pub struct InheritedListener {
    /// The address of the configuration that it serves; the socket has the port if that is 0.
    pub configured: SocketAddr,
    pub socket: TcpListener,
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
            accepts: watch::Sender::new(true),
            is_closed: AtomicBool::new(false),
            tunnels: Arc::default(),
            certificates,
            upkeep,
            inherited: Mutex::default(),
        }
    }

    /// The sessions of RTMPT of all listeners.
    pub(crate) fn tunnels(&self) -> &Arc<Tunnels> {
        &self.tunnels
    }

    /// With sockets that another process has opened. While `holds`, no client is accepted.
    pub(crate) fn inheriting(mut self, inherited: Vec<InheritedListener>, holds: bool) -> Self {
        self.inherited = Mutex::new(inherited);
        self.accepts = watch::Sender::new(!holds);
        self
    }

    /// Accepts clients from now on.
    pub(crate) fn accept(&self) {
        self.accepts.send_replace(true);
    }

    /// Waits until clients are accepted. Cancel safe.
    pub(crate) async fn accepting(&self) {
        let mut accepts = self.accepts.subscribe();
        // The sender lives as long as this.
        let _ = accepts.wait_for(|accepts| *accepts).await;
    }

    /// The socket of another process for an address of the configuration.
    fn inherit(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut inherited = self
            .inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let found = inherited.iter().position(|it| it.serves(address))?;
        Some(inherited.remove(found).socket)
    }

    /// The address of an inherited socket that no listener of the configuration has taken.
    pub(crate) fn unused(&self) -> Option<SocketAddr> {
        let inherited = self
            .inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        inherited.first().map(|unused| unused.configured)
    }

    /// Opens the listeners of a configuration that are not open yet. Those that are keep their
    /// sockets, so that no connection of their queues is lost. They accept nobody before
    /// [`Self::put_in_force`].
    pub(crate) fn open_next(&self, listeners: Vec<Listen>) -> Result<NextListeners, ListenError> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Ok(NextListeners(Vec::new()));
        }
        let mut open = self.open.borrow().clone();
        let mut next = Vec::with_capacity(listeners.len());
        for listen in listeners {
            let known = open
                .iter()
                .position(|known| known.listen.address == listen.address);
            let (socket, address) = match known.map(|index| open.remove(index)) {
                Some(known) => (known.socket, known.address),
                None => {
                    let failed = |source| ListenError {
                        address: listen.address,
                        source,
                    };
                    let (socket, address) = match self.inherit(listen.address) {
                        Some(socket) => door::adopt(socket, self.upkeep).map_err(failed)?,
                        None => door::bind(listen.address, self.upkeep)?,
                    };
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

    /// The sockets of all listeners, for another process.
    pub(crate) fn sockets(&self) -> io::Result<Vec<InheritedListener>> {
        let open = self.open.borrow();
        let each = open.iter().map(|open| {
            Ok(InheritedListener {
                configured: open.listen.address,
                socket: open.socket.try_clone()?,
            })
        });
        each.collect()
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

impl InheritedListener {
    /// A socket for the address that it has.
    pub fn new(socket: TcpListener) -> io::Result<Self> {
        Ok(Self {
            configured: socket.local_addr()?,
            socket,
        })
    }

    /// Whether it is for this address of a configuration. A socket for all addresses of IPv6 serves
    /// those of IPv4 too.
    pub fn serves(&self, address: SocketAddr) -> bool {
        let own = self.configured;
        let covers = own.is_ipv6() && own.ip().is_unspecified() && address.ip().is_unspecified();
        own == address || (covers && own.port() == address.port())
    }
}

impl OpenListener {
    /// Whether this is the same socket.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.socket, &other.socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_socket_serves_its_own_address_and_every_unspecified_one() {
        for (own, address, serves) in [
            ("127.0.0.1:1935", "127.0.0.1:1935", true),
            ("127.0.0.1:1935", "127.0.0.1:1936", false),
            ("0.0.0.0:1935", "0.0.0.0:1935", true),
            ("0.0.0.0:1935", "[::]:1935", false),
            ("[::]:1935", "0.0.0.0:1935", true),
            ("[::]:1935", "0.0.0.0:1936", false),
            ("[::]:1935", "127.0.0.1:1935", false),
        ] {
            let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let inherited = InheritedListener {
                configured: own.parse().expect("an address"),
                socket,
            };
            let asked = address.parse().expect("an address");
            assert_eq!(inherited.serves(asked), serves, "{own} {address}");
        }
    }
}
