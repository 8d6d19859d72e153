//! Publishing: generations, media that waits for a decision, and the way to the origin.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes};
use tributary_node::feed::FeedSource;
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    command::Command,
    link::{CloseReason, FromSession, Generation, ToSession},
    ring::{Cursor, Start},
};

use super::support::{Client, Edge, LONG, Peer, STREAM, config, media, to_message};
use crate::link::publish::{HOLD, PublishFeed, PublishSource};

const AUDIO: MessageType = MessageType::AUDIO;
const VIDEO: MessageType = MessageType::VIDEO;

/// An AVC sequence header and a key frame, both without content.
pub(super) const HEADER: &[u8] = b"\x17\x00\x00\x00\x00h";
const KEY: &[u8] = b"\x17\x01\x00\x00\x00k";

/// The link's end of a feed.
pub(super) struct Feed {
    pub(super) source: Arc<PublishSource>,
    pub(super) cursor: Cursor,
}

impl Feed {
    pub(super) fn new() -> (PublishFeed, Self) {
        let (feed, source) = PublishFeed::new();
        let cursor = source.with_ring(|ring| ring.join(Start::Live));
        let source = Arc::new(source);
        (feed, Self { source, cursor })
    }

    /// The messages since the last call, as kind and time.
    pub(super) fn take(&mut self) -> Vec<(u8, u32)> {
        let mut taken = Vec::new();
        self.source.with_ring(|ring| {
            while let Some(delivery) = ring.next(&mut self.cursor, Duration::MAX) {
                if delivery.seq.is_some() {
                    taken.push((delivery.item.kind.0, delivery.timestamp.0));
                }
            }
        });
        taken
    }

    pub(super) async fn wait(&mut self, count: usize) -> Vec<(u8, u32)> {
        let mut taken = Vec::new();
        for _ in 0..2000 {
            taken.extend(self.take());
            if taken.len() >= count {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("only {taken:?}");
    }
}

pub(super) async fn publish(edge: &mut Edge, client: &mut Client, peer: &Peer) -> Generation {
    client.connection.publish(
        STREAM,
        "name?key=secret",
        tributary_protocol::command::stream::PublishKind::Live,
    );
    client.send().await;
    let (command, generation) = edge.command(peer).await;
    assert_eq!(command.name, "publish");
    generation
}

pub(super) async fn send(client: &mut Client, messages: &[Message]) {
    for message in messages {
        let csid = ChunkStreamId(4 + u32::from(message.kind.0));
        client.connection.send(csid, message);
    }
    client.send().await;
}

pub(super) fn accept(peer: &Peer, generation: Generation) -> Feed {
    let (feed, end) = Feed::new();
    peer.say(ToSession::AcceptPublish {
        stream: STREAM,
        generation,
        target: feed,
    });
    end
}

#[tokio::test]
async fn media_waits_for_its_accept_and_then_flows() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    // Media before any publish is dropped.
    send(&mut client, &[media(AUDIO, 1, &b"\xaf\x01a"[..])]).await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    send(
        &mut client,
        &[
            media(MessageType::DATA_AMF0, 2, &b"\x02\x00\x01x"[..]),
            media(VIDEO, 3, HEADER),
            media(AUDIO, 4, &b""[..]),
        ],
    )
    .await;
    assert!(
        edge.told_soon().await.is_none(),
        "media and its data are no lane's business"
    );
    let mut feed = accept(&peer, generation);
    assert_eq!(feed.wait(3).await, [(18, 2), (9, 3), (8, 4)]);
    edge.until("one publisher", |metrics| metrics.publishers.get() == 1)
        .await;
    send(&mut client, &[media(VIDEO, 5, KEY)]).await;
    assert_eq!(feed.wait(1).await, [(9, 5)]);
}

#[tokio::test]
async fn media_belongs_to_the_generation_in_which_it_arrived() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let first = publish(&mut edge, &mut client, &peer).await;
    send(&mut client, &[media(AUDIO, 1, &b"\xaf\x01a"[..])]).await;
    client.connection.close_stream(STREAM);
    client.send().await;
    let (_, closed) = edge.command(&peer).await;
    send(&mut client, &[media(AUDIO, 2, &b"\xaf\x01a"[..])]).await;
    let second = publish(&mut edge, &mut client, &peer).await;
    assert!(first < closed && closed < second);
    send(&mut client, &[media(AUDIO, 3, &b"\xaf\x01a"[..])]).await;

