//! A stage for groups: lanes whose other end is the test.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::task::LocalSet;
use tributary_node::{config, queue};
use tributary_protocol::{
    GroupName, Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId, TransactionId,
    amf::{Object, Value},
    command::{Command, DataMessage, ObjectEncoding, connect},
    link::{
        AudienceId, ClientClaims, CloseReason, FromSession, Generation, HandedOver, OpenSession,
        Recipients, Record, RelayAddress, RestoredSession, TakeoverKey, Target, ToAudience,
        ToSession, WriterId,
    },
    message::user_control::UserControl,
    shared_object::{Event, Flags, SharedObjectMessage, body::for_member},
};

use super::super::{
    GroupHandle, Groups, Settings,
    record::{CLIENT, ClientRecord},
};
use crate::{
    app::{Application, Applications},
    live::LiveStream,
    session::{
        Brought, LaneCommand, LaneKey, LaneOut, Mail, Opening, Order, RecordKey, RecordOwner,
        SessionKey,
    },
    store::Store,
};

/// Runs a scenario on a paused clock.
pub(super) fn play<F: Future<Output = ()>>(scenario: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, scenario);
}

/// Runs a scenario in real time, for one that waits for other threads with a timeout.
pub(super) fn play_in_real_time<F: Future<Output = ()>>(scenario: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, scenario);
}

/// Groups that run in the test's own thread.
pub(super) struct Stage {
    pub(super) groups: Groups,
    lanes: u64,
}

/// A lane whose edge is the test.
pub(super) struct Lane {
    pub(super) handle: GroupHandle,
    pub(super) out: LaneOut,
    /// Whether its edge passes messages on once more.
    pub(super) repeats: bool,
    commands: queue::Receiver<LaneCommand>,
    heard: BTreeMap<u64, Vec<String>>,
    pub(super) consumed: HashMap<u64, usize>,
    /// The end of the lane, if its group goes on elsewhere.
    pub(super) handed_over: Option<HandedOver>,
    /// Messages credited back to sessions.
    pub(super) handled: HashMap<u64, usize>,
    /// The streams the lane's publishers may write to, by session and message stream.
    pub(super) writers: HashMap<(u64, u32), (Arc<LiveStream>, WriterId)>,
    /// The last stream attached to each message stream of a session.
    pub(super) attached: HashMap<(u64, u32), Arc<LiveStream>>,
    pub(super) messages: Vec<(u64, Message)>,
    /// The messages that its edge is to pass on once more.
    pub(super) to_repeat: Vec<(u64, Message)>,
    /// The orders to audiences.
    pub(super) audiences: Vec<(AudienceId, ToAudience)>,
    members: HashMap<AudienceId, BTreeMap<u64, (Flags, bool)>>,
    encodings: HashMap<u64, ObjectEncoding>,
    /// The records of each session, as its edge keeps them.
    pub(super) records: HashMap<u64, BTreeMap<u32, Record>>,
    /// The key of its records, if it keeps some.
    key: Option<(RecordKey, GroupName)>,
}

pub(super) fn settings() -> Settings {
    Settings {
        workers: 1,
        max_groups: 100_000,
        fms_version: "FMS/3,5,7,7009".to_owned(),
        store: None,
        stack: Settings::DEFAULT_STACK,
        restores: false,
    }
}

/// The settings of `live` that scenarios change.
pub(super) fn live_settings() -> config::Application {
    config::Application::default()
}

impl Stage {
    /// With `live` alone.
    pub(super) fn live(settings: config::Application) -> Self {
        let mut applications = Applications::new();
        applications.add_builtin("live", settings);
        Self::with(applications)
    }

    /// With one application of the test's own, called `app`.
    pub(super) fn app<A: Application + 'static>(
        make: impl Fn() -> A + Send + Sync + 'static,
    ) -> Self {
        let mut applications = Applications::new();
        applications.add("app", live_settings(), move |_| Box::new(make()));
        Self::with(applications)
    }

    pub(super) fn with(applications: Applications) -> Self {
        Self::of(Groups::local(settings(), applications))
    }

    pub(super) fn of(groups: Groups) -> Self {
        Self { groups, lanes: 0 }
    }

    /// With a store.
    pub(super) fn storing(applications: Applications, store: Store) -> Self {
        let settings = Settings {
            store: Some(store),
            ..settings()
        };
        Self {
            groups: Groups::local(settings, applications),
            lanes: 0,
        }
    }

    /// Keeps the groups of `live` alive that these settings keep.
    pub(super) fn keep_for(&self, live: &config::Application) {
        let all = [("live".to_owned(), live.clone())].into();
        for keeper in self.groups.keepers(&all) {
            tokio::task::spawn_local(keeper);
        }
    }

    /// A lane of another edge to the group of this name.
    pub(super) fn lane(&mut self, group: &str) -> Lane {
        self.lanes += 1;
        let key = LaneKey(self.lanes);
        Lane::new(
            self.groups.open(&group.parse().unwrap(), key).unwrap(),
            self.lanes,
        )
    }
}

