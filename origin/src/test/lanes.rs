//! The edges of a stage: a lane for each client.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::Arc,
    task::{self, Waker},
    thread,
    time::Duration,
};

use tokio::{runtime::Runtime, task::LocalSet};
use tributary_node::queue;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId, TransactionId,
    amf::{Object, Value},
    command::{Command, ObjectEncoding, connect},
    link::{
        AudienceId, CloseReason, FromSession, Generation, OpenSession, Recipients, ToAudience,
        ToSession,
    },
    shared_object::{Event, Flags, SharedObjectMessage},
};

use super::{Answer, ConnectAs, Heard};
use crate::{
    app::Applications,
    group::{GroupHandle, Groups, Settings},
    session::{LaneCommand, LaneKey, LaneOut, Mail, Opening, SessionKey},
    store::Store,
};

/// The state on the stage's thread.
pub(super) struct Lanes {
    runtime: Runtime,
    local: LocalSet,
    groups: Groups,
    store: Option<Store>,
    clients: BTreeMap<u64, Lane>,
    last: u64,
}

/// A client's lane.
struct Lane {
    /// `None` once the client is gone.
    handle: Option<GroupHandle>,
    out: LaneOut,
    commands: queue::Receiver<LaneCommand>,
    encoding: ObjectEncoding,
    transaction: f64,
    generation: u32,
    connected: Option<Result<(), Value>>,
    heard: Vec<Heard>,
    closed: bool,
    audiences: BTreeSet<AudienceId>,
}

/// Each client is the first session of its lane.
const SESSION: SessionId = SessionId(1);

/// The transaction id of a connect.
const CONNECT: f64 = 1.0;

/// The most groups of a stage.
const MAX_GROUPS: usize = 100_000;

/// How far the clock moves at a time.
const STEP: Duration = Duration::from_millis(10);

/// The time between two looks at the store.
const LOOK: Duration = Duration::from_micros(100);

/// How often all tasks that can run get a turn before they count as settled.
const ROUNDS: usize = 100;

impl Lanes {
    pub(super) fn new(applications: Applications, store: Option<Store>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime can be made");
        let settings = Settings {
            workers: 1,
            max_groups: MAX_GROUPS,
            fms_version: "FMS/3,5,7,7009".to_owned(),
            store: store.clone(),
            restores: false,
            stack: Settings::DEFAULT_STACK,
        };
        Self {
            runtime,
            local: LocalSet::new(),
            groups: Groups::local(settings, applications),
            store,
            clients: BTreeMap::new(),
            last: 0,
        }
    }

    pub(super) fn connect(&mut self, group: &str, with: &ConnectAs) -> u64 {
        self.last += 1;
        let key = LaneKey(self.last);
        let name = group.parse().expect("a name of an instance");
        let (out, commands) = LaneOut::new(key, Arc::from("edge"));
        let groups = &self.groups;
        let handle = self
            .local
            .block_on(&self.runtime, async { groups.open(&name, key) });
        let handle = handle.expect("the application exists");
        let mut properties = Object::new()
            .with("app", group)
            .with("tcUrl", format!("rtmp://localhost/{group}"))
            .with("objectEncoding", with.encoding.number());
        properties
            .properties
            .extend(with.properties.properties.iter().cloned());
        let mut command = connect::command(properties);
        command.arguments.extend(with.arguments.iter().cloned());
        handle.send(Mail::Session {
            session: session(&out),
            event: FromSession::Open(Opening {
                lane: out.clone(),
                open: OpenSession {
                    peer: with.peer.into(),
                    protocol: "rtmp".to_owned(),
                    connect: command.encode(ObjectEncoding::Amf0).1,
                    claims: with.claims.clone().map(Arc::new),
                },
                repeats: false,
            }),
        });
        let lane = Lane {
            handle: Some(handle),
            out,
            commands,
            encoding: with.encoding,
            transaction: CONNECT,
            generation: 0,
            connected: None,
            heard: Vec::new(),
            closed: false,
            audiences: BTreeSet::new(),
        };
        self.clients.insert(self.last, lane);
        self.settle();
        self.last
    }

    pub(super) fn call(
        &mut self,
        client: u64,
        stream: u32,
        name: &str,
        arguments: Vec<Value>,
    ) -> f64 {
        let transaction = self.queue(client, stream, name, arguments);
        self.settle();
        transaction
    }

