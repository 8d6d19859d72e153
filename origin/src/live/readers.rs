//! The readers of a live stream.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// The count of a live stream's readers. Any thread may change it.
#[derive(Debug)]
pub(super) struct Readers(watch::Sender<usize>);

/// The time without readers after which a stream that had some counts as unread. Reason: viewers
/// that come and go cost two orders to the publisher's edge in this time.
pub(super) const UNREAD_AFTER: Duration = Duration::from_secs(5);

impl Readers {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    pub(super) fn add(&self) {
        self.0.send_if_modified(|count| {
            *count += 1;
            *count == 1
        });
    }

    pub(super) fn remove(&self) {
        self.0.send_if_modified(|count| {
            *count -= 1;
            *count == 0
        });
    }

    /// Reports whether there are readers: at once if there are none, then each change. The end of
    /// the last reader is a change [`UNREAD_AFTER`] later, unless another has come by then. Runs
    /// until it is dropped.
    pub(super) async fn report(&self, mut report: impl FnMut(bool)) {
        let mut count = self.0.subscribe();
        let mut patience = match *count.borrow() {
            0 => Duration::ZERO,
            _ => UNREAD_AFTER,
        };
        loop {
            // An error would be the end of the count, which this borrows.
            let _ = count.wait_for(|&count| count == 0).await;
            let another = timeout(patience, count.wait_for(|&count| count > 0));
            if another.await.is_ok() {
                patience = UNREAD_AFTER;
                continue;
            }
            report(false);
            let _ = count.wait_for(|&count| count > 0).await;
            report(true);
            patience = UNREAD_AFTER;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc, sync::Arc};

    use tokio::{
        task::{LocalSet, spawn_local, yield_now},
        time::advance,
    };

    use super::*;

    /// Reports of a count, and the time after them.
    struct Reported {
        readers: Arc<Readers>,
        reports: Rc<RefCell<Vec<bool>>>,
    }

    impl Reported {
        fn start() -> Self {
            let readers = Arc::new(Readers::new());
            let reports = Rc::new(RefCell::<Vec<bool>>::default());
            let (of, to) = (Arc::clone(&readers), Rc::clone(&reports));
            spawn_local(async move { of.report(|read| to.borrow_mut().push(read)).await });
            Self { readers, reports }
        }

        async fn after(&self, time: Duration) -> Vec<bool> {
            yield_now().await;
            advance(time).await;
            for _ in 0..10 {
                yield_now().await;
            }
            self.reports.take()
        }
    }

    const MOMENT: Duration = Duration::from_millis(2);

    const NONE: [bool; 0] = [];

    #[tokio::test(start_paused = true)]
    async fn an_unread_stream_is_reported_at_once_and_each_change_after_it() {
        let test = async {
            let stream = Reported::start();
            assert_eq!(stream.after(MOMENT).await, [false]);
            stream.readers.add();
            assert_eq!(stream.after(MOMENT).await, [true]);
            stream.readers.add();
            stream.readers.remove();
            assert_eq!(stream.after(2 * UNREAD_AFTER).await, NONE);
            stream.readers.remove();
            assert_eq!(stream.after(UNREAD_AFTER - MOMENT).await, NONE);
            assert_eq!(stream.after(2 * MOMENT).await, [false]);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_readers_is_not_reported_and_readers_may_come_and_go() {
        let test = async {
            let stream = Reported::start();
            stream.readers.add();
            assert_eq!(stream.after(2 * UNREAD_AFTER).await, NONE);
            for _ in 0..20 {
                stream.readers.remove();
                assert_eq!(stream.after(UNREAD_AFTER / 2).await, NONE);
                stream.readers.add();
                assert_eq!(stream.after(UNREAD_AFTER / 2).await, NONE);
            }
            stream.readers.remove();
            assert_eq!(stream.after(UNREAD_AFTER + MOMENT).await, [false]);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_other_threads_are_counted() {
        let test = async {
            let stream = Reported::start();
            assert_eq!(stream.after(MOMENT).await, [false]);
            let readers = Arc::clone(&stream.readers);
            let reading = std::thread::spawn(move || {
                for _ in 0..1000 {
                    readers.add();
                    readers.remove();
                }
                readers.add();
            });
            reading.join().expect("it counts");
            assert_eq!(stream.after(MOMENT).await, [true]);
        };
        LocalSet::new().run_until(test).await;
    }
}