impl Lane {
    pub(super) fn new(handle: GroupHandle, number: u64) -> Self {
        let (out, commands) = LaneOut::new(LaneKey(number), Arc::from("edge"));
        Self {
            handle,
            out,
            repeats: true,
            commands,
            heard: BTreeMap::new(),
            consumed: HashMap::new(),
            handed_over: None,
            handled: HashMap::new(),
            writers: HashMap::new(),
            attached: HashMap::new(),
            messages: Vec::new(),
            to_repeat: Vec::new(),
            audiences: Vec::new(),
            members: HashMap::new(),
            encodings: HashMap::new(),
            records: HashMap::new(),
            key: None,
        }
    }

    /// The lane of an edge that keeps records, to a group of this name.
    pub(super) fn remembering(mut self, group: &str, secret: &[u8]) -> Self {
        let key = RecordKey::new(secret);
        let group: GroupName = group.parse().unwrap();
        self.key = Some((key.clone(), group.clone()));
        self.out = self.out.remembering(key, group);
        self
    }

    /// Brings a session with these records from the process before.
    pub(super) fn bring(&self, session: u64, restored: RestoredSession) {
        self.restore(Brought::Session {
            session: self.key(session),
            lane: self.out.clone(),
            restored: Box::new(restored),
        });
    }

    pub(super) fn restore(&self, brought: Brought) {
        let lane = self.out.key();
        self.handle.send(Mail::Restore { lane, brought });
    }

    /// All edges have brought what they have.
    pub(super) fn gathered(&self) {
        self.restore(Brought::End);
        self.handle.send(Mail::Gathered);
    }

    /// A session of this lane, as its edge brings it to the next process; one that was not opened here has
    /// the record that each accepted one has.
    pub(super) fn salvage(&self, session: u64) -> RestoredSession {
        let records = self.records.get(&session);
        let records = records.into_iter().flat_map(BTreeMap::values);
        let mut records: Vec<_> = records.cloned().collect();
        if !records.iter().any(|record| record.part == CLIENT) {
            records.push(self.settings_record(session));
        }
        RestoredSession {
            open: OpenSession {
                peer: "127.0.0.1:5000".parse().unwrap(),
                protocol: "rtmp".to_owned(),
                connect: connect_body(ObjectEncoding::Amf0),
                claims: None,
            },
            records,
            unanswered: Vec::new(),
            uses: Vec::new(),
        }
    }

    fn settings_record(&self, session: u64) -> Record {
        let (key, group) = self.key.as_ref().expect("a lane with records");
        let owner = RecordOwner {
            group,
            edge: self.out.edge(),
            session: SessionId(session),
        };
        let bytes = ClientRecord::default().encode(Instant::now());
        key.sign(owner, CLIENT, &bytes)
    }

    pub(super) fn key(&self, session: u64) -> SessionKey {
        SessionKey {
            lane: self.out.key(),
            session: SessionId(session),
        }
    }

    /// Opens a session from loopback.
    pub(super) fn open(&self, session: u64) {
        self.open_from(session, "127.0.0.1:5000", ObjectEncoding::Amf0);
    }

    /// Opens a session, and waits until it is in.
    pub(super) async fn member(&mut self, session: u64, encoding: ObjectEncoding) {
        self.encodings.insert(session, encoding);
        self.open_from(session, "127.0.0.1:5000", encoding);
        assert_eq!(
            self.heard(session).await,
            ["Accept", "_result 1 NetConnection.Connect.Success"]
        );
    }

    /// Sends events of a shared object.
    pub(super) fn object(
        &self,
        session: u64,
        name: &str,
        version: u32,
        flags: Flags,
        events: impl Into<Vec<Event>>,
    ) {
        let message = SharedObjectMessage {
            name: name.to_owned(),
            version,
            flags,
            events: events.into(),
        };
        let encoding = self.encodings.get(&session).copied().unwrap_or_default();
        let (kind, payload) = message.encode(encoding);
        self.message(session, 0, kind, payload, 0);
    }

