use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use tokio::{sync::Notify, time::timeout};
use tributary_protocol::{
    MessageStreamId, MessageType, RtmpTimestamp,
    link::feed::Feed,
    media,
    ring::{RingLimits, Start},
};

use super::*;
use crate::transport::{Endpoint, RecvStream, tests::pair};

/// A source whose ring the test fills.
#[derive(Clone)]
pub(crate) struct Source(Arc<Shared>);

struct Shared {
    ring: Mutex<Ring<Message>>,
    changed: Notify,
    finished: AtomicBool,
}

impl Source {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Shared {
            ring: Mutex::new(Ring::new(RingLimits::default())),
            changed: Notify::new(),
            finished: AtomicBool::new(false),
        }))
    }

    /// One letter is one message at `time`: `x` video header, `k` key frame, `p` inter frame of
    /// `length` bytes, `a` audio, `d` data message.
    pub(crate) fn push(&self, letter: char, time: u32, length: usize) {
        let (kind, head): (_, &[u8]) = match letter {
            'x' => (MessageType::VIDEO, &[0x17, 0, 0, 0, 0, 1]),
            'k' => (MessageType::VIDEO, &[0x17, 1, 0, 0, 0]),
            'p' => (MessageType::VIDEO, &[0x27, 1, 0, 0, 0]),
            'a' => (MessageType::AUDIO, &[0xaf, 1]),
            _ => (MessageType::DATA_AMF0, b"\x02\x00\x01x"),
        };
        let mut payload = head.to_vec();
        payload.resize(payload.len().max(length), 0);
        let message = Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(time),
            payload: payload.into(),
        };
        let class = media::classify(message.kind, &message.payload);
        let mut ring = self.0.ring.lock().unwrap();
        ring.push(class, message.timestamp, message);
        drop(ring);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn finish(&self) {
        self.0.finished.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    pub(crate) fn writer(&self) -> FeedWriter {
        self.writer_of(Publications::One)
    }

    fn writer_of(&self, publications: Publications) -> FeedWriter {
        let cursor = self.with_ring(|ring| ring.join(Start::Live));
        FeedWriter::new(LiveId(1), WriterId(2), cursor, publications)
    }

    fn change(&self, change: impl FnOnce(&mut Ring<Message>)) {
        change(&mut self.0.ring.lock().unwrap());
        self.0.changed.notify_waiters();
    }
}

impl FeedSource for Source {
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R {
        read(&self.0.ring.lock().unwrap())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        self.0.changed.notified()
    }

    fn is_finished(&self) -> bool {
        self.0.finished.load(Ordering::Acquire)
    }
}

/// A link, with the endpoints that keep it.
async fn link() -> (Link, Link, [Endpoint; 2]) {
    let (edge, origin, dialled, accepted) = pair().await;
    (dialled, accepted, [edge, origin])
}

/// The next feed at the receiver.
pub(crate) async fn accept(link: &Link) -> RecvStream {
    let accepted = timeout(Duration::from_secs(10), link.accept_feed()).await;
    accepted.expect("a feed in time").unwrap()
}

/// The content of a feed until it ends: its epoch, and each message's kind and number.
pub(crate) async fn read(recv: RecvStream) -> (u64, Vec<String>) {
    let mut stream = FeedStream::new(recv, 1 << 20);
    let (mut epoch, mut messages) = (0, Vec::new());
    while let Some(frame) = stream.next().await.unwrap() {
        match frame {
            Feed::Open(open) => epoch = open.epoch,
            Feed::Message(feed) => {
                let (kind, head) = (feed.message.kind, feed.message.payload[0]);
                let letter = match (kind, head) {
                    (MessageType::VIDEO, 0x17) if feed.message.payload[1] == 0 => 'x',
                    (MessageType::VIDEO, 0x17) => 'k',
                    (MessageType::VIDEO, _) => 'p',
                    (MessageType::AUDIO, _) => 'a',
                    _ => 'd',
                };
                let number = feed.number.map_or_else(|| "*".into(), |n| n.to_string());
                messages.push(format!("{letter}{number}"));
            }
            Feed::NewPublication(Publication { first, writer }) => {
                messages.push(format!("|{first},{writer}"));
            }
        }
    }
    (epoch, messages)
}

