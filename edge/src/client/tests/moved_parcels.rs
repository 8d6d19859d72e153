//! Parcels of sessions: golden ones of each version, and hostile ones.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    panic,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{runtime, sync::watch, task::LocalSet, time::timeout};
use tributary_gate::{HookSettings, HookStyle, Urls};
use tributary_node::{config::Application, drain};
use tributary_protocol::{
    SessionId,
    parcel::{ParcelError, VERSION},
};

use super::support::{Edge, LONG, config};
use crate::{
    Metrics, Policies,
    admission::{Admission, Limits},
    client::session::Session,
    departure,
    fanout::Streams,
    golden::{golden, hex},
    hooks::Hooks,
    in_force::InForce,
    link::{Upstream, handle::ToLane},
    listeners::Listeners,
    moving::{Moved, MovedClient},
    spread::Spread,
    tls::Certificates,
    wire::Upkeep,
    worker::{Setup, Worker},
};

/// Parcels of each version that is read, a name and hexadecimal bytes on each line. The names of
/// connections that carry requests begin with `requests`.
const GOLDEN: [(u16, &str); 1] = [(1, include_str!("version-1.txt"))];

/// The parcel with a feed. Its epoch is another one in each process.
const PUBLISHER: &str = "publisher";

/// A worker without a thread, and a client's socket.
struct Place {
    worker: Rc<Worker>,
    admission: Arc<Admission>,
    socket: OwnedFd,
    _lanes: tributary_node::queue::Receiver<ToLane>,
}

impl Place {
    fn new() -> Self {
        let (upstream, lanes) = Upstream::new();
        upstream.continue_at(1_000);
        let (_, departing) = departure::channel();
        let (_, drain) = drain::channel();
        let metrics = Arc::new(Metrics::default());
        let config = config();
        let policies = Policies::load(&applications()).expect("files that can be used");
        let hooks = Hooks::new(metrics.hooks.clone(), "edge-1", 7);
        let in_force = InForce::new(&config, policies.with_hooks(hooks));
        let listeners = Listeners::new(Certificates::none(), &Upkeep::DIRECT);
        let setup = Setup {
            upstream,
            streams: Streams::new(config.max_lag.get()),
            tunnels: Arc::clone(listeners.tunnels()),
            metrics,
            in_force: watch::channel(in_force).1,
            gate_memory: Arc::default(),
            departing,
            drain,
            holds: true,
        };
        let (socket, _) = sockets();
        Self {
            worker: Rc::new(Worker::new(setup)),
            admission: Admission::new(Limits {
                connections: 10,
                half_open: 10,
                half_open_per_address: 10,
            }),
            socket: socket.into(),
            _lanes: lanes,
        }
    }

    /// Reads the parcel of a session, and makes it again.
    fn again(&self, parcel: &[u8], now: Instant) -> Result<Bytes, ParcelError> {
        let socket = self.socket.try_clone().expect("a descriptor");
        let permit = self.admission.adopt();
        let moved = Session::import(&self.worker, parcel, Some(socket), permit, now)?;
        let mut session = moved.session;
        let again = session.export(now);
        let _ = session.leave();
        Ok(again.expect("a session that was read can move on"))
    }

    /// Reads the parcel of a connection that carries requests.
    fn visit(&self, parcel: &[u8]) -> Result<(), ParcelError> {
        let client = MovedClient {
            parcel: Bytes::copy_from_slice(parcel),
            socket: Some(self.socket.try_clone().expect("a descriptor")),
        };
        let (_, slot) = Spread::new(1).next(0.0);
        crate::requests::take(&self.worker, client, self.admission.adopt(), slot).map(drop)
    }
}

/// Settings of an application with services. The port has no listener.
fn applications() -> BTreeMap<String, Application> {
    let url = || Urls::from(["http://127.0.0.1:1/"]);
    let hooks = HookSettings {
        style: HookStyle::Nginx,
        on_publish: url(),
        on_play: url(),
        ..HookSettings::default()
    };
    let settings = Application {
        hooks: Some(hooks),
        ..Application::default()
    };
    BTreeMap::from([("live".to_owned(), settings)])
}

/// Both ends of a connection: the edge's and its client's.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let client = TcpStream::connect(address).expect("it listens");
    let (socket, _) = listener.accept().expect("a client");
    (socket, client)
}

/// Does work in which tasks may be spawned.
fn within<T>(work: impl AsyncFnOnce() -> T) -> T {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), work())
}

fn is_visit(name: &str) -> bool {
    name.starts_with("requests")
}

/// A change of the format needs a new version (`docs/replace.md`): the files here stay as they are.
#[test]
fn sessions_of_every_version_move_and_the_bytes_of_this_one_stay() {
    within(async || {
        for (version, text) in GOLDEN {
            let mut made = String::new();
            for (name, parcel) in golden(text) {
                let (place, now) = (Place::new(), Instant::now());
                if is_visit(name) {
                    place.visit(&parcel).expect("it fits");
                    continue;
                }
                let again = place.again(&parcel, now).expect(name);
                let line = format!("{name} {}\n", hex(&again));
                if again != parcel && name != PUBLISHER {
                    made += &line;
                }
                // Another process can read it as well.
                let twice = Place::new().again(&again, now).expect(name);
                assert!(twice == again || name == PUBLISHER, "{name}");
            }
            assert!(
                version < VERSION || made.is_empty(),
                "version {version}:\n{made}"
            );
        }
    });
}

