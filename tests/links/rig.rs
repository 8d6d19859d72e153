//! Origins and edges without RTMP, and sessions as drivers of clients hold them.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::{task::LocalSet, time::timeout};
use tributary_edge::{
    fanout::Streams,
    link::{
        LinkConfig, LinkMetrics, Links, MoveError, MovedLinks, OpenRequest, Readiness, SessionLink,
        Upstream,
        handle::FromOrigin,
        publish::{MovedFeed, PublishFeed},
    },
};
use tributary_node::{
    cert,
    config::{Application, Builtin, Duration as Setting, PublishFrom},
    drain,
    link::OriginAddress,
    tls::{Identity, Role},
    transport::{Endpoint, Link},
};
use tributary_origin::{ClusterConfig, app::Applications, deploy};
use tributary_protocol::{
    GroupName, Message, MessageStreamId, RtmpTimestamp, TransactionId,
    amf::{Object, ObjectEncoding, Value},
    command::{Command, connect},
    link::{Generation, Hello, OpenSession, Rate, ToSession},
    parcel::{MAX_PARCEL, pack, unpack},
};

/// Everything on loopback takes less time than this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A private CA.
pub(crate) struct Ca(TempDir);

impl Ca {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        cert::init(&dir.path().join("ca")).expect("a CA");
        Self(dir)
    }

    pub(crate) fn identity(&self, role: Role, name: &str, alias: &[&str]) -> Identity {
        let path = |name: &str| -> std::path::PathBuf { Path::new(self.0.path()).join(name) };
        if path(name).exists() {
            return Identity::load(&path(name)).expect("an identity");
        }
        let issue = cert::Issue {
            role,
            name: name.to_owned(),
            alias: alias.iter().map(|&alias| alias.to_owned()).collect(),
            ca: path("ca"),
            out: path(name),
        };
        cert::issue(&issue).expect("a certificate");
        Identity::load(&path(name)).expect("an identity")
    }
}

/// A running origin.
pub(crate) struct Origin {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    _drain: drain::Signal,
    /// Kept as long as the origin uses it.
    _data: Option<TempDir>,
}

impl Origin {
    pub(crate) fn start(ca: &Ca, name: &str, grace: u64) -> Self {
        Self::with_applications(ca, name, grace, Applications::new())
    }

    /// An origin with these applications besides its own.
    pub(crate) fn with_applications(ca: &Ca, name: &str, grace: u64, own: Applications) -> Self {
        let address = ([127, 0, 0, 1], 0).into();
        Self::at(address, ca, name, grace, own).expect("an origin")
    }

