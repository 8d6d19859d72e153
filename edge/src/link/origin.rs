//! One origin of the configuration: dialled, greeted, kept, and dialled again.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use rand::SeedableRng;
use tokio::{sync::watch, task::spawn_local, time::timeout};
use tributary_node::{
    backoff::Backoff,
    control::{self, ControlReceiver, ControlSender},
    drain, queue,
    tls::Peer,
    transport::{Endpoint, IDLE, Link, LinkError},
};
use tributary_protocol::link::{Control, Hello, features};

use super::{driver::Driver, feeds, metrics::OriginLabel};

/// What the edge knows of one origin.
pub(super) struct Origin {
    link: watch::Sender<Option<Link>>,
    control: RefCell<Option<queue::Sender<Control>>>,
    peer: RefCell<Option<Peer>>,
    epoch: Cell<Option<u64>>,
    /// Counts the processes known under this origin's name; never used twice in this edge.
    process: Cell<u64>,
    incarnation: Cell<u64>,
    grace: Cell<Duration>,
    /// What the process says it understands.
    features: Cell<u64>,
}

/// How long a dial may take before another is tried. Reason: after an outage the next packet must
/// not be far away.
const DIAL: Duration = Duration::from_millis(1500);

/// Redials follow within this time while sessions wait for them.
const REDIAL_GRACE: Duration = Duration::from_millis(250);

/// Redials of an origin that has been away for longer come at most this far apart.
const REDIAL_DOWN: Duration = Duration::from_secs(3);

/// A link that lasted this long was a healthy one.
const HEALTHY: Duration = Duration::from_secs(10);

/// How often a heartbeat leaves.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Silence of the control stream after which the link is given up: QUIC's keep-alive only shows
/// that the peer's QUIC task lives.
const CONTROL_SILENCE: Duration = Duration::from_secs(5);

/// Control frames that may wait for the stream at once.
const CONTROL_QUEUE: usize = 4096;

impl Origin {
    /// Whether the process that was greeted last has this feature.
    pub(super) fn has(&self, feature: u64) -> bool {
        self.features.get() & feature != 0
    }

    #[cfg(test)]
    pub(super) fn set_features(&self, features: u64) {
        self.features.set(features);
    }