    pub(super) fn open_from(&self, session: u64, peer: &str, encoding: ObjectEncoding) {
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Open(Opening {
                lane: self.out.clone(),
                open: OpenSession {
                    peer: peer.parse().unwrap(),
                    protocol: "rtmp".to_owned(),
                    connect: connect_body(encoding),
                    claims: None,
                },
                repeats: self.repeats,
            }),
        });
    }

    /// Opens a session whose connect has these properties.
    pub(super) fn open_with(&self, session: u64, properties: Object) {
        self.open_of(session, properties, None);
    }

    /// The same, of a user that the edge has verified.
    pub(super) fn open_of(&self, session: u64, properties: Object, user: Option<&str>) {
        let claims = |user: &str| ClientClaims {
            user: Some(user.to_owned()),
            json: None,
        };
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Open(Opening {
                lane: self.out.clone(),
                open: OpenSession {
                    peer: "127.0.0.1:5000".parse().unwrap(),
                    protocol: "rtmp".to_owned(),
                    connect: connect::command(properties).encode(ObjectEncoding::Amf0).1,
                    claims: user.map(|user| Arc::new(claims(user))),
                },
                repeats: self.repeats,
            }),
        });
    }

    /// Opens a session and makes its first message stream; its messages so far are dropped.
    pub(super) async fn client(&mut self, session: u64) {
        self.open(session);
        self.call(session, 0, "createStream", 2.0, &[]);
        assert_eq!(
            self.heard(session).await,
            [
                "Accept",
                "_result 1 NetConnection.Connect.Success",
                "_result 2 1"
            ]
        );
    }

    pub(super) fn call(&self, session: u64, stream: u32, name: &str, id: f64, with: &[Value]) {
        self.call_at(session, stream, name, id, with, 0);
    }

    pub(super) fn call_at(
        &self,
        session: u64,
        stream: u32,
        name: &str,
        id: f64,
        with: &[Value],
        generation: u32,
    ) {
        let mut command = Command::new(name, TransactionId(id));
        command.arguments = with.to_vec();
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        self.message(session, stream, kind, payload, generation);
    }

    pub(super) fn message(
        &self,
        session: u64,
        stream: u32,
        kind: MessageType,
        payload: Bytes,
        generation: u32,
    ) {
        let stream = MessageStreamId(stream);
        let timestamp = RtmpTimestamp(0);
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Message {
                generation: Generation(generation),
                message: Message {
                    kind,
                    stream,
                    timestamp,
                    payload,
                },
            },
        });
    }

    /// Passes on what the group has asked for, in publishes of this generation, as an edge does.
    pub(super) fn pass_on(&mut self, generation: u32) {
        for (session, message) in std::mem::take(&mut self.to_repeat) {
            let Message { kind, stream, .. } = message;
            self.message(session, stream.0, kind, message.payload, generation);
        }
    }

    pub(super) fn publish(&self, session: u64, name: &str, generation: u32) {
        self.call_at(
            session,
            1,
            "publish",
            0.0,
            &[name.into(), "live".into()],
            generation,
        );
    }

    pub(super) fn play(&self, session: u64, name: &str) {
        self.call(session, 1, "play", 0.0, &[name.into()]);
    }

    pub(super) fn closed(&self, session: u64, reason: CloseReason) {
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Close(reason),
        });
    }

    pub(super) fn outage(&self, lost: bool) {
        self.handle.send(Mail::Outage {
            lane: self.out.key(),
            lost,
        });
    }

    /// Its edge is silent, or is heard again.
    pub(super) fn silent(&self, silent: bool) {
        self.handle.send(Mail::Silence {
            lane: self.out.key(),
            silent,
        });
    }

    pub(super) fn reconnects(&self, session: u64, key: TakeoverKey) {
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Reconnects(key),
        });
    }

    /// Asks for the relay of the next publish or play of message stream 1.
    pub(super) fn relay(&self, session: u64, address: &str) {
        let stream = MessageStreamId(1);
        let address = RelayAddress::new(address).unwrap();
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Relay { stream, address },
        });
    }

    pub(super) fn stalled(&self, session: u64, stalled: bool) {
        let stream = MessageStreamId(1);
        self.handle.send(Mail::Session {
            session: self.key(session),
            event: FromSession::Stalled { stream, stalled },
        });
    }

    /// The messages to a session since the last call.
    pub(super) async fn heard(&mut self, session: u64) -> Vec<String> {
        settle().await;
        self.collect();
        self.heard.remove(&session).unwrap_or_default()
    }

    /// The messages to a session that are here by now.
    pub(super) fn heard_now(&mut self, session: u64) -> Vec<String> {
        self.collect();
        self.heard.remove(&session).unwrap_or_default()
    }

    /// Drops the messages so far.
    pub(super) async fn clear(&mut self) {
        settle().await;
        self.collect();
        self.heard.clear();
        self.messages.clear();
    }

    fn collect(&mut self) {
        while let Some(command) = self.commands.try_next() {
            match command {
                LaneCommand::Session { session, order } => {
                    let line = self.describe(session.0, order);
                    self.heard.entry(session.0).or_default().push(line);
                }
                LaneCommand::Audience { audience, order } => {
                    self.tell_members(audience, &order);
                    self.audiences.push((audience, order));
                }
                LaneCommand::HandOver(handed_over) => self.handed_over = Some(handed_over),
                LaneCommand::Lost(lost) => panic!("too much for the lane: {lost:?}"),
                LaneCommand::Consumed { session, bytes, .. } => {
                    *self.consumed.entry(session.0).or_default() += bytes;
                    *self.handled.entry(session.0).or_default() += 1;
                }
            }
        }
    }

    /// Delivers an order to an audience as an edge does.
    fn tell_members(&mut self, audience: AudienceId, what: &ToAudience) {
        match what {
            ToAudience::Begin { .. } => {
                assert_eq!(self.members.insert(audience, BTreeMap::new()), None);
            }
            ToAudience::Join { session, flags } => {
                let members = self.members.get_mut(&audience).unwrap();
                assert_eq!(members.insert(session.0, (*flags, false)), None);
            }
            ToAudience::Stand { session, aside } => {
                let members = self.members.get_mut(&audience).unwrap();
                let (_, stands) = members.get_mut(&session.0).unwrap();
                assert_eq!(std::mem::replace(stands, *aside), !aside);
            }
            ToAudience::Leave { session } => {
                let members = self.members.get_mut(&audience).unwrap();
                assert!(members.remove(&session.0).is_some());
            }
            ToAudience::End => assert!(self.members.remove(&audience).is_some()),
            ToAudience::Send { to, encoding, body } => self.send(audience, *to, *encoding, body),
            ToAudience::Snapshot { encoding, body } => {
                self.send(audience, Recipients::All, *encoding, body);
            }
        }
    }

    fn send(
        &mut self,
        audience: AudienceId,
        to: Recipients,
        encoding: Option<ObjectEncoding>,
        body: &Bytes,
    ) {
        for (&session, &(flags, aside)) in &self.members[&audience] {
            let own = self.encodings.get(&session).copied().unwrap_or_default();
            let gets = match to {
                Recipients::All => !aside,
                Recipients::AllBut(but) => !aside && but.0 != session,
                Recipients::One(one) => one.0 == session,
            };
            if gets && encoding.is_none_or(|encoding| encoding == own) {
                let (kind, payload) = for_member(body, flags, own).unwrap();
                let line = describe_object(kind, &payload, flags);
                self.heard.entry(session).or_default().push(line);
            }
        }
    }

    fn describe(&mut self, session: u64, order: Order) -> String {
        match order {
            ToSession::Watch => "Watch".to_owned(),
            ToSession::Bandwidth(bandwidth) => format!("{bandwidth:?}"),
            ToSession::Ping => "Ping".to_owned(),
            ToSession::Remember(record) => {
                let line = format!("Remember {}", record.part);
                let records = self.records.entry(session).or_default();
                records.insert(record.part, record);
                line
            }
            ToSession::Handled(messages) => format!("Handled {messages}"),
            ToSession::Restored => "Restored".to_owned(),
            ToSession::Continues { live, was } => format!("Continues {} as {}", was.0, live.0),
            ToSession::Accept => "Accept".to_owned(),
            ToSession::Message { message, after } => {
                let after = after
                    .map(|place| format!(" after {}", place.0))
                    .unwrap_or_default();
                let line = describe_message(&message) + &after;
                self.messages.push((session, message));
                line
            }
            ToSession::Attach {
                stream,
                source: live,
            } => {
                let line = format!("Attach {stream} live {}", live.id().0);
                self.attached.insert((session, stream.0), live);
                line
            }
            ToSession::Detach { stream } => {
                let live = &self.attached[&(session, stream.0)];
                format!("Detach {stream} live {}", live.id().0)
            }
            ToSession::AcceptPublish {
                stream,
                generation,
                target: Target { live, writer },
            } => {
                self.writers.insert((session, stream.0), (live, writer));
                format!(
                    "AcceptPublish {stream} generation {} writer {}",
                    generation.0, writer.0
                )
            }
            ToSession::StopPublish { stream, generation } => {
                format!("StopPublish {stream} generation {}", generation.0)
            }
            ToSession::PublishRead { stream, read, .. } => format!("PublishRead {stream} {read}"),
            ToSession::Filter { stream, filter } => {
                let on = |on: bool, name: &'static str| if on { name } else { "" };
                let (audio, video) = (on(filter.audio, " audio"), on(filter.video, " video"));
                format!(
                    "Filter {stream}{audio}{video}{}",
                    on(filter.paused, " paused")
                )
            }
            ToSession::Repeat(message) => {
                let line = format!("Repeat {}", describe_message(&message));
                self.to_repeat.push((session, message));
                line
            }
            ToSession::Close(reason) => format!("Close {}", reason.label()),
        }
    }
}