    let mut late = accept(&peer, first);
    let mut feed = accept(&peer, second);
    assert_eq!(feed.wait(1).await, [(8, 3)]);
    assert!(late.take().is_empty());
    // A stop of an older generation changes nothing; a stop of this one ends the media.
    peer.say(ToSession::StopPublish {
        stream: STREAM,
        generation: first,
    });
    send(&mut client, &[media(AUDIO, 4, &b"\xaf\x01a"[..])]).await;
    assert_eq!(feed.wait(1).await, [(8, 4)]);
    peer.say(ToSession::StopPublish {
        stream: STREAM,
        generation: second,
    });
    edge.until("nobody publishes", |metrics| metrics.publishers.get() == 0)
        .await;
    assert!(feed.source.is_finished());

    // deleteStream names its stream.
    let third = publish(&mut edge, &mut client, &peer).await;
    let feed = accept(&peer, third);
    edge.until("one publisher", |metrics| metrics.publishers.get() == 1)
        .await;
    client.connection.delete_stream(STREAM);
    client.send().await;
    let (_, deleted) = edge.command(&peer).await;
    assert!(deleted > third);
    edge.until("nobody publishes", |metrics| metrics.publishers.get() == 0)
        .await;
    assert!(feed.source.is_finished());
}

#[tokio::test]
async fn a_mebibyte_is_held_and_then_the_client_is_unread() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    const COUNT: u32 = 600;
    for time in 0..COUNT {
        let message = media(AUDIO, time, vec![0xaf; 20_000]);
        client.connection.send(ChunkStreamId(8), &message);
    }
    let output = client.connection.take_output();
    let (_read, mut write) = client.socket.into_split();
    let writer = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut write, &output)
            .await
            .unwrap();
        write
    });
    let before = u64::from(COUNT) * 20_000;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!writer.is_finished());
    let read = edge.metrics.bytes_in.get();
    assert!(
        (1_000_000..2_000_000).contains(&read),
        "{read} of {before} read"
    );
    let mut feed = accept(&peer, generation);
    let times: Vec<u32> = feed
        .wait(COUNT as usize)
        .await
        .iter()
        .map(|&(_, time)| time)
        .collect();
    assert_eq!(times, (0..COUNT).collect::<Vec<_>>());
    writer.await.unwrap();
}

#[tokio::test]
async fn a_full_park_does_not_stop_the_media() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    // The session is parked, but not full: media passes by.
    client
        .connection
        .notify("waits", vec!["x".repeat(60_000).as_str().into()]);
    send(&mut client, &[media(AUDIO, 7, &b"\xaf\x01a"[..])]).await;
    assert_eq!(feed.wait(1).await, [(8, 7)]);
    assert!(matches!(
        edge.told().await,
        (_, FromSession::Message { .. })
    ));
}

fn sub(out: &mut Vec<u8>, kind: MessageType, time: u32, payload: &[u8], length: u32) {
    out.put_u8(kind.0);
    out.put_uint(u64::from(length), 3);
    out.put_uint(u64::from(time), 3);
    out.put_u32(0);
    out.put_slice(payload);
    out.put_u32(payload.len() as u32 + 11);
}

/// Whether a future is over.
async fn is_over(future: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = future => true,
        () = std::future::ready(()) => false,
    }
}

/// Reports to the edge whether the stream has readers, and waits until the session has taken it.
async fn report(client: &mut Client, peer: &Peer, generation: Generation, read: bool) {
    peer.say(ToSession::PublishRead {
        stream: STREAM,
        generation,
        read,
    });
    peer.command(&Command::new("taken", TransactionId(0.0)));
    client.event().await;
}

/// The changes after which held messages leave.
#[derive(Clone, Copy, Debug)]
enum Release {
    Reader,
    Command,
}

#[tokio::test]
async fn messages_of_an_unread_publish_wait_until_there_is_a_reader_or_a_command_follows() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    let source = Arc::clone(&feed.source);
    let mut audio = (0..).map(|time| [media(AUDIO, time, &b"\xaf\x01a"[..])]);
    let mut releases = [Release::Reader, Release::Command].into_iter().peekable();
    while let Some(release) = releases.peek() {
        report(&mut client, &peer, generation, false).await;
        send(&mut client, &audio.next().expect("no last one")).await;
        feed.wait(1).await;
        // The feed reads that message, so that the next one waits.
        let begun = Instant::now();
        let mut changed = pin!(source.changed());
        send(&mut client, &audio.next().expect("no last one")).await;
        feed.wait(1).await;
        let left_at_once = is_over(changed.as_mut()).await;
        match release {
            Release::Reader => report(&mut client, &peer, generation, true).await,
            Release::Command => {
                client.connection.notify("follows", Vec::new());
                client.send().await;
                assert_eq!(edge.command(&peer).await.0.name, "follows");
            }
        }
        let left = left_at_once || is_over(changed).await;
        // After this time messages leave by themselves: on a machine that is this slow, the round
        // shows nothing.
        if begun.elapsed() < HOLD {
            assert!(!left_at_once, "{release:?}");
            assert!(left, "{release:?}");
            releases.next();
        }
    }
}

