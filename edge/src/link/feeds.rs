//! Feeds that arrive: media of live streams that viewers of this edge watch.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use tributary_node::transport::{Link, RecvStream};
use tributary_protocol::link::{
    LiveId,
    feed::{Feed, FeedOpen, FeedReader},
};

use super::{metrics::Counted, origin::Origin, shared::Shared};

/// The newest epoch of each live stream on one link: an older feed of it is passed over.
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
            read(&shared, process, &link, &epochs, recv).await;
        });
    }
}

async fn read(shared: &Shared, process: u64, link: &Link, epochs: &Epochs, mut recv: RecvStream) {
    let mut reader = FeedReader::new(MAX_MESSAGE);
    let mut pieces = Vec::new();
    let mut opened: Option<(FeedOpen, _)> = None;
    while matches!(recv.read(&mut pieces).await, Ok(true)) {
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
        loop {
            let result = reader.poll_frame();
            match (result, &opened) {
                (Ok(Some(Feed::Open(open))), None) if is_newest(epochs, &open) => {
                    let live = shared.streams.get_or_create(process, open.live);
                    live.restart();
                    opened = Some((open, live));
                }
                (Ok(Some(Feed::Message(feed))), Some((open, live)))
                    if epochs.borrow().get(&open.live) == Some(&open.epoch) =>
                {
                    live.push(feed.number, feed.message);
                }
                (Ok(Some(Feed::NewPublication(publication))), Some((open, live)))
                    if epochs.borrow().get(&open.live) == Some(&open.epoch) =>
                {
                    live.follow(publication);
                }
                (Ok(Some(_)), _) => {
                    // A newer feed of the stream is here.
                    recv.stop();
                    return;
                }
                (Ok(None), _) => break,
                (Err(error), _) => {
                    shared.protocol_error(link, &error);
                    return;
                }
            }
        }
    }
    if let Some((open, live)) = opened {
        let mut epochs = epochs.borrow_mut();
        if recv.is_finished() && epochs.get(&open.live) == Some(&open.epoch) {
            epochs.remove(&open.live);
            // Viewers that wait for a place in the stream go on.
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