    pub(super) fn new() -> Self {
        Self {
            link: watch::channel(None).0,
            control: RefCell::default(),
            peer: RefCell::default(),
            epoch: Cell::new(None),
            process: Cell::new(0),
            incarnation: Cell::new(0),
            grace: Cell::new(Duration::ZERO),
            features: Cell::default(),
        }
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    pub(super) fn links(&self) -> watch::Receiver<Option<Link>> {
        self.link.subscribe()
    }

    pub(super) fn process(&self) -> u64 {
        self.process.get()
    }

    /// Whether the origin's certificate, if one was seen, has this name or alias.
    pub(super) fn answers_to(&self, host: &str) -> bool {
        self.peer
            .borrow()
            .as_ref()
            .is_some_and(|peer| peer.answers_to(host))
    }

    /// Queues a control frame; without a link it is not for now.
    pub(super) fn tell(&self, control: Control) {
        if let Some(queue) = &*self.control.borrow() {
            // A control stream that takes nothing is about to be given up.
            let _ = queue.push(control, 1);
        }
    }
}

/// Keeps the link to origin `index` for as long as the edge runs.
pub(super) async fn run(driver: Rc<Driver>, index: usize, drain: drain::Watch) {
    let mut random = rand::rngs::StdRng::from_os_rng();
    let mut near = Backoff::new(Duration::from_millis(20), REDIAL_GRACE, HEALTHY);
    let mut far = Backoff::new(REDIAL_GRACE, REDIAL_DOWN, HEALTHY);
    let mut lost_until: Option<Instant> = None;
    let mut last_error = None;
    loop {
        let soon = match dial(&driver, index).await {
            Ok(greeted) => {
                last_error = None;
                near.began(Instant::now());
                let error = carry(&driver, index, greeted).await;
                let now = Instant::now();
                let until = free_at(&driver.origins[index], &error, now);
                if drain.is_signaled() {
                    tracing::info!(origin = name(&driver, index), %error, "link ends");
                } else {
                    tracing::warn!(origin = name(&driver, index), %error, "link lost");
                }
                driver
                    .metrics
                    .lost
                    .get_or_create(&label(&driver, index))
                    .inc();
                lost_until = Some(until);
                far.reset();
                driver.origin_lost(index, until);
                Some(near.ended(now, &mut random))
            }
            Err(error) => {
                let text = error.to_string();
                // An edge that ends needs none.
                if last_error.as_ref() != Some(&text) && !drain.is_signaled() {
                    tracing::warn!(
                        origin = name(&driver, index),
                        address = driver.config.origins[index].address,
                        error = text,
                        "no link; dialling goes on"
                    );
                    last_error = Some(text);
                }
                None
            }
        };
        let now = Instant::now();
        let delay = match lost_until {
            Some(until) if until > now => {
                let delay = soon.unwrap_or_else(|| near.failed(&mut random));
                delay.min(until - now)
            }
            Some(_) => {
                lost_until = None;
                driver.origin_down(index);
                Duration::ZERO
            }
            None => far.failed(&mut random),
        };
        tokio::time::sleep(delay).await;
    }
}

/// When groups of a lost origin are free to start elsewhere: after the origin itself has given
/// them up, which it does the grace time after it last heard of this edge.
fn free_at(origin: &Origin, error: &LinkError, now: Instant) -> Instant {
    let silent = if *error == LinkError::TimedOut {
        Duration::ZERO
    } else {
        IDLE
    };
    now + origin.grace.get() + silent + Duration::from_secs(1)
}

/// A link whose two ends have greeted each other.
struct Greeted {
    link: Link,
    /// Keeps the link's socket.
    endpoint: Endpoint,
    hello: Hello,
    send: ControlSender,
    recv: ControlReceiver,
}

async fn dial(driver: &Driver, index: usize) -> Result<Greeted, LinkError> {
    let configured = &driver.config.origins[index];
    let address = resolve(&configured.address).await?;
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = Endpoint::dialling(&driver.config.identity, any)
        .map_err(|error| LinkError::Transport(error.to_string()))?;
    let link = timeout(DIAL, endpoint.connect(address))
        .await
        .map_err(|_| LinkError::TimedOut)??;
    if let Some(name) = &configured.name
        && !link.peer().answers_to(name)
    {
        let why = format!(
            "its certificate is for `{}`, not `{name}`",
            link.peer().name
        );
        return Err(LinkError::Refused(why));
    }
    let greeting = greet(driver, index, link, endpoint);
    timeout(DIAL, greeting)
        .await
        .map_err(|_| LinkError::TimedOut)?
}

async fn resolve(address: &str) -> Result<SocketAddr, LinkError> {
    let unknown = |why: String| LinkError::Transport(format!("{address}: {why}"));
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("no address".into()))
}

async fn greet(
    driver: &Driver,
    index: usize,
    link: Link,
    endpoint: Endpoint,
) -> Result<Greeted, LinkError> {
    let origin = &driver.origins[index];
    origin.incarnation.set(origin.incarnation.get() + 1);
    let hello = Hello {
        node: driver.config.identity.peer().name.clone(),
        epoch: driver.epoch,
        incarnation: origin.incarnation.get(),
        connection: 0,
        features: features::PUBLICATION,
        zone: driver.config.zone.clone(),
        capacity: driver.config.capacity,
        known_as: driver.config.origins[index].known_as().to_owned(),
        grace_ms: 0,
    };
    let (mut send, mut recv) = control::open(&link).await?;
    send.write(&Control::Hello(hello)).await?;
    let hello = recv.hello(&link).await?;
    Ok(Greeted {
        link,
        endpoint,
        hello,
        send,
        recv,
    })
}

