//! `tributary edge`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::time::{sleep, sleep_until, timeout};
use tributary_edge::{
    Reloader, Running,
    departure::{self, Depart, Departure},
    run::Leaving,
};
use tributary_node::{
    admin::{self, Guard, Routes},
    config::{self, Layers, Mistakes},
    drain,
    log::Log,
    tls::{Identity, Role},
};

use crate::{
    config::{Admin, Config, Flags},
    node::{self, Failure},
    reload::{Adjustable, Reload},
    system,
};

/// The tier that clients connect to.
#[derive(clap::Args)]
pub(crate) struct EdgeArgs {
    /// The node's certificate, as `tributary cert issue --role edge` made it; always needed
    #[arg(long, value_name = "DIR")]
    cert: Option<PathBuf>,
    #[command(flatten)]
    edge: tributary_edge::Flags,
    #[command(flatten)]
    flags: Flags,
}

/// The longest wait for a link before the service manager hears that the edge serves. Reason: an
/// origin that is down must not hold up the start of other units.
const FIRST_LINK: Duration = Duration::from_secs(3);

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
    let identity = node::identity(args.cert.as_deref(), Role::Edge)?;
    node::block_on(serve(layers, config, log, identity))?
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
) -> Result<(), Failure> {
    let mut stops = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let (depart, departing) = departure::channel();
    let depart = Arc::new(depart);
    let mut registry = node::registry();
    let start = tributary_edge::Start {
        config: config.edge.clone(),
        tls: config.tls.clone(),
        identity,
        epoch: node::epoch(),
        applications: config.applications.clone(),
        inherited: system::listeners()?,
    };
    let leaving = Leaving {
        departing: departing.clone(),
        drain: watch.clone(),
    };
    let edge = tributary_edge::start(start, &mut registry, leaving)?;
    let admin = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let guard = config.admin.guard(admin, config.admin.token()?)?;
    let ready = Arc::new(edge.ready());
    let ready_soon = Arc::clone(&ready);
    let reload = Reload::new(layers, config, log, EdgeSettings(edge.reloader()));
    reload.at_hangup()?;
    let routes = edge.routes().merge(reload.route(&guard)).merge(drain_route(
        &guard,
        Arc::clone(&depart),
        reload.clone(),
    ));
    let (admin, served) =
        node::serve_admin((admin, guard), routes, None, registry, ready, watch).await?;
    let mut addresses = node::client_addresses(&edge);
    addresses.push(("admin", admin));
    node::print_listening(&addresses)?;
    tokio::spawn(async move {
        await_links(&*ready_soon).await;
        system::ready();
    });
    let departs = tokio::select! {
        stop = stops.next() => stop == drain::Stop::Terminate,
        _ = departing.begun() => true,
    };
    system::stopping();
    if departs {
        let departure = depart.begin(departure(&reload, None));
        until_left(&edge, departure, &mut stops).await;
    }
    tracing::info!("stopping");
    signal.begin();
    let owed = edge.owed_hooks();
    node::within(LAST, async {
        edge.finished().await;
        let _ = served.await;
    })
    .await;
    owed.note_lost();
    Ok(())
}

/// Waits until the edge has a link, within [`FIRST_LINK`].
async fn await_links(ready: &(impl Fn() -> Result<(), String> + ?Sized)) {
    let linked = async {
        while ready().is_err() {
            sleep(LOOK).await;
        }
    };
    // Without a link it serves as well: clients wait for one.
    let _ = timeout(FIRST_LINK, linked).await;
}

/// A departure that begins now, with this deadline or the one of the configuration.
fn departure(reload: &Reload, deadline: Option<Duration>) -> Departure {
    let (linger, usual) = reload.read(|config| {
        let edge = &config.edge;
        (edge.drain_linger.get(), edge.drain_deadline.get())
    });
    Departure::new(Instant::now(), linger, deadline.unwrap_or(usual))
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
