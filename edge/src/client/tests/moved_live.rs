//! Viewers and publishers that move to another process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_node::feed::FeedSource;
use tributary_protocol::{
    Message, MessageType, TransactionId,
    command::{Command, Status},
    link::{FeedPlace, Filter, ToSession},
    ring::{Publication, RingLimits, Start},
    session::ClientEvent,
};

use super::{
    pair::{finish, replace},
    playing::{HEADER, INTER, KEY, SOUND, Source, media, status},
    publishing::{self, Feed},
    support::{self, Client, Edge, Peer, STREAM},
};

const AUDIO: MessageType = MessageType::AUDIO;
const VIDEO: MessageType = MessageType::VIDEO;

/// A live stream, and what an origin repeats of it for a new link.
struct Repeated {
    source: Source,
    header: Option<Message>,
    /// Since the newest key frame.
    group: Vec<(u64, Message)>,
}

impl Repeated {
    fn new(source: Source) -> Self {
        Self {
            source,
            header: None,
            group: Vec::new(),
        }
    }

    fn push(&mut self, kind: MessageType, payload: impl Into<Bytes>) -> FeedPlace {
        let payload: Bytes = payload.into();
        let place = self.source.push(kind, payload.clone());
        let message = self.source.message(kind, payload.clone());
        if kind == VIDEO && payload.starts_with(&KEY[..2]) {
            self.group.clear();
        }
        match payload.starts_with(&HEADER[..2]) {
            true => self.header = Some(message),
            false => self.group.push((place.0, message)),
        }
        place
    }

    /// Goes on as the feed of another edge, where it begins with a whole group of pictures.
    fn at(&mut self, edge: &Edge) {
        let key = self.source.live.key();
        let streams = edge.running.controls().streams();
        self.source.live = streams.get_or_create(key.origin, key.live);
        self.source.live.restart();
        if let Some(header) = &self.header {
            self.source.live.push(None, header.clone());
        }
        for (number, message) in &self.group {
            self.source.live.push(Some(*number), message.clone());
        }
    }
}

/// Waits until the session has handled all that its peer has said.
async fn handled(client: &mut Client, peer: &Peer) {
    peer.command(&Command::new("set", TransactionId(0.0)));
    let event = client.event().await;
    assert!(matches!(event, ClientEvent::Command { .. }), "{event:?}");
}

fn filter(peer: &Peer, filter: Filter) {
    peer.say(ToSession::Filter {
        stream: STREAM,
        filter,
    });
}

#[tokio::test]
async fn viewers_go_on_at_their_message_and_their_filters_hold() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut source = Repeated::new(Source::new());
    source.push(VIDEO, HEADER);
    source.push(VIDEO, KEY);
    source.push(AUDIO, SOUND);
    let (mut clients, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (mut client, peer) = old.session().await;
        source.source.attach(&peer, STREAM);
        for _ in 0..3 {
            media(&mut client).await;
        }
        clients.push(client);
        peers.push(peer);
    }
    let all = Filter::default();
    let (paused, video) = (true, false);
    filter(&peers[1], Filter { paused, ..all });
    filter(&peers[2], Filter { video, ..all });
    for (client, peer) in clients.iter_mut().zip(&peers).skip(1) {
        handled(client, peer).await;
    }
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut clients[0]).await, (1, 9, 160, 6));
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    assert_eq!(new.metrics.viewers.get(), 3);
    old.until("no viewer is left", |metrics| metrics.viewers.get() == 0)
        .await;
    source.at(&new);
    source.push(AUDIO, SOUND);
    source.push(VIDEO, INTER);
    // Nothing comes twice, and nothing is left out.
    assert_eq!(media(&mut clients[0]).await, (1, 8, 200, 3));
    assert_eq!(media(&mut clients[0]).await, (1, 9, 240, 6));
    assert_eq!(media(&mut clients[2]).await, (1, 8, 200, 3));
    source.push(VIDEO, KEY);
    source.push(AUDIO, SOUND);
    assert_eq!(media(&mut clients[2]).await, (1, 8, 320, 3));
    // The paused one has had nothing, and goes on at a key frame.
    handled(&mut clients[1], &peers[1]).await;
    filter(&peers[1], all);
    let first = loop {
        match media(&mut clients[1]).await {
            (_, 9, time, _) => break time,
            (_, 8, time, _) => assert!(time > 120, "{time}"),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(first, 280);
}

#[tokio::test]
async fn waits_for_a_publication_and_for_a_place_go_on() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut source = Repeated::new(Source::new());
    source.push(VIDEO, KEY);
    let (mut early, first) = old.session().await;
    let (mut late, second) = old.session().await;
    source.source.attach(&first, STREAM);
    assert_eq!(media(&mut early).await.1, 9);
    // The publication begins behind two more messages.
    let next = source.source.number + 2;
    source.source.attach_to(&second, STREAM, next);
    handled(&mut late, &second).await;
    // Two messages of one message stream wait, the first for a place.
    let after = Some(FeedPlace(source.source.number + 1));
    for (status_of, after) in [
        (Status::PlayUnpublishNotify, after),
        (Status::PlayStop, None),
    ] {
        first.say(ToSession::Message {
            message: status(status_of),
            after,
        });
    }
    handled(&mut early, &first).await;
    let begun = Instant::now();
    let mut peers = vec![first, second];
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    source.at(&new);
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut early).await, (1, 9, 80, 6));
    source.push(AUDIO, SOUND);
    assert_eq!(media(&mut early).await, (1, 8, 120, 3));
    assert_eq!(early.status().await, "NetStream.Play.UnpublishNotify");
    assert_eq!(early.status().await, "NetStream.Play.Stop");
    assert!(begun.elapsed() < Duration::from_millis(900), "no time-out");
    let (first, writer) = (next, next);
    source.source.live.follow(Publication { first, writer });
    source.push(AUDIO, SOUND);
    for client in [&mut early, &mut late] {
        assert_eq!(media(client).await, (1, 8, 160, 3));
    }
}