fn epochs() -> impl FnMut() -> u64 {
    let mut epoch = 0;
    move || {
        epoch += 1;
        epoch
    }
}

/// Stalls the sender's writes, because the receiver does not read; then pushes audio and video in
/// turn for more stream time than the allowed lag. Returns the last number pushed.
async fn stall(source: &Source) -> u32 {
    let at = |n: u32| 20 * n;
    for n in 3..40 {
        source.push(if n % 2 == 0 { 'a' } else { 'p' }, at(n), 20_000);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 40..200 {
        source.push(if n % 2 == 0 { 'a' } else { 'p' }, at(n), 20);
        tokio::task::yield_now().await;
    }
    199
}

#[tokio::test(flavor = "current_thread")]
async fn a_feed_that_falls_behind_gives_way_to_one_with_audio_at_once_and_video_at_its_key_frame() {
    let (link, accepted, _endpoints) = link().await;
    let source = Source::new();
    let mut writer = source.writer();
    for letter in ['x', 'k', 'd'] {
        source.push(letter, 0, 0);
    }
    let (sent, dialled) = (source.clone(), link.clone());
    let writing = tokio::spawn(async move {
        let end = writer.run(&dialled, &sent, epochs()).await;
        (end, writer.take_resets())
    });
    let stuck = accept(&accepted).await;
    let last = stall(&source).await;
    let next = accept(&accepted).await;
    source.push('k', 20 * (last + 1), 0);
    source.push('p', 20 * (last + 2), 0);
    source.finish();
    let (epoch, messages) = read(next).await;
    assert_eq!((epoch, writing.await.unwrap()), (2, (FeedEnd::Finished, 1)));
    // The data message is repeated, even if it arrived on the first feed.
    assert_eq!(messages[..2], ["d2", "x*"]);
    let (audio, video) = messages[2..].split_at(messages.len() - 4);
    assert!(audio.iter().all(|m| m.starts_with('a')), "{messages:?}");
    assert_eq!(video, ["k200", "p201"]);
    drop(stuck);
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_newer_key_frame_audio_goes_on_alone_in_one_feed() {
    let (link, accepted, _endpoints) = link().await;
    let source = Source::new();
    let mut writer = source.writer();
    for letter in ['x', 'k', 'd'] {
        source.push(letter, 0, 0);
    }
    let (sent, dialled) = (source.clone(), link.clone());
    let writing = tokio::spawn(async move {
        writer.run(&dialled, &sent, epochs()).await;
        writer.take_resets()
    });
    let stuck = accept(&accepted).await;
    stall(&source).await;
    let next = accept(&accepted).await;
    source.finish();
    let (epoch, messages) = read(next).await;
    assert_eq!((epoch, writing.await.unwrap()), (2, 1));
    assert_eq!(messages[..2], ["d2", "x*"]);
    assert!(
        messages[2..].iter().all(|m| m.starts_with('a')),
        "{messages:?}"
    );
    assert_eq!(messages.last().map(String::as_str), Some("a198"));
    drop(stuck);
}

#[tokio::test(flavor = "current_thread")]
async fn on_the_next_link_headers_come_again_and_video_from_a_key_frame() {
    let source = Source::new();
    let mut writer = source.writer();
    let mut next_epoch = epochs();
    source.push('x', 0, 0);
    source.push('k', 0, 0);
    source.push('d', 0, 0);
    let (dialled, accepted, _endpoints) = link().await;
    let recv = tokio::select! {
        end = writer.run(&dialled, &source, &mut next_epoch) => panic!("{end:?}"),
        recv = accept(&accepted) => recv,
    };
    accepted.close(crate::transport::CloseCode::Shutdown);
    dialled.closed().await;
    let end = writer.run(&dialled, &source, &mut next_epoch).await;
    assert!(matches!(end, FeedEnd::Link(_)), "{end:?}");
    drop(recv);
    for (n, letter) in "papakp".chars().enumerate() {
        source.push(letter, 40 * n as u32, 0);
    }
    source.finish();
    let (dialled, accepted, _endpoints) = link().await;
    let (end, feed) = tokio::join!(writer.run(&dialled, &source, &mut next_epoch), async {
        read(accept(&accepted).await).await
    });
    assert_eq!(end, FeedEnd::Finished);
    assert_eq!(feed.1, ["d2", "x*", "a4", "a6", "k7", "p8"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_finished_feed_holds_everything_pushed_before_its_end() {
    let (dialled, accepted, _endpoints) = link().await;
    for _ in 0..50 {
        let source = Source::new();
        let mut writer = source.writer();
        let pushing = source.clone();
        // A client's worker pushes from another thread, too.
        let pushed = std::thread::spawn(move || {
            for n in 0..200 {
                pushing.push('a', n, 0);
            }
            pushing.finish();
        });
        let (_, feed) = tokio::join!(writer.run(&dialled, &source, epochs()), async {
            read(accept(&accepted).await).await
        });
        pushed.join().unwrap();
        assert_eq!(feed.1.len(), 200);
        assert_eq!(feed.1.last().map(String::as_str), Some("a199"));
    }
}

/// A source with a publication, then a fresh one, then another writer of that.
fn two_publications() -> Source {
    let source = Source::new();
    source.push('x', 0, 0);
    source.push('k', 20, 0);
    source.push('d', 40, 0);
    source
}

fn go_on_with_another(source: &Source) {
    source.change(Ring::begin_publication);
    source.push('a', 60, 0);
    source.push('x', 80, 0);
    source.push('k', 100, 0);
    source.change(Ring::begin_writer);
    source.push('k', 120, 0);
    source.finish();
}

#[tokio::test]
async fn a_fresh_publication_begins_within_a_feed() {
    let (sender, receiver, _ends) = link().await;
    let source = two_publications();
    let cursor = source.with_ring(|ring| ring.join(Start::KeyFrame));
    let mut writer = FeedWriter::new(LiveId(1), WriterId(0), cursor, Publications::ByFrame);
    go_on_with_another(&source);
    let (end, (epoch, messages)) = tokio::join!(writer.run(&sender, &source, epochs()), async {
        read(accept(&receiver).await).await
    });
    assert_eq!(end, FeedEnd::Finished);
    assert_eq!(epoch, 1);
    let expected = ["x*", "k1", "d2", "|3,3", "a3", "x4", "k5", "|3,6", "k6"];
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn a_feed_that_follows_another_says_which_publication_it_carries() {
    let (sender, receiver, _ends) = link().await;
    let source = two_publications();
    let mut writer = source.writer_of(Publications::ByFrame);
    go_on_with_another(&source);
    let whole = |writer: &mut FeedWriter| {
        let cursor = source.with_ring(|ring| ring.join(Start::KeyFrame));
        writer.go_on_at(cursor);
    };
    for expected in [
        ["|3,6", "k6"].as_slice(),
        // The data message of the old publication precedes the frame.
        &["|3,6", "k6"],
    ] {
        whole(&mut writer);
        let (end, (_, messages)) = tokio::join!(writer.run(&sender, &source, epochs()), async {
            read(accept(&receiver).await).await
        });
        assert_eq!(end, FeedEnd::Finished);
        assert_eq!(messages, expected);
    }
}

#[tokio::test]
async fn a_reader_that_does_not_know_the_frame_gets_a_feed_for_each_publication() {
    let (sender, receiver, _ends) = link().await;
    let source = two_publications();
    let cursor = source.with_ring(|ring| ring.join(Start::KeyFrame));
    let mut writer = FeedWriter::new(LiveId(1), WriterId(0), cursor, Publications::ByEpoch);
    go_on_with_another(&source);
    let (end, feeds) = tokio::join!(writer.run(&sender, &source, epochs()), async {
        let first = read(accept(&receiver).await).await;
        (first, read(accept(&receiver).await).await)
    });
    assert_eq!(end, FeedEnd::Finished);
    assert_eq!(feeds.0.0, 1);
    assert_eq!(feeds.0.1, ["x*", "k1", "d2"]);
    assert_eq!(feeds.1.0, 2);
    // Messages that the reader knows by their numbers, then the fresh publication.
    assert_eq!(feeds.1.1, ["d2", "a3", "x4", "k5", "k6"]);
}
