//! A queue between threads that is bounded by weight and holds no memory while it is empty.
//!
//! All hand-overs between tasks use it: a client's commands, a lane's frames, a group's mail. The
//! caller decides about a full queue: [`Sender::push`] returns the item.
//!
//! Three kinds of items share its order:
//!
//! | kind | bound |
//! |---|---|
//! | [`Sender::push`]: items with a payload | the queue's limit, in weight |
//! | [`Sender::push_control`]: small items that report a state | [`CONTROL_ITEMS`] |
//! | [`Sender::push_final`]: items that end or answer something | one for each thing that was counted when it began |

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

mod gather;

use gather::wake;
pub use gather::{Gather, gather};

/// Makes a queue that refuses items once it holds `limit` in weight. It holds at most the limit and
/// one item, so that every permitted item fits an empty queue.
pub fn queue<T>(limit: usize) -> (Sender<T>, Receiver<T>) {
    make(limit, None)
}

/// As [`queue`]. The weight beyond its limit is taken from `excess`, which many queues share; an
/// item that does not fit there is refused.
pub fn queue_within<T>(limit: usize, excess: &Excess) -> (Sender<T>, Receiver<T>) {
    make(limit, Some(excess.clone()))
}

fn make<T>(limit: usize, excess: Option<Excess>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        excess,
        state: Mutex::new(State {
            items: VecDeque::new(),
            weight: 0,
            control: 0,
            closed: false,
            senders: 1,
            reader: None,
        }),
        limit,
    });
    (
        Sender {
            shared: Arc::clone(&shared),
        },
        Receiver { shared },
    )
}

/// The weight that many queues may hold together beyond their limits. Clones share the budget.
#[derive(Clone, Debug)]
pub struct Excess(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Excess {
    /// A budget of this weight.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Budget {
            used: AtomicUsize::new(0),
            limit,
        }))
    }

    /// The weight in use.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Acquire)
    }

    /// Takes a weight if the budget allows it; the first one fits any limit.
    fn take(&self, weight: usize) -> bool {
        let take = |used: usize| {
            let sum = used.checked_add(weight)?;
            (used == 0 || sum <= self.0.limit).then_some(sum)
        };
        let (order, read) = (Ordering::AcqRel, Ordering::Acquire);
        weight == 0 || self.0.used.fetch_update(order, read, take).is_ok()
    }

    fn give_back(&self, weight: usize) {
        if weight > 0 {
            self.0.used.fetch_sub(weight, Ordering::AcqRel);
        }
    }
}

/// The writing end; clones write to the same queue. When the last is dropped the queue closes.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The reading end. A drop closes the queue and drops its items.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

/// A view of a queue, beside its reader, that shows whether the queue is empty.
pub struct Probe(Arc<dyn IsEmpty>);

/// The reason for which an item was not queued.
#[derive(Debug, PartialEq, Eq)]
pub enum PushError<T> {
    /// The queue has reached its limit.
    Full(T),
    /// The reader is gone, or the queue is closed.
    Closed(T),
}

/// The bound that an item counts against.
#[derive(Clone, Copy)]
enum Weight {
    Bytes(usize),
    Control,
    Final,
}

/// The most control items of a queue. Reason: one for each session that an edge may bring to one
/// group; a reader with so many unread ones hangs.
pub const CONTROL_ITEMS: usize = 65_536;

struct Shared<T> {
    state: Mutex<State<T>>,
    limit: usize,
    excess: Option<Excess>,
}

struct State<T> {
    items: VecDeque<(T, Weight)>,
    weight: usize,
    control: usize,
    closed: bool,
    senders: usize,
    reader: Option<Waker>,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code panics with the lock held, so a poisoned state is complete.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }
}

impl<T> State<T> {
    /// The weight of the queue beyond `limit`, with `more` added.
    fn over(&self, limit: usize, more: usize) -> usize {
        (self.weight + more).saturating_sub(limit)
    }
}

