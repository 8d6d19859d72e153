//! `tributary edge`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::time::sleep_until;
use tributary_edge::{
    Running,
    departure::{self, Depart, Departure},
    run::Leaving,
};
use tributary_node::{
    admin::{self, Guard, Routes},
    config, drain,
    tls::{Identity, Role},
};

use crate::{
    config::{Admin, Config, Flags},
    node::{self, Failure},
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

/// The time for all parts to end after the deadline.
const LAST: Duration = Duration::from_secs(3);

/// Runs an edge until a signal stops it.
pub(crate) fn run(args: &EdgeArgs) -> Result<(), Failure> {
    let config: Config = args.edge.layer(args.flags.layers()).read()?;
    let _log = tributary_node::log::start(&config.log);
    let identity = node::identity(args.cert.as_deref(), Role::Edge)?;
    node::block_on(serve(config, identity))?
}

async fn serve(config: Config, identity: Identity) -> Result<(), Failure> {
    let mut stops = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let (depart, departing) = departure::channel();
    let depart = Arc::new(depart);
    let mut registry = node::registry();
    let (linger, deadline) = (config.edge.drain_linger, config.edge.drain_deadline);
    let start = tributary_edge::Start {
        config: config.edge,
        tls: config.tls,
        identity,
        epoch: node::epoch(),
        applications: config.applications,
    };
    let leaving = Leaving {
        departing: departing.clone(),
        drain: watch.clone(),
    };
    let edge = tributary_edge::start(start, &mut registry, leaving)?;
    let admin = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let guard = config.admin.guard(admin, config.admin.token()?)?;
    let ready = Arc::new(edge.ready());
    let times = Times {
        linger: linger.get(),
        deadline: deadline.get(),
    };
    let routes = edge
        .routes()
        .merge(drain_route(&guard, Arc::clone(&depart), times));
    let (admin, served) =
        node::serve_admin((admin, guard), routes, None, registry, ready, watch).await?;
    let mut addresses = node::client_addresses(&edge);
    addresses.push(("admin", admin));
    node::print_listening(&addresses)?;
    let departs = tokio::select! {
        stop = stops.next() => stop == drain::Stop::Terminate,
        _ = departing.begun() => true,
    };
    if departs {
        let departure = depart.begin(times.departure(None));
        until_left(&edge, departure, &mut stops).await;
    }
    tracing::info!("stopping");
    signal.begin();
    node::within(LAST, async {
        edge.finished().await;
        let _ = served.await;
    })
    .await;
    Ok(())
}

/// The times with which the edge leaves.
#[derive(Clone, Copy, Debug)]
struct Times {
    linger: Duration,
    deadline: Duration,
}

impl Times {
    /// A departure that begins now, with this deadline or the one of the configuration.
    fn departure(self, deadline: Option<Duration>) -> Departure {
        let deadline = deadline.unwrap_or(self.deadline);
        Departure::new(Instant::now(), self.linger, deadline)
    }
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
fn drain_route(guard: &Guard, depart: Arc<Depart>, times: Times) -> Routes {
    admin::command("/api/drain", guard, move |asked: DrainRequest| {
        let departure = depart.begin(times.departure(asked.deadline.map(|it| it.get())));
        async move {
            DrainAnswer {
                accepts_for_s: seconds(departure.listens_until),
                ends_after_s: seconds(departure.deadline),
            }
        }
    })
}

fn seconds(until: Instant) -> f64 {
    until
        .saturating_duration_since(Instant::now())
        .as_secs_f64()
}

/// Waits for the end of a departure: its deadline, the last client after the linger, or a second
/// signal.
async fn until_left(edge: &Running, departure: Departure, stops: &mut drain::Stops) {
    let seconds = |until: Instant| {
        until
            .saturating_duration_since(Instant::now())
            .as_secs_f64()
    };
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
