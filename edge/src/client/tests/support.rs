//! An edge without a link: the test receives the events of its sessions, and answers.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tributary_node::{config::Application, drain, queue};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::{Object, Value},
    command::{self, Command, Connect, ObjectEncoding},
    handshake,
    link::{CloseReason, FromSession, Generation, ToSession},
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use super::pair::LinkScript;
use crate::{
    Config, Metrics, Policies,
    departure::{self, Depart},
    hooks::Hooks,
    link::{
        OpenRequest, Upstream,
        handle::{FromOrigin, Opening, Park, ToLane},
    },
    listeners::Listeners,
    objects::HubOut,
    run::{Leaving, RunningClients},
    tls::Certificates,
    wire::Upkeep,
};

/// A bound that no step of these tests reaches.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) const STREAM: MessageStreamId = MessageStreamId(1);

pub(super) struct Edge {
    pub(super) running: RunningClients,
    pub(super) metrics: Arc<Metrics>,
    pub(super) drain: drain::Signal,
    pub(super) depart: Depart,
    pub(super) upstream: Upstream,
    pub(super) lanes: queue::Receiver<ToLane>,
    /// The test's part as the link thread in a replacement.
    pub(super) links: LinkScript,
}

/// The origin's side of one session.
pub(super) struct Peer {
    pub(super) session: SessionId,
    pub(super) request: OpenRequest,
    pub(super) park: Arc<Park>,
    pub(super) hub: Arc<HubOut>,
    pub(super) inbox: queue::Sender<FromOrigin>,
}

/// A client of the edge.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) connection: ClientConnection,
    events: VecDeque<ClientEvent>,
}

pub(super) fn config() -> Config {
    Config {
        rtmp: Some("127.0.0.1:0".parse().expect("an address")),
        workers: 1,
        ..Config::default()
    }
}

/// An address that no other test of this process uses.
pub(super) fn own_address() -> IpAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    IpAddr::from([127, 9, high, low])
}

impl Edge {
    pub(super) fn start() -> Self {
        Self::start_with(&config())
    }

    pub(super) fn start_with(config: &Config) -> Self {
        Self::start_for(config, &BTreeMap::new())
    }

    pub(super) fn start_for(config: &Config, applications: &BTreeMap<String, Application>) -> Self {
        Self::start_on(&Upkeep::DIRECT, config, applications)
    }

    pub(super) fn start_on(
        upkeep: &'static Upkeep,
        config: &Config,
        applications: &BTreeMap<String, Application>,
    ) -> Self {
        let (upstream, lanes) = Upstream::new();
        let (drain, watch) = drain::channel();
        let (depart, departing) = departure::channel();
        let metrics = Arc::new(Metrics::default());
        let policies = Policies::load(applications).expect("files that can be used");
        let running = crate::run::run_behind(
            Listeners::new(Certificates::none(), upkeep),
            config,
            policies.with_hooks(Hooks::new(metrics.hooks.clone(), "edge-1", 7)),
            upstream.clone(),
            None,
            Arc::clone(&metrics),
            Leaving {
                departing,
                drain: watch,
            },
        )
        .expect("threads start");
        Self {
            running,
            metrics,
            drain,
            depart,
            upstream,
            lanes,
            links: LinkScript::default(),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.running.listening()[0].1
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.address(), own_address()).await
    }

    /// The next event of a session.
    pub(super) async fn told(&mut self) -> (SessionId, FromSession<Box<Opening>>) {
        let told = timeout(LONG, self.next_event())
            .await
            .expect("a session sends an event");
        told.expect("the edge runs")
    }

    /// The next event of a session, if one comes soon.
    pub(super) async fn told_soon(&mut self) -> Option<(SessionId, FromSession<Box<Opening>>)> {
        let told = timeout(Duration::from_millis(150), self.next_event()).await;
        told.ok().flatten()
    }

    async fn next_event(&mut self) -> Option<(SessionId, FromSession<Box<Opening>>)> {
        loop {
            if let Some(kept) = self.links.kept.pop_front() {
                return Some(kept);
            }
            let told = self.lanes.next().await?;
            self.links.act(told, &[]);
        }
    }

    /// The next session that opens.
    pub(super) async fn opened(&mut self) -> Peer {
        match self.told().await {
            (session, FromSession::Open(opening)) => Peer {
                session,
                request: opening.request,
                park: opening.park,
                inbox: opening.inbox,
                hub: opening.hub.expect("a worker has one"),
            },
            other => panic!("not an open: {other:?}"),
        }
    }

    /// The next message of a session; its bytes leave the park.
    pub(super) async fn message(&mut self, peer: &Peer) -> (Message, Generation) {
        match self.told().await {
            (
                session,
                FromSession::Message {
                    generation,
                    message,
                },
            ) => {
                assert_eq!(session, peer.session);
                peer.park.remove(Park::cost(&message));
                (message, generation)
            }
            other => panic!("not a message: {other:?}"),
        }
    }

    /// The next message, which has to be a command.
    pub(super) async fn command(&mut self, peer: &Peer) -> (Command, Generation) {
        let (message, generation) = self.message(peer).await;
        let command = Command::decode(message.kind, &message.payload).expect("a command");
        (command, generation)
    }

    /// The reason with which the session closes; events before the close are skipped.
    pub(super) async fn closed(&mut self) -> CloseReason {
        loop {
            if let (_, FromSession::Close(reason)) = self.told().await {
                return reason;
            }
        }
    }

    /// A client whose connect was accepted.
    pub(super) async fn session(&mut self) -> (Client, Peer) {
        self.session_in(ObjectEncoding::Amf0).await
    }