/// Lets the groups do all their work of this moment.
pub(super) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Moves the clock.
pub(super) async fn pass(time: Duration) {
    settle().await;
    tokio::time::advance(time).await;
    settle().await;
}

pub(super) fn connect_body(encoding: ObjectEncoding) -> Bytes {
    let properties = Object::new()
        .with("app", "live")
        .with("flashVer", "LNX 9,0,124,2")
        .with("tcUrl", "rtmp://localhost/live")
        .with("objectEncoding", encoding.number());
    connect::command(properties).encode(ObjectEncoding::Amf0).1
}

fn describe_message(message: &Message) -> String {
    let stream = message.stream;
    match message.kind {
        MessageType::USER_CONTROL => match UserControl::decode(&message.payload) {
            Some(UserControl::StreamBegin(stream)) => format!("StreamBegin {stream}"),
            Some(UserControl::StreamEof(stream)) => format!("StreamEof {stream}"),
            other => format!("{other:?}"),
        },
        kind if kind.is_command() => {
            let command = Command::decode(kind, &message.payload).unwrap();
            let Command {
                name,
                transaction,
                arguments,
                ..
            } = command;
            let amf3 = if kind == MessageType::COMMAND_AMF3 {
                " (17)"
            } else {
                ""
            };
            let first = arguments.first().map(describe_value).unwrap_or_default();
            match name.as_str() {
                "_result" | "_error" => format!("{name} {} {first}{amf3}", transaction.0),
                "onStatus" => format!("{stream} {first}{amf3}"),
                _ => format!(
                    "{name}{}{amf3}",
                    if first.is_empty() {
                        first
                    } else {
                        format!(" {first}")
                    }
                ),
            }
        }
        kind if kind.is_data() => {
            let data = DataMessage::decode(kind, &message.payload).unwrap();
            let first = data.values.first().map(describe_value).unwrap_or_default();
            format!("{stream} data {} {first}", data.name)
        }
        kind if kind.is_shared_object() => {
            let asked = SharedObjectMessage::decode(kind, &message.payload).unwrap();
            describe_object(kind, &message.payload, asked.flags)
        }
        kind => format!("{stream} type {}", kind.0),
    }
}