impl<T> Sender<T> {
    /// Appends `item`, or returns it.
    pub fn push(&self, item: T, weight: usize) -> Result<(), PushError<T>> {
        let state = self.shared.lock();
        if state.closed {
            return Err(PushError::Closed(item));
        }
        if state.weight >= self.shared.limit {
            return Err(PushError::Full(item));
        }
        if let Some(excess) = &self.shared.excess {
            let more = state.over(self.shared.limit, weight) - state.over(self.shared.limit, 0);
            if !excess.take(more) {
                return Err(PushError::Full(item));
            }
        }
        self.append(state, item, Weight::Bytes(weight));
        Ok(())
    }

    /// Appends a small item that reports a state. Waiting payload does not keep it out; it is
    /// refused if [`CONTROL_ITEMS`] of its kind are unread.
    pub fn push_control(&self, item: T) -> Result<(), PushError<T>> {
        let state = self.shared.lock();
        if state.closed {
            return Err(PushError::Closed(item));
        }
        if state.control >= CONTROL_ITEMS {
            return Err(PushError::Full(item));
        }
        self.append(state, item, Weight::Control);
        Ok(())
    }

    /// Appends `item` at any fill level. It is for items that end or answer something, of which
    /// there is at most one for each thing that was counted when it began (a session, a lane, a
    /// message, a write).
    pub fn push_final(&self, item: T) -> Result<(), PushError<T>> {
        let state = self.shared.lock();
        if state.closed {
            return Err(PushError::Closed(item));
        }
        self.append(state, item, Weight::Final);
        Ok(())
    }

    /// Closes the queue: the reader gets the queued items, then the end.
    pub fn close(&self) {
        self.shared.close();
    }

    /// The weight queued now.
    pub fn weight(&self) -> usize {
        self.shared.lock().weight
    }

    /// Whether the queue refuses all items.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    fn append(&self, mut state: MutexGuard<'_, State<T>>, item: T, weight: Weight) {
        state.items.push_back((item, weight));
        match weight {
            Weight::Bytes(bytes) => state.weight += bytes,
            Weight::Control => state.control += 1,
            Weight::Final => {}
        }
        let waker = state.reader.take();
        drop(state);
        wake(waker);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        if state.senders == 0 {
            drop(state);
            self.shared.close();
        }
    }
}

impl<T> Receiver<T> {
    /// The oldest item, if there is one now.
    pub fn try_next(&mut self) -> Option<T> {
        let mut state = self.shared.lock();
        Self::take(&self.shared, &mut state)
    }

