//! A UDP relay between an edge and its origin: it counts, delays, loses, or swallows datagrams.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use socket2::{Domain, Socket, Type};

/// A relay to one target; each client of it has a socket of its own towards the target.
#[derive(Debug)]
pub(crate) struct UdpRelay {
    address: SocketAddr,
    state: Arc<State>,
}

/// The datagrams and bytes in each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) bytes_to_target: u64,
    pub(crate) bytes_to_clients: u64,
    pub(crate) packets_to_target: u64,
    pub(crate) packets_to_clients: u64,
}

#[derive(Debug)]
struct State {
    target: SocketAddr,
    ended: AtomicBool,
    black_hole: AtomicBool,
    delay_micros: AtomicU64,
    loss_per_million: AtomicU64,
    to_target: Counter,
    to_clients: Counter,
    random: Mutex<StdRng>,
}

#[derive(Debug, Default)]
struct Counter {
    bytes: AtomicU64,
    packets: AtomicU64,
}

/// A datagram that waits for its time.
struct Delayed {
    due: Instant,
    bytes: Vec<u8>,
}

impl UdpRelay {
    /// Starts a relay; `seed` decides about losses.
    pub(crate) fn start(target: SocketAddr, seed: u64) -> Self {
        let listener = Arc::new(socket());
        let address = listener.local_addr().expect("a bound socket");
        let state = Arc::new(State {
            target,
            ended: AtomicBool::new(false),
            black_hole: AtomicBool::new(false),
            delay_micros: AtomicU64::new(0),
            loss_per_million: AtomicU64::new(0),
            to_target: Counter::default(),
            to_clients: Counter::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || shared.listen(&listener));
        Self { address, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns the loss of all datagrams on or off.
    pub(crate) fn black_hole(&self, on: bool) {
        self.state.black_hole.store(on, Relaxed);
    }

    /// Delays each datagram in each direction.
    pub(crate) fn delay(&self, delay: Duration) {
        let micros = delay.as_micros() as u64;
        self.state.delay_micros.store(micros, Relaxed);
    }

    /// Loses this share (0 to 1) of the datagrams in each direction.
    pub(crate) fn lose(&self, share: f64) {
        let per_million = (share * 1e6) as u64;
        self.state.loss_per_million.store(per_million, Relaxed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let State {
            to_target,
            to_clients,
            ..
        } = &*self.state;
        Traffic {
            bytes_to_target: to_target.bytes.load(Relaxed),
            bytes_to_clients: to_clients.bytes.load(Relaxed),
            packets_to_target: to_target.packets.load(Relaxed),
            packets_to_clients: to_clients.packets.load(Relaxed),
        }
    }
}

impl Drop for UdpRelay {
    fn drop(&mut self) {
        self.state.ended.store(true, Relaxed);
    }
}

impl State {
    fn listen(self: Arc<Self>, listener: &Arc<UdpSocket>) {
        let mut clients: HashMap<SocketAddr, SyncSender<Delayed>> = HashMap::new();
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Relaxed) {
            let Ok((length, client)) = listener.recv_from(&mut buffer) else {
                continue;
            };
            let to_target = clients.entry(client).or_insert_with(|| {
                let towards = Arc::new(socket());
                let shared = Arc::clone(&self);
                let (listener, back) = (Arc::clone(listener), Arc::clone(&towards));
                thread::spawn(move || shared.answer(&back, listener, client));
                let target = self.target;
                deliver(move |bytes| towards.send_to(bytes, target).map(drop))
            });
            self.pass(&self.to_target, &buffer[..length], to_target);
        }
    }

    fn answer(self: Arc<Self>, from: &UdpSocket, listener: Arc<UdpSocket>, client: SocketAddr) {
        let to_client = deliver(move |bytes| listener.send_to(bytes, client).map(drop));
        let mut buffer = vec![0; 65_536];
        while !self.ended.load(Relaxed) {
            if let Ok(length) = from.recv(&mut buffer) {
                self.pass(&self.to_clients, &buffer[..length], &to_client);
            }
        }
    }

    fn pass(&self, counter: &Counter, bytes: &[u8], out: &SyncSender<Delayed>) {
        counter.bytes.fetch_add(bytes.len() as u64, Relaxed);
        counter.packets.fetch_add(1, Relaxed);
        let loss = self.loss_per_million.load(Relaxed);
        let lost = loss > 0 && {
            let mut random = self.random.lock().expect("no holder panics");
            random.random_range(0..1_000_000) < loss
        };
        if lost || self.black_hole.load(Relaxed) {
            return;
        }
        let delay = Duration::from_micros(self.delay_micros.load(Relaxed));
        // A full queue loses the datagram, as a router does.
        let _ = out.try_send(Delayed {
            due: Instant::now() + delay,
            bytes: bytes.to_vec(),
        });
    }
}

/// A thread that sends datagrams when they are due, in order.
fn deliver(send: impl Fn(&[u8]) -> std::io::Result<()> + Send + 'static) -> SyncSender<Delayed> {
    let (sender, receiver) = sync_channel::<Delayed>(QUEUE);
    thread::spawn(move || {
        for delayed in receiver {
            thread::sleep(delayed.due.saturating_duration_since(Instant::now()));
            // The receiver may have gone; datagrams may be lost.
            let _ = send(&delayed.bytes);
        }
    });
    sender
}

fn socket() -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).expect("a UDP socket");
    for set in [Socket::set_recv_buffer_size, Socket::set_send_buffer_size] {
        set(&socket, BUFFER).expect("a buffer size");
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&any.into()).expect("a free port");
    let socket = UdpSocket::from(socket);
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout above zero");
    socket
}

const QUEUE: usize = 4096;
const BUFFER: usize = 4 << 20;