    /// The same for a client that asks for this encoding.
    pub(super) async fn session_in(&mut self, encoding: ObjectEncoding) -> (Client, Peer) {
        let mut client = self.client().await;
        let properties = Object::new()
            .with("app", "live/room")
            .with("tcUrl", "rtmp://edge/live/room")
            .with("objectEncoding", encoding.number());
        client.connection.connect(properties, Vec::new());
        client.send().await;
        let peer = self.opened().await;
        peer.accept();
        assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
        (client, peer)
    }

    /// Waits until a count is what it should be.
    pub(super) async fn until(&self, what: &str, mut is: impl FnMut(&Metrics) -> bool) {
        let by = Instant::now() + LONG;
        while !is(&self.metrics) {
            assert!(Instant::now() < by, "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(super) fn count_closed(&self, reason: CloseReason) -> u64 {
        let reason = reason.label();
        self.metrics
            .closed
            .get_or_create(&crate::metrics::Reason { reason })
            .get()
    }

    pub(super) fn count_fault(&self, reason: &'static str) -> u64 {
        self.metrics
            .faults
            .get_or_create(&crate::metrics::Reason { reason })
            .get()
    }
}

impl Peer {
    pub(super) fn say(&self, what: impl Into<FromOrigin>) {
        assert!(self.try_say(what), "the session is there");
    }

    /// Sends an item if the session is still there.
    pub(super) fn try_say(&self, what: impl Into<FromOrigin>) -> bool {
        self.inbox.push_final(what.into()).is_ok()
    }

    pub(super) fn accept(&self) {
        let command = Command::decode(MessageType::COMMAND_AMF0, &self.request.open.connect);
        let connect = command
            .ok()
            .and_then(Connect::parse)
            .expect("the connect command");
        self.say(ToSession::Accept);
        self.command(&command::connect::success(&connect, "FMS/3,5,7,7009"));
    }

    pub(super) fn command(&self, command: &Command) {
        self.say(ToSession::Message {
            message: to_message(command, MessageStreamId::CONNECTION),
            after: None,
        });
    }
}

pub(super) fn to_message(command: &Command, stream: MessageStreamId) -> Message {
    let (kind, payload) = command.encode(ObjectEncoding::Amf0);
    Message {
        kind,
        stream,
        timestamp: RtmpTimestamp(0),
        payload,
    }
}

pub(super) fn media(kind: MessageType, time: u32, payload: impl Into<Bytes>) -> Message {
    Message {
        kind,
        stream: STREAM,
        timestamp: RtmpTimestamp(time),
        payload: payload.into(),
    }
}

impl Client {
    /// A client that has done its handshake.
    pub(super) async fn connect(address: SocketAddr, from: IpAddr) -> Self {
        let mut client = Self::begin(address, from).await;
        client.send().await;
        assert_eq!(client.event().await, ClientEvent::Connected);
        client
    }

    /// A client that has sent nothing.
    pub(super) async fn begin(address: SocketAddr, from: IpAddr) -> Self {
        let socket = raw(address, from).await;
        // Each step of a connect would wait for a delayed acknowledgement.
        socket.set_nodelay(true).expect("a socket of TCP");
        let random = [7; handshake::RANDOM];
        let kind = handshake::HandshakeKind::Simple;
        let connection =
            ClientConnection::new(kind, random, Instant::now(), ConnectionLimits::default());
        Self {
            socket,
            connection,
            events: VecDeque::new(),
        }
    }

    pub(super) async fn send(&mut self) {
        let output = self.connection.take_output();
        self.socket
            .write_all(&output)
            .await
            .expect("the edge reads");
    }

    /// Sends without giving another task its turn.
    pub(super) fn send_at_once(&mut self) {
        let output = self.connection.take_output();
        let sent = self.socket.try_write(&output).expect("the edge reads");
        assert_eq!(sent, output.len());
    }

    pub(super) async fn event(&mut self) -> ClientEvent {
        self.try_event().await.expect("the edge has not closed")
    }

    /// The next event; `None` when the edge closes.
    pub(super) async fn try_event(&mut self) -> Option<ClientEvent> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let read = timeout(LONG, self.socket.read(&mut buffer))
                .await
                .expect("something comes");
            let bytes = read.unwrap_or(0);
            if bytes == 0 {
                return None;
            }
            let now = Instant::now();
            self.connection
                .handle_input(now, &buffer[..bytes])
                .expect("sound bytes");
            while let Some(event) = self.connection.poll_event() {
                self.events.push_back(event);
            }
            self.send().await;
        }
    }

    /// The code of the next onStatus.
    pub(super) async fn status(&mut self) -> String {
        match self.event().await {
            ClientEvent::Status { info, .. } => code(&info),
            other => panic!("not a status: {other:?}"),
        }
    }

    /// All events until the edge closes.
    pub(super) async fn rest(&mut self) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.try_event().await {
            events.push(event);
        }
        events
    }
}

pub(super) async fn raw(address: SocketAddr, from: IpAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a descriptor");
    socket
        .bind(SocketAddr::new(from, 0))
        .expect("an address of the loopback");
    socket.connect(address).await.expect("the edge listens")
}

/// The `code` of an info object.
pub(super) fn code(info: &Value) -> String {
    let object: Option<&Object> = match info {
        Value::Object(object) => Some(object),
        _ => None,
    };
    let code = object.and_then(|object| object.get("code"));
    code.and_then(Value::as_str).unwrap_or_default().to_owned()
}