/// Mostly the socket is full, a media message has left in half, and output of the session waits behind it:
/// the kernel decides.
#[tokio::test]
async fn a_client_that_does_not_read_gets_whole_messages() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let mut source = Repeated::new(Source::with(RingLimits {
        bytes: 1 << 30,
        ..RingLimits::default()
    }));
    let (mut client, peer) = old.session().await;
    source.source.attach(&peer, STREAM);
    const BEFORE: u32 = 500;
    let picture = |n: u32| [KEY, &n.to_be_bytes(), &vec![n as u8; 40_000]].concat();
    for n in 0..BEFORE {
        source.push(VIDEO, picture(n));
    }
    let mut sent = 0;
    while sent < old.metrics.wire_bytes_out.get() {
        sent = old.metrics.wire_bytes_out.get();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let text = "x".repeat(1_000);
    let between = |n: u32| Command::new("between", TransactionId(n.into())).with(text.as_str());
    for n in 0..50 {
        peer.command(&between(n));
    }
    let standing = old.freeze(&[&peer]).await;
    let mut peers = vec![peer];
    let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    source.at(&new);
    for n in 50..53 {
        peers[0].command(&between(n));
    }
    let (mut commands, mut pictures) = (0, Vec::new());
    while commands < 53 || pictures.last() != Some(&BEFORE) {
        match client.event().await {
            ClientEvent::Message(message) => {
                let (head, filler) = message.payload[KEY.len()..].split_at(4);
                let n = u32::from_be_bytes(head.try_into().expect("four bytes"));
                assert_eq!(filler.len(), 40_000);
                assert!(filler.iter().all(|byte| *byte == n as u8));
                pictures.push(n);
                if n == BEFORE - 1 {
                    source.push(VIDEO, picture(BEFORE));
                }
            }
            ClientEvent::Command { command, .. } => {
                assert_eq!(command.transaction.0, f64::from(commands));
                commands += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pictures.is_sorted_by(|one, next| one < next));
}

#[tokio::test]
async fn a_publish_that_is_not_decided_keeps_its_media() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut client, peer) = old.session().await;
    let generation = publishing::publish(&mut old, &mut client, &peer).await;
    let picture = |time, payload: &'static [u8]| support::media(VIDEO, time, payload);
    let first = [picture(1, HEADER), picture(2, KEY), picture(3, INTER)];
    publishing::send(&mut client, &first).await;
    client.connection.notify("talk", Vec::new());
    client.send().await;
    assert_eq!(old.command(&peer).await.0.name, "talk");
    let mut peers = vec![peer];
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    publishing::send(&mut client, &[picture(4, INTER)]).await;
    let mut feed = publishing::accept(&peers[0], generation);
    assert_eq!(feed.wait(4).await, [(9, 1), (9, 2), (9, 3), (9, 4)]);
    publishing::send(&mut client, &[picture(5, INTER)]).await;
    assert_eq!(feed.wait(1).await, [(9, 5)]);
    assert_eq!(new.metrics.publishers.get(), 1);
    // Its generations go on.
    let second = publishing::publish(&mut new, &mut client, &peers[0]).await;
    assert!(second > generation);
}

#[tokio::test]
async fn a_publisher_goes_on_with_the_numbers_of_its_feed() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut client, peer) = old.session().await;
    let generation = publishing::publish(&mut old, &mut client, &peer).await;
    let mut feed = publishing::accept(&peer, generation);
    let picture = |time, payload: &'static [u8]| support::media(VIDEO, time, payload);
    let first = [
        picture(1, HEADER),
        picture(2, KEY),
        picture(3, INTER),
        picture(4, KEY),
        picture(5, INTER),
    ];
    publishing::send(&mut client, &first).await;
    assert_eq!(feed.wait(5).await.len(), 5);
    let head = feed.source.with_ring(|ring| ring.head());
    let mut peers = vec![peer];
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    // The parked feed of the old process has the end of its ring, and nobody reads it.
    assert_eq!(new.links.feeds.len(), 1);
    let source = Arc::new(new.links.feeds.remove(0));
    let cursor = source.with_ring(|ring| {
        assert_eq!(ring.head(), head);
        ring.join(Start::Gop)
    });
    let mut feed = Feed { source, cursor };
    assert_eq!(feed.take(), [(9, 4), (9, 5)], "the newest group");
    publishing::send(&mut client, &[picture(6, INTER)]).await;
    assert_eq!(feed.wait(1).await, [(9, 6)]);
    assert_eq!(feed.source.with_ring(|ring| ring.head()), head + 1);
    assert!(!feed.source.is_finished());
    peers[0].say(ToSession::StopPublish {
        stream: STREAM,
        generation,
    });
    new.until("its end", |metrics| metrics.publishers.get() == 0)
        .await;
    assert!(feed.source.is_finished());
}
