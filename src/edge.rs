//! `tributary edge`

use std::{
    future::pending,
    mem,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::oneshot,
    task::spawn_blocking,
    time::{sleep, sleep_until, timeout},
};
use tributary_edge::{
    ClientSockets, InheritedListener, Reloader, Running,
    departure::{self, Depart, Departing, Departure},
    handover::HandoverError,
    live::{LiveClients, Taking},
    run::Leaving,
};
use tributary_node::{
    admin::{self, Guard, Ready, Routes},
    config::{self, Layers, Mistakes},
    drain,
    log::Log,
    tls::{Identity, Role},
};

use crate::{
    config::{Admin, Config, Flags},
    local,
    node::{self, Failure},
    reload::{Adjustable, Reload},
    replace::{self, Confirmed, Offered, Predecessor, Replaceable},
    system,
};

/// The tier that clients connect to.
#[derive(clap::Args)]
pub(crate) struct EdgeArgs {
    /// The node's certificate, as `tributary cert issue --role edge` made it; always needed
    #[arg(long, value_name = "DIR")]
    cert: Option<PathBuf>,
    /// Takes the place of the running edge with this name and `edge.handover`: its sockets come
    /// here, and it leaves. Give the other flags of the running one
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    edge: tributary_edge::Flags,
    #[command(flatten)]
    flags: Flags,
}

/// The longest wait for a link before the service manager hears that the edge serves. Reason: an
/// origin that is down must not hold up the start of other units.
const FIRST_LINK: Duration = Duration::from_secs(3);

/// The longest wait for a link of an edge that replaces another.
const REPLACES_WITHIN: Duration = Duration::from_secs(30);

/// The pause of an edge that has been replaced before it ends. Reason: the service manager has to hear
/// first that another process is the main one.
const REPLACED: Duration = Duration::from_secs(1);

/// The interval between two looks whether there is a link.
const LOOK: Duration = Duration::from_millis(20);

/// The time for all parts to end after the deadline.
const LAST: Duration = Duration::from_secs(3);

/// Runs an edge until a signal stops it.
pub(crate) fn run(args: &EdgeArgs) -> Result<(), Failure> {
    let (edge, flags) = (args.edge.clone(), args.flags.clone());
    let layers = move || edge.layer(flags.layers());
    let config: Config = layers().read()?;
    let log = tributary_node::log::start(&config.log);
    for warning in local::warnings(&config) {
        tracing::warn!("{warning}");
    }
    let identity = node::identity(args.cert.as_deref(), Role::Edge)?;
    let before = args
        .replace
        .then(|| Predecessor::ask(&config, &identity.peer().name))
        .transpose()?;
    node::block_on(serve(layers, config, log, identity, before))?
}

/// The part of an edge that takes other settings.
struct EdgeSettings(Reloader);

impl Adjustable for EdgeSettings {
    fn ignore(&self, in_force: &Config, asked: &mut Config) {
        asked.origin = in_force.origin.clone();
    }

    fn keep(&self, in_force: &Config, next: &mut Config) {
        let (now, next) = (&in_force.edge, &mut next.edge);
        next.origins.clone_from(&now.origins);
        next.zone.clone_from(&now.zone);
        next.workers = now.workers;
        next.session_kbit_per_second = now.session_kbit_per_second;
        next.session_burst = now.session_burst;
        next.handover.clone_from(&now.handover);
    }

    fn put_in_force(&self, next: &Config) -> Result<(), Mistakes> {
        self.0.reload(&next.edge, &next.tls, &next.applications)
    }
}

