//! Messages of shared objects: to members, in order with all other messages, and to slow clients.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_protocol::{
    ChunkStreamId, LaneId, Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::{ObjectEncoding, Value},
    link::{AudienceId, CloseReason},
    session::ClientEvent,
    shared_object::{Event, Flags, SharedObjectMessage},
};

use super::support::{Client, Edge, LONG, Peer};
use crate::{
    link::handle::FromOrigin,
    objects::{Delivery, ObjectKey, ObjectMessage, ToHub},
};

const OBJECT: ObjectKey = ObjectKey(LaneId(1), AudienceId(1));

fn body(version: u32, events: Vec<Event>) -> Bytes {
    let message = SharedObjectMessage {
        name: "board".to_owned(),
        version,
        flags: Flags::default(),
        events,
    };
    message.encode(ObjectEncoding::Amf0).1
}

pub(super) fn change(slot: &str, value: impl Into<Value>) -> Event {
    Event::Change(vec![(slot.to_owned(), value.into())])
}

pub(super) fn send(number: f64) -> Event {
    Event::SendMessage {
        values: vec!["hear".into(), number.into()],
    }
}

impl Peer {
    pub(super) fn join(&self, flags: Flags, aside: bool) {
        let join = ToHub::Join {
            audience: OBJECT,
            session: self.session,
            flags,
            aside,
        };
        self.hub.hand(join).expect("it takes no room");
    }

