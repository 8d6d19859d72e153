//! Feeds that go on over one link after another.

use std::time::Duration;

use tokio::sync::watch;

use super::metrics::{LinkCounts, PeerLabel};
use crate::{
    feed::{FeedEnd, FeedSource, FeedWriter},
    metrics::Counted,
    transport::Link,
};

/// The driver of a feed that outlives its links.
pub trait LastingFeed {
    type Source: FeedSource;

    fn source(&self) -> &Self::Source;

    /// Whether the feed goes on, asked before each wait for a link and before each link is used.
    fn goes_on(&self, is_linked: bool) -> bool;

    /// The writer, made for the first link.
    fn begin(&self) -> FeedWriter;

    /// Prepares the writer for a further link.
    fn resume(&self, _writer: &mut FeedWriter) {}

    /// The epoch of the next feed, higher than any before.
    fn next_epoch(&self) -> u64;

    /// The pause before a feed that the peer refused is begun again; `None` if it ends.
    fn pause_after_refusal(&self) -> Option<Duration>;
}

/// Writes a feed over the links of `links` until its source is finished, or it does not go on.
pub async fn keep_feed<P: PeerLabel>(
    feed: &impl LastingFeed,
    mut links: watch::Receiver<Option<Link>>,
    counts: &LinkCounts<P>,
) {
    let _counted = Counted::new(&counts.feeds_out);
    let mut writer: Option<FeedWriter> = None;
    loop {
        let changed = feed.source().changed();
        let link = links.borrow_and_update().clone();
        let link = link.filter(|link| !link.is_closed());
        if !feed.goes_on(link.is_some()) {
            return;
        }
        let Some(link) = link else {
            tokio::select! {
                next = links.changed() => if next.is_err() { return },
                () = changed => {}
            }
            continue;
        };
        let writer = match &mut writer {
            Some(writer) => {
                feed.resume(writer);
                writer
            }
            None => writer.insert(feed.begin()),
        };
        let end = writer.run(&link, feed.source(), || feed.next_epoch()).await;
        counts.feeds_reset.inc_by(writer.take_resets());
        match end {
            FeedEnd::Finished => return,
            FeedEnd::Refused => match feed.pause_after_refusal() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return,
            },
            FeedEnd::Link(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
