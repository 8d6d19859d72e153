//! The writer of a live stream's ring into feeds, and the reader of a feed, for either end of a link.

mod stream;

use std::{future::Future, pin::pin, time::Duration};

use tributary_protocol::{
    Message,
    link::{
        LiveId, WriterId,
        feed::{FeedBatch, FeedOpen},
    },
    ring::{Cursor, Publication, Ring},
};

pub use stream::FeedStream;

use crate::transport::{Link, LinkError, SendStream, StreamError};

/// A ring that a feed writer reads.
pub trait FeedSource {
    /// Reads the ring.
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R;

    /// Waits for a push, or the end of the source, after this call. A source may let pushes wait for
    /// each other for a bounded time; its end does not wait.
    fn changed(&self) -> impl Future<Output = ()>;

    /// Whether the source will push no further message.
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
    /// The publication that the feed's reader knows.
    named: Named,
    /// The first message of the publication that the feed carries.
    carries: Option<u64>,
    /// Whether a feed was begun: the next one repeats messages that may not have arrived.
    begun: bool,
    /// Whether the feed has carried video that may still be queued in it.
    carries_video: bool,
    resets: u64,
}

/// The way in which a feed's reader learns of a fresh publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publications {
    /// None: the feed carries one publish.
    One,
    /// A frame within the feed.
    ByFrame,
    /// A feed of a new epoch, for a reader that does not know the frame.
    ByEpoch,
}

/// The stream time by which a feed may be behind before the writer resets it and begins another.
/// Reason: viewers do not wait for stale video.
pub const MAX_LAG: Duration = Duration::from_secs(2);

/// The bytes gathered for one write.
const BATCH: usize = 32 * 1024;

/// The reason for which the writer has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedEnd {
    /// The source is finished, and the feed carries all of it.
    Finished,
    /// The peer has refused the feed.
    Refused,
    /// The link is lost: the writer can continue on another.
    Link(LinkError),
}

/// The result of filling a batch.
enum Filled {
    /// Messages were gathered.
    Some,
    /// The source has no message now.
    Nothing,
    /// The feed is behind: the writer begins another.
    Behind,
    /// The next message belongs to another feed.
    Over,
}

/// The reason for which one feed has ended.
enum Written {
    /// The source has ended.
    All,
    /// The feed fell behind.
    Behind,
    /// The publication has ended.
    Publication,
}

impl FeedWriter {
    /// A writer whose first message is that at `cursor`.
    pub fn new(live: LiveId, writer: WriterId, cursor: Cursor, publications: Publications) -> Self {
        Self {
            live,
            writer,
            since: cursor.position(),
            cursor,
            batch: FeedBatch::default(),
            publications,
            named: Named::default(),
            carries: None,
            begun: false,
            carries_video: false,
            resets: 0,
        }
    }

    /// A writer in place of one that has ended with its process. Its first feed begins like a further
    /// one: the receiver skips messages that it has.
    pub fn continued(
        live: LiveId,
        writer: WriterId,
        cursor: Cursor,
        publications: Publications,
    ) -> Self {
        Self {
            since: 0,
            begun: true,
            ..Self::new(live, writer, cursor, publications)
        }
    }

    /// Continues at `cursor`; the receiver skips messages that it has.
    pub fn go_on_at(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// The count of feeds reset because the link was too slow, since the last call.
    pub fn take_resets(&mut self) -> u64 {
        std::mem::take(&mut self.resets)
    }

    /// Writes `source` into feeds of `link` until either ends. `epoch` numbers the feeds and rises
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

    /// Gathers the begin of a feed. Messages of an earlier feed may not have arrived: headers are
    /// repeated, and the last data messages, which the receiver recognises by their numbers.
    fn begin(&mut self, source: &impl FeedSource, epoch: u64) {
        self.carries_video = false;
        self.batch = FeedBatch::default();
        self.batch.open(&FeedOpen {
            live: self.live,
            epoch,
            writer: self.writer,
        });
        self.named = Named::default();
        self.carries = None;
        if std::mem::replace(&mut self.begun, true) {
            source.with_ring(|ring| {
                for (number, publication, message) in ring.data_before(&self.cursor, self.since) {
                    if self.publications == Publications::ByFrame {
                        self.named.name(publication, &mut self.batch);
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
        // The first message of a feed is a restart in any case.
        let mut fresh = true;
        loop {
            let changed = source.changed();
            // The check precedes the reading: messages before the end belong to the feed.
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

    /// Writes the gathered messages, unless the feed falls too far behind meanwhile.
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

    /// Whether another feed should replace this one: it is late, and has queued video that is stale
    /// or can be skipped.
    fn is_behind(&self, ring: &Ring<Message>) -> bool {
        ring.is_late(&self.cursor, MAX_LAG)
            && (self.carries_video || ring.is_key_ahead(&self.cursor))
    }

    /// Enters the publication of the next message. Whether the message belongs to this feed.
    fn enter(&mut self, publication: Publication) -> bool {
        match self.publications {
            Publications::One => true,
            Publications::ByFrame => {
                self.named.name(publication, &mut self.batch);
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
                    // The next feed begins with the jump; the gathered messages do not lead to it.
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

/// The publication that the frames of a feed have named.
#[derive(Debug, Default)]
struct Named(Publication);

impl Named {
    fn name(&mut self, publication: Publication, batch: &mut FeedBatch) {
        if std::mem::replace(&mut self.0, publication) != publication {
            batch.publication(publication);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
