//! A server with an application of its own, written in Rust: origin and edge in one process.
//!
//! ```sh
//! cargo run --example poll -- 127.0.0.1:1935
//! ```
//!
//! Clients connect to `rtmp://127.0.0.1/poll/INSTANCE` with their name. [`poll::Poll`] lists the
//! methods that clients call, and those that they are called by. In production the two tiers are
//! two programs on two machines, with certificates from `tributary cert`; see
//! `docs/architecture.md`.

mod poll;

use std::{collections::BTreeMap, error::Error, net::SocketAddr, sync::Arc};

use tributary_node::{cert, config, drain};
use tributary_origin::{app::Applications, deploy};

fn main() -> Result<(), Box<dyn Error>> {
    let rtmp: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 1935)),
    };
    let _log = tributary_node::log::start(&tributary_node::log::Config::default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(serve(rtmp))
}

async fn serve(rtmp: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut stops = drain::Stops::new()?;
    let (signal, watch) = drain::channel();
    let mut metrics = tributary_node::metrics::registry(env!("CARGO_PKG_VERSION"));
    // Certificates that last as long as this process, for the link between the two tiers.
    let identities = cert::temporary()?;

    let mut own = Applications::new();
    let settings = config::Application::default();
    own.add(
        "poll",
        settings.clone(),
        |_| Box::new(poll::Poll::default()),
    );
    let applications = BTreeMap::from([("poll".to_owned(), settings)]);

    let origin = tributary_origin::Start {
        config: tributary_origin::Config {
            link: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..tributary_origin::Config::default()
        },
        identity: identities.origin,
        epoch: rand::random(),
        applications: applications.clone(),
        own,
        loader: Arc::new(deploy::NoLoader),
        token: None,
        cluster: None,
    };
    let origin = tributary_origin::start(origin, &mut metrics, watch.clone())?;

    let edge = tributary_edge::Start {
        config: tributary_edge::Config {
            rtmp: Some(rtmp),
            origins: vec![format!("origin@{}", origin.address())],
            ..tributary_edge::Config::default()
        },
        tls: BTreeMap::new(),
        identity: identities.edge,
        epoch: rand::random(),
        applications,
        inherited: Vec::new(),
        replaces: false,
    };
    let edge = tributary_edge::start(edge, &mut metrics, watch)?;
    for (protocol, address) in edge.listening() {
        println!("listening {}={address}", protocol.name());
    }

    stops.next().await;
    signal.begin();
    edge.finished().await;
    tokio::task::spawn_blocking(move || origin.join()).await?;
    Ok(())
}
