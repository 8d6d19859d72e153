use std::cell::{Cell, RefCell};

use prometheus_client::encoding::EncodeLabelSet;

use super::*;
use crate::{
    feed::tests::{Source, accept, read},
    transport::{CloseCode, tests::pair},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    peer: &'static str,
}

struct Lasting {
    source: Source,
    epoch: Cell<u64>,
    is_wanted: Cell<bool>,
    /// The links for which the writer was prepared again.
    resumed: Cell<u32>,
    /// The arguments of [`LastingFeed::goes_on`].
    asked: RefCell<Vec<bool>>,
}

impl Lasting {
    fn new() -> Self {
        Self {
            source: Source::new(),
            epoch: Cell::new(0),
            is_wanted: Cell::new(true),
            resumed: Cell::new(0),
            asked: RefCell::default(),
        }
    }
}

impl LastingFeed for Lasting {
    type Source = Source;

    fn source(&self) -> &Source {
        &self.source
    }

    fn goes_on(&self, is_linked: bool) -> bool {
        self.asked.borrow_mut().push(is_linked);
        self.is_wanted.get()
    }

    fn begin(&self) -> FeedWriter {
        self.source.writer()
    }

    fn resume(&self, _writer: &mut FeedWriter) {
        self.resumed.set(self.resumed.get() + 1);
    }

    fn next_epoch(&self) -> u64 {
        self.epoch.set(self.epoch.get() + 1);
        self.epoch.get()
    }

    fn pause_after_refusal(&self) -> Option<Duration> {
        None
    }
}

#[tokio::test]
async fn a_feed_goes_on_over_the_next_link_with_a_higher_epoch() {
    let (_edge, _origin, first, first_end) = pair().await;
    let (_edge, _origin, next, next_end) = pair().await;
    let feed = Lasting::new();
    let counts = LinkCounts::<Label>::default();
    let (links, watch) = watch::channel(Some(first.clone()));
    let receiver = async {
        feed.source.push('a', 0, 0);
        let recv = accept(&first_end).await;
        assert_eq!(counts.feeds_out.get(), 1);
        first.close(CloseCode::Shutdown);
        first.closed().await;
        links.send_replace(None);
        drop(recv);
        links.send_replace(Some(next.clone()));
        // The writer notices the end of the first link at this message, which is lost with it.
        feed.source.push('a', 20, 0);
        while feed.epoch.get() < 2 {
            tokio::task::yield_now().await;
        }
        feed.source.push('a', 40, 0);
        feed.source.finish();
        read(accept(&next_end).await).await
    };
    let ((), read) = tokio::join!(keep_feed(&feed, watch, &counts), receiver);
    assert_eq!(read, (2, vec!["a2".to_owned()]));
    assert_eq!((feed.resumed.get(), counts.feeds_out.get()), (1, 0));
}

#[tokio::test]
async fn a_feed_that_waits_for_a_link_ends_when_it_does_not_go_on() {
    let feed = Lasting::new();
    let counts = LinkCounts::<Label>::default();
    let (_links, watch) = watch::channel(None);
    let ending = async {
        tokio::task::yield_now().await;
        feed.is_wanted.set(false);
        feed.source.push('a', 0, 0);
    };
    tokio::join!(keep_feed(&feed, watch, &counts), ending);
    assert_eq!(*feed.asked.borrow(), [false, false]);
}

#[tokio::test]
async fn a_feed_that_the_peer_refuses_ends_unless_it_is_begun_again() {
    let (_edge, _origin, link, end) = pair().await;
    let feed = Lasting::new();
    let counts = LinkCounts::<Label>::default();
    let (_links, watch) = watch::channel(Some(link));
    let refusing = async {
        feed.source.push('a', 0, 0);
        let mut recv = accept(&end).await;
        recv.stop();
        // The writer notices at its next write.
        for n in 1..50 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            feed.source.push('a', n, 0);
        }
    };
    tokio::select! {
        () = keep_feed(&feed, watch, &counts) => {}
        () = refusing => panic!("the feed goes on"),
    }
}
