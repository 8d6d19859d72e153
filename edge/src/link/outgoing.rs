//! Feeds that leave: media that clients of this edge publish.

use std::rc::Rc;

use tributary_node::feed::{FeedEnd, FeedSource, FeedWriter, Publications};
use tributary_protocol::link::Target;

use super::{metrics::Counted, origin::Origin, publish::PublishSource, shared::Shared};

/// Carries a publish over its origin's links until it is finished or refused.
pub(super) async fn run(
    shared: Rc<Shared>,
    origin: Rc<Origin>,
    target: Target,
    source: PublishSource,
) {
    let process = origin.process();
    let mut feed = FeedWriter::new(target.live, target.writer, source.cursor, Publications::One);
    let mut links = origin.links();
    let mut epoch = 0;
    let _counted = Counted::new(&shared.metrics.feeds_out);
    loop {
        let changed = source.changed();
        let link = links.borrow_and_update().clone();
        let Some(link) = link.filter(|link| !link.is_closed()) else {
            if source.is_finished() || origin.process() != process {
                break;
            }
            tokio::select! {
                _ = links.changed() => {}
                () = changed => {}
            }
            continue;
        };
        if origin.process() != process {
            break;
        }
        let next = || {
            epoch += 1;
            epoch
        };
        let end = feed.run(&link, &source, next).await;
        shared.metrics.feeds_reset.inc_by(feed.take_resets());
        match end {
            FeedEnd::Finished | FeedEnd::Refused => break,
            FeedEnd::Link(_) => {}
        }
    }
}
