//! What idle groups and sessions keep on the heap.

use std::{sync::Arc, time::Duration};

use tributary_node::{config, queue};
use tributary_origin::{
    app::Applications,
    group::{GroupHandle, Groups, Settings},
    metrics::Metrics,
    session::{LaneCommand, LaneKey, LaneOut, Mail, Opening, SessionKey},
};
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, SessionId, TransactionId,
    amf::Object,
    command::{Command, ObjectEncoding, connect},
    link::{FromSession, Generation, OpenSession, ToSession},
};

#[global_allocator]
static HEAP: dhat::Alloc = dhat::Alloc;

/// Bytes on the heap for each session: connected, with a message stream, idle. The link's own
/// state of a session comes on top; both together have to stay below 2 KiB.
const SESSION: f64 = 768.0;

/// Bytes on the heap for each group without sessions.
const GROUP: f64 = 3.0 * 1024.0;

struct Lane {
    group: GroupHandle,
    out: LaneOut,
    commands: queue::Receiver<LaneCommand>,
}

impl Lane {
    fn open(groups: &Groups, number: u64) -> Self {
        let key = LaneKey(number);
        let (out, commands) = LaneOut::new(key, Arc::from("edge"));
        let name = format!("live/room{number}").parse().unwrap();
        Self {
            group: groups.open(&name, key).unwrap(),
            out,
            commands,
        }
    }

    /// Connects a session and makes a message stream for it.
    fn connect(&mut self, session: u64) {
        let session = SessionKey {
            lane: self.out.key(),
            session: SessionId(session),
        };
        let properties = Object::new()
            .with("app", "live/room1")
            .with("flashVer", "LNX 9,0,124,2")
            .with("tcUrl", "rtmp://edge.example.com:1935/live/room1")
            .with("fpad", false)
            .with("capabilities", 15.0)
            .with("audioCodecs", 4071.0)
            .with("videoCodecs", 252.0)
            .with("videoFunction", 1.0);
        let connect = connect::command(properties).encode(ObjectEncoding::Amf0).1;
        let open = OpenSession {
            peer: "192.0.2.1:5000".parse().unwrap(),
            protocol: "rtmp".to_owned(),
            connect,
        };
        let lane = self.out.clone();
        self.group.send(Mail::Session {
            session,
            event: FromSession::Open(Opening { lane, open }),
        });
        let (kind, payload) =
            Command::new("createStream", TransactionId(2.0)).encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp::default(),
            payload,
        };
        let event = FromSession::Message {
            generation: Generation(0),
            message,
        };
        self.group.send(Mail::Session { session, event });
        self.answered(3);
    }

    /// Waits until the group has told its sessions so many things.
    fn answered(&mut self, mut count: usize) {
        while count > 0 {
            match self.commands.try_next() {
                Some(LaneCommand::Session {
                    order: ToSession::Close(reason),
                    ..
                }) => {
                    panic!("closed: {}", reason.label())
                }
                Some(LaneCommand::Session { .. }) => count -= 1,
                Some(
                    LaneCommand::Consumed { .. }
                    | LaneCommand::Audience { .. }
                    | LaneCommand::Lost(_),
                ) => {}
                None => std::thread::yield_now(),
            }
        }
    }
}

fn heap() -> f64 {
    dhat::HeapStats::get().curr_bytes as f64
}

#[test]
fn idle_groups_and_sessions_are_small() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let mut applications = Applications::new();
    applications.add_builtin("live", config::Application::default());
    let settings = Settings {
        workers: 1,
        max_groups: 100_000,
        fms_version: "FMS/3,5,7,7009".to_owned(),
        store: None,
        stack: Settings::DEFAULT_STACK,
    };
    let groups = Groups::start(settings, applications, Metrics::default()).unwrap();

    let mut lane = Lane::open(&groups, 0);
    (0..100).for_each(|session| lane.connect(session));
    let before = heap();
    (100..4_100).for_each(|session| lane.connect(session));
    std::thread::sleep(Duration::from_millis(50));
    let session = (heap() - before) / 4_000.0;

    let mut lanes: Vec<Lane> = (1..=100)
        .map(|number| Lane::open(&groups, number))
        .collect();
    let before = heap();
    lanes.extend((101..=2_100).map(|number| Lane::open(&groups, number)));
    std::thread::sleep(Duration::from_millis(200));
    let group = (heap() - before) / 2_000.0;
    let before = heap();
    lanes[100..].iter_mut().for_each(|lane| lane.connect(1));
    std::thread::sleep(Duration::from_millis(50));
    let first_session = (heap() - before) / 2_000.0;

    println!("session {session:.0} B, group {group:.0} B, its first session {first_session:.0} B");
    assert!(session <= SESSION, "{session} bytes for each session");
    assert!(group <= GROUP, "{group} bytes for each group");
}
