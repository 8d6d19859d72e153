//! The writing thread. While it waits for the disk, groups' writes gather, and the next write
//! carries all of them.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;
use tributary_node::backoff::Backoff;
use tributary_protocol::shared_object::authority::Ticket;

use super::{Changes, Storage, StorageError};

pub(super) struct Writer {
    shared: Arc<WriterShared>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

struct WriterShared {
    storage: Arc<dyn Storage>,
    state: Mutex<State>,
    /// Notified when there is something to write, or the thread is to end.
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queued: Changes,
    /// The changes that the thread writes now.
    under_way: Option<Arc<Changes>>,
    /// The callbacks of the queued writes: each object once, with its last ticket.
    objects: HashMap<u64, Waiting>,
    others: Vec<oneshot::Sender<()>>,
    next_object: u64,
    closing: bool,
    /// Written last, if all else was written.
    last: Option<(Vec<u8>, Bytes)>,
}

struct Waiting {
    ticket: Ticket,
    told: OnStored,
}

/// The callback for an object's writes: the ticket, and whether it is on the disk.
pub(super) type OnStored = Arc<dyn Fn(Ticket, bool) + Send + Sync>;

/// The most bytes that wait to be written. Reason: they are kept in memory; while the disk is this
/// far behind, clients' changes wait.
pub(super) const MAX_QUEUED: usize = 64 * 1024 * 1024;

/// The time between attempts to write after a failure.
const RETRY: Duration = Duration::from_millis(100);
const MOST_RETRY: Duration = Duration::from_secs(5);

impl Writer {
    pub(super) fn start(storage: Arc<dyn Storage>) -> Result<Self, StorageError> {
        let shared = Arc::new(WriterShared {
            storage,
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writing.run())
            .map_err(|error| StorageError(error.to_string()))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The entries whose key begins with `prefix`, with all writes so far.
    pub(super) fn read(&self, prefix: &[u8]) -> Result<BTreeMap<Vec<u8>, Bytes>, StorageError> {
        // The changes are copied before the storage is read: those that are written meanwhile are
        // in the storage by then.
        let (under_way, queued) = {
            let state = self.shared.lock();
            (state.under_way.clone(), state.queued.within(prefix))
        };
        let mut entries: BTreeMap<_, _> = self.shared.storage.read(prefix)?.into_iter().collect();
        if let Some(under_way) = under_way {
            under_way.apply(prefix, &mut entries);
        }
        queued.apply(prefix, &mut entries);
        Ok(entries)
    }

    /// A number for an object whose writes have a callback.
    pub(super) fn next_object(&self) -> u64 {
        let mut state = self.shared.lock();
        state.next_object += 1;
        state.next_object
    }

    /// Queues changes of one object.
    pub(super) fn write(&self, changes: Changes, object: u64, ticket: Ticket, told: &OnStored) {
        let mut state = self.shared.lock();
        state.queued.append(changes);
        let waiting = state.objects.entry(object).or_insert_with(|| Waiting {
            ticket,
            told: Arc::clone(told),
        });
        waiting.ticket = waiting.ticket.max(ticket);
        drop(state);
        self.shared.wake.notify_all();
    }

    /// Queues changes without a callback.
    pub(super) fn change(&self, changes: Changes) {
        self.shared.lock().queued.append(changes);
        self.shared.wake.notify_all();
    }

    pub(super) fn is_full(&self) -> bool {
        let state = self.shared.lock();
        let under_way = state.under_way.as_ref().map_or(0, |under| under.bytes());
        state.queued.bytes() + under_way > MAX_QUEUED
    }

    /// Resolves when all queued changes are written, or have failed.
    pub(super) fn synced(&self) -> impl Future<Output = ()> + use<> {
        let written = self.when_written();
        async {
            let _ = written.await;
        }
    }

    /// As [`Self::synced`], for a thread that may wait.
    pub(super) fn wait(&self) {
        let _ = self.when_written().blocking_recv();
    }

    fn when_written(&self) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        let mut state = self.shared.lock();
        if state.queued.is_empty() && state.under_way.is_none() {
            let _ = done.send(());
        } else {
            state.others.push(done);
        }
        drop(state);
        self.shared.wake.notify_all();
        written
    }

    /// Writes the rest, then `last`, and ends the thread.
    pub(super) fn close(&self, last: (Vec<u8>, Bytes)) {
        {
            let mut state = self.shared.lock();
            state.closing = true;
            state.last = Some(last);
        }
        self.shared.wake.notify_all();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the store's thread has failed");
        }
    }
}

impl Drop for Writer {
    /// Without [`Self::close`] the thread ends as at the process's end: after it has written its
    /// queue.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_all();
    }
}

impl WriterShared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Only whole changes are made under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut backoff = Backoff::new(RETRY, MOST_RETRY, Duration::ZERO);
        while let Some(batch) = self.next() {
            let written = self.storage.commit(&batch.changes);
            let stored = written.is_ok();
            self.finish(batch, stored);
            match written {
                Ok(()) => backoff.reset(),
                Err(error) => {
                    tracing::error!(%error, "the store could not write; it tries again");
                    if !self.rest(backoff.failed(&mut rand::rng())) {
                        return;
                    }
                }
            }
        }
        self.write_last();
    }

    /// The next changes to write; `None` if the thread is to end.
    fn next(&self) -> Option<Batch> {
        let mut state = self.lock();
        loop {
            if !state.queued.is_empty() || !state.others.is_empty() {
                let changes = Arc::new(std::mem::take(&mut state.queued));
                state.under_way = Some(Arc::clone(&changes));
                return Some(Batch {
                    changes,
                    objects: std::mem::take(&mut state.objects),
                    others: std::mem::take(&mut state.others),
                });
            }
            if state.closing {
                return None;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finish(&self, batch: Batch, stored: bool) {
        {
            let mut state = self.lock();
            state.under_way = None;
            if !stored {
                // The failed changes go before later ones.
                let mut changes = (*batch.changes).clone();
                changes.append(std::mem::take(&mut state.queued));
                state.queued = changes;
            }
        }
        for waiting in batch.objects.into_values() {
            (waiting.told)(waiting.ticket, stored);
        }
        for other in batch.others {
            let _ = other.send(());
        }
    }

    /// Waits before another attempt; `false` if the thread is to end.
    fn rest(&self, time: Duration) -> bool {
        let state = self.lock();
        let waits = |state: &mut State| !state.closing;
        let (state, _) = self
            .wake
            .wait_timeout_while(state, time, waits)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closing
    }

    fn write_last(&self) {
        let Some((key, value)) = self.lock().last.take() else {
            return;
        };
        let mut changes = Changes::new();
        changes.put(key, Some(value));
        if let Err(error) = self.storage.commit(&changes) {
            tracing::error!(%error, "the store could not be closed in order");
        }
    }
}

/// The changes of one write, and the callbacks for it.
struct Batch {
    changes: Arc<Changes>,
    objects: HashMap<u64, Waiting>,
    others: Vec<oneshot::Sender<()>>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}
