//! Members of shared objects that move to another process.

use std::{collections::BTreeMap, time::Duration};

use socket2::SockRef;
use tributary_protocol::{
    amf::{ObjectEncoding, Value},
    shared_object::{Event, Flags, SharedObjectMessage},
};

use super::{
    objects::{change, send},
    pair::finish,
    support::Edge,
};
use crate::moving::Moved;

/// The slots of a member, and the messages that it has heard.
#[derive(Default)]
struct Held {
    slots: BTreeMap<String, Value>,
    heard: u32,
    seen: u32,
}

impl Held {
    fn take(&mut self, message: SharedObjectMessage) {
        assert!(message.version >= self.seen, "versions never go back");
        self.seen = message.version;
        for event in message.events {
            match event {
                Event::Change(slots) => self.slots.extend(slots),
                Event::SendMessage { .. } => self.heard += 1,
                other => panic!("{other:?}"),
            }
        }
    }
}

/// A member that does not read has changes and messages that wait for it; another one is up to date.
#[tokio::test]
async fn a_member_that_is_behind_catches_up_in_the_other_process() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut slow, peer) = old.member(ObjectEncoding::Amf0).await;
    let (mut fast, other) = old.member(ObjectEncoding::Amf3).await;
    // Its socket is full after some messages.
    let small = SockRef::from(&slow.socket).set_recv_buffer_size(4096);
    small.expect("a socket of TCP");
    peer.join(Flags::TEMPORARY, false);
    other.join(Flags::TEMPORARY, false);
    let reading = tokio::spawn(async move {
        let mut held = Held::default();
        while held.slots.get("end") != Some(&1.0.into()) {
            held.take(fast.object().await.2);
        }
        (fast, held)
    });
    let long = "x".repeat(2_000);
    let (mut version, mut sends) = (0, 0);
    let mut last = BTreeMap::new();
    for round in 0..3_000_u32 {
        version += 1;
        let (slot, value) = (format!("s{}", round % 10), format!("{long}{round}"));
        peer.deliver(version, vec![change(&slot, value.as_str())], None);
        last.insert(slot, Value::from(value));
        if round % 300 == 100 {
            version += 1;
            sends += 1;
            peer.deliver(version, vec![send(round.into())], None);
        }
        if round % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    version += 1;
    peer.deliver(version, vec![change("end", 1.0)], None);
    last.insert("end".to_owned(), 1.0.into());
    let (mut fast, mut fast_held) = reading.await.expect("no panic");
    let mut peers = vec![peer, other];
    let standing = old.freeze(&peers.iter().collect::<Vec<_>>()).await;
    let longest = standing.moved.iter().map(|moved| match moved {
        Moved::Client(client) => client.parcel.len(),
        _ => 0,
    });
    let longest = longest.max().unwrap_or_default();
    assert!(longest > 2_000 * 10, "changes wait for it: {longest}");
    let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    // The lane has the memberships.
    for peer in &peers {
        peer.join(Flags::TEMPORARY, false);
    }
    version += 1;
    sends += 1;
    peers[0].deliver(version, vec![send(1.0)], None);
    version += 1;
    peers[0].deliver(version, vec![change("s1", "new")], None);
    last.insert("s1".to_owned(), "new".into());
    let mut slow_held = Held::default();
    for (client, held) in [(&mut slow, &mut slow_held), (&mut fast, &mut fast_held)] {
        while held.seen < version || held.heard < sends {
            held.take(client.object().await.2);
        }
        assert_eq!(held.heard, sends);
        assert_eq!(held.slots, last);
    }
}