    /// Starts another process of this origin in its place.
    pub(crate) async fn restart(self, ca: &Ca, grace: u64) -> Self {
        let (address, name) = (self.address, self.name.clone());
        drop(self);
        let begun = Instant::now();
        loop {
            match Self::at(address, ca, &name, grace, Applications::new()) {
                Ok(origin) => return origin,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// An origin with this address for links.
    pub(crate) fn at(
        link: SocketAddr,
        ca: &Ca,
        name: &str,
        grace: u64,
        own: Applications,
    ) -> Result<Self, String> {
        Self::at_with(link, ca, name, grace, own, None)
    }

    /// An origin in the cluster `lab` that has this secret and knows these others.
    pub(crate) fn in_cluster(ca: &Ca, name: &str, secret: &str, others: &[&Self]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let key = data.path().join("key");
        fs::write(&key, secret).expect("a file");
        fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("an owner");
        let others = others
            .iter()
            .map(|it| format!("{}@{}", it.name, it.address));
        let cluster = ClusterConfig {
            name: "lab".into(),
            key: Some(key),
            origins: others.collect(),
        };
        let link = ([127, 0, 0, 1], 0).into();
        let cluster = Some((cluster, data));
        Self::at_with(link, ca, name, 5, Applications::new(), cluster).expect("an origin")
    }

    fn at_with(
        link: SocketAddr,
        ca: &Ca,
        name: &str,
        grace: u64,
        own: Applications,
        cluster: Option<(ClusterConfig, TempDir)>,
    ) -> Result<Self, String> {
        let (cluster, data) = cluster.unzip();
        let identity = ca.identity(Role::Origin, name, &["alias.example"]);
        let (signal, watch) = drain::channel();
        let application = |builtin| Application {
            builtin,
            grace_time: Setting::from_secs(grace),
            publish_from: PublishFrom::Anywhere,
            ..Application::default()
        };
        let start = tributary_origin::Start {
            config: tributary_origin::Config {
                link,
                workers: 1,
                max_groups: 20_000,
                data: data.as_ref().map(|data| data.path().to_owned()),
                ..Default::default()
            },
            identity,
            epoch: rand::random(),
            applications: BTreeMap::from([
                ("counter".to_owned(), application(Builtin::Counter)),
                ("live".to_owned(), application(Builtin::Live)),
            ]),
            own,
            loader: Arc::new(deploy::NoLoader),
            token: None,
            cluster,
        };
        let mut registry = Registry::default();
        let running = tributary_origin::start(start, &mut registry, watch);
        let running = running.map_err(|error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            address: running.address(),
            registry,
            _drain: signal,
            _data: data,
        })
    }

    /// The sum of a metric of the origin over all labels.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        figure(&self.registry, name)
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until(&self, name: &str, value: f64) {
        until(&self.registry, name, value).await;
    }
}

async fn until(registry: &Registry, name: &str, value: f64) {
    let start = Instant::now();
    while figure(registry, name) != value {
        let now = figure(registry, name);
        assert!(start.elapsed() < PATIENCE, "{name} is {now}, not {value}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn figure(registry: &Registry, name: &str) -> f64 {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).expect("figures");
    let of_name = |line: &&str| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    let lines = text.lines().filter(of_name);
    lines
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// A running edge without listeners.
pub(crate) struct Edge {
    pub(crate) upstream: Upstream,
    pub(crate) readiness: Readiness,
    pub(crate) registry: Registry,
    identity: Identity,
    origins: Vec<OriginAddress>,
    _drain: drain::Signal,
}

impl Edge {
    /// An edge with these origins, dialled at these addresses.
    pub(crate) fn start(ca: &Ca, name: &str, origins: &[(&str, SocketAddr)]) -> Self {
        let origins = origins.iter().map(|(name, address)| OriginAddress {
            name: Some((*name).to_owned()),
            address: address.to_string(),
        });
        let identity = ca.identity(Role::Edge, name, &[]);
        let edge = Self::run(
            identity,
            origins.collect(),
            |config, streams, metrics, drain| {
                Ok(Links::new(config, rand::random(), streams, metrics, drain))
            },
        );
        edge.expect("new links are not refused")
    }

    fn run(
        identity: Identity,
        origins: Vec<OriginAddress>,
        make: impl FnOnce(
            LinkConfig,
            Arc<Streams>,
            LinkMetrics,
            drain::Watch,
        ) -> Result<(Links, Upstream), MoveError>,
    ) -> Result<Self, MoveError> {
        let (signal, watch) = drain::channel();
        let metrics = LinkMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let config = LinkConfig {
            identity: identity.clone(),
            origins: origins.clone(),
            zone: String::new(),
            capacity: 0,
            rate: Rate {
                bytes_per_second: 1 << 30,
                burst: 1 << 30,
            },
        };
        let streams = Streams::new(Duration::from_secs(4));
        let (links, upstream) = make(config, streams, metrics, watch)?;
        let readiness = links.readiness();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            LocalSet::new().block_on(&runtime, links.run());
        });
        Ok(Self {
            upstream,
            readiness,
            registry,
            identity,
            origins,
            _drain: signal,
        })
    }

    /// Another process of the edge, with these origins, that takes the links.
    pub(crate) fn successor(
        &self,
        moved: &MovedLinks,
        origins: Vec<OriginAddress>,
    ) -> Result<Self, MoveError> {
        Self::run(
            self.identity.clone(),
            origins,
            |config, streams, metrics, drain| Links::taking(config, moved, streams, metrics, drain),
        )
    }

    /// The origins of its configuration.
    pub(crate) fn origins(&self) -> Vec<OriginAddress> {
        self.origins.clone()
    }

    /// Lets the links and these clients stand still.
    pub(crate) async fn freeze(&self, clients: &mut [&mut Client]) {
        self.upstream.freeze().await;
        for client in clients {
            client.settle(&self.upstream).await;
        }
    }

    /// Another process takes the place of this one, with these clients and their publishes.
    pub(crate) async fn replace(self, clients: &mut [&mut Client]) -> Self {
        self.freeze(clients).await;
        let moved = self.upstream.export().await.expect("the links stand still");
        let next = self.successor(&moved, self.origins());
        let next = next.expect("the links are taken");
        self.upstream.leave().await;
        for client in clients {
            client.move_to(&next.upstream);
        }
        next.upstream.adopted();
        next
    }

    pub(crate) fn of(ca: &Ca, name: &str, origin: &Origin) -> Self {
        Self::start(ca, name, &[(&origin.name, origin.address)])
    }

    pub(crate) fn figure(&self, name: &str) -> f64 {
        figure(&self.registry, name)
    }

    /// Waits until a metric has this value.
    pub(crate) async fn until(&self, name: &str, value: f64) {
        until(&self.registry, name, value).await;
    }

    /// A session that has sent connect.
    pub(crate) fn open(&self, group: &str, origin: Option<&str>) -> Client {
        let group_name = GroupName::from_app(group).expect("a group's name");
        let link = self.upstream.open(OpenRequest {
            origin: origin.map(str::to_owned),
            open: open(group),
            group: group_name,
        });
        Client {
            link,
            calls: 1,
            kept: VecDeque::new(),
            feed: None,
        }
    }

    /// An accepted session.
    pub(crate) async fn connect(&self, group: &str) -> Client {
        let mut client = self.open(group, None);
        client.accepted().await;
        client
    }
}

/// The opening of a session for the origin.
pub(crate) fn open(group: &str) -> OpenSession {
    let properties = Object::new()
        .with("app", group)
        .with("tcUrl", "rtmp://edge/");
    OpenSession {
        peer: "127.0.0.1:50000".parse().expect("an address"),
        protocol: "rtmp".into(),
        connect: connect::command(properties).encode(ObjectEncoding::Amf0).1,
        claims: None,
    }
}

/// A client's end of its session.
pub(crate) struct Client {
    pub(crate) link: SessionLink,
    calls: u32,
    /// Items that came before a freeze.
    kept: VecDeque<FromOrigin>,
    /// The feed of its publish, if the publish moves with it.
    pub(crate) feed: Option<PublishFeed>,
}

impl Client {
    /// The next order or event from the origin or the edge.
    pub(crate) async fn next(&mut self) -> FromOrigin {
        match self.kept.pop_front() {
            Some(item) => item,
            None => self.arrival().await,
        }
    }

    /// Takes all items up to the mark of a freeze.
    async fn settle(&mut self, upstream: &Upstream) {
        loop {
            match self.arrival().await {
                FromOrigin::Freeze(number) if upstream.is_frozen(number) => return,
                FromOrigin::Freeze(_) => {}
                item => self.kept.push_back(item),
            }
        }
    }

    /// Goes on in another process of its edge. The session and the publish in the one before are
    /// dropped.
    pub(crate) fn move_to(&mut self, upstream: &Upstream) {
        self.link = upstream.adopt(self.link.id());
        self.feed = self.feed.take().map(|feed| {
            let now = Instant::now();
            let parcel = pack(&feed.moved(), now).expect("a feed can move");
            let moved = unpack::<MovedFeed>(&parcel, now, (), MAX_PARCEL);
            upstream.adopt_feed(moved.expect("it is read again"))
        });
    }

    async fn arrival(&mut self) -> FromOrigin {
        let next = timeout(PATIENCE, self.link.next()).await;
        next.expect("an order or an event in time")
            .expect("the lane lives")
    }

    /// Waits for the answer to connect.
    pub(crate) async fn accepted(&mut self) {
        loop {
            match self.next().await {
                FromOrigin::Order(ToSession::Accept) => break,
                // The link of another process, and a feature of the origin.
                FromOrigin::LinkBack | FromOrigin::TakesRelays => {}
                other => panic!("not accepted: {other:?}"),
            }
        }
        let answer = self.command().await;
        assert_eq!(answer.name, "_result");
    }

    /// The next command; other messages are skipped.
    pub(crate) async fn command(&mut self) -> Command {
        loop {
            if let FromOrigin::Order(ToSession::Message { message, .. }) = self.next().await
                && message.kind.is_command()
            {
                return Command::decode(message.kind, &message.payload).expect("a command");
            }
        }
    }

    pub(crate) fn send(&self, stream: u32, command: &Command, generation: u32) {
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream: MessageStreamId(stream),
            timestamp: RtmpTimestamp(0),
            payload,
        };
        let sent = self.link.send(message, Generation(generation));
        sent.expect("the link's thread keeps up");
    }

    /// Calls a method and returns the result.
    pub(crate) async fn call(&mut self, method: &str, argument: Value) -> Value {
        self.calls += 1;
        let transaction = TransactionId(f64::from(self.calls));
        self.send(0, &Command::new(method, transaction).with(argument), 0);
        let mut answer = self.command().await;
        while answer.name == "onStatus" {
            answer = self.command().await;
        }
        assert_eq!(
            (&*answer.name, answer.transaction),
            ("_result", transaction),
            "{answer:?}"
        );
        answer.arguments.into_iter().next().unwrap_or(Value::Null)
    }

    /// Creates message stream 1 and sends publish or play on it.
    pub(crate) async fn stream(&mut self, what: &str, name: &str) {
        self.call("createStream", Value::Null).await;
        let command = Command::new(what, TransactionId(0.0)).with(name);
        let command = if what == "publish" {
            command.with("live")
        } else {
            command
        };
        self.send(1, &command, 1);
    }
}

/// A node that sends any frames a test gives it.
pub(crate) struct RawEdge {
    endpoint: Endpoint,
    pub(crate) name: String,
    origin: SocketAddr,
}

impl RawEdge {
    pub(crate) fn new(ca: &Ca, name: &str, origin: &Origin) -> Self {
        Self::of_role(Role::Edge, ca, name, origin)
    }

    pub(crate) fn of_role(role: Role, ca: &Ca, name: &str, origin: &Origin) -> Self {
        let identity = ca.identity(role, name, &[]);
        let any = ([127, 0, 0, 1], 0).into();
        Self {
            endpoint: Endpoint::dialling(&identity, any).expect("a socket"),
            name: name.to_owned(),
            origin: origin.address,
        }
    }

    pub(crate) async fn dial(&self) -> Link {
        self.endpoint.connect(self.origin).await.expect("a link")
    }

    pub(crate) fn hello(&self, epoch: u64, incarnation: u64) -> Hello {
        Hello {
            node: self.name.clone(),
            epoch,
            incarnation,
            connection: 0,
            features: 0,
            zone: String::new(),
            capacity: 0,
            known_as: "origin".into(),
            grace_ms: 0,
        }
    }
}