/// A message of a shared object as text: name, version, events.
fn describe_object(kind: MessageType, payload: &[u8], flags: Flags) -> String {
    let message = SharedObjectMessage::decode(kind, payload).unwrap();
    assert_eq!(message.flags, flags);
    let events: Vec<_> = message.events.iter().map(describe_event).collect();
    let amf3 = if kind == MessageType::SHARED_OBJECT_AMF3 {
        " (16)"
    } else {
        ""
    };
    format!(
        "{} v{} {}{amf3}",
        message.name,
        message.version,
        events.join(", ")
    )
}

fn describe_event(event: &Event) -> String {
    match event {
        Event::Change(slots) => {
            let slots = slots.iter();
            let slots: Vec<_> = slots
                .map(|(name, value)| format!("{name}={}", describe_value(value)))
                .collect();
            slots.join(" ")
        }
        Event::Success { name } => format!("success {name}"),
        Event::ChangeAccepted { name, value } => {
            format!("accepted {name}={}", describe_value(value))
        }
        Event::Remove { name } => format!("remove {name}"),
        Event::Clear => "clear".to_owned(),
        Event::UseSuccess => "use".to_owned(),
        Event::Status { code, .. } => code.trim_start_matches("SharedObject.").to_owned(),
        Event::SendMessage { values } => {
            let values: Vec<_> = values.iter().map(describe_value).collect();
            format!("send {}", values.join(" "))
        }
        other => format!("{other:?}"),
    }
}

fn describe_value(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Bool(on) => on.to_string(),
        Value::Object(object) => match object.get("code").and_then(Value::as_str) {
            Some(code) => code.to_owned(),
            None => format!("{object:?}"),
        },
        Value::Null => "null".to_owned(),
        Value::Undefined => "undefined".to_owned(),
        other => format!("{other:?}"),
    }
}
