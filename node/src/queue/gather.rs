//! Waking the readers of queues once for many items.

use std::{cell::RefCell, marker::PhantomData, task::Waker};

/// What is pushed on this thread wakes its readers when this is dropped, not before. Reason: a
/// reader on another thread that wakes for the first item takes that alone, sleeps, and has to be
/// woken again for the second. Never hold it across a wait: other tasks of the thread push too.
#[must_use]
pub fn gather() -> Gather {
    GATHERED.with_borrow_mut(|gathered| gathered.depth += 1);
    Gather(PhantomData)
}

/// See [`gather`].
#[derive(Debug)]
pub struct Gather(
    /// It belongs to its thread.
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
        // The memory stays for the next time, unless it is a lot.
        wakers.shrink_to(KEPT_WAKERS);
        GATHERED.with_borrow_mut(|gathered| gathered.wakers = wakers);
    }
}

#[derive(Default)]
struct Gathered {
    depth: usize,
    /// One of each queue that was empty: its reader leaves no other before it is woken.
    wakers: Vec<Waker>,
}

thread_local! {
    static GATHERED: RefCell<Gathered> = RefCell::default();
}

/// Places for wakers that a thread keeps.
const KEPT_WAKERS: usize = 64;

/// Wakes a queue's reader, now or when what is gathered leaves.
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

    /// Counts how often it is woken.
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
