//! Writing a live stream's ring into feeds: the same at either end of a link.

use std::{future::Future, time::Duration};

use tributary_protocol::{
    Message,
    link::{
        LiveId, WriterId,
        feed::{FeedBatch, FeedOpen},
    },
    ring::{Cursor, Ring},
};

use crate::transport::{Link, LinkError, SendStream, StreamError};

/// A ring that feeds are written from.
pub trait FeedSource {
    /// Reads the ring.
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R;

    /// Waits for a message pushed, or an end declared, after this call.
    fn changed(&self) -> impl Future<Output = ()>;

    /// Whether nothing more will be pushed.
    fn is_finished(&self) -> bool;
}

/// One reader of a live stream at the other end of a link.
#[derive(Debug)]
pub struct FeedWriter {
    live: LiveId,
    writer: WriterId,
    cursor: Cursor,
    batch: FeedBatch,
    resets: u64,
}

/// How far a feed may be behind its stream before it is given up for a new one. Reason: nobody
/// waits for stale video.
pub const MAX_LAG: Duration = Duration::from_secs(2);

/// What is gathered for one write, in bytes.
const BATCH: usize = 32 * 1024;

/// How a feed came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEnd {
    /// The source is finished and the feed holds it to the end.
    Finished,
    /// The peer does not want it.
    Refused,
    /// The link is gone: the writer can go on with another.
    Link(LinkError),
}

/// What filling a batch came to.
enum Filled {
    /// Messages were gathered.
    Some,
    /// There is nothing now.
    Nothing,
    /// The cursor jumped: what is gathered belongs to a new feed.
    Jumped,
}

impl FeedWriter {
    /// A writer whose first message is `cursor`'s.
    pub fn new(live: LiveId, writer: WriterId, cursor: Cursor) -> Self {
        Self {
            live,
            writer,
            cursor,
            batch: FeedBatch::default(),
            resets: 0,
        }
    }

    /// Feeds given up because the link was too slow, since this was last asked.
    pub fn take_resets(&mut self) -> u64 {
        std::mem::take(&mut self.resets)
    }

    /// Writes `source` into feeds of `link` until either ends. `epoch` numbers the feeds: it rises
    /// with each.
    pub async fn run(
        &mut self,
        link: &Link,
        source: &impl FeedSource,
        mut epoch: impl FnMut() -> u64,
    ) -> FeedEnd {
        self.batch = FeedBatch::default();
        // The first message of a feed restarts by nature.
        let mut fresh = true;
        loop {
            let open = FeedOpen {
                live: self.live,
                epoch: epoch(),
                writer: self.writer,
            };
            let mut send = match link.open_feed().await {
                Ok(send) => send,
                Err(error) => return FeedEnd::Link(error),
            };
            match self.one(&mut send, open, source, &mut fresh).await {
                Ok(true) => {
                    send.finish();
                    return FeedEnd::Finished;
                }
                Ok(false) => {
                    send.reset();
                    self.resets += 1;
                }
                Err(StreamError::Link(error)) => return FeedEnd::Link(error),
                Err(_) => return FeedEnd::Refused,
            }
        }
    }

    /// Writes one feed; `false` if it fell behind and another must follow.
    async fn one(
        &mut self,
        send: &mut SendStream,
        open: FeedOpen,
        source: &impl FeedSource,
        fresh: &mut bool,
    ) -> Result<bool, StreamError> {
        let carried = self.batch.take();
        self.batch.open(&open);
        let mut pieces = self.batch.take();
        pieces.extend(carried);
        send.write(&mut pieces).await?;
        loop {
            let changed = source.changed();
            match self.fill(source, *fresh) {
                Filled::Some => {
                    *fresh = false;
                    send.write(&mut self.batch.take()).await?;
                }
                Filled::Nothing if source.is_finished() => return Ok(true),
                Filled::Nothing => changed.await,
                Filled::Jumped => return Ok(false),
            }
        }
    }

    fn fill(&mut self, source: &impl FeedSource, mut fresh: bool) -> Filled {
        source.with_ring(|ring| {
            while self.batch.len() < BATCH {
                let Some(delivery) = ring.next(&mut self.cursor, MAX_LAG) else {
                    break;
                };
                let jumped = delivery.restart && !std::mem::replace(&mut fresh, false);
                if jumped {
                    // What was gathered before leads nowhere.
                    self.batch = FeedBatch::default();
                }
                self.batch.message(delivery.seq, &delivery.item);
                if jumped {
                    return Filled::Jumped;
                }
            }
            if self.batch.is_empty() {
                Filled::Nothing
            } else {
                Filled::Some
            }
        })
    }
}
