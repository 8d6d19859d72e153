//! A look whether an origin can be reached, before links of another process are taken over.

use std::time::Duration;

use tokio::{task::JoinSet, time::sleep};
use tributary_node::{
    link::connect,
    transport::{CloseCode, LinkError},
};

use super::config::LinkConfig;

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
