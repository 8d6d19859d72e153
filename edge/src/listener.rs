//! The listener, which accepts clients, and the acceptor, which gives them to workers.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::unix::AsyncFd,
    sync::watch,
    task::JoinSet,
    time::{sleep, sleep_until},
};
use tributary_node::{drain, load::ThreadLoad, queue};

use crate::{
    admission::{Admission, Permit, Refused},
    departure::Departing,
    door::Door,
    listeners::{Listeners, OpenListener},
    metrics::Metrics,
    spread::Spread,
    thread::Arrival,
};

/// Clients that wait for one worker. Reason: a worker that is this far behind is overloaded.
pub(crate) const BACKLOG: usize = 1024;

/// The first and the longest pause while the process has no descriptors left.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A listening socket. Unlike tokio's listener, it registers no accepted socket with the runtime:
/// the client's worker does.
#[derive(Debug)]
struct Listener(AsyncFd<Arc<TcpListener>>);

impl Listener {
    /// Registers a socket that does not block with the runtime of the caller.
    fn new(listener: Arc<TcpListener>) -> io::Result<Self> {
        #[expect(
            deprecated,
            reason = "unsound for other types only; its successor is unsafe"
        )]
        AsyncFd::new(listener).map(Self)
    }

    /// Accepts a client: its socket, which does not block, and its address.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(accepted) = ready.try_io(|listener| accept(listener.get_ref())) {
                return accepted;
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};

    let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer
        .and_then(|peer| SocketAddr::try_from(peer).ok())
        .ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((socket.into(), peer))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (socket, peer) = listener.accept()?;
    socket.set_nonblocking(true)?;
    Ok((socket, peer))
}

/// The acceptor: it gives the clients of all listeners to workers.
#[derive(Debug)]
pub(crate) struct Acceptor {
    pub(crate) listeners: Arc<Listeners>,
    pub(crate) workers: Vec<queue::Sender<Arrival>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The state that the tasks of all listeners share.
struct Accepting {
    acceptor: Acceptor,
    spread: RefCell<Spread>,
    load: ThreadLoad,
}

impl Acceptor {
    /// Accepts until a departure has lingered, or until the drain begins; then it closes the
    /// listeners.
    pub(crate) async fn run(self, departing: Departing, drain: drain::Watch) {
        let listeners = Arc::clone(&self.listeners);
        let accepting = Rc::new(Accepting {
            spread: RefCell::new(Spread::new(self.workers.len())),
            load: ThreadLoad::of_current_runtime(),
            acceptor: self,
        });
        tokio::select! {
            () = accepting.accept_at_all() => {}
            () = lingered(departing) => {}
            () = drain.signaled() => {}
        }
        listeners.close();
    }
}

impl Accepting {
    /// Accepts at the listeners of now, one task for each. A task ends with its listener.
    async fn accept_at_all(self: Rc<Self>) {
        self.acceptor.listeners.accepting().await;
        let mut open = self.acceptor.listeners.watch();
        let mut tasks = JoinSet::new();
        let mut known: Vec<OpenListener> = Vec::new();
        loop {
            let now = open.borrow_and_update().clone();
            for new in now.iter().filter(|it| !known.iter().any(|old| old.is(it))) {
                match Listener::new(Arc::clone(&new.socket)) {
                    Ok(listener) => {
                        let (accepting, open) = (Rc::clone(&self), open.clone());
                        tasks.spawn_local(accepting.accept_at(listener, new.clone(), open));
                    }
                    Err(error) => tracing::error!(%error, "a listener accepts no clients"),
                }
            }
            known = now;
            while tasks.try_join_next().is_some() {}
            if open.changed().await.is_err() {
                return;
            }
        }
    }

    /// Accepts at one listener until it is closed. Its door may change.
    async fn accept_at(
        self: Rc<Self>,
        listener: Listener,
        mut of: OpenListener,
        mut open: watch::Receiver<Vec<OpenListener>>,
    ) {
        let mut wait = BACKOFF.0;
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((socket, peer)) => {
                        wait = BACKOFF.0;
                        self.take(socket, peer, &of.door);
                    }
                    Err(error) if is_about_the_client(&error) => {}
                    Err(error) => {
                        // Without descriptors or memory the acceptor waits; connected clients are
                        // served meanwhile.
                        self.acceptor.metrics.accept_backoffs.inc();
                        tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "cannot accept");
                        sleep(wait).await;
                        wait = (wait * 2).min(BACKOFF.1);
                    }
                },
                changed = open.changed() => {
                    let now = open.borrow_and_update();
                    match now.iter().find(|it| it.is(&of)) {
                        Some(now) if changed.is_ok() => of.door = Arc::clone(&now.door),
                        _ => return,
                    }
                }
            }
        }
    }

    /// Gives a client to a worker.
    fn take(&self, socket: TcpStream, peer: SocketAddr, door: &Arc<Door>) {
        let taken = self.admit(door, peer).and_then(|permit| {
            let busy = self.load.share(Instant::now());
            let (worker, slot) = self.spread.borrow_mut().next(busy);
            let arrival = Arrival {
                socket,
                peer,
                permit,
                slot,
                door: Arc::clone(door),
            };
            self.acceptor.workers[worker]
                .push(arrival, 1)
                .map_err(|_| Refused::WorkerBusy)
        });
        if let Err(refused) = taken {
            self.acceptor.metrics.count_refused(refused);
            tracing::debug!(%peer, %refused, "client refused");
        }
    }

    /// The place of a connection. A peer that may be a proxy has no limit of its own.
    fn admit(&self, door: &Door, peer: SocketAddr) -> Result<Permit, Refused> {
        match door.names_late(peer) {
            true => self.acceptor.admission.admit_unnamed(),
            false => self.acceptor.admission.admit(peer.ip()),
        }
    }
}

/// Waits for the end of a departure's linger.
async fn lingered(departing: Departing) {
    let departure = departing.begun().await;
    sleep_until(departure.listens_until.into()).await;
}

/// Whether accepting failed because the client had gone already.
fn is_about_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
    )
}
