//! On a path of 50 Mbit/s, lanes in bulk leave a feed at least half of it, and one lane does not
//! stop others.

use std::{
    collections::VecDeque,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_node::{
    cert,
    tls::Role,
    transport::{Endpoint, Link, StreamKind},
};

/// The effect of one bulk lane on many others. Run it with
/// `cargo test --profile ci --test links -- --ignored --nocapture a_bulk_lane`.
#[tokio::test]
#[ignore = "a measurement"]
async fn a_bulk_lane_among_ten_thousand() {
    for (path, narrow) in [("loopback", false), ("50 Mbit/s", true)] {
        for bulk in [0, 1] {
            let (mut latencies, mbit) = latencies(narrow, bulk).await;
            latencies.sort_unstable();
            let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
            println!(
                "{path}, {bulk} in bulk ({mbit:.0} Mbit/s): p50 {:?}, p99 {:?}, {} messages",
                at(0.5),
                at(0.99),
                latencies.len()
            );
        }
    }
}

/// The delay of messages of 100 bytes on 10,000 lanes, and the rate of the bulk lanes in Mbit/s.
async fn latencies(narrow: bool, bulk: usize) -> (Vec<Duration>, f64) {
    const LANES: usize = 10_000;
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            let (dialled, accepted, _endpoints) = link_over(narrow).await;
            let arrived = Shared::default();
            let start = Instant::now();
            let seen: std::rc::Rc<std::cell::RefCell<Vec<Duration>>> = Default::default();
            tokio::task::spawn_local({
                let (link, arrived, seen) = (accepted, arrived.clone(), seen.clone());
                async move { receive(link, arrived, seen, start).await }
            });
            let mut lanes = Vec::with_capacity(LANES);
            for _ in 0..LANES {
                let mut lane = dialled.open_lane(StreamKind::Lane).await.expect("a lane");
                let hello = Bytes::from_static(&[0; 8]);
                lane.0.write(&mut [hello]).await.expect("a link");
                lanes.push(lane);
            }
            for _ in 0..bulk {
                bulk_lane(&dialled);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen.borrow_mut().clear();
            let before: u64 = arrived.borrow().lanes.iter().sum();
            let (begun, mut next) = (Instant::now(), 0);
            while begun.elapsed() < Duration::from_secs(5) {
                for _ in 0..5 {
                    next = (next + 7919) % LANES;
                    let stamp = start.elapsed().as_nanos() as u64;
                    let mut message = stamp.to_be_bytes().to_vec();
                    message.resize(100, 0);
                    let _ = lanes[next].0.write(&mut [message.into()]).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let bytes = arrived.borrow().lanes.iter().sum::<u64>() - before;
            let seen = std::mem::take(&mut *seen.borrow_mut());
            (seen, bytes as f64 * 8.0 / 5e6)
        })
        .await
}

/// Receives everything; a message of 100 bytes carries its time of sending.
async fn receive(
    link: Link,
    arrived: Shared,
    seen: std::rc::Rc<std::cell::RefCell<Vec<Duration>>>,
    start: Instant,
) {
    arrived.borrow_mut().lanes.push(0);
    let mut open = 0;
    while let Ok((send, mut recv)) = link.accept_lane(StreamKind::Lane).await {
        open += 1;
        link.allow_lanes(open);
        let (arrived, seen) = (arrived.clone(), seen.clone());
        tokio::task::spawn_local(async move {
            let mut pieces: Vec<Bytes> = Vec::new();
            while let Ok(true) = recv.read(&mut pieces).await {
                for piece in pieces.drain(..) {
                    arrived.borrow_mut().lanes[0] += piece.len() as u64;
                    if piece.len() == 100 {
                        let stamp = u64::from_be_bytes(piece[..8].try_into().expect("8 bytes"));
                        let sent = Duration::from_nanos(stamp);
                        seen.borrow_mut().push(start.elapsed().saturating_sub(sent));
                    }
                }
            }
            drop(send);
        });
    }
}

/// Forwards datagrams at a limited rate in each direction, after a delay, from a short queue, as a
/// narrow path does.
fn narrow_path(target: SocketAddr) -> SocketAddr {
    let bind = || UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (near, far) = (Arc::new(bind()), Arc::new(bind()));
    let address = near.local_addr().expect("an address");
    let client = Arc::new(std::sync::Mutex::new(None));
    let known = Arc::clone(&client);
    let (from, to) = (Arc::clone(&near), Arc::clone(&far));
    pass(from, move |bytes, source| {
        *known.lock().expect("unpoisoned") = Some(source);
        let _ = to.send_to(bytes, target);
    });
    pass(far, move |bytes, _| {
        if let Some(client) = *client.lock().expect("unpoisoned") {
            let _ = near.send_to(bytes, client);
        }
    });
    address
}

fn pass(from: Arc<UdpSocket>, mut send: impl FnMut(&[u8], SocketAddr) + Send + 'static) {
    from.set_nonblocking(true).expect("a socket");
    thread::spawn(move || {
        let mut queue: VecDeque<(Instant, Vec<u8>, SocketAddr)> = VecDeque::new();
        let mut queued = 0;
        let mut buffer = vec![0; 65_536];
        let mut free_at = Instant::now();
        loop {
            while let Ok((length, source)) = from.recv_from(&mut buffer) {
                if queued + length <= QUEUE {
                    queued += length;
                    let due = Instant::now() + DELAY;
                    queue.push_back((due, buffer[..length].to_vec(), source));
                }
            }
            let now = Instant::now();
            free_at = free_at.max(now - Duration::from_millis(5));
            while let Some((due, bytes, source)) = queue.front()
                && *due <= now
                && free_at <= now
            {
                free_at += Duration::from_secs_f64(bytes.len() as f64 * 8.0 / RATE);
                queued -= bytes.len();
                send(bytes, *source);
                queue.pop_front();
            }
            thread::sleep(Duration::from_micros(200));
        }
    });
}

const RATE: f64 = 50e6;
const DELAY: Duration = Duration::from_millis(10);
const QUEUE: usize = 256 * 1024;

async fn link() -> (Link, Link, [Endpoint; 2]) {
    link_over(true).await
}

async fn link_over(narrow: bool) -> (Link, Link, [Endpoint; 2]) {
    let identities = cert::temporary().expect("certificates");
    let any = ([127, 0, 0, 1], 0).into();
    let origin = Endpoint::accepting(any, &identities.origin, &[Role::Edge]).expect("a socket");
    let edge = Endpoint::dialling(&identities.edge, any).expect("a socket");
    let address = origin.local_addr().expect("an address");
    let address = if narrow {
        narrow_path(address)
    } else {
        address
    };
    let (dialled, accepted) = tokio::join!(edge.connect(address), async {
        origin.accept().await.expect("a dial").handshake().await
    });
    (
        dialled.expect("a link"),
        accepted.expect("a link"),
        [edge, origin],
    )
}

/// Counts what arrives on streams, by kind and order of arrival.
#[derive(Default)]
struct Arrived {
    lanes: Vec<u64>,
    feeds: u64,
}

type Shared = std::rc::Rc<std::cell::RefCell<Arrived>>;

async fn drain(link: Link, arrived: Shared) {
    loop {
        tokio::select! {
            lane = link.accept_lane(StreamKind::Lane) => {
                let Ok((_send, mut recv)) = lane else { return };
                let index = arrived.borrow().lanes.len();
                arrived.borrow_mut().lanes.push(0);
                link.allow_lanes(index);
                let arrived = arrived.clone();
                tokio::task::spawn_local(async move {
                    let mut pieces: Vec<Bytes> = Vec::new();
                    while let Ok(true) = recv.read(&mut pieces).await {
                        let bytes: usize = pieces.drain(..).map(|piece| piece.len()).sum();
                        arrived.borrow_mut().lanes[index] += bytes as u64;
                    }
                    drop(_send);
                });
            }
            feed = link.accept_feed() => {
                let Ok(mut recv) = feed else { return };
                let arrived = arrived.clone();
                tokio::task::spawn_local(async move {
                    let mut pieces: Vec<Bytes> = Vec::new();
                    while let Ok(true) = recv.read(&mut pieces).await {
                        let bytes: usize = pieces.drain(..).map(|piece| piece.len()).sum();
                        arrived.borrow_mut().feeds += bytes as u64;
                    }
                });
            }
        }
    }
}

/// A lane that always has more to send.
fn bulk_lane(link: &Link) {
    let link = link.clone();
    tokio::task::spawn_local(async move {
        let Ok((mut send, _recv)) = link.open_lane(StreamKind::Lane).await else {
            return;
        };
        let block = Bytes::from(vec![0; 16 * 1024]);
        while send
            .write(&mut [block.clone(), block.clone()])
            .await
            .is_ok()
        {}
    });
}

/// A feed that always has more to send.
fn bulk_feed(link: &Link) {
    let link = link.clone();
    tokio::task::spawn_local(async move {
        let Ok(mut send) = link.open_feed().await else {
            return;
        };
        let block = Bytes::from(vec![0; 16 * 1024]);
        while send
            .write(&mut [block.clone(), block.clone()])
            .await
            .is_ok()
        {}
    });
}

/// The bytes that arrive in four seconds, after one second to settle.
async fn measure(lanes: usize, feeds: usize) -> (Vec<f64>, f64) {
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            let (dialled, accepted, _endpoints) = link().await;
            let arrived = Shared::default();
            tokio::task::spawn_local(drain(accepted, arrived.clone()));
            for _ in 0..lanes {
                bulk_lane(&dialled);
            }
            for _ in 0..feeds {
                bulk_feed(&dialled);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            let (lanes_before, feeds_before) = {
                let arrived = arrived.borrow();
                (arrived.lanes.clone(), arrived.feeds)
            };
            tokio::time::sleep(Duration::from_secs(4)).await;
            let arrived = arrived.borrow();
            let mbit = |bytes: u64| bytes as f64 * 8.0 / 4e6;
            let lanes = arrived.lanes.iter().zip(&lanes_before);
            (
                lanes.map(|(after, before)| mbit(after - before)).collect(),
                mbit(arrived.feeds - feeds_before),
            )
        })
        .await
}

#[tokio::test]
async fn one_feed_alone_has_the_path() {
    let (_, feeds) = measure(0, 1).await;
    println!("1 feed {feeds:.1} Mbit/s");
    assert!(feeds > 25.0, "{feeds:.1} Mbit/s");
}

#[tokio::test]
async fn many_lanes_in_bulk_leave_a_feed_its_half() {
    let (lanes, feeds) = measure(50, 1).await;
    let lanes: f64 = lanes.iter().sum();
    println!("50 lanes {lanes:.1} Mbit/s, 1 feed {feeds:.1} Mbit/s");
    let whole = lanes + feeds;
    assert!(whole > 25.0, "the path is used: {whole:.1} Mbit/s");
    assert!(feeds >= 0.45 * whole, "{feeds:.1} of {whole:.1} Mbit/s");
}

#[tokio::test]
async fn feeds_in_bulk_leave_a_lane_something_and_lanes_share_alike() {
    let (lanes, feeds) = measure(10, 5).await;
    println!("10 lanes {lanes:.1?} Mbit/s, 5 feeds {feeds:.1} Mbit/s");
    let (least, most) = lanes
        .iter()
        .fold((f64::MAX, 0.0_f64), |(a, b), &x| (a.min(x), b.max(x)));
    assert!(least > 0.0 && most <= 3.0 * least, "{lanes:.1?}");
    let lanes: f64 = lanes.iter().sum();
    assert!(feeds >= 0.45 * (lanes + feeds), "{feeds:.1} Mbit/s");
    assert!(lanes >= 0.2 * (lanes + feeds), "{lanes:.1} Mbit/s");
}
