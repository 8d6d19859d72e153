//! Feeds of live streams that arrive for viewers of this edge.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Duration};

use tributary_node::{feed::FeedStream, transport::Link};
use tributary_protocol::link::{
    LiveId, features,
    feed::{Feed, FeedOpen},
};

use super::{metrics::Counted, origin::Origin, shared::Shared};

/// The newest epoch of each live stream on one link; an older feed is ignored.
type Epochs = Rc<RefCell<HashMap<LiveId, u64>>>;

/// The time in which a lane names the stream of a feed. Reason: both are on their way at the same time.
const NAMED: Duration = Duration::from_secs(1);

/// The longest media message a feed may carry, in bytes.
const MAX_MESSAGE: usize = 16 << 20;

/// Accepts the feeds of a link until it is gone.
pub(super) async fn accept(shared: Rc<Shared>, origin: Rc<Origin>, link: Link) {
    let epochs = Epochs::default();
    let mut tasks = tokio::task::JoinSet::new();
    while let Ok(recv) = link.accept_feed().await {
        while tasks.try_join_next().is_some() {}
        link.allow_feeds(tasks.len());
        let process = origin.process();
        let restores = origin.has(features::RESTORE);
        let (shared, link, epochs) = (Rc::clone(&shared), link.clone(), Rc::clone(&epochs));
        tasks.spawn_local(async move {
            let _counted = Counted::new(&shared.metrics.feeds_in);
            let feed = FeedStream::new(recv, MAX_MESSAGE);
            read(&shared, (process, restores), &link, &epochs, feed).await;
        });
    }
}

/// Waits until a lane has named the stream: it may go on with one that viewers have. A feed may be
/// faster than the lane.
async fn await_stream(shared: &Shared, process: u64, live: LiveId) {
    let named = async {
        loop {
            let progress = shared.progress.notified();
            if shared.streams.find(process, live).is_some() {
                return;
            }
            progress.await;
        }
    };
    let _ = tokio::time::timeout(NAMED, named).await;
}

/// Reads a feed of this process, which may take sessions of the one before.
async fn read(
    shared: &Shared,
    (process, restores): (u64, bool),
    link: &Link,
    epochs: &Epochs,
    mut feed: FeedStream,
) {
    let mut opened: Option<(FeedOpen, _, u64)> = None;
    loop {
        let next = feed.next().await;
        // While the links stand still, messages wait in the stream, as far as it has room.
        shared.stages.runs().await;
        match (next, &opened) {
            (Ok(Some(Feed::Open(open))), None) if is_newest(epochs, &open) => {
                if restores {
                    await_stream(shared, process, open.live).await;
                }
                let live = shared.streams.get_or_create(process, open.live);
                let feed = live.restart();
                opened = Some((open, live, feed));
            }
            (Ok(Some(Feed::Message(message))), Some((open, live, feed)))
                if live.is_fed_by(*feed)
                    && epochs.borrow().get(&open.live) == Some(&open.epoch) =>
            {
                live.push(message.number, message.message);
            }
            (Ok(Some(Feed::NewPublication(publication))), Some((open, live, feed)))
                if live.is_fed_by(*feed)
                    && epochs.borrow().get(&open.live) == Some(&open.epoch) =>
            {
                live.follow(publication);
            }
            // A newer feed of the stream has arrived, on this link or from another origin.
            (Ok(Some(_)), _) => return feed.stop(),
            (Ok(None), _) => break,
            (Err(error), _) => return shared.protocol_error(link, &error),
        }
    }
    if let Some((open, live, number)) = opened {
        let mut epochs = epochs.borrow_mut();
        let is_newest = live.is_fed_by(number) && epochs.get(&open.live) == Some(&open.epoch);
        if feed.is_finished() && is_newest {
            epochs.remove(&open.live);
            // Ends the waits for a place in the stream.
            live.end();
        }
    }
}

fn is_newest(epochs: &Epochs, open: &FeedOpen) -> bool {
    let mut epochs = epochs.borrow_mut();
    let newest = epochs.entry(open.live).or_insert(open.epoch);
    let newer = *newest <= open.epoch;
    if newer {
        *newest = open.epoch;
    }
    newer
}
