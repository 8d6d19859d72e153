//! `tributary edge`

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;
use tributary_edge::{
    Running,
    departure::{self, Departure},
    run::Leaving,
};
use tributary_node::{
    drain,
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
        departing,
        drain: watch.clone(),
    };
    let edge = tributary_edge::start(start, &mut registry, leaving)?;
    let admin = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let ready = Arc::new(edge.ready());
    let (admin, served) =
        node::serve_admin(admin, edge.routes(), None, registry, ready, watch).await?;
    let mut addresses = node::client_addresses(&edge);
    addresses.push(("admin", admin));
    node::print_listening(&addresses)?;
    if stops.next().await == drain::Stop::Terminate {
        let departure = Departure::new(Instant::now(), linger.get(), deadline.get());
        depart.begin(departure);
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
