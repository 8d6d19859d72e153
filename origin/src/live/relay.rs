//! Copies live streams into another one: the sources of a stream of the application.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tributary_node::feed::MAX_LAG;
use tributary_protocol::{
    Message,
    link::{Filter, WriterId},
    ring::{Cursor, Publication, Start},
};

use super::{Begins, LiveStream, Reading};

/// The control of a relay. The relay ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    job: watch::Sender<Job>,
}

/// The present task of a relay.
#[derive(Clone, Debug)]
struct Job {
    source: Option<Arc<LiveStream>>,
    /// Counts the plays: the same stream may be played twice.
    serial: u64,
    /// Whether the source is copied from its newest key frame in any case.
    all: bool,
    filter: Filter,
}

/// A place in the stream that is being copied.
struct Reader {
    reading: Reading,
    cursor: Cursor,
    /// The publication of the last message read.
    publication: Option<Publication>,
    serial: u64,
}

/// A message and its marks: repeated by its stream as a header, or the first after a jump.
struct Copied {
    message: Message,
    /// The beginning that comes with the message: another publication, or another writer of it.
    begins: Option<Begins>,
    repeated: bool,
    restart: bool,
}

/// Messages copied before other tasks get a turn. Reason: the thread has other streams.
const BATCH: usize = 64;

/// The most messages copied in a second. Reason: streams of several servers that play each other in
/// a circle would never come to rest; an encoder sends some hundred.
const MAX_RATE: usize = 8_192;

impl Relay {
    /// A relay into `target` as its writer, and the task that does the work. It copies nothing
    /// before [`Relay::play`].
    pub(crate) fn new(
        target: Arc<LiveStream>,
        writer: WriterId,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (job, jobs) = watch::channel(Job {
            source: None,
            serial: 0,
            all: false,
            filter: Filter::default(),
        });
        let copier = Copier {
            target,
            writer,
            spliced: false,
            pace: Pace::new(),
        };
        (Self { job }, copier.run(jobs))
    }

    /// Copies this stream from here on, behind the rest of the one before.
    pub(crate) fn play(&self, source: Option<Arc<LiveStream>>) {
        self.job.send_modify(|job| {
            job.source = source;
            job.serial += 1;
            job.all = false;
        });
    }

    /// As [`Relay::play`], for a source that began just now: nothing of it was copied before, so the
    /// copy begins with its newest key frame.
    pub(crate) fn play_all(&self, source: Arc<LiveStream>) {
        self.job.send_modify(|job| {
            job.source = Some(source);
            job.serial += 1;
            job.all = true;
        });
    }

    /// Selects the media that is copied.
    pub(crate) fn set_filter(&self, filter: Filter) {
        self.job.send_modify(|job| job.filter = filter);
    }
}

struct Copier {
    target: Arc<LiveStream>,
    writer: WriterId,
    /// Whether an earlier source was copied: the next one is spliced.
    spliced: bool,
    pace: Pace,
}

impl Copier {
    async fn run(mut self, mut jobs: watch::Receiver<Job>) {
        let mut reader: Option<Reader> = None;
        loop {
            let job = jobs.borrow_and_update().clone();
            reader = self.change(reader, job);
            let over = match &mut reader {
                Some(reader) => self.copy(reader, &mut jobs).await,
                None => jobs.changed().await.is_err(),
            };
            if over {
                return;
            }
        }
    }

    /// Begins the job.
    fn change(&mut self, reader: Option<Reader>, job: Job) -> Option<Reader> {
        match reader {
            Some(mut reader) if reader.serial == job.serial => {
                reader.cursor.set_filter(job.filter);
                return Some(reader);
            }
            Some(mut reader) => self.drain(&mut reader),
            None => {}
        }
        let reading = Reading::begin(job.source?);
        if std::mem::replace(&mut self.spliced, true) {
            self.target.splice(self.writer);
        }
        // The copy begins with a picture, unless viewers would get older pictures than they have
        // seen.
        let start = match self.target.place() {
            Some(_) if !job.all => Start::Live,
            _ => Start::KeyFrame,
        };
        let mut cursor = reading.live().ring().join(start);
        cursor.set_filter(job.filter);
        let serial = job.serial;
        Some(Reader {
            reading,
            cursor,
            publication: None,
            serial,
        })
    }

    /// Copies until there is another job. Returns whether the relay is over.
    async fn copy(&mut self, reader: &mut Reader, jobs: &mut watch::Receiver<Job>) -> bool {
        let source = Arc::clone(reader.reading.live());
        loop {
            // The future is made before the look at the ring, so that no message is missed.
            let mut changed = pin!(source.changed());
            if self.step(reader) == 0 {
                tokio::select! {
                    biased;
                    job = jobs.changed() => return job.is_err(),
                    () = &mut changed => {}
                }
                continue;
            }
            match jobs.has_changed() {
                Ok(false) => self.pace.rest().await,
                Ok(true) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Copies the rest of a stream that gives way to another.
    fn drain(&mut self, reader: &mut Reader) {
        let end = reader.reading.live().ring().head();
        while reader.cursor.position() < end && self.step(reader) > 0 {}
    }

    /// Copies some messages. Returns how many.
    fn step(&mut self, reader: &mut Reader) -> usize {
        let batch = reader.gather();
        let copied = batch.len();
        let now = super::now();
        for Copied {
            message,
            begins,
            repeated,
            restart,
        } in batch
        {
            if let Some(how) = begins {
                self.target.source_changes(self.writer, how);
            }
            self.target
                .copy(self.writer, message, now, repeated, restart);
        }
        self.pace.count(copied);
        copied
    }
}

impl Reader {
    fn gather(&mut self) -> Vec<Copied> {
        let ring = self.reading.live().ring();
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(delivery) = ring.next(&mut self.cursor, MAX_LAG)
        {
            let before = self.publication.replace(delivery.publication);
            batch.push(Copied {
                begins: before.and_then(|before| change(before, delivery.publication)),
                message: delivery.item.into_owned(),
                repeated: delivery.seq.is_none(),
                restart: delivery.restart,
            });
        }
        batch
    }
}

/// The change between messages of these publications.
fn change(before: Publication, after: Publication) -> Option<Begins> {
    match before {
        before if before == after => None,
        before if before.first == after.first => Some(Begins::Continuing),
        _ => Some(Begins::Afresh),
    }
}

/// Keeps to [`MAX_RATE`].
struct Pace {
    since: Instant,
    copied: usize,
}

impl Pace {
    fn new() -> Self {
        Self {
            since: super::now(),
            copied: 0,
        }
    }

    fn count(&mut self, copied: usize) {
        self.copied += copied;
    }

    /// Gives other tasks a turn. Waits for the end of a second whose share is used up.
    async fn rest(&mut self) {
        let now = super::now();
        let left = SECOND.saturating_sub(now.saturating_duration_since(self.since));
        if left.is_zero() {
            self.since = now;
            self.copied = 0;
        } else if self.copied >= MAX_RATE {
            tokio::time::sleep(left).await;
        }
        tokio::task::yield_now().await;
    }
}

const SECOND: Duration = Duration::from_secs(1);
