//! Playing: the messages of viewers, their order, and slow viewers.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tributary_node::config::{Application, Delivery, Streams};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::{Object, Value},
    command::{self, Command, DataMessage, ObjectEncoding, Status},
    link::{self, CloseReason, FeedPlace, Filter, ToSession},
    ring::{Publication, RingLimits},
    session::ClientEvent,
};

use super::support::{Client, Edge, Peer, STREAM, code, config, to_message};
use crate::{
    Config,
    fanout::{LiveStream, StreamKey},
    link::handle::FromOrigin,
};

const AUDIO: MessageType = MessageType::AUDIO;
const VIDEO: MessageType = MessageType::VIDEO;
pub(super) const HEADER: &[u8] = b"\x17\x00\x00\x00\x00h";
pub(super) const KEY: &[u8] = b"\x17\x01\x00\x00\x00k";
pub(super) const INTER: &[u8] = b"\x27\x01\x00\x00\x00p";
pub(super) const SOUND: &[u8] = b"\xaf\x01s";

/// A live stream and the number of its next message.
pub(super) struct Source {
    pub(super) live: Arc<LiveStream>,
    pub(super) number: u64,
    time: u32,
}

impl Source {
    pub(super) fn new() -> Self {
        Self::with(RingLimits::default())
    }

    pub(super) fn with(limits: RingLimits) -> Self {
        Self {
            live: LiveStream::new(StreamKey::default(), limits),
            number: 0,
            time: 0,
        }
    }

    /// Pushes a message. Returns its place.
    pub(super) fn push(&mut self, kind: MessageType, payload: impl Into<Bytes>) -> FeedPlace {
        let number = self.number;
        self.number += 1;
        self.time += 40;
        self.live
            .push(Some(number), self.message(kind, payload.into()));
        FeedPlace(number)
    }

    pub(super) fn message(&self, kind: MessageType, payload: Bytes) -> Message {
        Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(self.time),
            payload,
        }
    }

    pub(super) fn attach(&self, peer: &Peer, stream: MessageStreamId) {
        self.attach_to(peer, stream, 0);
    }

    pub(super) fn attach_to(&self, peer: &Peer, stream: MessageStreamId, publication: u64) {
        self.attach_named(peer, stream, publication, None);
    }

    fn attach_named(
        &self,
        peer: &Peer,
        stream: MessageStreamId,
        publication: u64,
        name: Option<&str>,
    ) {
        let source = link::Source {
            live: Arc::clone(&self.live),
            publication,
            name: name.map(Arc::from),
        };
        peer.say(ToSession::Attach { stream, source });
    }
}

/// The next media message of a client, as stream, type, time and length.
pub(super) async fn media(client: &mut Client) -> (u32, u8, u32, usize) {
    match client.event().await {
        ClientEvent::Message(message) => (
            message.stream.0,
            message.kind.0,
            message.timestamp.0,
            message.payload.len(),
        ),
        other => panic!("not media: {other:?}"),
    }
}

pub(super) fn status(status: Status) -> Message {
    to_message(&command::on_status(status.info(None, None)), STREAM)
}

#[tokio::test]
async fn a_viewer_begins_at_the_key_frame_with_its_headers() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    source.live.push(None, source.message(VIDEO, HEADER.into()));
    source.push(VIDEO, INTER);
    source.push(VIDEO, KEY);
    source.push(AUDIO, SOUND);
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, MessageStreamId(5));
    assert_eq!(
        media(&mut client).await,
        (5, 9, 80, 6),
        "the header, at the key frame's time"
    );
    assert_eq!(media(&mut client).await, (5, 9, 80, 6));
    assert_eq!(media(&mut client).await, (5, 8, 120, 3));
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut client).await, (5, 9, 160, 6));
    edge.until("one viewer", |metrics| metrics.viewers.get() == 1)
        .await;
    peer.say(ToSession::Detach {
        stream: MessageStreamId(5),
    });
    edge.until("no viewer", |metrics| metrics.viewers.get() == 0)
        .await;
    source.push(VIDEO, INTER);
    peer.command(&command::close());
    assert!(
        matches!(client.event().await, ClientEvent::Command { .. }),
        "no more media"
    );
}

