//! The listener, which accepts clients, and the acceptor, which gives them to workers.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{
    io::unix::AsyncFd,
    time::{sleep, sleep_until},
};
use tributary_node::{drain, load::ThreadLoad, queue};

use crate::{
    admission::{Admission, Permit, Refused},
    departure::Departing,
    door::Door,
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
pub(crate) struct Listener(AsyncFd<TcpListener>);

impl Listener {
    /// Registers a socket that does not block with the runtime of the caller.
    pub(crate) fn new(listener: TcpListener) -> io::Result<Self> {
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
    pub(crate) listeners: Vec<(Listener, Arc<Door>)>,
    pub(crate) workers: Vec<queue::Sender<Arrival>>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Acceptor {
    /// Accepts until a departure has lingered, or until the drain begins; then it closes the
    /// listeners.
    pub(crate) async fn run(self, departing: Departing, drain: drain::Watch) {
        let spread = RefCell::new(Spread::new(self.workers.len()));
        let load = ThreadLoad::of_current_runtime();
        let accepting = self.listeners.iter();
        let accepting = accepting.map(|(it, door)| Box::pin(self.accept(it, door, &spread, &load)));
        tokio::select! {
            () = all(accepting.collect()) => {}
            () = lingered(departing) => {}
            () = drain.signaled() => {}
        }
    }

    /// The place of a connection. A peer that may be a proxy has no limit of its own.
    fn admit(&self, door: &Door, peer: SocketAddr) -> Result<Permit, Refused> {
        match door.names_late(peer) {
            true => self.admission.admit_unnamed(),
            false => self.admission.admit(peer.ip()),
        }
    }

    async fn accept(
        &self,
        listener: &Listener,
        door: &Arc<Door>,
        spread: &RefCell<Spread>,
        load: &ThreadLoad,
    ) {
        let mut wait = BACKOFF.0;
        loop {
            match listener.accept().await {
                Ok((socket, peer)) => {
                    wait = BACKOFF.0;
                    let taken = self.admit(door, peer).and_then(|permit| {
                        let busy = load.share(Instant::now());
                        let (worker, slot) = spread.borrow_mut().next(busy);
                        let arrival = Arrival {
                            socket,
                            peer,
                            permit,
                            slot,
                            door: Arc::clone(door),
                        };
                        self.workers[worker]
                            .push(arrival, 1)
                            .map_err(|_| Refused::WorkerBusy)
                    });
                    if let Err(refused) = taken {
                        self.metrics.count_refused(refused);
                        tracing::debug!(%peer, %refused, "client refused");
                    }
                }
                Err(error) if is_about_the_client(&error) => {}
                Err(error) => {
                    // Without descriptors or memory the acceptor waits; connected clients are
                    // served meanwhile.
                    self.metrics.accept_backoffs.inc();
                    tracing::warn!(%error, wait_ms = wait.as_millis() as u64, "cannot accept");
                    sleep(wait).await;
                    wait = (wait * 2).min(BACKOFF.1);
                }
            }
        }
    }
}

/// Waits for the end of a departure's linger.
async fn lingered(departing: Departing) {
    let departure = departing.begun().await;
    sleep_until(departure.listens_until.into()).await;
}

/// Runs futures side by side in one task until all have ended.
async fn all<F: Future<Output = ()> + Unpin>(mut running: Vec<F>) {
    poll_fn(|context| {
        running.retain_mut(|it| Pin::new(it).poll(context).is_pending());
        match running.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
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
