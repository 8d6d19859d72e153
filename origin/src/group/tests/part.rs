//! Parts of a group without a group: a room, and clients whose lane is the test.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use tributary_node::{config, queue};
use tributary_protocol::{
    GroupName, MessageStreamId, SessionId, TransactionId,
    amf::Object,
    command::{Command, ObjectEncoding},
    link::{Generation, OpenSession},
};

use super::stage::settings;
use crate::{
    app::Applications,
    group::{
        client::{Client, read_connect},
        clock::Clock,
        mailbox::{Item, MAILBOX},
        media::Media,
        open_refused::OpenRefused,
        process::{Instances, Process},
        room::Room,
        streams::{Claim, Claimant, Holds, StreamSlot, Streams},
        worker::Load,
    },
    live::LiveStream,
    metrics::Metrics,
    session::{Destination, LaneCommand, LaneKey, LaneOut, SessionKey},
};

/// A process that has no other instances.
struct Alone;

impl Instances for Alone {
    fn open(
        self: Arc<Self>,
        _: &GroupName,
        _: LaneKey,
    ) -> Result<Box<dyn Destination>, OpenRefused> {
        Err(OpenRefused::Shutdown)
    }
}

/// The room of a group of `live` with these settings, and the group's mailbox.
pub(in crate::group) fn room(settings_of: config::Application) -> (Room, queue::Receiver<Item>) {
    let mut applications = Applications::new();
    applications.add_builtin("live", settings_of);
    let version = applications.find("live").unwrap().version;
    let process = Process::new(
        settings(),
        Metrics::default(),
        Media::Nowhere,
        Clock::plain(),
        Weak::<Alone>::new(),
    );
    let (mailbox, inbox) = queue::queue(MAILBOX);
    let name = Arc::new("live/test".parse().unwrap());
    let room = Room::new(name, version, Arc::new(process), mailbox, Load::default());
    (room, inbox)
}

/// The live streams of a group in this room.
pub(in crate::group) fn streams(room: &Room) -> Streams {
    let ids = Arc::clone(&room.process.live_ids);
    Streams::new(ids, Arc::clone(&room.version))
}

/// Publishes and announces a name, as a client of another lane.
pub(in crate::group) fn publish(
    streams: &mut Streams,
    name: &str,
    now: Instant,
) -> Arc<LiveStream> {
    let claimant = Claimant {
        slot: StreamSlot {
            session: SessionKey {
                lane: LaneKey(9),
                session: SessionId(9),
            },
            stream: MessageStreamId(1),
        },
        generation: Generation::default(),
        identity: None,
        key: None,
        query: Box::default(),
        holds: Holds::Firmly,
    };
    let claim = streams.claim(name, claimant, now).1;
    assert!(streams.announce(name));
    match claim {
        Claim::Fresh { live, .. } => live,
        other => panic!("{other:?}"),
    }
}

/// An accepted client of the lane that the test reads.
pub(in crate::group) fn client(session: u64) -> (Client, queue::Receiver<LaneCommand>) {
    let lane = LaneKey(1);
    let (out, commands) = LaneOut::new(lane, Arc::from("edge"));
    let mut connect = Command::new("connect", TransactionId(1.0));
    connect.object = Object::new().with("app", "live/test").into();
    let open = OpenSession {
        peer: "192.0.2.1:1935".parse().unwrap(),
        protocol: "rtmp".to_owned(),
        connect: connect.encode(ObjectEncoding::Amf0).1,
        claims: None,
    };
    let connect = Arc::new(read_connect(&open.connect).unwrap());
    let key = SessionKey {
        lane,
        session: SessionId(session),
    };
    let mut client = Client::new(key, out, &open, connect, Instant::now());
    client.accept("");
    (client, commands)
}
