//! `tributary origin`

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tributary_node::{
    config::{Layers, Mistakes, address},
    drain,
    log::Log,
    tls::{Identity, Role},
};
use tributary_origin::{Reloader, app::Applications};

use crate::{
    config::{Admin, Config, Flags},
    node::{self, Failure},
    reload::{Adjustable, Reload},
    system,
};

/// The tier that holds applications, groups and live streams.
#[derive(clap::Args)]
pub(crate) struct OriginArgs {
    /// The address that edges dial, UDP; port 0 takes any free port
    #[arg(long, value_name = "ADDR", value_parser = address)]
    link: Option<SocketAddr>,
    /// The node's certificate, as `tributary cert issue --role origin` made it; always needed
    #[arg(long, value_name = "DIR")]
    cert: Option<PathBuf>,
    #[command(flatten)]
    origin: tributary_origin::Flags,
    #[command(flatten)]
    flags: Flags,
}

/// Runs an origin until a signal stops it.
pub(crate) fn run(args: &OriginArgs) -> Result<(), Failure> {
    let (origin, flags, link) = (args.origin.clone(), args.flags.clone(), args.link);
    let layers = move || {
        let layers = origin.layer(flags.layers());
        layers.flag("--link", "origin.link", link)
    };
    let config: Config = layers().read()?;
    let log = tributary_node::log::start(&config.log);
    let identity = node::identity(args.cert.as_deref(), Role::Origin)?;
    node::block_on(serve(layers, config, log, identity))?
}

/// The part of an origin that takes other settings.
struct OriginSettings(Reloader);

impl Adjustable for OriginSettings {
    fn ignore(&self, in_force: &Config, asked: &mut Config) {
        asked.edge = in_force.edge.clone();
        asked.tls = in_force.tls.clone();
    }

    fn keep(&self, in_force: &Config, next: &mut Config) {
        next.origin = in_force.origin.clone();
    }

    fn put_in_force(&self, next: &Config) -> Result<(), Mistakes> {
        self.0.reload(next.applications.clone())
    }
}

async fn serve(
    layers: impl Fn() -> Layers + Send + 'static,
    config: Config,
    log: Log,
    identity: Identity,
) -> Result<(), Failure> {
    let stopped = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let mut registry = node::registry();
    let address = config.admin.address.unwrap_or_else(|| Admin::ORIGIN.into());
    let data = config.origin.data.clone();
    let token = config.admin.token()?;
    let start = tributary_origin::Start {
        config: config.origin.clone(),
        identity,
        epoch: node::epoch(),
        applications: config.applications.clone(),
        own: Applications::new(),
        loader: tributary_script::loader(),
        token: token.clone(),
        cluster: config.cluster.clone(),
    };
    let origin = tributary_origin::start(start, &mut registry, watch.clone())?;
    let data = data.as_deref();
    let guard = config.admin.guard(address, node::token(token, data)?)?;
    let ready = Arc::new(|| Ok(()));
    let reload = Reload::new(layers, config, log, OriginSettings(origin.reloader()));
    reload.at_hangup()?;
    let routes = origin.api().merge(reload.route(&guard));
    let (admin, served) =
        node::serve_admin((address, guard), routes, data, registry, ready, watch).await?;
    node::print_listening(&[("link", origin.address()), ("admin", admin)])?;
    system::ready();
    node::until_stopped(stopped, &signal).await;
    system::stopping();
    node::within(node::STOP, async {
        let _ = tokio::task::spawn_blocking(move || origin.join()).await;
        let _ = served.await;
    })
    .await;
    Ok(())
}
