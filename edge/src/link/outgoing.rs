//! Feeds that carry the publishes of this edge's clients to an origin.

use std::{pin::pin, rc::Rc, time::Duration};

use super::{origin::Origin, publish::PublishSource, shared::Shared};
use tributary_node::{
    feed::{FeedSource, FeedWriter, Publications},
    link::{LastingFeed, keep_feed},
};

/// The feed of one accepted publish.
struct Outgoing {
    origin: Rc<Origin>,
    source: PublishSource,
}

/// Carries a publish over its origin's links until it is finished or refused.
pub(super) async fn run(shared: Rc<Shared>, origin: Rc<Origin>, source: PublishSource) {
    let links = origin.links();
    let feed = Outgoing { origin, source };
    let mut kept = pin!(keep_feed(&feed, links, &shared.metrics));
    tokio::select! {
        biased;
        () = shared.stages.left() => {}
        () = &mut kept => return,
    }
    // A stream that is dropped would be finished, and the origin would end the publish. Without its
    // link it is not.
    feed.origin.unlinked().await;
}

impl LastingFeed for Outgoing {
    type Source = PublishSource;

    fn source(&self) -> &PublishSource {
        &self.source
    }

    fn goes_on(&self, is_linked: bool) -> bool {
        self.origin.process() == self.source.publish().process
            && (is_linked || !self.source.is_finished())
    }

    fn begin(&self) -> FeedWriter {
        let (target, cursor) = (self.source.publish().target, self.source.cursor);
        let begin = match self.source.is_moved {
            true => FeedWriter::continued,
            false => FeedWriter::new,
        };
        begin(target.live, target.writer, cursor, Publications::One)
    }

    fn next_epoch(&self) -> u64 {
        self.source.next_epoch()
    }

    fn pause_after_refusal(&self) -> Option<Duration> {
        None
    }
}