#[tokio::test]
async fn a_report_about_an_older_publish_changes_nothing() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let first = publish(&mut edge, &mut client, &peer).await;
    let second = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, second);
    let source = Arc::clone(&feed.source);
    report(&mut client, &peer, first, false).await;
    for time in 0..3 {
        let changed = source.changed();
        send(&mut client, &[media(AUDIO, time, &b"\xaf\x01a"[..])]).await;
        assert_eq!(feed.wait(1).await, [(8, time)]);
        assert!(is_over(changed).await);
    }
}

#[tokio::test]
async fn aggregates_are_split_and_of_bad_ones_the_whole_parts_are_used() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    let mut body = Vec::new();
    sub(&mut body, VIDEO, 500, KEY, 6);
    sub(&mut body, AUDIO, 520, b"\xaf\x01a", 3);
    sub(&mut body, MessageType(77), 530, b"?", 1);
    send(&mut client, &[media(MessageType::AGGREGATE, 1000, body)]).await;
    assert_eq!(feed.wait(2).await, [(9, 1000), (8, 1020)]);

    let mut lie = Vec::new();
    sub(&mut lie, AUDIO, 0, b"\xaf\x01b", 3);
    sub(&mut lie, VIDEO, 0, KEY, 0xff_ffff);
    send(&mut client, &[media(MessageType::AGGREGATE, 2000, lie)]).await;
    assert_eq!(feed.wait(1).await, [(8, 2000)]);
    edge.until("it is counted", |_| {
        edge.metrics.aggregates_cut_off.get() == 1
    })
    .await;
    // The publisher stays.
    send(&mut client, &[media(VIDEO, 2040, KEY)]).await;
    assert_eq!(feed.wait(1).await, [(9, 2040)]);
}

#[tokio::test]
async fn publishes_are_limited_in_number() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    for stream in 0..65 {
        let command = Command::new("publish", TransactionId(0.0));
        client
            .connection
            .send_command(MessageStreamId(stream * 7 + 1), &command.with("name"));
    }
    client.send().await;
    for _ in 0..64 {
        edge.command(&peer).await;
    }
    assert_eq!(edge.closed().await, CloseReason::Limit);
}

#[tokio::test]
async fn large_media_arrives_whole() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    edge.until("one publisher", |metrics| metrics.publishers.get() == 1)
        .await;
    // More bytes than a client that does not publish may have incomplete.
    let payload = Bytes::from([KEY, &[0; 7_000_000]].concat());
    let message = Message {
        timestamp: RtmpTimestamp(1),
        ..media(VIDEO, 1, payload)
    };
    send(&mut client, &[message]).await;
    assert_eq!(feed.wait(1).await, [(9, 1)]);
}

#[tokio::test]
async fn a_silent_publisher_is_pinged_then_reported_and_cleared_when_it_sends_again() {
    let stall = Duration::from_millis(400);
    let settings = tributary_node::config::Application {
        stall_time: tributary_node::config::Duration(stall),
        ..Default::default()
    };
    let applications = [("live".to_owned(), settings)].into();
    let mut edge = Edge::start_for(&config(), &applications);
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    // A client that reads and answers pings is not reported.
    let answers = async {
        for _ in 0..4 {
            let _ = tokio::time::timeout(stall / 2, client.try_event()).await;
        }
    };
    answers.await;
    let begun = Instant::now();
    // The client reads no longer.
    let told = edge.told().await;
    assert!(
        matches!(
            told,
            (
                _,
                FromSession::Stalled {
                    stream: STREAM,
                    stalled: true,
                }
            )
        ),
        "{told:?}"
    );
    assert!(begun.elapsed() >= stall, "{:?}", begun.elapsed());
    assert!(edge.told_soon().await.is_none(), "once");
    send(&mut client, &[media(AUDIO, 1, &b"\xaf\x01a"[..])]).await;
    let told = edge.told().await;
    assert!(
        matches!(
            told,
            (
                _,
                FromSession::Stalled {
                    stream: STREAM,
                    stalled: false,
                }
            )
        ),
        "{told:?}"
    );
    assert_eq!(feed.wait(1).await, [(8, 1)]);
}

#[tokio::test]
async fn a_session_that_publishes_nothing_may_be_silent() {
    let settings = tributary_node::config::Application {
        stall_time: tributary_node::config::Duration::from_millis(100),
        ..Default::default()
    };
    let mut edge = Edge::start_for(&config(), &[("live".to_owned(), settings)].into());
    let (_client, _peer) = edge.session().await;
    for _ in 0..5 {
        assert!(edge.told_soon().await.is_none());
    }
}