/// Runs a link until it is gone.
async fn carry(driver: &Rc<Driver>, index: usize, greeted: Greeted) -> LinkError {
    let Greeted {
        link,
        endpoint,
        hello,
        mut send,
        mut recv,
    } = greeted;
    let origin = &driver.origins[index];
    origin.features.set(hello.features);
    let new_process = origin.epoch.replace(Some(hello.epoch)) != Some(hello.epoch);
    if new_process {
        origin.process.set(driver.new_process());
    }
    origin
        .grace
        .set(Duration::from_millis(u64::from(hello.grace_ms)));
    *origin.peer.borrow_mut() = Some(link.peer().clone());
    let (tell, mut queued) = queue::queue(CONTROL_QUEUE);
    *origin.control.borrow_mut() = Some(tell);
    tracing::info!(
        origin = name(driver, index),
        node = hello.node,
        new_process,
        "link up"
    );
    driver
        .metrics
        .up
        .get_or_create(&label(driver, index))
        .set(1);
    driver.tell_new_link(index);
    driver.origin_up(index, new_process);
    let _ = origin.link.send_replace(Some(link.clone()));
    let feeds = spawn_local(feeds::accept(Rc::clone(driver), index, link.clone()));
    let error = tokio::select! {
        error = link.closed() => error,
        error = read_control(driver, index, &link, &mut recv) => error,
        error = write_control(driver, index, &link, &mut send, &mut queued) => error,
    };
    feeds.abort();
    link.close(tributary_node::transport::CloseCode::Shutdown);
    *origin.control.borrow_mut() = None;
    let _ = origin.link.send_replace(None);
    driver
        .metrics
        .up
        .get_or_create(&label(driver, index))
        .set(0);
    // The socket goes last: it tells the peer of the close.
    spawn_local(async move { endpoint.close().await });
    error
}

async fn read_control(
    driver: &Rc<Driver>,
    index: usize,
    link: &Link,
    recv: &mut ControlReceiver,
) -> LinkError {
    loop {
        let control = match timeout(CONTROL_SILENCE, recv.next()).await {
            Ok(Ok(control)) => control,
            Ok(Err(error)) => return error,
            Err(_) => return LinkError::TimedOut,
        };
        match control {
            Control::Displaced {
                complete,
                added,
                removed,
            } => {
                driver.displaced(index, complete, added, &removed);
            }
            Control::Kept { anew, groups } => {
                let mut table = driver.table.borrow_mut();
                table.kept(index, anew, groups);
                driver.metrics.kept.set(table.kept_count() as i64);
            }
            Control::Ping(number) => driver.origins[index].tell(Control::Pong(number)),
            Control::GoAway { within_ms } => {
                tracing::info!(origin = link.peer().name, within_ms, "origin goes away");
                driver.origin_leaving(index);
            }
            _ => {}
        }
    }
}

async fn write_control(
    driver: &Driver,
    index: usize,
    link: &Link,
    send: &mut ControlSender,
    queued: &mut queue::Receiver<Control>,
) -> LinkError {
    let label = label(driver, index);
    let mut counted = (0, 0);
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        let control = tokio::select! {
            Some(control) = queued.next() => control,
            _ = beat.tick() => {
                let metrics = &driver.metrics;
                let (sent, received) = link.bytes();
                metrics.bytes_out.get_or_create(&label).inc_by(sent - counted.0);
                metrics.bytes_in.get_or_create(&label).inc_by(received - counted.1);
                counted = (sent, received);
                metrics.round_trip.get_or_create(&label).set(link.round_trip().as_secs_f64());
                driver.heartbeat()
            }
        };
        if let Err(error) = send.write(&control).await {
            return error;
        }
    }
}

fn name(driver: &Driver, index: usize) -> &str {
    driver.config.origins[index].known_as()
}

fn label(driver: &Driver, index: usize) -> OriginLabel {
    OriginLabel {
        origin: name(driver, index).to_owned(),
    }
}
