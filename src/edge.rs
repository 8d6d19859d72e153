//! `tributary edge`

use std::{path::PathBuf, sync::Arc};

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

/// Runs an edge until a signal stops it.
pub(crate) fn run(args: &EdgeArgs) -> Result<(), Failure> {
    let config: Config = args.edge.layer(args.flags.layers()).read()?;
    let _log = tributary_node::log::start(&config.log);
    let identity = node::identity(args.cert.as_deref(), Role::Edge)?;
    node::block_on(serve(config, identity))?
}

async fn serve(config: Config, identity: Identity) -> Result<(), Failure> {
    let stopped = drain::terminated()?;
    let (signal, watch) = drain::channel();
    let mut registry = node::registry();
    let start = tributary_edge::Start {
        config: config.edge,
        tls: config.tls,
        identity,
        epoch: node::epoch(),
        applications: config.applications,
    };
    let edge = tributary_edge::start(start, &mut registry, watch.clone())?;
    let admin = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let ready = Arc::new(edge.ready());
    let (admin, served) =
        node::serve_admin(admin, edge.routes(), None, registry, ready, watch).await?;
    let mut addresses = node::client_addresses(&edge);
    addresses.push(("admin", admin));
    node::print_listening(&addresses)?;
    node::until_stopped(stopped, &signal).await;
    node::within_stop(async {
        edge.finished().await;
        let _ = served.await;
    })
    .await;
    Ok(())
}