#[test]
fn a_session_that_is_cut_or_has_a_field_too_many_is_refused() {
    within(async || {
        for (name, parcel) in golden(GOLDEN[0].1) {
            let now = Instant::now();
            let read = |parcel: &[u8]| match is_visit(name) {
                true => Place::new().visit(parcel),
                false => Place::new().again(parcel, now).map(drop),
            };
            let step = 1 + parcel.len() / 300;
            for end in (0..parcel.len() - 6).step_by(step) {
                assert!(read(&parcel[..end]).is_err(), "{name} up to {end}");
            }
            let other = [&parcel[..], &[0xff, 0xff, 0, 0, 0, 0]].concat();
            let unknown = read(&other);
            let is_unknown = matches!(unknown, Err(ParcelError::Unknown { tag: 0xffff, .. }));
            assert!(is_unknown, "{name}: {unknown:?}");
            let mut other = parcel.clone();
            other[1] = 9;
            let version = ParcelError::Version { version: 9 };
            assert_eq!(read(&other), Err(version), "{name}");
        }
    });
}

/// Changed, cut and reordered bytes are refused, or are a session that moves on and is the same there.
#[test]
fn changed_sessions_are_refused_or_move_on() {
    let mut random = StdRng::seed_from_u64(0x73_6573);
    let golden = golden(GOLDEN[0].1);
    let begun = Instant::now();
    let mut held = 0;
    for n in 0..6_000 {
        within(async || {
            let (place, now) = (Place::new(), Instant::now());
            let (name, parcel) = &golden[n % golden.len()];
            let other = changed(parcel, &mut random);
            if is_visit(name) {
                let _ = place.visit(&other);
            } else if let Ok(once) = place.again(&other, now) {
                held += 1;
                let twice = Place::new().again(&once, now);
                let is_same = twice.as_ref() == Ok(&once);
                let is_fine = is_same || *name == PUBLISHER && twice.is_ok();
                assert!(is_fine, "{name} {}: {twice:?}", hex(&other));
            }
            // A session that is refused leaves nothing behind.
            tokio::task::yield_now().await;
            assert_eq!(place.admission.connections(), 0);
        });
    }
    assert!(held > 100, "{held}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

/// Sessions of changed parcels run at an edge until their clients leave: no task fails, and a client
/// beside them is served.
#[tokio::test]
async fn changed_sessions_run_and_harm_no_other() {
    let failed = count_panics();
    let mut random = StdRng::seed_from_u64(0x72_756e);
    let golden = golden(GOLDEN[0].1);
    let mut edge = Edge::start_for(&config(), &applications());
    let taking = edge.holding().await;
    let mut taking = edge.serve(taking).await;
    let mut clients = 0;
    for round in 0..100 {
        let mut inboxes = Vec::new();
        for n in 0..10 {
            let (name, parcel) = &golden[(round + n) % golden.len()];
            // The lanes' ends of the sessions that the parcels have.
            for session in (1..=6).map(SessionId) {
                inboxes.push(edge.upstream.berth(session, 0));
            }
            let (socket, mut client) = sockets();
            let sent: [u8; 64] = random.random();
            client.write_all(&sent).expect("room");
            let parcel = match n {
                0 => parcel.clone(),
                _ => changed(parcel, &mut random),
            };
            let moved = MovedClient {
                parcel: parcel.into(),
                socket: (*name != "tunnel").then(|| socket.into()),
            };
            let moved = match is_visit(name) {
                true => Moved::Requests(moved),
                false => Moved::Client(moved),
            };
            let (back, taken) = edge
                .during(&[], move || {
                    let taken = taking.take_clients([moved]).expect("it runs");
                    taking.end();
                    (taking, taken)
                })
                .await;
            taking = back;
            clients += taken.clients;
        }
        drop(inboxes);
        edge.links.kept.clear();
    }
    assert!(clients > 100, "{clients}");
    edge.client().await;
    edge.drain.begin();
    let ended = timeout(LONG, edge.running.finished());
    ended.await.expect("all have ended");
    assert_eq!(failed.load(Ordering::Relaxed), 0);
}

/// Counts the panics of edges' threads in this process from now on.
fn count_panics() -> &'static AtomicUsize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        if thread.name().is_some_and(|name| name.starts_with("edge-")) {
            COUNT.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    &COUNT
}

/// Some changes of a parcel.
fn changed(parcel: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut other = parcel.to_vec();
    for _ in 0..random.random_range(1..4) {
        let place = random.random_range(0..other.len());
        match random.random_range(0..6) {
            0 => other[place] ^= 1 << random.random_range(0..8),
            1 => other[place] = random.random(),
            2 => drop(other.remove(place)),
            3 => other.insert(place, random.random()),
            4 => other.truncate(place.max(1)),
            _ => {
                let end = random.random_range(place..other.len());
                other[place..=end].rotate_left((end - place) / 2);
            }
        }
    }
    other
}
