//! Writing a live stream's ring into feeds: the same at either end of a link.

use std::{future::Future, pin::pin, time::Duration};

use tributary_protocol::{
    Message,
    link::{
        LiveId, WriterId,
        feed::{FeedBatch, FeedOpen},
    },
    ring::{Cursor, Publication, Ring},
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
    /// The number of the first message of the first feed.
    since: u64,
    publications: Publications,
    /// What the feed's reader knows of publications.
    told: Told,
    /// The first message of the publication that the feed carries.
    carries: Option<u64>,
    /// A feed was begun: the next one repeats what may not have arrived.
    begun: bool,
    /// The feed has carried video that may be waiting in it.
    carries_video: bool,
    resets: u64,
}

/// How a feed's reader hears that a fresh publication begins in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publications {
    /// It never does: the feed carries one publish.
    One,
    /// By a frame within the feed.
    ByFrame,
    /// By a feed of a new epoch: it does not know the frame.
    ByEpoch,
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
    /// The feed is behind: another must follow.
    Behind,
    /// What comes next is for another feed.
    Over,
}

/// How the writing of one feed came to its end.
enum Written {
    /// To the source's end.
    All,
    /// It fell behind.
    Behind,
    /// To the end of its publication.
    Publication,
}

impl FeedWriter {
    /// A writer whose first message is `cursor`'s.
    pub fn new(live: LiveId, writer: WriterId, cursor: Cursor, publications: Publications) -> Self {
        Self {
            live,
            writer,
            since: cursor.position(),
            cursor,
            batch: FeedBatch::default(),
            publications,
            told: Told::default(),
            carries: None,
            begun: false,
            carries_video: false,
            resets: 0,
        }
    }

    /// Goes on at `cursor`: the receiver passes over what it has.
    pub fn go_on_at(&mut self, cursor: Cursor) {
        self.cursor = cursor;
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
        loop {
            let mut send = match link.open_feed().await {
                Ok(send) => send,
                Err(error) => return FeedEnd::Link(error),
            };
            self.begin(source, epoch());
            match self.write_feed(&mut send, source).await {
                Ok(Written::All) => {
                    send.finish();
                    return FeedEnd::Finished;
                }
                Ok(Written::Publication) => send.finish(),
                Ok(Written::Behind) => {
                    send.reset();
                    self.resets += 1;
                }
                Err(StreamError::Link(error)) => return FeedEnd::Link(error),
                Err(_) => return FeedEnd::Refused,
            }
        }
    }

    /// Gathers what a feed begins with. What an earlier one carried may not have arrived: headers
    /// are repeated, and the last data messages, which the receiver knows by their numbers.
    fn begin(&mut self, source: &impl FeedSource, epoch: u64) {
        self.carries_video = false;
        self.batch = FeedBatch::default();
        self.batch.open(&FeedOpen {
            live: self.live,
            epoch,
            writer: self.writer,
        });
        self.told = Told::default();
        self.carries = None;
        if std::mem::replace(&mut self.begun, true) {
            source.with_ring(|ring| {
                for (number, publication, message) in ring.data_before(&self.cursor, self.since) {
                    if self.publications == Publications::ByFrame {
                        self.told.tell(publication, &mut self.batch);
                    }
                    self.batch.message(Some(number), message);
                }
                ring.resume(&mut self.cursor);
            });
        }
    }

    async fn write_feed(
        &mut self,
        send: &mut SendStream,
        source: &impl FeedSource,
    ) -> Result<Written, StreamError> {
        // The first message of a feed restarts by nature.
        let mut fresh = true;
        loop {
            let changed = source.changed();
            // Asked first: what is pushed before the end belongs to the feed.
            let is_finished = source.is_finished();
            match self.fill(source, &mut fresh) {
                Filled::Some => {
                    if let Written::Behind = self.write(send, source).await? {
                        return Ok(Written::Behind);
                    }
                }
                Filled::Nothing if is_finished => return Ok(Written::All),
                Filled::Nothing => changed.await,
                Filled::Behind => return Ok(Written::Behind),
                Filled::Over => return Ok(Written::Publication),
            }
        }
    }

    /// Writes what is gathered, unless the feed falls too far behind meanwhile.
    async fn write(
        &mut self,
        send: &mut SendStream,
        source: &impl FeedSource,
    ) -> Result<Written, StreamError> {
        let mut pieces = self.batch.take();
        let mut write = pin!(send.write(&mut pieces));
        loop {
            let changed = source.changed();
            tokio::select! {
                biased;
                written = &mut write => return written.map(|()| Written::All),
                () = changed => {}
            }
            if source.with_ring(|ring| self.is_behind(ring)) {
                return Ok(Written::Behind);
            }
        }
    }

    /// Whether a new feed would serve better: this one is late, and holds video that is stale or
    /// can be passed over.
    fn is_behind(&self, ring: &Ring<Message>) -> bool {
        ring.is_late(&self.cursor, MAX_LAG)
            && (self.carries_video || ring.is_key_ahead(&self.cursor))
    }

    /// Comes to a message of this publication. Whether it is for this feed.
    fn enter(&mut self, publication: Publication) -> bool {
        match self.publications {
            Publications::One => true,
            Publications::ByFrame => {
                self.told.tell(publication, &mut self.batch);
                true
            }
            Publications::ByEpoch => {
                *self.carries.get_or_insert(publication.first) == publication.first
            }
        }
    }

    fn fill(&mut self, source: &impl FeedSource, fresh: &mut bool) -> Filled {
        source.with_ring(|ring| {
            if !*fresh && self.is_behind(ring) {
                return Filled::Behind;
            }
            while self.batch.len() < BATCH {
                let before = self.cursor;
                let Some(delivery) = ring.next(&mut self.cursor, MAX_LAG) else {
                    break;
                };
                if delivery.restart && !std::mem::replace(fresh, false) {
                    // The next feed begins with the jump; what was gathered leads nowhere.
                    self.cursor = before;
                    return Filled::Behind;
                }
                if !self.enter(delivery.publication) {
                    self.cursor = before;
                    if self.batch.is_empty() {
                        return Filled::Over;
                    }
                    break;
                }
                *fresh = false;
                self.carries_video |= delivery.class.is_video() && !delivery.class.is_header();
                self.batch.message(delivery.seq, &delivery.item);
            }
            if self.batch.is_empty() {
                Filled::Nothing
            } else {
                Filled::Some
            }
        })
    }
}

/// What a feed has told of publications.
#[derive(Debug, Default)]
struct Told(Publication);

impl Told {
    fn tell(&mut self, publication: Publication, batch: &mut FeedBatch) {
        if std::mem::replace(&mut self.0, publication) != publication {
            batch.publication(publication);
        }
    }
}

#[cfg(test)]
mod tests;
