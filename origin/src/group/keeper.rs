//! Keeps a group alive, and its application started, whether or not it has clients: its pulls run as
//! long as the origin.

use std::sync::{Arc, Weak};

use tokio::{sync::oneshot, time::sleep};
use tributary_protocol::GroupName;

use super::{actor::now, handle::GroupHandle, mailbox::Item, open_refused::OpenRefused};
use crate::exchange;

/// The table of groups, for a keeper.
pub(super) trait Keeps: Send + Sync {
    /// The group of this name, started if it does not run.
    fn keep(self: Arc<Self>, name: &GroupName) -> Result<GroupHandle, OpenRefused>;
}

/// Keeps a group alive until the groups end.
pub(super) async fn keep<K: Keeps>(groups: Weak<K>, name: GroupName) {
    // An application may come with its first deployment, and a failed one is started a few times in
    // five minutes only.
    let mut backoff = exchange::backoff();
    loop {
        let Some(table) = groups.upgrade() else {
            return;
        };
        match table.keep(&name) {
            Ok(group) => {
                let (token, over) = oneshot::channel();
                let _ = group.lease.mailbox.push_final(Item::Keep(token));
                backoff.began(now());
                // The application ends the wait with its own end.
                let _ = over.await;
            }
            Err(OpenRefused::Shutdown) => return,
            Err(refused) => {
                tracing::debug!(group = %name, ?refused, "a group with pulls does not start");
            }
        }
        let wait = backoff.ended(now(), &mut rand::rng());
        sleep(wait).await;
    }
}
