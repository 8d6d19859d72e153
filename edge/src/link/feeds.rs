//! Feeds of live streams that arrive for viewers of this edge.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use tributary_node::{feed::FeedStream, transport::Link};
use tributary_protocol::link::{
    LiveId,
    feed::{Feed, FeedOpen},
};

use super::{metrics::Counted, origin::Origin, shared::Shared};

/// The newest epoch of each live stream on one link; an older feed is ignored.
type Epochs = Rc<RefCell<HashMap<LiveId, u64>>>;

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
        let (shared, link, epochs) = (Rc::clone(&shared), link.clone(), Rc::clone(&epochs));
        tasks.spawn_local(async move {
            let _counted = Counted::new(&shared.metrics.feeds_in);
            let feed = FeedStream::new(recv, MAX_MESSAGE);
            read(&shared, process, &link, &epochs, feed).await;
        });
    }
}

async fn read(shared: &Shared, process: u64, link: &Link, epochs: &Epochs, mut feed: FeedStream) {
    let mut opened: Option<(FeedOpen, _)> = None;
    loop {
        let next = feed.next().await;
        // While the links stand still, messages wait in the stream, as far as it has room.
        shared.stages.runs().await;
        match (next, &opened) {
            (Ok(Some(Feed::Open(open))), None) if is_newest(epochs, &open) => {
                let live = shared.streams.get_or_create(process, open.live);
                live.restart();
                opened = Some((open, live));
            }
            (Ok(Some(Feed::Message(message))), Some((open, live)))
                if epochs.borrow().get(&open.live) == Some(&open.epoch) =>
            {
                live.push(message.number, message.message);
            }
            (Ok(Some(Feed::NewPublication(publication))), Some((open, live)))
                if epochs.borrow().get(&open.live) == Some(&open.epoch) =>
            {
                live.follow(publication);
            }
            // A newer feed of the stream has arrived.
            (Ok(Some(_)), _) => return feed.stop(),
            (Ok(None), _) => break,
            (Err(error), _) => return shared.protocol_error(link, &error),
        }
    }
    if let Some((open, live)) = opened {
        let mut epochs = epochs.borrow_mut();
        if feed.is_finished() && epochs.get(&open.live) == Some(&open.epoch) {
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