    /// As [`Self::call`], but no task runs yet.
    pub(super) fn queue(
        &mut self,
        client: u64,
        stream: u32,
        name: &str,
        arguments: Vec<Value>,
    ) -> f64 {
        let Some(lane) = self.clients.get_mut(&client) else {
            return 0.0;
        };
        let transaction = if stream == 0 {
            lane.transaction += 1.0;
            lane.transaction
        } else {
            lane.generation += 1;
            0.0
        };
        let mut command = Command::new(name, TransactionId(transaction));
        command.arguments = arguments;
        self.command(client, stream, &command);
        transaction
    }

    pub(super) fn respond(&mut self, client: u64, transaction: f64, answer: Answer) {
        let (name, value) = match answer {
            Ok(value) => ("_result", value),
            Err(value) => ("_error", value),
        };
        let command = Command::new(name, TransactionId(transaction)).with(value);
        self.command(client, 0, &command);
        self.settle();
    }

    fn command(&mut self, client: u64, stream: u32, command: &Command) {
        let encoding = self.clients.get(&client).map(|lane| lane.encoding);
        let (kind, payload) = command.encode(encoding.unwrap_or_default());
        self.put(
            client,
            Message {
                kind,
                stream: MessageStreamId(stream),
                timestamp: RtmpTimestamp(0),
                payload,
            },
        );
    }

    pub(super) fn message(&mut self, client: u64, message: Message) {
        self.put(client, message);
        self.settle();
    }

    fn put(&mut self, client: u64, message: Message) {
        if let Some(lane) = self.clients.get(&client)
            && let Some(handle) = &lane.handle
        {
            handle.send(Mail::Session {
                session: session(&lane.out),
                event: FromSession::Message {
                    generation: Generation(lane.generation),
                    message,
                },
            });
        }
    }

    pub(super) fn object(&mut self, client: u64, name: String, flags: Flags, events: Vec<Event>) {
        let message = SharedObjectMessage {
            name,
            version: 0,
            flags,
            events,
        };
        let encoding = self.clients.get(&client).map(|lane| lane.encoding);
        let (kind, payload) = message.encode(encoding.unwrap_or_default());
        self.message(
            client,
            Message {
                kind,
                stream: MessageStreamId(0),
                timestamp: RtmpTimestamp(0),
                payload,
            },
        );
    }

    pub(super) fn leave(&mut self, client: u64) {
        if let Some(lane) = self.clients.get_mut(&client) {
            lane.close(CloseReason::Client);
        }
        self.settle();
        if let Some(lane) = self.clients.get_mut(&client) {
            lane.closed = true;
        }
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.settle();
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            left -= step;
            self.local
                .block_on(&self.runtime, tokio::time::advance(step));
            self.settle();
        }
    }

    pub(super) fn settle(&mut self) {
        self.run();
        if let Some(store) = &self.store {
            wait(store);
            self.run();
        }
        for lane in self.clients.values_mut().filter(|lane| !lane.closed) {
            lane.collect();
        }
    }

    fn run(&mut self) {
        self.local.block_on(&self.runtime, async {
            for _ in 0..ROUNDS {
                tokio::task::yield_now().await;
            }
        });
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.count()
    }

    pub(super) fn shut_down(&mut self) {
        let groups = &self.groups;
        self.local
            .block_on(&self.runtime, async { groups.shutdown().await });
        self.settle();
    }

    pub(super) fn is_accepted(&mut self, client: u64) -> bool {
        self.settle();
        let lane = self.clients.get(&client);
        lane.is_some_and(|lane| matches!(lane.connected, Some(Ok(()))))
    }

    pub(super) fn refused(&mut self, client: u64) -> Option<Value> {
        self.settle();
        match &self.clients.get(&client)?.connected {
            Some(Err(info)) => Some(info.clone()),
            _ => None,
        }
    }

    pub(super) fn is_closed(&mut self, client: u64) -> bool {
        self.settle();
        self.clients.get(&client).is_none_or(|lane| lane.closed)
    }

    pub(super) fn answer(&mut self, client: u64, transaction: f64) -> Option<Answer> {
        self.settle();
        let heard = &mut self.clients.get_mut(&client)?.heard;
        let at = heard.iter().position(|heard| {
            matches!(heard, Heard::Result(id, _) | Heard::Error(id, _) if *id == transaction)
        })?;
        match heard.remove(at) {
            Heard::Result(_, value) => Some(Ok(value)),
            Heard::Error(_, value) => Some(Err(value)),
            _ => None,
        }
    }

    pub(super) fn heard(&mut self, client: u64) -> Vec<Heard> {
        self.settle();
        let lane = self.clients.get_mut(&client);
        lane.map(|lane| std::mem::take(&mut lane.heard))
            .unwrap_or_default()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // Its thread must not outlast the stage: the next one may open the same file.
        if let Some(store) = &self.store {
            store.close();
        }
    }
}

