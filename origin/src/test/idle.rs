//! Groups on threads, as in a process, with sessions that do nothing: for figures of memory.

use std::{net::SocketAddr, sync::Arc, thread};

use tributary_node::{config, queue};
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, SessionId, TransactionId,
    amf::Object,
    command::{Command, ObjectEncoding, connect},
    link::{FromSession, Generation, OpenSession, ToSession},
};

use crate::{
    app::Applications,
    group::{GroupHandle, Groups, Settings},
    metrics::Metrics,
    session::{LaneCommand, LaneKey, LaneOut, Mail, Opening, SessionKey},
};

/// Groups of the built-in application `live` on one worker thread.
#[derive(Debug)]
pub struct IdleGroups {
    groups: Groups,
}

/// A lane into one group.
#[derive(Debug)]
pub struct IdleLane {
    group: GroupHandle,
    out: LaneOut,
    commands: queue::Receiver<LaneCommand>,
}

/// The most groups at a time.
const MAX_GROUPS: usize = 100_000;

impl IdleGroups {
    /// Starts the worker thread.
    pub fn start() -> Self {
        let mut applications = Applications::new();
        applications.add_builtin("live", config::Application::default());
        let settings = Settings {
            workers: 1,
            max_groups: MAX_GROUPS,
            fms_version: "FMS/3,5,7,7009".to_owned(),
            store: None,
            restores: false,
            stack: Settings::DEFAULT_STACK,
        };
        let groups = Groups::start(settings, applications, Metrics::default());
        Self {
            groups: groups.expect("a thread can be started"),
        }
    }

    /// Opens the group of this number, and a lane into it.
    pub fn lane(&self, number: u64) -> IdleLane {
        let key = LaneKey(number);
        let (out, commands) = LaneOut::new(key, Arc::from("edge"));
        let name = format!("live/room{number}");
        let name = name.parse().expect("a name of an instance");
        IdleLane {
            group: self.groups.open(&name, key).expect("a group can be opened"),
            out,
            commands,
        }
    }
}

impl IdleLane {
    /// Connects a session and makes a message stream for it; returns once it is answered.
    ///
    /// # Panics
    ///
    /// If the group closes it.
    pub fn connect(&mut self, session: u64) {
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
            peer: SocketAddr::from(([192, 0, 2, 1], 5000)).into(),
            protocol: "rtmp".to_owned(),
            connect,
            claims: None,
        };
        let lane = self.out.clone();
        self.group.send(Mail::Session {
            session,
            event: FromSession::Open(Opening {
                lane,
                open,
                repeats: false,
            }),
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

    /// Waits until the group has sent so many messages to its sessions.
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
                    | LaneCommand::HandOver(_)
                    | LaneCommand::Lost(_),
                ) => {}
                None => thread::yield_now(),
            }
        }
    }
}