#[tokio::test]
async fn many_viewers_on_several_workers_and_streams_get_all_of_it() {
    let mut edge = Edge::start_with(&Config {
        workers: 3,
        ..config()
    });
    let mut sources = [Source::new(), Source::new()];
    let mut clients = Vec::new();
    for n in 0..24 {
        let (client, peer) = edge.session().await;
        sources[n % 2].attach(&peer, STREAM);
        clients.push((client, peer));
    }
    edge.until("all watch", |metrics| metrics.viewers.get() == 24)
        .await;
    // One message is longer than a chunk, one has an extended timestamp.
    for source in &mut sources {
        source.push(VIDEO, KEY);
        source.push(VIDEO, [INTER, &[1; 200_000]].concat());
        source.time = 0x00ff_fff0;
        source.push(VIDEO, [INTER, &[2; 70_000]].concat());
        source.push(AUDIO, &b""[..]);
    }
    let late = 0x00ff_fff0 + 40;
    for (client, _) in &mut clients {
        assert_eq!(media(client).await, (1, 9, 40, 6));
        assert_eq!(media(client).await, (1, 9, 80, 200_006));
        assert_eq!(media(client).await, (1, 9, late, 70_006));
        assert_eq!(media(client).await, (1, 8, late + 40, 0));
    }
    drop(clients);
    edge.until("nobody watches", |metrics| metrics.viewers.get() == 0)
        .await;
}

#[tokio::test]
async fn one_connection_plays_two_streams() {
    let mut edge = Edge::start();
    let (mut one, mut two) = (Source::new(), Source::new());
    let (mut client, peer) = edge.session().await;
    one.attach(&peer, MessageStreamId(1));
    two.attach(&peer, MessageStreamId(2));
    edge.until("both watch", |metrics| metrics.viewers.get() == 2)
        .await;
    for _ in 0..50 {
        one.push(VIDEO, [KEY, &[1; 100_000]].concat());
        two.push(VIDEO, [KEY, &[2; 90_000]].concat());
    }
    let mut lengths = [0, 0];
    for _ in 0..100 {
        let (stream, _, time, length) = media(&mut client).await;
        let count = &mut lengths[stream as usize - 1];
        *count += 1;
        assert_eq!(
            (time, length),
            (*count * 40, [100_006, 90_006][stream as usize - 1])
        );
    }
    // The same stream on the same message stream replaces the play there.
    two.attach(&peer, MessageStreamId(1));
    edge.until("both watch", |metrics| metrics.viewers.get() == 2)
        .await;
}

