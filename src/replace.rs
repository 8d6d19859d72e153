//! `tributary edge --replace`: the sockets and the clients of the running edge go to this process.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use tributary_edge::{
    InheritedListener,
    handover::{Following, Given, Giver, HandoverError, Passed, SocketRole, Takeover, give, take},
    live::{LiveClients, Taken, Taking},
};

use crate::{config::Config, node::Failure};

/// The directory of the sockets on which replacements are asked for.
const DIRECTORY: &str = "/run/tributary";

/// The sockets of the edge that this process replaces.
pub(crate) struct Predecessor {
    pub(crate) clients: Vec<InheritedListener>,
    pub(crate) admin: Option<TcpListener>,
    handover: Option<UnixListener>,
    takeover: Takeover,
}

impl Predecessor {
    /// Asks the running edge for its sockets; it serves until [`Self::confirm`]. A socket that this
    /// configuration has no use for stays with the running edge, and is closed with it.
    pub(crate) fn ask(config: &Config, name: &str) -> Result<Self, Failure> {
        let path = path(config, name);
        let failed = |error: HandoverError| format!("--replace: {}: {error}", path.display());
        let mut takeover = take(&path, name).map_err(failed)?;
        let (mut clients, mut admin, mut handover) = (Vec::new(), None, None);
        let listeners = config.edge.listeners();
        let has_use = |own: &InheritedListener| listeners.iter().any(|it| own.serves(it.address));
        for Passed { role, socket } in std::mem::take(&mut takeover.sockets) {
            match role {
                SocketRole::Clients(configured) => {
                    let socket = TcpListener::from(socket);
                    let own = InheritedListener { configured, socket };
                    clients.extend(Some(own).filter(has_use));
                }
                SocketRole::Admin => admin = Some(TcpListener::from(socket)),
                SocketRole::Handover => handover = Some(UnixListener::from(socket)),
            }
        }
        Ok(Self {
            clients,
            admin,
            handover,
            takeover,
        })
    }

    /// Whether the running edge gives its clients, too.
    pub(crate) fn is_live(&self) -> bool {
        self.takeover.is_live()
    }

    /// Takes the clients of the running edge, if it gives them, and tells it that this process is about
    /// to serve: it leaves. It blocks for some seconds at most.
    ///
    /// # Errors
    /// The running edge goes on serving, also if this process is stopped meanwhile.
    pub(crate) fn confirm(
        self,
        taking: &Taking,
        is_stopped: &AtomicBool,
    ) -> Result<Confirmed, HandoverError> {
        if self.is_live() {
            match self.takeover.take_clients(taking) {
                Ok(Taken { clients, refused }) => {
                    let text = "clients of the edge before this one have come";
                    tracing::info!(clients, refused, "{text}");
                }
                Err(error) if self.takeover.is_other_gone() => {
                    tracing::error!(%error, "the edge before this one has ended with its clients");
                    taking.begin_links();
                }
                Err(error) => return Err(error),
            }
        }
        if is_stopped.load(Ordering::Acquire) {
            return Err(HandoverError::Stopped);
        }
        let following = self.takeover.confirm()?;
        taking.begin()?;
        tracing::info!("the edge before this one leaves");
        let giver = self.handover.map(Giver::adopt).transpose()?;
        Ok(Confirmed {
            own: giver.map(|giver| Replaceable { giver }),
            following,
        })
    }
}

/// The edge that has taken the place of another.
pub(crate) struct Confirmed {
    /// The socket for the next replacement.
    pub(crate) own: Option<Replaceable>,
    /// The clients that were connecting.
    pub(crate) following: Following,
}

/// The sockets that an edge gives to the process that replaces it.
pub(crate) struct Replaceable {
    giver: Giver,
}

impl Replaceable {
    /// Opens the socket on which a replacement is asked for. Without a setting, an edge that cannot
    /// open it serves all the same.
    pub(crate) fn open(config: &Config, name: &str) -> Result<Option<Self>, Failure> {
        let path = path(config, name);
        match Giver::bind(&path) {
            Ok(giver) => Ok(Some(Self { giver })),
            Err(error) if config.edge.handover.is_some() => Err(format!(
                "edge.handover: {}: {error}; if another edge uses it, start with --replace or \
                 choose another path",
                path.display()
            )
            .into()),
            Err(error) => {
                let socket = path.display();
                tracing::info!(%socket, %error, "this edge cannot be replaced while it serves; see edge.handover");
                Ok(None)
            }
        }
    }

    /// Answers requests for a replacement.
    pub(crate) fn offer(self, edge: impl Offered) -> Result<(), Failure> {
        let own = self.giver.socket()?;
        Ok(give(self.giver, Offer { edge, own })?)
    }
}

/// The edge that is offered to other processes.
pub(crate) trait Offered: Send + 'static {
    /// The name of the edge.
    fn name(&self) -> &str;

    /// The sockets for clients, or the reason to give none.
    fn listeners(&self) -> Result<Vec<InheritedListener>, String>;

    /// The socket of the admin server.
    fn admin(&self) -> &OwnedFd;

    /// The live clients.
    fn clients(&self) -> LiveClients;

    /// Another process serves in place of this one.
    fn taken(&self);
}

/// An edge with its socket for replacements.
struct Offer<E> {
    edge: E,
    own: UnixListener,
}

impl<E: Offered> Given for Offer<E> {
    fn name(&self) -> &str {
        self.edge.name()
    }

    fn sockets(&self) -> Result<Vec<Passed>, String> {
        let text = |error: std::io::Error| error.to_string();
        let listeners = self.edge.listeners()?;
        let mut passed: Vec<_> = listeners.into_iter().map(of_clients).collect();
        passed.push(Passed {
            role: SocketRole::Admin,
            socket: self.edge.admin().try_clone().map_err(text)?,
        });
        passed.push(Passed {
            role: SocketRole::Handover,
            socket: self.own.try_clone().map_err(text)?.into(),
        });
        Ok(passed)
    }

    fn clients(&self) -> Option<LiveClients> {
        Some(self.edge.clients())
    }

    fn taken(&self) {
        self.edge.taken();
    }
}

fn of_clients(listener: InheritedListener) -> Passed {
    Passed {
        role: SocketRole::Clients(listener.configured),
        socket: listener.socket.into(),
    }
}

fn path(config: &Config, name: &str) -> PathBuf {
    let own = config.edge.handover.clone();
    own.unwrap_or_else(|| Path::new(DIRECTORY).join(format!("{name}.sock")))
}

/// Whether a socket has this address of the configuration.
pub(crate) fn is_at(socket: &TcpListener, address: SocketAddr) -> bool {
    let own = socket.local_addr();
    own.is_ok_and(|own| own == address || (address.port() == 0 && own.ip() == address.ip()))
}
