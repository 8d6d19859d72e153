//! A look whether an origin can be reached, before links of another process are taken over.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tributary_node::{
    tls::Identity,
    transport::{CloseCode, Endpoint, Link, LinkError},
};

use super::config::{LinkConfig, OriginAddress};

/// The time in which an origin answers.
const DIAL: Duration = Duration::from_millis(1500);

/// The pause between two looks at all origins.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits until one of the origins can be reached by this edge: its certificate and ours are accepted.
/// No greeting follows, so that a link of this edge's name goes on.
pub(super) async fn reach_one(config: &LinkConfig) {
    loop {
        let mut looks = JoinSet::new();
        for origin in &config.origins {
            let (identity, origin) = (config.identity.clone(), origin.clone());
            looks.spawn_local(async move {
                let connected = connect(&identity, &origin).await;
                let (link, endpoint) = connected.inspect_err(|error| {
                    tracing::warn!(%origin, %error, "no origin there");
                })?;
                link.close(CloseCode::Shutdown);
                endpoint.close().await;
                Ok::<_, LinkError>(())
            });
        }
        while let Some(look) = looks.join_next().await {
            if matches!(look, Ok(Ok(()))) {
                return;
            }
        }
        sleep(AGAIN).await;
    }
}

/// Connects to an origin, whose certificate has its name. The endpoint keeps the link's socket.
pub(super) async fn connect(
    identity: &Identity,
    origin: &OriginAddress,
) -> Result<(Link, Endpoint), LinkError> {
    let address = resolve(&origin.address).await?;
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = Endpoint::dialling(identity, any)
        .map_err(|error| LinkError::Transport(error.to_string()))?;
    let link = timeout(DIAL, endpoint.connect(address))
        .await
        .map_err(|_| LinkError::TimedOut)??;
    if let Some(name) = &origin.name
        && !link.peer().answers_to(name)
    {
        let why = format!(
            "its certificate is for `{}`, not `{name}`",
            link.peer().name
        );
        return Err(LinkError::Refused(why));
    }
    Ok((link, endpoint))
}

async fn resolve(address: &str) -> Result<SocketAddr, LinkError> {
    let unknown = |why: String| LinkError::Transport(format!("{address}: {why}"));
    let mut found = tokio::net::lookup_host(address)
        .await
        .map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("no address".into()))
}