#[tokio::test]
async fn a_client_with_object_encoding_3_publishes_in_type_17() {
    let mut edge = Edge::start();
    let encoding = tributary_protocol::command::ObjectEncoding::Amf3;
    let (mut client, peer) = edge.session_in(encoding).await;
    let first = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, first);
    let metadata = tributary_protocol::command::DataMessage::new("@setDataFrame");
    client
        .connection
        .send_data(STREAM, RtmpTimestamp(1), &metadata);
    client.send().await;
    assert_eq!(feed.wait(1).await, [(15, 1)]);
    client.connection.close_stream(STREAM);
    client.send().await;
    let (message, second) = edge.message(&peer).await;
    assert_eq!(message.kind, MessageType::COMMAND_AMF3);
    assert!(second > first, "the edge recognises it");
    edge.until("nobody publishes", |metrics| metrics.publishers.get() == 0)
        .await;
}

/// Sends 100 audio messages, 5 ms apart. Returns how many times the edge has read meanwhile.
async fn reads_of_a_hundred(edge: &Edge, client: &mut Client, time: &mut u32) -> usize {
    let mut reads = 0;
    let mut before = edge.metrics.bytes_in.get();
    for _ in 0..100 {
        send(client, &[media(AUDIO, *time, &b"\xaf\x01a"[..])]).await;
        *time += 5;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let now = edge.metrics.bytes_in.get();
        reads += usize::from(now != before);
        before = now;
    }
    reads
}

#[tokio::test]
async fn the_client_of_an_unread_publish_is_read_seldom_until_there_is_a_reader_or_a_call() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let mut feed = accept(&peer, generation);
    let report = |read| {
        peer.say(ToSession::PublishRead {
            stream: STREAM,
            generation,
            read,
        });
    };
    let mut time = 0;
    let by = Instant::now() + LONG;
    report(false);
    // Watched, the client is read some hundred times; by time, four times or less.
    while reads_of_a_hundred(&edge, &mut client, &mut time).await > 10 {
        assert!(Instant::now() < by, "the client is read for each message");
    }
    report(true);
    let sent = time as usize / 5;
    let mut taken = feed.wait(sent).await;
    // Each message is read before the next one is sent.
    for _ in 0..100 {
        send(&mut client, &[media(AUDIO, time, &b"\xaf\x01a"[..])]).await;
        time += 5;
        taken.extend(feed.wait(1).await);
    }
    let times: Vec<_> = taken.iter().map(|&(_, time)| time).collect();
    assert_eq!(times, (0..time).step_by(5).collect::<Vec<_>>());

    report(false);
    while reads_of_a_hundred(&edge, &mut client, &mut time).await > 10 {
        assert!(Instant::now() < by, "the client is read for each message");
    }
    // A call is read at the next time, and after it nothing waits any more.
    client.connection.notify("follows", Vec::new());
    client.send().await;
    assert_eq!(edge.command(&peer).await.0.name, "follows");
    let sent = time as usize / 5 - times.len();
    feed.wait(sent).await;
    for _ in 0..20 {
        let before = edge.metrics.bytes_in.get();
        send(&mut client, &[media(AUDIO, time, &b"\xaf\x01a"[..])]).await;
        time += 5;
        edge.until("the message is read", |metrics| {
            metrics.bytes_in.get() > before
        })
        .await;
    }
}

#[tokio::test]
async fn the_end_of_a_client_that_is_read_seldom_is_noticed() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let generation = publish(&mut edge, &mut client, &peer).await;
    let _feed = accept(&peer, generation);
    peer.say(ToSession::PublishRead {
        stream: STREAM,
        generation,
        read: false,
    });
    let (mut time, by) = (0, Instant::now() + LONG);
    while reads_of_a_hundred(&edge, &mut client, &mut time).await > 10 {
        assert!(Instant::now() < by, "the client is read for each message");
    }
    drop(client);
    assert_eq!(edge.closed().await, CloseReason::Client);
}

/// An encoder that leaves without reading what the edge has sent resets its connection: the kernel
/// tells the edge so at its next write, which may come before the read of the encoder's last commands.
#[tokio::test]
async fn the_last_commands_of_a_client_that_resets_its_connection_arrive() {
    let mut edge = Edge::start();
    for _ in 0..20 {
        let (mut client, peer) = edge.session().await;
        publish(&mut edge, &mut client, &peer).await;
        let unread = Command::new("onFCPublish", TransactionId::NONE);
        peer.command(&unread);
        let message = to_message(&unread, MessageStreamId::CONNECTION);
        let after = None;
        client.socket.readable().await.unwrap();
        client.connection.close_stream(STREAM);
        client.send_at_once();
        drop(client);
        // The session finds both at once, unless its thread was faster and has ended it.
        peer.try_say(ToSession::Message { message, after });
        let (command, _) = edge.command(&peer).await;
        assert_eq!(command.name, "closeStream");
        edge.closed().await;
    }
}