async fn serve(
    layers: impl Fn() -> Layers + Send + 'static,
    config: Config,
    log: Log,
    identity: Identity,
    mut before: Option<Predecessor>,
) -> Result<(), Failure> {
    let mut stops = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let (depart, departing) = departure::channel();
    let depart = Arc::new(depart);
    let mut registry = node::registry();
    let (inherited, admin, own) = match &mut before {
        Some(before) => (mem::take(&mut before.clients), before.admin.take(), None),
        None => {
            let own = Replaceable::open(&config, &identity.peer().name)?;
            (system::listeners()?, None, own)
        }
    };
    // All that can fail comes before the first client.
    let (address, guard) = admin_of(&config)?;
    let admin = match admin {
        Some(socket) if replace::is_at(&socket, address) => {
            admin::Admin::adopt(socket, guard.clone())?
        }
        _ => admin::Admin::bind(address, guard.clone()).await?,
    };
    let admin_socket = admin.socket()?;
    let name = identity.peer().name.clone();
    let start = tributary_edge::Start {
        config: config.edge.clone(),
        tls: config.tls.clone(),
        identity,
        epoch: node::epoch(),
        applications: config.applications.clone(),
        inherited,
        replaces: before.is_some(),
    };
    let leaving = Leaving {
        departing: departing.clone(),
        drain: watch,
    };
    let mut edge = tributary_edge::start(start, &mut registry, leaving)?;
    let before = before.zip(edge.taking());
    let mut addresses = node::client_addresses(&edge);
    addresses.push(("admin", admin.address()?));
    let ready: Ready = Arc::new(edge.ready());
    let reload = Reload::new(layers, config, log, EdgeSettings(edge.reloader()));
    reload.at_hangup()?;
    let routes = edge.routes().merge(reload.route(&guard)).merge(drain_route(
        &guard,
        Arc::clone(&depart),
        reload.clone(),
    ));
    let (admin_end, admin_watch) = drain::channel();
    let admin = admin.with_routes(routes);
    let (begun, begins) = oneshot::channel::<()>();
    let served = tokio::spawn({
        let ready = Arc::clone(&ready);
        async move {
            // Without a begin the process ends.
            if begins.await.is_ok() {
                admin.serve(registry, ready, admin_watch).await;
            }
        }
    });
    node::print_listening(&addresses)?;

    let is_main = Arc::new(AtomicBool::new(before.is_none()));
    let admin_end = Arc::new(admin_end);
    let shares = Shares {
        name,
        clients: edge.live_clients(),
        sockets: edge.sockets(),
        admin: admin_socket,
        admin_end: Arc::clone(&admin_end),
        depart: Arc::clone(&depart),
        departing,
        reload: reload.clone(),
        is_main: Arc::clone(&is_main),
    };
    let is_stopped = Arc::new(AtomicBool::new(false));
    let departs = tokio::select! {
        stop = stops.next() => stop == drain::Stop::Terminate,
        _ = edge.departs() => true,
        error = begin(before, own, begun, &ready, shares, &is_stopped) => return Err(error),
    };
    is_stopped.store(true, Ordering::Release);
    if is_main.load(Ordering::Relaxed) {
        system::stopping();
    }
    if departs {
        let departure = depart.begin(departure(&reload, None));
        until_left(&edge, departure, &mut stops).await;
    }
    tracing::info!("stopping");
    signal.begin();
    admin_end.begin();
    let owed = edge.owed_hooks();
    node::within(LAST, async {
        edge.finished().await;
        let _ = served.await;
    })
    .await;
    owed.note_lost();
    Ok(())
}

/// The parts of an edge that another process takes over.
struct Shares {
    name: String,
    clients: LiveClients,
    sockets: ClientSockets,
    admin: OwnedFd,
    admin_end: Arc<drain::Signal>,
    depart: Arc<Depart>,
    departing: Departing,
    reload: Reload,
    /// Whether this is the process that the service manager watches.
    is_main: Arc<AtomicBool>,
}

impl Offered for Shares {
    fn name(&self) -> &str {
        &self.name
    }

    fn listeners(&self) -> Result<Vec<InheritedListener>, String> {
        match self.departing.now() {
            Some(_) => Err("the edge leaves".to_owned()),
            None => self.sockets.share().map_err(|error| error.to_string()),
        }
    }

    fn admin(&self) -> &OwnedFd {
        &self.admin
    }

    fn clients(&self) -> LiveClients {
        self.clients.clone()
    }

    /// This process accepts no more clients, and leaves without a linger.
    fn taken(&self) {
        tracing::info!("another process serves in place of this one");
        self.is_main.store(false, Ordering::Relaxed);
        self.sockets.close();
        self.admin_end.begin();
        let (_, deadline) = drain_times(&self.reload);
        let departure = Departure::new(Instant::now(), REPLACED, deadline);
        self.depart.begin(departure);
    }
}

/// The address of the admin server, and its guard.
fn admin_of(config: &Config) -> Result<(SocketAddr, Guard), Failure> {
    let address = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let guard = config.admin.guard(address, config.admin.token()?)?;
    Ok((address, guard))
}

