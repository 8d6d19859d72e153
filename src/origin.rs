//! `tributary origin`

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tributary_node::{
    drain,
    tls::{Identity, Role},
};

use crate::{
    config::{Admin, Config, Flags},
    node::{self, Failure},
};

/// The tier that holds applications, groups and live streams.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where edges dial, UDP; port 0 takes any free port
    #[arg(long, value_name = "ADDR")]
    link: Option<SocketAddr>,
    /// The node's certificate, as `tributary cert issue --role origin` made it
    #[arg(long, value_name = "DIR")]
    cert: PathBuf,
    #[command(flatten)]
    origin: tributary_origin::Flags,
    #[command(flatten)]
    flags: Flags,
}

/// Runs an origin until it is told to stop.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let layers = args
        .origin
        .layer(args.flags.layers())
        .flag("--link", "origin.link", args.link);
    let config: Config = layers.read()?;
    let _log = tributary_node::log::start(&config.log);
    let identity = Identity::load(&args.cert)?.require(Role::Origin)?;
    node::block_on(serve(config, identity))?
}

async fn serve(config: Config, identity: Identity) -> Result<(), Failure> {
    let stopped = drain::terminated()?;
    let (signal, watch) = drain::channel();
    let mut registry = node::registry();
    let admin = config.admin.address.unwrap_or_else(|| Admin::ORIGIN.into());
    let start = tributary_origin::Start {
        config: config.origin,
        identity,
        epoch: node::epoch(),
        applications: config.applications,
    };
    let origin = tributary_origin::start(start, &mut registry, watch.clone())?;
    let (admin, served) = node::serve_admin(admin, registry, Arc::new(|| Ok(())), watch).await?;
    node::print_listening(&[("link", origin.address()), ("admin", admin)])?;
    node::until_stopped(stopped, &signal).await;
    node::within_stop(async {
        let _ = tokio::task::spawn_blocking(move || origin.join()).await;
        let _ = served.await;
    })
    .await;
    Ok(())
}
