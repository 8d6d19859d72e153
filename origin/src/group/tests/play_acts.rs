//! Acts on players with a room, clients and live streams alone.

use std::time::Duration;

use tributary_node::config;
use tributary_protocol::command::stream::PlayStart;

use super::part;
use crate::{
    app::{Decision, RequestId},
    group::{
        clients::Clients,
        message_stream::{Announce, Asked, PlayHow, Queued},
        name::StreamName,
        notice::Notice,
        playing::{PlayActs, WAITING_NAMES},
        room::Room,
        streams::{StreamSlot, Streams},
        timers::Timer,
    },
    session::SessionKey,
};

/// The parts that acts on players work on, and one client.
struct Parts {
    room: Room,
    clients: Clients,
    streams: Streams,
    client: SessionKey,
}

impl Parts {
    fn new() -> Self {
        let (room, _) = part::room(config::Application::default());
        let client = part::client(1).0;
        let key = client.key;
        let mut clients = Clients::default();
        clients.insert(client);
        Self {
            streams: part::streams(&room),
            room,
            clients,
            client: key,
        }
    }

    fn acts(&mut self) -> PlayActs<'_> {
        PlayActs {
            room: &mut self.room,
            clients: &mut self.clients,
            streams: &mut self.streams,
        }
    }

    /// A new message stream of the client.
    fn slot(&mut self) -> StreamSlot {
        let client = self.clients.get_mut(self.client).unwrap();
        StreamSlot {
            session: self.client,
            stream: client.streams.create().unwrap(),
        }
    }

    /// Notes the request of a message stream to play a name.
    fn ask(&mut self, slot: StreamSlot, name: &str, length: Option<u32>) -> RequestId {
        let name = StreamName::parse(name).unwrap();
        let what = Asked::Play(PlayHow::new(Announce::Reset, length));
        self.clients.ask(slot, name, what, None).unwrap().id
    }

    /// The name that a message stream plays.
    fn plays(&mut self, slot: StreamSlot) -> Option<String> {
        let playing = self.clients.playing(slot)?;
        Some(playing.name.to_string())
    }
}

#[test]
fn a_play_ends_with_its_length_and_what_waits_is_next() {
    let mut parts = Parts::new();
    let slot = parts.slot();
    let request = parts.ask(slot, "cam", Some(2_000));
    parts.acts().decide(request, Decision::Accept(()));
    assert_eq!(parts.plays(slot).as_deref(), Some("cam"));
    assert_eq!(parts.room.deadline(), None, "there is no media");
    let stream = parts.clients.stream(slot).unwrap();
    let next = Queued {
        name: "next".to_owned(),
        start: PlayStart::Live,
        how: PlayHow::new(Announce::Start, None),
        relay: None,
    };
    assert!(stream.queue(next).is_ok());
    let live = part::publish(&mut parts.streams, "cam", parts.room.now);
    parts.acts().stream_begins(slot, None, &live);
    let until = parts.room.now + Duration::from_secs(2);
    assert_eq!(parts.room.deadline(), Some(until));
    parts.room.now = until;
    let timer = parts.room.agenda.timers.take_due(until);
    assert_eq!(timer, Some(Timer::Play(slot, until)));
    parts.acts().may_be_over(slot, until);
    assert_eq!(parts.plays(slot), None);
    assert!(parts.streams.viewers("cam").is_empty());
    let notice = parts.room.agenda.notices.pop_front();
    assert!(matches!(notice, Some(Notice::PlayNext(at)) if at == slot));
}

#[test]
fn a_decision_counts_once() {
    let mut parts = Parts::new();
    let slot = parts.slot();
    let request = parts.ask(slot, "cam", None);
    parts.acts().decide(request, Decision::Refuse("no".into()));
    parts.acts().decide(request, Decision::Accept(()));
    assert_eq!(parts.plays(slot), None);
    assert!(parts.streams.viewers("cam").is_empty());
}

#[test]
fn names_that_one_client_waits_for_are_bounded() {
    let mut parts = Parts::new();
    let play = |parts: &mut Parts, name: &str| {
        let slot = parts.slot();
        let request = parts.ask(slot, name, None);
        parts.acts().decide(request, Decision::Accept(()));
        parts.plays(slot).is_some()
    };
    part::publish(&mut parts.streams, "cam", parts.room.now);
    for number in 0..WAITING_NAMES {
        assert!(play(&mut parts, &number.to_string()));
    }
    assert!(!play(&mut parts, "one more"));
    assert!(play(&mut parts, "cam"), "it is published");
}
