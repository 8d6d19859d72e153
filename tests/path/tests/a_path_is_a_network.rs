//! Sockets at both ends of a path.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use tributary_path::{Direction, FAR, Path, Settings, THREAD, source};

fn open(settings: &str) -> Path {
    let settings: Settings = settings.parse().unwrap();
    Path::open(&settings).unwrap_or_else(|error| panic!("{error}"))
}

/// A server at the far end that handles one connection.
fn serve(path: &Path, serve: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = path.far().run(|| TcpListener::bind((FAR, 0))).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(listener.accept().unwrap().0));
    address
}

fn echo(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

/// A client at the near end.
fn connect(path: &Path, server: SocketAddr) -> TcpStream {
    let client = path.near().run(|| TcpStream::connect(server)).unwrap();
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// The time until a byte is back.
fn round_trip(client: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    client.write_all(&[7]).unwrap();
    client.read_exact(&mut [0]).unwrap();
    begun.elapsed()
}

#[test]
fn a_round_trip_takes_the_time_that_is_set() {
    let path = open("rtt=50ms");
    let server = serve(&path, echo);
    let mut client = connect(&path, server);
    let mut times: Vec<_> = (0..20).map(|_| round_trip(&mut client)).collect();
    times.sort();
    println!("{times:?}");
    assert!(times[0] >= Duration::from_millis(50), "no packet is early");
    assert!(times[10] < Duration::from_millis(50) + LATE);
}

#[test]
fn each_direction_has_settings_of_its_own_and_they_change_at_once() {
    let path = open("up.delay=40ms");
    let server = serve(&path, echo);
    let mut client = connect(&path, server);
    let times = (0..5).map(|_| round_trip(&mut client));
    let least = times.min().unwrap();
    assert!((Duration::from_millis(40)..Duration::from_millis(40) + LATE).contains(&least));
    path.change(Direction::Up, |up| up.delay = Duration::ZERO);
    path.change(Direction::Down, |down| {
        down.delay = Duration::from_millis(90)
    });
    let times = (0..5).map(|_| round_trip(&mut client));
    let least = times.min().unwrap();
    assert!((Duration::from_millis(90)..Duration::from_millis(90) + LATE).contains(&least));
}

#[test]
fn a_cut_path_carries_nothing_and_a_mended_one_goes_on() {
    let path = open("rtt=4ms");
    let server = serve(&path, echo);
    let mut client = connect(&path, server);
    round_trip(&mut client);
    path.cut(true);
    let carried = path.counts(Direction::Up).carried;
    client.write_all(&[7]).unwrap();
    client
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    client.read_exact(&mut [0]).expect_err("nothing comes back");
    assert!(path.counts(Direction::Up).cut > 1, "TCP tried again");
    assert_eq!(path.counts(Direction::Up).carried, carried);
    path.cut(false);
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.read_exact(&mut [0]).expect("TCP tries again");
}

#[test]
fn a_narrow_path_takes_its_time_and_drops_what_it_cannot_hold() {
    let path = open("rtt=10ms,down.rate=20mbit,down.queue=64KiB");
    let bytes = 2_000_000;
    let server = serve(&path, move |mut stream| {
        stream.write_all(&vec![0; bytes]).unwrap()
    });
    let mut client = connect(&path, server);
    let begun = Instant::now();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    let took = begun.elapsed();
    println!(
        "{} bytes in {took:?}, {:?}",
        got.len(),
        path.counts(Direction::Down)
    );
    assert_eq!(got.len(), bytes);
    let least = Duration::from_secs_f64(bytes as f64 * 8.0 / 20e6);
    assert!(took > least, "{took:?} is less than {least:?}");
    assert!(took < 5 * least, "{took:?} is much more than {least:?}");
}

#[test]
fn clients_have_addresses_of_their_own() {
    let path = open("rtt=2ms");
    let server = path.far().run(|| UdpSocket::bind((FAR, 0))).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    for number in [0, 1, 1_000_000] {
        let client = path
            .near()
            .run(|| UdpSocket::bind((source(number), 0)))
            .unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"?", server.local_addr().unwrap()).unwrap();
        let (_, from) = server.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        server.send_to(b"!", from).unwrap();
        client.recv_from(&mut [0; 8]).unwrap();
    }
}

#[test]
fn a_path_that_ends_leaves_nothing_behind() {
    let path = open("rtt=2ms");
    let server = serve(&path, echo);
    let mut client = connect(&path, server);
    round_trip(&mut client);
    let begun = Instant::now();
    drop(path);
    assert!(begun.elapsed() < PATIENCE);
    // The device is gone: a socket that stays has no way out.
    let sent = client.write_all(&[7]);
    client
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(sent.is_err() || client.read_exact(&mut [0]).is_err());
}

/// Prints the rate that the path bears, and its processor time: `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn bears() {
    for settings in [
        "rtt=2ms",
        "rtt=50ms",
        "rtt=2ms,mtu=9000",
        "rtt=2ms,mtu=65000",
    ] {
        let path = open(settings);
        let server = serve(&path, |mut stream| {
            let piece = vec![0; 256 * 1024];
            while stream.write_all(&piece).is_ok() {}
        });
        let mut client = connect(&path, server);
        let mut buffer = vec![0; 1024 * 1024];
        let mut read = |time: Duration| {
            let (begun, mut bytes) = (Instant::now(), 0);
            while begun.elapsed() < time {
                bytes += client.read(&mut buffer).unwrap();
            }
            bytes as f64 * 8.0 / 1e9 / begun.elapsed().as_secs_f64()
        };
        read(Duration::from_secs(2));
        let before = (path.counts(Direction::Down), busy());
        let rate = read(Duration::from_secs(4));
        let (counts, busy) = (path.counts(Direction::Down), busy() - before.1);
        println!(
            "{settings}: {rate:.2} Gbit/s, {:.0} packets/s, thread {:.0} % of a processor, {} dropped",
            (counts.carried - before.0.carried) as f64 / 4.0,
            busy / 4.0 * 100.0,
            counts.dropped(),
        );
    }
}

/// Processor seconds of the process's threads that carry packets.
fn busy() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let read = |task: &std::fs::DirEntry, file: &str| {
        std::fs::read_to_string(task.path().join(file)).unwrap_or_default()
    };
    tasks
        .filter(|task| read(task, "comm").trim() == THREAD)
        .filter_map(|task| {
            read(&task, "schedstat")
                .split(' ')
                .next()?
                .parse::<f64>()
                .ok()
        })
        .sum::<f64>()
        / 1e9
}

/// Far more than a packet is late, on a machine that does other work.
const LATE: Duration = Duration::from_millis(40);
const PATIENCE: Duration = Duration::from_secs(30);