    /// Waits for an item; `None` once the queue is closed and empty. Cancel safe.
    pub async fn next(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for an item; `Ready(None)` once the queue is closed and empty.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        if let Some(item) = Self::take(&self.shared, &mut state) {
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        match &mut state.reader {
            Some(waker) => waker.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The weight queued now.
    pub fn weight(&self) -> usize {
        self.shared.lock().weight
    }

    /// Whether the queue has no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.shared.lock().items.len()
    }

    /// A probe of this queue.
    pub fn probe(&self) -> Probe
    where
        T: 'static,
    {
        let shared = Arc::clone(&self.shared);
        Probe(shared)
    }

    fn take(shared: &Shared<T>, state: &mut State<T>) -> Option<T> {
        let (item, weight) = state.items.pop_front()?;
        let before = state.over(shared.limit, 0);
        match weight {
            Weight::Bytes(bytes) => state.weight -= bytes,
            Weight::Control => state.control -= 1,
            Weight::Final => {}
        }
        if let Some(excess) = &shared.excess {
            excess.give_back(before - state.over(shared.limit, 0));
        }
        if state.items.is_empty() {
            // The queue of an idle client holds no memory.
            state.items = VecDeque::new();
        }
        Some(item)
    }
}

impl Probe {
    /// Whether the queue has no items.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

trait IsEmpty {
    fn is_empty(&self) -> bool;
}

impl<T> IsEmpty for Shared<T> {
    fn is_empty(&self) -> bool {
        self.lock().items.is_empty()
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let items = std::mem::take(&mut state.items);
        if let Some(excess) = &self.shared.excess {
            excess.give_back(state.over(self.shared.limit, 0));
        }
        state.weight = 0;
        drop(state);
        // Items may own ends of other queues: they are dropped after the lock.
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_one_item_fit() {
        let (tx, mut rx) = queue(10);
        tx.push("a", 6).unwrap();
        tx.push("heavy", 50).unwrap();
        assert_eq!(tx.push("more", 1), Err(PushError::Full("more")));
        tx.push_final("end").unwrap();
        assert_eq!(rx.weight(), 56);
        assert_eq!(
            [rx.try_next(), rx.try_next(), rx.try_next()],
            [Some("a"), Some("heavy"), Some("end")]
        );
        assert_eq!(rx.try_next(), None);
    }

    #[test]
    fn control_items_have_a_bound_of_their_own() {
        let (tx, mut rx) = queue(10);
        tx.push(0, 10).unwrap();
        for number in 0..CONTROL_ITEMS {
            tx.push_control(number).unwrap();
        }
        assert_eq!(tx.push_control(7), Err(PushError::Full(7)));
        assert_eq!(tx.push(8, 1), Err(PushError::Full(8)));
        tx.push_final(9).unwrap();
        assert_eq!(rx.weight(), 10, "control items weigh nothing");
        rx.try_next().unwrap();
        tx.push(8, 1).unwrap();
        assert_eq!(tx.push_control(7), Err(PushError::Full(7)));
        rx.try_next().unwrap();
        tx.push_control(7).unwrap();
        let mut count = 0;
        while rx.try_next().is_some() {
            count += 1;
        }
        assert_eq!(count, CONTROL_ITEMS + 2);
        tx.push_control(1).unwrap();
    }

    #[test]
    fn what_is_beyond_the_limits_comes_out_of_one_budget() {
        let excess = Excess::new(100);
        let (a, mut from_a) = queue_within(10, &excess);
        let (b, from_b) = queue_within(10, &excess);
        a.push(1, 9).unwrap();
        assert_eq!(excess.used(), 0);
        a.push(2, 81).unwrap();
        assert_eq!(excess.used(), 80);
        b.push(3, 30).unwrap();
        assert_eq!(excess.used(), 100);
        let (c, from_c) = queue_within(10, &excess);
        assert_eq!(c.push(4, 11), Err(PushError::Full(4)));
        c.push(4, 10).unwrap();
        assert_eq!(from_a.try_next(), Some(1));
        assert_eq!(excess.used(), 91);
        drop(from_b);
        assert_eq!(excess.used(), 71);
        assert_eq!(from_a.try_next(), Some(2));
        drop((from_a, from_c));
        assert_eq!(excess.used(), 0);
        let (alone, rx) = queue_within(10, &excess);
        alone.push(5, 1000).unwrap();
        drop(rx);
        assert_eq!(excess.used(), 0, "one alone always fits, and is given back");
    }

    #[tokio::test]
    async fn closing_lets_the_reader_finish_and_refuses_the_writer() {
        let (tx, mut rx) = queue(10);
        tx.push(1, 1).unwrap();
        tx.close();
        assert_eq!(tx.push(2, 1), Err(PushError::Closed(2)));
        assert_eq!(rx.next().await, Some(1));
        assert_eq!(rx.next().await, None);
    }

    #[tokio::test]
    async fn the_last_sender_closes() {
        let (tx, mut rx) = queue::<u8>(10);
        let second = tx.clone();
        drop(tx);
        let reader = tokio::spawn(async move { rx.next().await });
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        drop(second);
        assert_eq!(reader.await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_waiting_reader_wakes() {
        let (tx, mut rx) = queue(10);
        let reader = tokio::spawn(async move { rx.next().await });
        tokio::task::yield_now().await;
        tx.push(7, 1).unwrap();
        assert_eq!(reader.await.unwrap(), Some(7));
    }
}
