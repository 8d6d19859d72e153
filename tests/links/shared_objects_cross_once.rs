//! A change of a shared object is one frame for each edge, whatever the number of members there.

use tributary_edge::link::handle::FromOrigin;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    amf::{ObjectEncoding, Value},
    link::Generation,
    shared_object::{Event, Flags, SharedObjectMessage},
};

use crate::rig::{Ca, Client, Edge, Origin};

impl Client {
    pub(crate) fn say(&self, version: u32, events: Vec<Event>) {
        let message = SharedObjectMessage {
            name: "board".to_owned(),
            version,
            flags: Flags::TEMPORARY,
            events,
        };
        let (kind, payload) = message.encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(0),
            payload,
        };
        let sent = self.link.send(message, Generation(0));
        sent.expect("the link's thread keeps up");
    }

    /// The next message of the object.
    async fn object(&mut self) -> SharedObjectMessage {
        loop {
            if let FromOrigin::Object { message, .. } = self.next().await {
                let kind = tributary_protocol::MessageType::SHARED_OBJECT_AMF0;
                return SharedObjectMessage::decode(kind, message.body()).expect("sound bytes");
            }
        }
    }

    /// Skips messages until one has such an event.
    pub(crate) async fn until(&mut self, is: impl Fn(&Event) -> bool) -> SharedObjectMessage {
        loop {
            let message = self.object().await;
            if message.events.iter().any(&is) {
                return message;
            }
        }
    }
}

pub(crate) fn is_change(name: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Change(slots) if slots.iter().any(|(slot, _)| slot == name))
}

pub(crate) async fn members(edge: &Edge, count: usize) -> Vec<Client> {
    let mut members = Vec::new();
    for _ in 0..count {
        let mut member = edge.connect("live/room").await;
        member.say(0, vec![Event::Use]);
        member.until(|event| *event == Event::UseSuccess).await;
        members.push(member);
    }
    members
}

const MESSAGES: &str = "tributary_edge_link_audience_messages_total";

#[tokio::test]
async fn a_change_is_one_frame_for_each_edge() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let (one, two) = (Edge::of(&ca, "one", &origin), Edge::of(&ca, "two", &origin));
    let mut here = members(&one, 20).await;
    let mut there = members(&two, 30).await;
    let before = [one.figure(MESSAGES), two.figure(MESSAGES)];
    let answers = origin.figure("tributary_origin_link_member_messages_total");
    const CHANGES: u32 = 10;
    let names: Vec<_> = (0..CHANGES).map(|n| format!("slot{n}")).collect();
    for (name, number) in names.iter().zip(0..) {
        let (name, value) = (name.clone(), Value::from(f64::from(number)));
        here[0].say(0, vec![Event::RequestChange { name, value }]);
    }
    let success = |event: &Event| matches!(event, Event::Success { .. });
    for _ in 0..CHANGES {
        here[0].until(success).await;
    }
    for member in here[1..].iter_mut().chain(&mut there) {
        for name in &names {
            member.until(is_change(name)).await;
        }
    }
    let all = f64::from(CHANGES);
    assert_eq!(one.figure(MESSAGES) - before[0], all, "20 members");
    assert_eq!(two.figure(MESSAGES) - before[1], all, "30 members");
    let sent = origin.figure("tributary_origin_link_audience_messages_total");
    assert_eq!(sent, one.figure(MESSAGES) + two.figure(MESSAGES));
    let answered = origin.figure("tributary_origin_link_member_messages_total");
    assert_eq!(answered - answers, all, "the author's edge gets one more");
}

#[tokio::test]
async fn an_edge_mirrors_the_objects_its_sessions_use() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let (one, two) = (Edge::of(&ca, "one", &origin), Edge::of(&ca, "two", &origin));
    let mut author = members(&one, 1).await.remove(0);
    for name in ["a", "b"] {
        let (name, value) = (name.to_owned(), Value::from("value"));
        author.say(0, vec![Event::RequestChange { name, value }]);
        author
            .until(|event| matches!(event, Event::Success { .. }))
            .await;
    }
    // The second edge joins later and receives the same state.
    let mut others = members(&two, 3).await;
    let name = "a".to_owned();
    author.say(2, vec![Event::RequestRemove { name }]);
    for other in others.iter_mut().chain([&mut author]) {
        other
            .until(|event| matches!(event, Event::Remove { .. }))
            .await;
    }
    for (edge, members) in [(&one, 1), (&two, 3)] {
        edge.until("tributary_edge_link_audiences", 1.0).await;
        let objects = edge.upstream.list_objects().await;
        let [object] = &objects[..] else {
            panic!("{objects:?}")
        };
        assert_eq!((&*object.group, &*object.name), ("live/room", "board"));
        assert_eq!((object.members, object.slots), (members, 1));
        assert!(object.complete && !object.persistent, "{object:?}");
        assert_eq!(object.version, 3);
    }
    drop(others);
    two.until("tributary_edge_link_audiences", 0.0).await;
    assert_eq!(two.upstream.list_objects().await, []);
}