#[tokio::test]
async fn a_slow_reader_gets_whole_messages_and_commands_between_them() {
    let mut edge = Edge::start();
    // The ring holds all of it, and lag does not count.
    let mut source = Source::with(RingLimits {
        bytes: 1 << 30,
        ..RingLimits::default()
    });
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    for n in 0..60_u32 {
        source.push(VIDEO, [KEY, &vec![n as u8; 40_000 + n as usize]].concat());
        if n % 3 == 0 {
            peer.command(&Command::new("between", TransactionId(f64::from(n))));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (mut frames, mut commands) = (0, 0);
    while frames < 60 || commands < 20 {
        // Small reads: single bytes would take too long.
        let mut buffer = [0; 3000];
        let bytes = client.socket.read(&mut buffer).await.unwrap();
        client
            .connection
            .handle_input(Instant::now(), &buffer[..bytes])
            .expect("sound chunks");
        while let Some(event) = client.connection.poll_event() {
            match event {
                ClientEvent::Message(message) => {
                    let filler = &message.payload[KEY.len()..];
                    assert_eq!(filler.len(), 40_000 + usize::from(filler[0]));
                    assert!(filler.iter().all(|byte| *byte == filler[0]));
                    frames += 1;
                }
                ClientEvent::Command { command, .. } => {
                    assert_eq!(command.transaction.0, f64::from(commands) * 3.0);
                    commands += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((frames, commands), (60, 20));
}

#[tokio::test]
async fn a_message_waits_for_its_place_in_the_feed() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    let last = source.push(VIDEO, KEY);
    let tied = |place| ToSession::Message {
        message: status(Status::PlayUnpublishNotify),
        after: Some(place),
    };
    // The place has passed already.
    assert_eq!(media(&mut client).await.1, 9);
    peer.say(tied(last));
    assert_eq!(client.status().await, "NetStream.Play.UnpublishNotify");
    // The place is to come: later messages on its stream wait too, those of others do not.
    let next = FeedPlace(last.0 + 1);
    peer.say(tied(next));
    peer.say(ToSession::Message {
        message: status(Status::PlayStop),
        after: None,
    });
    peer.command(&Command::new("elsewhere", TransactionId(0.0)));
    assert!(matches!(client.event().await, ClientEvent::Command { .. }));
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut client).await.1, 9);
    assert_eq!(client.status().await, "NetStream.Play.UnpublishNotify");
    assert_eq!(client.status().await, "NetStream.Play.Stop");
}

#[tokio::test]
async fn nothing_waits_for_a_place_that_does_not_come() {
    let never = FeedPlace(1_000_000);
    let at_once = Duration::from_millis(700);
    type Release = fn(&Source, &Peer);
    let cases: [(&str, Duration, Release); 4] = [
        ("after a second", Duration::from_millis(1000), |_, _| {}),
        ("a new epoch", Duration::ZERO, |source, _| {
            source.live.restart();
        }),
        ("the end of the feed", Duration::ZERO, |source, _| {
            source.live.end()
        }),
        ("a detach", Duration::ZERO, |_, peer| {
            peer.say(ToSession::Detach { stream: STREAM });
        }),
    ];
    for (case, least, release) in cases {
        let mut edge = Edge::start();
        let mut source = Source::new();
        let (mut client, peer) = edge.session().await;
        source.attach(&peer, STREAM);
        source.push(AUDIO, SOUND);
        assert_eq!(media(&mut client).await.1, 8);
        let begun = Instant::now();
        for after in [Some(never), None] {
            peer.say(ToSession::Message {
                message: status(Status::PlayStop),
                after,
            });
        }
        // The wait begins before it is ended.
        tokio::time::sleep(Duration::from_millis(50)).await;
        release(&source, &peer);
        assert_eq!(client.status().await, "NetStream.Play.Stop", "{case}");
        assert!(begun.elapsed() >= least, "{case}");
        if least.is_zero() {
            assert!(begun.elapsed() < at_once, "{case}: {:?}", begun.elapsed());
        }
        assert_eq!(client.status().await, "NetStream.Play.Stop", "{case}");
    }
    // Without a viewer no message waits.
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    peer.say(ToSession::Message {
        message: status(Status::PlayStop),
        after: Some(never),
    });
    assert_eq!(client.status().await, "NetStream.Play.Stop");
}

#[tokio::test]
async fn filters_act_on_the_viewer() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    source.push(VIDEO, KEY);
    assert_eq!(media(&mut client).await.2, 40);
    let all = Filter::default();
    for (filter, expected) in [
        (
            Filter {
                video: false,
                ..all
            },
            8,
        ),
        (
            Filter {
                audio: false,
                ..all
            },
            9,
        ),
    ] {
        peer.say(ToSession::Filter {
            stream: STREAM,
            filter,
        });
        peer.command(&Command::new("set", TransactionId(0.0)));
        assert!(matches!(client.event().await, ClientEvent::Command { .. }));
        for _ in 0..3 {
            source.push(VIDEO, KEY);
            source.push(AUDIO, SOUND);
        }
        for _ in 0..3 {
            assert_eq!(media(&mut client).await.1, expected);
        }
    }
    edge.until("six are counted", |metrics| {
        metrics.dropped.count("filter") == 6
    })
    .await;
    peer.say(ToSession::Filter {
        stream: STREAM,
        filter: Filter {
            paused: true,
            ..all
        },
    });
    peer.command(&Command::new("set", TransactionId(0.0)));
    assert!(matches!(client.event().await, ClientEvent::Command { .. }));
    source.push(VIDEO, KEY);
    source.push(AUDIO, SOUND);
    let resumed = source.time;
    peer.say(ToSession::Filter {
        stream: STREAM,
        filter: all,
    });
    assert_eq!(
        media(&mut client).await.2,
        resumed - 40,
        "from the key frame it has not had"
    );
    assert_eq!(media(&mut client).await.2, resumed);
}

#[tokio::test]
async fn a_stalled_viewer_loses_video_then_its_connection_and_others_nothing() {
    let limits = RingLimits {
        bytes: 4 << 20,
        ..RingLimits::default()
    };
    let mut edge = Edge::start_with(&Config {
        max_lag: tributary_node::config::Duration::from_millis(500),
        ..config()
    });
    let mut source = Source::with(limits);
    let (stalled, stalled_peer) = edge.session().await;
    let (mut healthy, healthy_peer) = edge.session().await;
    source.attach(&stalled_peer, STREAM);
    source.attach(&healthy_peer, STREAM);
    edge.until("both watch", |metrics| metrics.viewers.get() == 2)
        .await;
    let begun = Instant::now();
    let mut count = 0_u32;
    while edge.count_closed(CloseReason::SlowReader) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is closed");
        let payload = if count.is_multiple_of(25) { KEY } else { INTER };
        source.push(VIDEO, [payload, &[0; 50_000]].concat());
        count += 1;
        assert_eq!(
            media(&mut healthy).await.2,
            count * 40,
            "the healthy one gets every frame"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        begun.elapsed() >= Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(edge.count_fault("no_progress"), 1);
    assert_eq!(edge.closed().await, CloseReason::SlowReader);
    drop(stalled);
    edge.until("one watches", |metrics| metrics.viewers.get() == 1)
        .await;
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_not_to_blame_while_the_link_is_lost() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (_stalled, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    for number in 0..200 {
        let payload = if number % 25 == 0 { KEY } else { INTER };
        source.push(VIDEO, [payload, &[0; 50_000]].concat());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    peer.say(FromOrigin::LinkLost);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(edge.count_closed(CloseReason::SlowReader), 0);
    assert_eq!(edge.metrics.connections.get(), 1, "and it is still there");
}

#[tokio::test]
async fn a_viewer_that_falls_behind_jumps_to_a_key_frame() {
    let mut edge = Edge::start_with(&Config {
        max_lag: tributary_node::config::Duration::from_millis(1000),
        ..config()
    });
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    // 12 s of stream time and 24 MB, more than the sockets take, while nothing is read.
    for n in 0..300 {
        let payload = if n % 25 == 0 { KEY } else { INTER };
        source.push(VIDEO, [payload, &[0; 80_000]].concat());
        tokio::task::yield_now().await;
    }
    let mut last = 0;
    let mut jumps = 0;
    while last < source.time {
        let ClientEvent::Message(message) = client.event().await else {
            panic!("not media");
        };
        let time = message.timestamp.0;
        if time != last + 40 {
            jumps += 1;
            assert_eq!(message.payload[0], 0x17, "a jump lands on a key frame");
        }
        last = time;
    }
    assert!((1..5).contains(&jumps), "{jumps}");
    let dropped = &edge.metrics.dropped;
    assert!(dropped.count("lag") + dropped.count("fell_off") > 50);
}

#[tokio::test]
async fn commands_that_pile_up_close_the_session() {
    let mut edge = Edge::start();
    let (client, peer) = edge.session().await;
    let text = "x".repeat(60_000);
    let much = Command::new("much", TransactionId(0.0)).with(text.as_str());
    let message = to_message(&much, MessageStreamId::CONNECTION);
    // The sockets take a part of it.
    for _ in 0..400 {
        let message = message.clone();
        if !peer.try_say(ToSession::Message {
            message,
            after: None,
        }) {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(edge.closed().await, CloseReason::SlowReader);
    assert_eq!(edge.count_fault("output_full"), 1);
    drop(client);
}

/// The application `live`, whose streams are broadcasts with this cap.
fn broadcast(cap_ms: u64) -> BTreeMap<String, Application> {
    let application = Application {
        delivery: Delivery::Broadcast,
        delivery_cap: Some(tributary_node::config::Duration::from_millis(cap_ms)),
        ..Application::default()
    };
    BTreeMap::from([("live".to_owned(), application)])
}

#[tokio::test]
async fn messages_of_a_broadcast_wait_for_each_other() {
    const WAIT: Duration = Duration::from_millis(300);
    let mut edge = Edge::start_for(&config(), &broadcast(300));
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    for _ in 0..2 {
        let begun = Instant::now();
        source.push(VIDEO, KEY);
        source.push(AUDIO, SOUND);
        media(&mut client).await;
        let first = begun.elapsed();
        assert!(first >= WAIT, "{first:?}");
        media(&mut client).await;
        let between = begun.elapsed() - first;
        assert!(between < WAIT, "they left together: {between:?}");
    }
}

#[tokio::test]
async fn messages_that_have_left_begin_no_wait() {
    const STEP: Duration = Duration::from_millis(40);
    const PICTURES: usize = 30;
    // Two pictures are 80 ms apart. The sound after a picture begins a wait of 140 ms, so that the
    // second picture after it ends the wait; a wait from the picture on would end with the first.
    let mut edge = Edge::start_for(&config(), &broadcast(140));
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    let pushing = tokio::spawn(async move {
        for picture in 0..PICTURES {
            source.push(VIDEO, if picture == 0 { KEY } else { INTER });
            tokio::time::sleep(STEP).await;
            source.push(AUDIO, SOUND);
            tokio::time::sleep(STEP).await;
        }
    });
    let mut writes = 0;
    let mut last = Instant::now();
    for _ in 0..2 * PICTURES {
        media(&mut client).await;
        writes += usize::from(last.elapsed() > STEP / 2);
        last = Instant::now();
    }
    pushing.await.unwrap();
    assert!(
        writes <= PICTURES * 3 / 4,
        "{writes} writes of {PICTURES} pictures"
    );
}

#[tokio::test]
async fn a_pattern_sets_the_delivery_of_a_stream_by_the_name_that_the_origin_states() {
    const WAIT: Duration = Duration::from_millis(400);
    let mut applications = broadcast(400);
    let talks = Streams {
        delivery: Some(Delivery::Interactive),
        ..Streams::default()
    };
    let live = applications.get_mut("live").unwrap();
    live.streams.insert("talk-*".to_owned(), talks);
    let mut edge = Edge::start_for(&config(), &applications);
    let (mut client, peer) = edge.session().await;
    for (asked, name, waits) in [
        ("talk-1", Some("talk-1"), false),
        ("talk-1", Some("show"), true),
        ("show", Some("talk-2"), false),
        ("talk-1", None, true),
    ] {
        let mut source = Source::new();
        client.connection.play(STREAM, asked);
        client.send().await;
        edge.told().await;
        source.attach_named(&peer, STREAM, 0, name);
        edge.until("it watches", |metrics| metrics.viewers.get() == 1)
            .await;
        let mut quickest = Duration::MAX;
        // On a machine that does other work, one try may be late.
        for _ in 0..5 {
            let begun = Instant::now();
            source.push(AUDIO, SOUND);
            media(&mut client).await;
            quickest = quickest.min(begun.elapsed());
        }
        assert_eq!(quickest >= WAIT / 2, waits, "{name:?}: {quickest:?}");
        peer.say(ToSession::Detach { stream: STREAM });
        edge.until("it stops", |metrics| metrics.viewers.get() == 0)
            .await;
    }
}

#[tokio::test]
async fn an_end_of_play_is_heard_after_the_last_frame() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    for _ in 0..100 {
        source.push(AUDIO, SOUND);
    }
    let last = source.push(AUDIO, SOUND);
    peer.say(ToSession::Message {
        message: status(Status::PlayUnpublishNotify),
        after: Some(last),
    });
    let mut heard = 0;
    loop {
        match client.event().await {
            ClientEvent::Message(_) => heard += 1,
            ClientEvent::Status { info, .. } => {
                assert_eq!(code(&info), "NetStream.Play.UnpublishNotify");
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, 101);
}

/// The data messages that a viewer gets, as type and message, in its own encoding.
async fn data(client: &mut Client, count: usize) -> Vec<(u8, DataMessage)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match client.event().await {
            ClientEvent::Message(message) if message.kind.is_data() => {
                let data = DataMessage::decode(message.kind, &message.payload);
                heard.push((message.kind.0, data.expect("a data message")));
            }
            ClientEvent::Message(_) => {}
            other => panic!("not media: {other:?}"),
        }
    }
    heard
}

#[tokio::test]
async fn data_that_only_amf3_can_say_reaches_everyone_in_the_form_it_reads() {
    let bytes = || Value::ByteArray(vec![1, 2].into());
    let numbers = Value::StrictArray(vec![Value::Number(1.0), Value::Number(2.0)]);
    let metadata = |value| {
        DataMessage::new("onMetaData").with(Object::new().with("width", 640.0).with("raw", value))
    };
    let sent = |value| DataMessage::new("handler").with(value);
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (kind, payload) = metadata(bytes()).encode(ObjectEncoding::Amf3);
    source.push(kind, payload);
    source.push(VIDEO, KEY);
    let (mut amf0, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    let (mut amf3, peer) = edge.session_in(ObjectEncoding::Amf3).await;
    source.attach(&peer, STREAM);
    edge.until("both watch", |metrics| metrics.viewers.get() == 2)
        .await;
    // The second is longer than a chunk. AMF0 has the value of the last.
    let long = Value::ByteArray(vec![7; 100_000].into());
    for value in [bytes(), long.clone()] {
        let (kind, payload) = sent(value).encode(ObjectEncoding::Amf3);
        source.push(kind, payload);
    }
    let (kind, payload) = sent(Value::Number(5.0)).encode(ObjectEncoding::Amf0);
    source.push(kind, payload);

    let heard = data(&mut amf3, 4).await;
    let expected = [
        (15, metadata(bytes())),
        (15, sent(bytes())),
        (15, sent(long)),
        (18, sent(Value::Number(5.0))),
    ];
    assert_eq!(heard, expected);
    let heard = data(&mut amf0, 4).await;
    let kinds: Vec<_> = heard.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [18; 4]);
    assert_eq!(heard[0].1, metadata(numbers.clone()));
    assert_eq!(heard[1].1, sent(numbers));
    assert_eq!(heard[3].1, sent(Value::Number(5.0)));
}

/// The chunk stream and type of each message in `bytes`, which holds no message of several chunks.
fn chunk_streams(mut bytes: &[u8]) -> Vec<(u8, u8)> {
    let mut known = std::collections::HashMap::new();
    let mut seen = Vec::new();
    while let [first, rest @ ..] = bytes {
        let (format, csid) = (first >> 6, first & 0x3f);
        let (header, body) = rest.split_at([11, 7, 3, 0][usize::from(format)]);
        if format < 2 {
            let length = u32::from_be_bytes([0, header[3], header[4], header[5]]);
            known.insert(csid, (length as usize, header[6]));
        }
        let (length, kind) = known[&csid];
        seen.push((csid, kind));
        bytes = &body[length..];
    }
    seen
}

#[tokio::test]
async fn every_kind_of_message_has_its_chunk_stream() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    let data = DataMessage::data_start().encode(ObjectEncoding::Amf0).1;
    let on_stream = |kind, payload: Bytes| ToSession::Message {
        message: Message {
            stream: STREAM,
            ..source.message(kind, payload)
        },
        after: None,
    };
    peer.command(&Command::new("_result", TransactionId(5.0)));
    peer.command(&Command::new("called", TransactionId(0.0)));
    peer.say(on_stream(MessageType::SHARED_OBJECT_AMF0, KEY.into()));
    let to_server = b"\0\x01o\0\0\0\x05\0\0\0\x10\0\0\0\0";
    let to_server = Bytes::from_static(to_server);
    peer.say(on_stream(MessageType::SHARED_OBJECT_AMF0, to_server));
    peer.say(ToSession::Message {
        message: status(Status::PlayStart),
        after: None,
    });
    peer.say(on_stream(MessageType::DATA_AMF0, data.clone()));
    let begin = b"\0\0\0\0\0\x01";
    peer.say(on_stream(MessageType::USER_CONTROL, begin[..].into()));
    // No pass may come between.
    tokio::time::sleep(Duration::from_millis(100)).await;
    source.push(AUDIO, SOUND);
    source.push(VIDEO, KEY);
    source.push(MessageType::DATA_AMF0, data);
    let expected = [
        (3, 20),
        (3, 20),
        (4, 19),
        (3, 19),
        (5, 20),
        (5, 18),
        (2, 4),
        (6, 8),
        (7, 9),
        (8, 18),
    ];
    let mut bytes = Vec::new();
    let last = DataMessage::data_start().encode(ObjectEncoding::Amf0).1;
    while bytes
        .windows(last.len())
        .filter(|part| *part == last)
        .count()
        < 2
    {
        let mut buffer = [0; 4096];
        let read = client.socket.read(&mut buffer).await.unwrap();
        assert!(read > 0);
        bytes.extend_from_slice(&buffer[..read]);
    }
    assert_eq!(chunk_streams(&bytes), expected);
}

#[tokio::test]
async fn a_viewer_that_takes_nothing_is_still_read() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut client, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    edge.until("it watches", |metrics| metrics.viewers.get() == 1)
        .await;
    // More than the sockets take.
    for _ in 0..200 {
        source.push(VIDEO, [KEY, &[0; 80_000]].concat());
        tokio::task::yield_now().await;
    }
    let before = edge.metrics.bytes_in.get();
    // An acknowledgement for each KiB, as some players send them.
    let acknowledgement = b"\x02\0\0\0\0\0\x04\x03\0\0\0\0\0\0\x04\0";
    let count = 20_000;
    for _ in 0..count {
        tokio::io::AsyncWriteExt::write_all(&mut client.socket, acknowledgement)
            .await
            .unwrap();
    }
    let sent = (count * acknowledgement.len()) as u64;
    edge.until("all of them are read", |metrics| {
        metrics.bytes_in.get() >= before + sent
    })
    .await;
    assert_eq!(edge.metrics.viewers.get(), 1);
}

#[tokio::test]
async fn a_client_with_object_encoding_3_is_parted_with_in_type_17() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session_in(ObjectEncoding::Amf3).await;
    peer.say(ToSession::Close(CloseReason::OriginLost));
    let mut bytes = Vec::new();
    client.socket.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(chunk_streams(&bytes), [(5, 17), (3, 17)]);
}

#[tokio::test]
async fn what_no_chunk_stream_can_carry_harms_nobody() {
    let too_long = Bytes::from(vec![
        0;
        tributary_protocol::chunk::MAX_MESSAGE_LENGTH as usize
            + 1
    ]);
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut viewer, peer) = edge.session().await;
    source.attach(&peer, STREAM);
    source.push(AUDIO, too_long.clone());
    source.push(AUDIO, SOUND);
    assert_eq!(media(&mut viewer).await.3, SOUND.len());
    let (mut client, peer) = edge.session().await;
    peer.say(ToSession::Message {
        message: source.message(MessageType::COMMAND_AMF0, too_long),
        after: None,
    });
    assert!(client.rest().await.is_empty());
    assert_eq!(edge.closed().await, CloseReason::Limit);
}

#[tokio::test]
async fn a_viewer_gets_nothing_of_the_publication_before_its_own() {
    let mut edge = Edge::start();
    let mut source = Source::new();
    let (mut early, first) = edge.session().await;
    let (mut late, second) = edge.session().await;
    source.push(VIDEO, HEADER);
    source.push(VIDEO, KEY);
    source.attach(&first, STREAM);
    for time in [80, 80] {
        assert_eq!(media(&mut early).await.2, time);
    }
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut early).await.2, 120);
    // The lane is faster than the feed: the ring still has the publication before, whose end is to
    // come.
    let next = source.number + 1;
    source.attach_to(&second, STREAM, next);
    source.push(VIDEO, INTER);
    assert_eq!(media(&mut early).await.2, 160);
    source.live.follow(Publication {
        first: next,
        writer: next,
    });
    source.push(AUDIO, SOUND);
    for client in [&mut early, &mut late] {
        assert_eq!(media(client).await, (1, 8, 200, 3));
    }
    // A third viewer begins there as well, at the newest place.
    let (mut last, third) = edge.session().await;
    source.attach_to(&third, STREAM, next);
    assert_eq!(media(&mut last).await, (1, 8, 200, 3));
}
