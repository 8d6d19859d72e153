//! `tributary dev`

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use tributary_node::{
    cert,
    config::{Application, Layers, PublishFrom, address},
    drain,
};
use tributary_origin::app::Applications;

use crate::{
    config::{Admin, Config, Flags},
    node::{self, Failure},
};

/// Origin and edge in one process, joined by a link over loopback with certificates that last as
/// long as it.
#[derive(clap::Args)]
pub(crate) struct DevArgs {
    /// The address for RTMP clients; port 0 takes any free port [default: 127.0.0.1:1935]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    rtmp: Option<SocketAddr>,
    /// Do not publish the bundled clip as live/sample
    #[arg(long)]
    no_sample: bool,
    #[command(flatten)]
    origin: tributary_origin::Flags,
    #[command(flatten)]
    flags: Flags,
}

/// The default address for RTMP clients.
const RTMP: &str = "127.0.0.1:1935";

/// The default directory for data that outlasts `dev`.
pub(crate) const DATA: &str = "./tributary-data";

/// The default directory of applications; `dev` makes it, so that an application that is put there
/// later is found.
const APPS: &str = "./applications";

/// Runs both tiers until a signal stops them.
pub(crate) fn run(args: &DevArgs) -> Result<(), Failure> {
    // A setting of the file or the environment wins over these; a flag wins over all.
    let defaults = Layers::new()
        .flag("default", "edge.rtmp", Some(RTMP))
        .flag("default", "origin.data", Some(DATA))
        .flag("default", "origin.apps", Some(APPS));
    let layers =
        args.origin
            .layer(args.flags.layers_over(defaults))
            .flag("--rtmp", "edge.rtmp", args.rtmp);
    let mut config: Config = layers.read()?;
    let _log = tributary_node::log::start(&config.log);
    if config.origin.apps.as_deref() == Some(Path::new(APPS)) {
        // A failure shows when the directory is read, which reports it.
        let _ = std::fs::create_dir_all(APPS);
    }
    open_for_publishers(&mut config.applications);
    node::block_on(serve(config, !args.no_sample))?
}

/// A trial on one machine needs no token, unless the configuration requires one.
fn open_for_publishers(applications: &mut BTreeMap<String, Application>) {
    let open = Application {
        publish_from: PublishFrom::Anywhere,
        ..Application::default()
    };
    applications
        .entry(tributary_origin::LIVE.to_owned())
        .or_insert(open);
}

async fn serve(mut config: Config, sample: bool) -> Result<(), Failure> {
    let stopped = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let mut registry = node::registry();
    let identities = cert::temporary()?;
    let (data, apps) = (config.origin.data.clone(), config.origin.apps.clone());
    config.origin.link = SocketAddr::from(([127, 0, 0, 1], 0));
    let token = config.admin.token()?;
    let start = tributary_origin::Start {
        config: config.origin,
        identity: identities.origin,
        epoch: node::epoch(),
        applications: config.applications.clone(),
        own: Applications::new(),
        loader: tributary_script::loader(),
        token: token.clone(),
        cluster: config.cluster.clone(),
    };
    let origin = tributary_origin::start(start, &mut registry, watch.clone())?;
    config.edge.origins = vec![format!("origin@{}", origin.address())];
    let start = tributary_edge::Start {
        config: config.edge,
        tls: config.tls,
        identity: identities.edge,
        epoch: node::epoch(),
        applications: config.applications,
        inherited: Vec::new(),
        replaces: false,
    };
    let edge = tributary_edge::start(start, &mut registry, watch.clone())?;
    let admin = config.admin.address.unwrap_or_else(|| Admin::EDGE.into());
    let guard = config
        .admin
        .guard(admin, node::token(token, data.as_deref())?)?;
    let ready = Arc::new(edge.ready());
    let routes = origin.api().merge(edge.routes());
    let (admin, served) = node::serve_admin(
        (admin, guard),
        routes,
        data.as_deref(),
        registry,
        ready,
        watch,
    )
    .await?;
    let mut addresses = node::client_addresses(&edge);
    // `edge.rtmp` has a default here, and its listener is the first one.
    let rtmp = addresses[0].1;
    addresses.extend([("link", origin.address()), ("admin", admin)]);
    node::print_listening(&addresses)?;
    print_lines(rtmp, apps.as_deref(), data.as_deref(), sample);
    let sample = sample.then(|| tokio::spawn(crate::sample::publish(rtmp)));
    node::until_stopped(stopped, &signal).await;
    if let Some(sample) = sample {
        sample.abort();
    }
    let owed = edge.owed_hooks();
    node::within(node::STOP, async {
        edge.finished().await;
        let _ = tokio::task::spawn_blocking(move || origin.join()).await;
        let _ = served.await;
    })
    .await;
    owed.note_lost();
    Ok(())
}

/// Prints commands to try first, ready to be pasted.
fn print_lines(rtmp: SocketAddr, apps: Option<&Path>, data: Option<&Path>, sample: bool) {
    let host = if rtmp.ip().is_unspecified() {
        format!("127.0.0.1:{}", rtmp.port())
    } else {
        rtmp.to_string()
    };
    println!();
    if sample {
        println!("watch the bundled clip:   ffplay rtmp://{host}/live/sample");
        println!("              or in VLC:   vlc rtmp://{host}/live/sample");
    }
    println!(
        "publish a test picture:   ffmpeg -re -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine \
         -c:v libx264 -preset veryfast -g 60 -pix_fmt yuv420p -c:a aac -f flv rtmp://{host}/live/test"
    );
    println!("and watch it:             ffplay rtmp://{host}/live/test");
    if let Some(apps) = apps {
        println!("applications go to:       {}/NAME/main.asc", apps.display());
    }
    if let Some(data) = data {
        println!("data:                     {}", data.display());
    }
}