    /// Queues a message for all members in the worker's hub, once it has room. Returns its place.
    pub(super) fn deliver(
        &self,
        version: u32,
        events: Vec<Event>,
        all_but: Option<SessionId>,
    ) -> u64 {
        let message = ObjectMessage::new(body(version, events)).expect("a message");
        let delivery = Delivery {
            audience: OBJECT,
            message: Arc::new(message),
            all_but,
            encoding: None,
        };
        loop {
            match self.hub.hand(ToHub::Deliver(delivery.clone())) {
                Ok(place) => return place,
                Err(_) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn tell(&self, version: u32, events: Vec<Event>) {
        let message = ObjectMessage::new(body(version, events)).expect("a message");
        self.say(FromOrigin::Object {
            message: Arc::new(message),
            encoding: None,
            flags: Flags::TEMPORARY,
        });
    }
}

impl Edge {
    /// A client that uses an object.
    pub(super) async fn member(&mut self, encoding: ObjectEncoding) -> (Client, Peer) {
        let (mut client, peer) = self.session_in(encoding).await;
        client.ask(MessageStreamId::CONNECTION).await;
        self.message(&peer).await;
        (client, peer)
    }
}

impl Client {
    async fn ask(&mut self, stream: MessageStreamId) {
        let message = Message {
            kind: MessageType::SHARED_OBJECT_AMF0,
            stream,
            timestamp: RtmpTimestamp(0),
            payload: body(0, vec![Event::Use]),
        };
        self.connection.send(ChunkStreamId(3), &message);
        self.send().await;
    }

    /// The next message of a shared object.
    pub(super) async fn object(&mut self) -> (MessageType, MessageStreamId, SharedObjectMessage) {
        loop {
            if let ClientEvent::Message(message) = self.event().await
                && message.kind.is_shared_object()
            {
                let decoded = SharedObjectMessage::decode(message.kind, &message.payload);
                return (message.kind, message.stream, decoded.expect("sound bytes"));
            }
        }
    }
}

#[tokio::test]
async fn every_member_gets_a_message_in_its_own_form() {
    let mut edge = Edge::start();
    let members = [
        (ObjectEncoding::Amf0, Flags::TEMPORARY, 19),
        (ObjectEncoding::Amf0, Flags::PERSISTENT, 19),
        (ObjectEncoding::Amf3, Flags([2, 7]), 16),
        (ObjectEncoding::Amf0, Flags([0x10, 0]), 19),
    ];
    let mut clients = Vec::new();
    for (encoding, flags, kind) in members {
        let (client, peer) = edge.member(encoding).await;
        peer.join(flags, false);
        clients.push((client, peer, flags, kind));
    }
    let (mut aside, peer) = edge.member(ObjectEncoding::Amf0).await;
    peer.join(Flags::TEMPORARY, true);
    let long = "x".repeat(100_000);
    let author = clients[1].1.session;
    peer.deliver(1, vec![change("a", 1.0)], None);
    peer.deliver(2, vec![change("b", long.as_str())], Some(author));
    peer.deliver(3, vec![send(1.0)], None);
    for (client, peer, flags, kind) in &mut clients {
        let mut slots = Vec::new();
        let mut sends = 0;
        while sends == 0 {
            let (got, stream, message) = client.object().await;
            assert_eq!((got.0, message.flags), (*kind, *flags));
            assert_eq!(stream, MessageStreamId(0));
            for event in message.events {
                match event {
                    Event::Change(changed) => slots.extend(changed),
                    _ => sends += 1,
                }
            }
        }
        let mut expected = vec![("a".to_owned(), 1.0.into())];
        if peer.session != author {
            expected.push(("b".to_owned(), long.as_str().into()));
        }
        assert_eq!(slots, expected);
    }
    peer.join(Flags::TEMPORARY, false);
    peer.deliver(4, vec![change("a", 2.0)], None);
    assert_eq!(aside.object().await.2.version, 4, "the others passed it by");
}

#[tokio::test]
async fn a_member_is_answered_on_the_message_stream_it_uses() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    client.ask(MessageStreamId(7)).await;
    edge.message(&peer).await;
    peer.join(Flags::TEMPORARY, false);
    peer.deliver(1, vec![change("a", 1.0)], None);
    assert_eq!(client.object().await.1, MessageStreamId(7));
    peer.tell(1, vec![Event::UseSuccess]);
    assert_eq!(client.object().await.1, MessageStreamId(7));
}

/// Changes, answers and onStatus come in the order in which the application made them.
#[tokio::test]
async fn objects_and_the_session_keep_one_order() {
    for seed in 0..4 {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let mut edge = Edge::start();
        let mut clients = Vec::new();
        for _ in 0..5 {
            let (client, peer) = edge.member(ObjectEncoding::Amf0).await;
            peer.join(Flags::TEMPORARY, false);
            clients.push((client, peer, 0, Vec::new()));
        }
        for number in 0..400_u32 {
            let which = random.random_range(0..10_usize);
            let Some((_, peer, told, expected)) = clients.get_mut(which) else {
                // Messages to all that are not changes: none of them replaces another.
                let place = clients[0]
                    .1
                    .deliver(number, vec![send(number.into())], None);
                for (_, _, told, expected) in &mut clients {
                    *told = place;
                    expected.push(number);
                }
                continue;
            };
            if *told > 0 {
                peer.say(FromOrigin::After(*told));
                *told = 0;
            }
            peer.tell(number, vec![send(number.into())]);
            expected.push(number);
            if random.random_bool(0.05) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        for (client, _, _, expected) in &mut clients {
            for number in expected {
                assert_eq!(client.object().await.2.version, *number);
            }
        }
    }
}

/// A client that does not read for a while gets the last values of the slots that changed
/// meanwhile, and every message, each behind the changes before it.
#[tokio::test]
async fn a_member_that_falls_behind_catches_up_in_one_message() {
    for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
        let mut edge = Edge::start();
        let (mut slow, peer) = edge.member(encoding).await;
        let (fast, _) = edge.member(ObjectEncoding::Amf0).await;
        peer.join(Flags::TEMPORARY, false);
        let reading = tokio::spawn(async move {
            let mut fast = fast;
            while fast.try_event().await.is_some() {}
        });
        let long = "x".repeat(2_000);
        let mut last = BTreeMap::new();
        let mut sends = 0;
        let mut version = 0;
        for round in 0..20_000_u32 {
            version += 1;
            let slot = format!("s{}", round % 10);
            let value = format!("{long}{round}");
            peer.deliver(version, vec![change(&slot, value.as_str())], None);
            last.insert(slot, value);
            if round % 1_000 == 0 {
                version += 1;
                sends += 1;
                peer.deliver(version, vec![send(round.into())], None);
            }
            if round % 3_000 == 2_999 {
                version += 1;
                peer.deliver(
                    version,
                    vec![Event::Remove {
                        name: "s3".to_owned(),
                    }],
                    None,
                );
                last.remove("s3");
            }
            if round % 200 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let mut held = BTreeMap::new();
        let (mut heard, mut messages, mut seen) = (0, 0, 0);
        // The changes that it catches up with may have the last version; messages follow all the
        // same.
        while seen < version || heard < sends {
            let (_, _, message) = slow.object().await;
            messages += 1;
            assert!(message.version >= seen, "versions never go back");
            seen = message.version;
            for event in message.events {
                match event {
                    Event::Change(slots) => held.extend(slots),
                    Event::Remove { name } => drop(held.remove(&name)),
                    Event::SendMessage { values } => {
                        heard += 1;
                        let Some(Value::Number(round)) = values.get(1) else {
                            panic!("{values:?}")
                        };
                        let slot = format!("s{}", *round as u32 % 10);
                        let Some(Value::String(value)) = held.get(&slot) else {
                            panic!("nothing in {slot}")
                        };
                        let at: f64 = value.trim_start_matches('x').parse().unwrap();
                        assert!(at >= *round, "the change before it came first");
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(heard, sends);
        assert!(messages < 12_000, "{messages} messages for {version}");
        let last: BTreeMap<_, _> = last.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        assert_eq!(held, last);
        assert!(edge.metrics.object_changes_gathered.get() > 5_000);
        reading.abort();
    }
}

#[tokio::test]
async fn a_member_with_too_much_unread_is_closed_with_a_reason() {
    let mut edge = Edge::start();
    let (_slow, peer) = edge.member(ObjectEncoding::Amf0).await;
    let (mut other, second) = edge.member(ObjectEncoding::Amf0).await;
    peer.join(Flags::TEMPORARY, false);
    second.join(Flags::TEMPORARY, false);
    let reading = tokio::spawn(async move {
        let mut count = 0;
        while count < 2_000 {
            count += usize::from(matches!(other.event().await, ClientEvent::Message(_)));
        }
        other
    });
    let values = vec!["hear".into(), "x".repeat(8_000).into()];
    for version in 0..2_000 {
        let events = vec![Event::SendMessage {
            values: values.clone(),
        }];
        peer.deliver(version, events, None);
        if version % 4 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert_eq!(edge.closed().await, CloseReason::SlowReader);
    assert_eq!(edge.count_fault("objects_unread"), 1);
    let all = tokio::time::timeout(LONG, reading).await;
    all.expect("the other gets everything").unwrap();
}

/// Changes that gather while a worker is busy leave merged, for all members.
#[tokio::test]
async fn a_storm_is_gathered_by_slot() {
    let mut edge = Edge::start();
    let (mut first, peer) = edge.member(ObjectEncoding::Amf0).await;
    let (mut second, author) = edge.member(ObjectEncoding::Amf0).await;
    peer.join(Flags::TEMPORARY, false);
    author.join(Flags::TEMPORARY, false);
    const COUNT: u32 = 20_000;
    for version in 1..=COUNT {
        let slot = if version % 2 == 0 { "even" } else { "odd" };
        let by = (version % 2 == 0).then_some(author.session);
        peer.deliver(version, vec![change(slot, f64::from(version))], by);
    }
    let expect = |count: u32| Value::from(f64::from(count));
    for (client, slots) in [(&mut first, &["even", "odd"][..]), (&mut second, &["odd"])] {
        let mut held = BTreeMap::new();
        let mut messages = 0;
        while held.get("odd") != Some(&expect(COUNT - 1))
            || slots.contains(&"even") && held.get("even") != Some(&expect(COUNT))
        {
            let (_, _, message) = client.object().await;
            messages += 1;
            for event in message.events {
                let Event::Change(changes) = event else {
                    panic!("{event:?}")
                };
                held.extend(changes);
            }
        }
        assert!(held.keys().all(|slot| slots.contains(&&**slot)), "{held:?}");
        assert!(messages < COUNT / 4, "{messages}");
    }
}
