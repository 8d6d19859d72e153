//! `tributary edge --replace`: the sockets of the running edge go to this process.

use std::{
    net::{SocketAddr, TcpListener},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
};

use tributary_edge::{
    InheritedListener,
    handover::{Giver, HandoverError, Passed, SocketRole, Takeover, give, take},
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
        let mut takeover = take(&path).map_err(failed)?;
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

    /// Tells the running edge that this process is about to serve: it leaves. Returns its socket for
    /// the next replacement.
    ///
    /// # Errors
    /// The running edge goes on serving.
    pub(crate) fn confirm(self) -> Result<Option<Replaceable>, HandoverError> {
        self.takeover.confirm()?;
        tracing::info!("the edge before this one leaves");
        let giver = self.handover.map(Giver::adopt).transpose()?;
        Ok(giver.map(|giver| Replaceable { giver }))
    }
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

    /// Answers requests for a replacement: `clients` and `admin` are the sockets to give, or the
    /// reason to give none. `taken` runs when another process serves with them.
    pub(crate) fn offer(
        self,
        clients: impl Fn() -> Result<Vec<InheritedListener>, String> + Send + 'static,
        admin: OwnedFd,
        taken: impl FnOnce() + Send + 'static,
    ) -> Result<(), Failure> {
        let own = self.giver.socket()?;
        let sockets = move || {
            let clone = |socket: &OwnedFd| socket.try_clone().map_err(|error| error.to_string());
            let mut passed: Vec<_> = clients()?.into_iter().map(of_clients).collect();
            passed.push(Passed {
                role: SocketRole::Admin,
                socket: clone(&admin)?,
            });
            let own = own.try_clone().map_err(|error| error.to_string())?;
            passed.push(Passed {
                role: SocketRole::Handover,
                socket: own.into(),
            });
            Ok(passed)
        };
        Ok(give(self.giver, sockets, taken)?)
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