/// Begins to serve, and offers the edge to the next process: at once without a process before this
/// one, else once that process has given its clients or there is a link. Ends only with an error,
/// after which this process must not serve.
async fn begin(
    before: Option<(Predecessor, Taking)>,
    own: Option<Replaceable>,
    admin: oneshot::Sender<()>,
    ready: &Ready,
    shares: Shares,
    is_stopped: &Arc<AtomicBool>,
) -> Failure {
    let own = match before {
        None => {
            let _ = admin.send(());
            // Without a link it serves as well: clients wait for one.
            await_link(ready, FIRST_LINK).await;
            system::ready();
            own
        }
        Some((before, taking)) => match replace(before, taking, ready, is_stopped).await {
            Ok(own) => {
                shares.sockets.accept();
                let _ = admin.send(());
                shares.is_main.store(true, Ordering::Relaxed);
                system::replaced();
                own
            }
            Err(error) => return error,
        },
    };
    if let Some(own) = own
        && let Err(error) = own.offer(shares)
    {
        tracing::error!(%error, "this edge cannot be replaced while it serves");
    }
    pending().await
}

/// Takes the place of the running edge. Returns the socket for the next replacement.
async fn replace(
    before: Predecessor,
    mut taking: Taking,
    ready: &Ready,
    is_stopped: &Arc<AtomicBool>,
) -> Result<Option<Replaceable>, Failure> {
    let reaches = if before.is_live() {
        taking.reaches_an_origin(REPLACES_WITHIN).await
    } else {
        // The links of the running edge stay with its clients.
        taking.begin_links();
        await_link(ready, REPLACES_WITHIN).await
    };
    if !reaches {
        return Err("--replace: no origin can be reached; the running edge goes on".into());
    }
    let is_stopped = Arc::clone(is_stopped);
    let confirmed = spawn_blocking(move || {
        let confirmed = before.confirm(&taking, &is_stopped)?;
        Ok((confirmed, taking))
    });
    let failed = |error: HandoverError| -> Failure { format!("--replace: {error}").into() };
    let (confirmed, taking) = confirmed.await?.map_err(failed)?;
    let thread = std::thread::Builder::new().name("following".to_owned());
    let Confirmed { own, following } = confirmed;
    if let Err(error) = thread.spawn(move || following.run(&taking)) {
        // The edge before this one has left: the clients that have come are served.
        tracing::error!(%error, "clients that were connecting are lost");
    }
    Ok(own)
}

/// Waits for a link; `false` if there is none in time.
async fn await_link(ready: &Ready, within: Duration) -> bool {
    let linked = async {
        while ready().is_err() {
            sleep(LOOK).await;
        }
    };
    timeout(within, linked).await.is_ok()
}

/// A departure that begins now, with this deadline or the one of the configuration.
fn departure(reload: &Reload, deadline: Option<Duration>) -> Departure {
    let (linger, usual) = drain_times(reload);
    Departure::new(Instant::now(), linger, deadline.unwrap_or(usual))
}

/// The linger and the deadline of the configuration.
fn drain_times(reload: &Reload) -> (Duration, Duration) {
    reload.read(|config| {
        let edge = &config.edge;
        (edge.drain_linger.get(), edge.drain_deadline.get())
    })
}

/// The settings of a request to leave.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DrainRequest {
    /// The time until the last sessions end, in place of `edge.drain_deadline`.
    deadline: Option<config::Duration>,
}

/// The times of the departure that is under way.
#[derive(Debug, Serialize)]
struct DrainAnswer {
    accepts_for_s: f64,
    ends_after_s: f64,
}

/// `POST /api/drain`.
fn drain_route(guard: &Guard, depart: Arc<Depart>, reload: Reload) -> Routes {
    admin::command("/api/drain", guard, move |asked: DrainRequest| {
        let deadline = asked.deadline.map(|it| it.get());
        let departure = depart.begin(departure(&reload, deadline));
        async move {
            Ok(DrainAnswer {
                accepts_for_s: seconds(departure.listens_until),
                ends_after_s: seconds(departure.deadline),
            })
        }
    })
}

fn seconds(until: Instant) -> f64 {
    until
        .saturating_duration_since(Instant::now())
        .as_secs_f64()
}

/// Waits for the end of a departure: its deadline, the last client and done-hook after the linger, or
/// a second signal.
async fn until_left(edge: &Running, departure: Departure, stops: &mut drain::Stops) {
    tracing::info!(
        accepts_for_s = seconds(departure.listens_until),
        ends_after_s = seconds(departure.deadline),
        "leaving; a second signal ends it at once"
    );
    let all_gone = async {
        sleep_until(departure.listens_until.into()).await;
        edge.empty().await;
    };
    tokio::select! {
        () = all_gone => {}
        () = sleep_until(departure.deadline.into()) => {}
        _ = stops.next() => {}
    }
}
