//! Feeds that carry the publishes of this edge's clients to an origin.

use std::{cell::Cell, rc::Rc, time::Duration};

use tributary_node::{
    feed::{FeedSource, FeedWriter, Publications},
    link::{LastingFeed, keep_feed},
};
use tributary_protocol::link::Target;

use super::{metrics::LinkMetrics, origin::Origin, publish::PublishSource};

/// The feed of one accepted publish.
struct Outgoing {
    origin: Rc<Origin>,
    /// The process that has accepted the publish.
    process: u64,
    target: Target,
    source: PublishSource,
    /// The epoch of the newest feed.
    epoch: Cell<u64>,
}

/// Carries a publish over its origin's links until it is finished or refused.
pub(super) async fn run(
    metrics: LinkMetrics,
    origin: Rc<Origin>,
    target: Target,
    source: PublishSource,
) {
    let links = origin.links();
    let feed = Outgoing {
        process: origin.process(),
        origin,
        target,
        source,
        epoch: Cell::default(),
    };
    keep_feed(&feed, links, &metrics).await;
}

impl LastingFeed for Outgoing {
    type Source = PublishSource;

    fn source(&self) -> &PublishSource {
        &self.source
    }

    fn goes_on(&self, is_linked: bool) -> bool {
        self.origin.process() == self.process && (is_linked || !self.source.is_finished())
    }

    fn begin(&self) -> FeedWriter {
        let (target, cursor) = (&self.target, self.source.cursor);
        FeedWriter::new(target.live, target.writer, cursor, Publications::One)
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    fn pause_after_refusal(&self) -> Option<Duration> {
        None
    }
}
