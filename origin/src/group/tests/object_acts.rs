//! Acts on shared objects with a room, clients and objects alone.

use tributary_node::config;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    command::ObjectEncoding,
    link::CloseReason,
    shared_object::{Event, Flags, SharedObjectMessage},
};

use super::part;
use crate::{
    group::{
        clients::Clients,
        notice::Notice,
        room::Room,
        shared_objects::{CROWD, Objects, acts::ObjectActs},
        verdict::Verdict,
    },
    session::SessionKey,
};

/// The parts that acts on shared objects work on.
struct Parts {
    room: Room,
    clients: Clients,
    objects: Objects,
}

impl Parts {
    fn new(settings: config::Application) -> Self {
        Self {
            room: part::room(settings).0,
            clients: Clients::default(),
            objects: Objects::default(),
        }
    }

    fn acts(&mut self) -> ObjectActs<'_> {
        ObjectActs {
            room: &mut self.room,
            clients: &mut self.clients,
            objects: &mut self.objects,
        }
    }

    fn add(&mut self, session: u64) -> SessionKey {
        let client = part::client(session).0;
        let key = client.key;
        self.clients.insert(client);
        key
    }
}

fn asks(name: &str, event: Event) -> Message {
    let asked = SharedObjectMessage {
        name: name.to_owned(),
        version: 0,
        flags: Flags::default(),
        events: vec![event],
    };
    let (kind, payload) = asked.encode(ObjectEncoding::Amf0);
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp::default(),
        payload,
    }
}

#[test]
fn a_flood_is_a_verdict_on_its_client_alone() {
    let mut parts = Parts::new(config::Application {
        shared_object_rate: 1,
        ..config::Application::default()
    });
    let (fast, slow) = (parts.add(1), parts.add(2));
    let used = asks("scores", Event::Use);
    assert_eq!(parts.acts().message(slow, &used), Verdict::GoesOn);
    let mut admitted = 0;
    let verdict = loop {
        match parts.acts().message(fast, &used) {
            Verdict::GoesOn => admitted += 1,
            verdict @ Verdict::Ends(_) => break verdict,
        }
    };
    assert_eq!(verdict, Verdict::Ends(CloseReason::Limit));
    assert_eq!(admitted, 40, "ten times the rate and its burst");
    assert!(
        parts.clients.contains(fast),
        "its end is another's business"
    );
    assert_eq!(parts.acts().message(slow, &used), Verdict::GoesOn);
    assert!(parts.objects.find("scores").is_some());
}

#[test]
fn an_object_lives_as_long_as_a_client_uses_it() {
    let mut parts = Parts::new(config::Application::default());
    let (one, two) = (parts.add(1), parts.add(2));
    for key in [one, two] {
        let verdict = parts.acts().message(key, &asks("/scores", Event::Use));
        assert_eq!(verdict, Verdict::GoesOn);
    }
    parts.acts().leave(one, CloseReason::Client);
    assert!(parts.objects.find("scores").is_some());
    parts.acts().leave(two, CloseReason::Client);
    assert!(parts.objects.find("scores").is_none());
}

#[test]
fn a_client_without_write_access_makes_no_object() {
    let mut parts = Parts::new(config::Application::default());
    let key = parts.add(1);
    parts.clients.get_mut(key).unwrap().set_write_access("/own");
    for (name, made) in [("scores", false), ("own/scores", true)] {
        let verdict = parts.acts().message(key, &asks(name, Event::Use));
        assert_eq!(verdict, Verdict::GoesOn);
        assert_eq!(parts.objects.find(name).is_some(), made, "{name}");
    }
}

#[test]
fn an_application_that_starts_anew_is_notified_of_its_own_crowd() {
    let mut parts = Parts::new(config::Application::default());
    let notified = |room: &mut Room| {
        let notices = std::mem::take(&mut room.agenda.notices);
        let crowds = notices
            .iter()
            .filter(|it| matches!(it, Notice::ObjectsCrowd));
        crowds.count()
    };
    for _ in 0..2 {
        for number in 0..=CROWD {
            let name = number.to_string();
            parts.acts().open_object(&name, false).unwrap();
        }
        assert_eq!(notified(&mut parts.room), 1);
        // The application has failed before it got the notice.
        parts.acts().drop_all();
        parts.objects.reset();
    }
}
