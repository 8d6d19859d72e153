//! Gathering of wake-ups: many items wake a queue's reader once.

use std::{cell::RefCell, marker::PhantomData, task::Waker};

/// Delays the wake-ups of items that this thread pushes until the result is dropped. Reason: a
/// reader on another thread that wakes for the first item takes that alone, sleeps, and has to be
/// woken again for the second. It must not be held across a wait: other tasks of the thread push
/// too.
#[must_use]
pub fn gather() -> Gather {
    GATHERED.with_borrow_mut(|gathered| gathered.depth += 1);
    Gather(PhantomData)
}

/// See [`gather`].
#[derive(Debug)]
pub struct Gather(
    /// Not `Send`: it belongs to its thread.
    PhantomData<*const ()>,
);

impl Drop for Gather {
    fn drop(&mut self) {
        let wakers = GATHERED.with_borrow_mut(|gathered| {
            gathered.depth -= 1;
            (gathered.depth == 0).then(|| std::mem::take(&mut gathered.wakers))
        });
        let Some(mut wakers) = wakers else { return };
        for waker in wakers.drain(..) {
            waker.wake();
        }
        // The memory is kept for the next time, up to [`KEPT_WAKERS`].
        wakers.shrink_to(KEPT_WAKERS);
        GATHERED.with_borrow_mut(|gathered| gathered.wakers = wakers);
    }
}

#[derive(Default)]
struct Gathered {
    depth: usize,
    /// One waker of each queue that was empty: its reader registers no other before it is woken.
    wakers: Vec<Waker>,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

/// The room for wakers that a thread keeps.
const KEPT_WAKERS: usize = 64;

/// Wakes a queue's reader, at once or when the gathered wake-ups leave.
pub(super) fn wake(waker: Option<Waker>) {
    let Some(waker) = waker else { return };
    let now = GATHERED.with_borrow_mut(|gathered| {
        if gathered.depth == 0 {
            return Some(waker);
        }
        gathered.wakers.push(waker);
        None
    });
    if let Some(waker) = now {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Context,
    };

    use super::{
        super::{Receiver, Sender, queue},
        *,
    };

    /// Counts its wake-ups.
    #[derive(Default)]
    struct Bell(AtomicUsize);

    impl std::task::Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_gathered_wakes_its_readers_once_and_at_the_end() {
        let (bells, mut queues): (Vec<_>, Vec<_>) = (0..3)
            .map(|_| (Arc::new(Bell::default()), queue(usize::MAX)))
            .unzip();
        let wait = |queues: &mut Vec<(Sender<u8>, Receiver<u8>)>| {
            for ((_, rx), bell) in queues.iter_mut().zip(&bells) {
                while rx.try_next().is_some() {}
                let waker = Waker::from(Arc::clone(bell));
                assert!(rx.poll_next(&mut Context::from_waker(&waker)).is_pending());
            }
        };
        let rung = || -> usize {
            bells
                .iter()
                .map(|bell| bell.0.load(Ordering::Relaxed))
                .sum()
        };
        wait(&mut queues);
        let outer = gather();
        for _ in 0..5 {
            let _inner = gather();
            for (tx, _) in &queues {
                tx.push(1, 1).unwrap();
            }
        }
        assert_eq!(rung(), 0);
        drop(outer);
        assert_eq!(rung(), 3);
        wait(&mut queues);
        for (tx, _) in &queues {
            tx.push(1, 1).unwrap();
        }
        assert_eq!(rung(), 6, "without it they are woken at once");
    }
}