impl Lane {
    fn collect(&mut self) {
        while let Some(command) = self.commands.try_next() {
            let order = match command {
                LaneCommand::Session { order, .. } => order,
                LaneCommand::Audience { audience, order } => {
                    self.audience(audience, order);
                    continue;
                }
                LaneCommand::Consumed { .. } | LaneCommand::HandOver(_) | LaneCommand::Lost(_) => {
                    continue;
                }
            };
            match order {
                ToSession::Message { message, .. } => self.hear(message),
                ToSession::Close(reason) => {
                    self.heard.push(Heard::Closed(reason));
                    self.closed = true;
                    self.handle = None;
                }
                _ => {}
            }
        }
    }

    fn audience(&mut self, audience: AudienceId, what: ToAudience) {
        match what {
            ToAudience::Join { .. } | ToAudience::Stand { aside: false, .. } => {
                self.audiences.insert(audience);
            }
            ToAudience::Leave { .. } | ToAudience::Stand { .. } | ToAudience::End => {
                self.audiences.remove(&audience);
            }
            ToAudience::Send { to, encoding, body } => {
                let is_member = match to {
                    Recipients::All => self.audiences.contains(&audience),
                    Recipients::AllBut(session) => {
                        session != SESSION && self.audiences.contains(&audience)
                    }
                    Recipients::One(session) => session == SESSION,
                };
                if is_member && encoding.is_none_or(|encoding| encoding == self.encoding) {
                    self.hear_object(&body);
                }
            }
            _ => {}
        }
    }

    fn hear_object(&mut self, body: &[u8]) {
        let decoded = SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, body);
        if let Ok(message) = decoded {
            let name = message.name;
            let events = message.events.into_iter();
            self.heard
                .extend(events.map(|event| Heard::SharedObject(name.clone(), event)));
        }
    }

    fn close(&mut self, reason: CloseReason) {
        if let Some(handle) = self.handle.take() {
            handle.send(Mail::Session {
                session: session(&self.out),
                event: FromSession::Close(reason),
            });
        }
    }

    fn hear(&mut self, message: Message) {
        let decoded = message
            .kind
            .is_command()
            .then(|| Command::decode(message.kind, &message.payload).ok())
            .flatten();
        let Some(command) = decoded else {
            self.heard.push(Heard::Message(message));
            return;
        };
        let id = command.transaction.0;
        let mut arguments = command.arguments;
        let first = arguments.first().cloned().unwrap_or(Value::Undefined);
        let heard = match command.name.as_str() {
            "_result" if id == CONNECT => {
                self.connected = Some(Ok(()));
                Heard::Result(id, first)
            }
            "_error" if id == CONNECT => {
                self.connected = Some(Err(first.clone()));
                Heard::Error(id, first)
            }
            "_result" => Heard::Result(id, first),
            "_error" => Heard::Error(id, first),
            // The close follows.
            "close" => return,
            "onStatus" => Heard::Status(message.stream.0, first),
            _ => Heard::Call(command.name, id, std::mem::take(&mut arguments)),
        };
        self.heard.push(heard);
    }
}

/// Waits for the store's thread. The clock must not move meanwhile, as it would if the runtime
/// waited.
fn wait(store: &Store) {
    let mut synced = pin!(store.synced());
    let mut context = task::Context::from_waker(Waker::noop());
    while synced.as_mut().poll(&mut context).is_pending() {
        thread::sleep(LOOK);
    }
}

fn session(out: &LaneOut) -> SessionKey {
    SessionKey {
        lane: out.key(),
        session: SESSION,
    }
}
