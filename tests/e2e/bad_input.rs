//! What hostile and broken clients send gets a clear close and one counted log line, or is served
//! as if it were sound, and nobody else notices. The numbers are the rows of the table of bad
//! input in `docs/limits.md`.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::{
        calls::Callers,
        wired::{PATIENCE, Wired, tcp},
    },
    cluster::Cluster,
    synthetic::Codec,
    wait,
    wire::{self, Amf, Header},
};

/// A cluster in which honest clients call all the time, to show that they do not notice.
struct Neighbours {
    cluster: Cluster,
    honest: Callers,
}

impl Neighbours {
    fn start() -> Self {
        let cluster = Cluster::start(1, 1);
        let honest = Callers::start(cluster.rtmp(0), "counter/honest", 4);
        Self { cluster, honest }
    }

    fn server(&self) -> SocketAddr {
        self.cluster.rtmp(0)
    }

    /// Closed connections the edge has counted as somebody's fault.
    fn faults(&self) -> f64 {
        self.cluster.edge_metrics(0).sum(FAULTS)
    }

    /// Log lines that name a fault.
    fn logged(&self) -> usize {
        let log = self.cluster.edges[0].log();
        log.lines().filter(|line| line.contains("fault=")).count()
    }

    /// Runs an attack that must end in this many closes, each counted and logged once.
    fn closes(&self, what: &str, closes: usize, attack: impl FnOnce(SocketAddr)) {
        let before = (self.faults(), self.logged());
        attack(self.server());
        let expected = (before.0 + closes as f64, before.1 + closes);
        wait::until(&format!("{what} is counted and logged"), PATIENCE, || {
            self.faults() >= expected.0 && self.logged() >= expected.1
        });
        let after = (self.faults(), self.logged());
        assert_eq!(after, expected, "{what} is counted and logged once");
    }

    /// Everybody else was served, and both processes live.
    fn unharmed(mut self) {
        let before = self.honest.answered();
        wait::until("honest clients are answered", PATIENCE, || {
            self.honest.answered() > before + 100
        });
        wait::until("every fault has its line in the log", PATIENCE, || {
            let log = self.cluster.edges[0].log();
            let lines = log.lines().filter(|line| line.contains(" fault="));
            lines.count() as f64 == self.faults()
        });
        for calls in self.honest.finish() {
            assert_eq!((calls.counted, calls.wrong), (calls.made, 0));
        }
        for program in self
            .cluster
            .edges
            .iter_mut()
            .chain(&mut self.cluster.origins)
        {
            assert!(program.is_running(), "{}", program.log());
            let log = program.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

#[test]
fn handshakes_that_never_end() {
    let neighbours = Neighbours::start();
    neighbours.closes("row 1: three handshakes", 3, |server| {
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = tcp(server).expect("a connection");
                stream.write_all(&[3]).expect("an open connection");
                await_close(&mut stream, "C0 alone");
            });
            scope.spawn(|| {
                let mut stream = tcp(server).expect("a connection");
                stream.write_all(&wire::c0c1()).expect("an open connection");
                await_close(&mut stream, "never C2");
            });
            scope.spawn(|| trickle(server));
        });
    });
    neighbours.unharmed();
}

/// Sends a handshake of 25 minutes; the deadline is for the whole and ends it long before.
fn trickle(server: SocketAddr) {
    let mut stream = tcp(server).expect("a connection");
    let begun = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout above zero");
    for byte in wire::c0c1() {
        if stream.write_all(&[byte]).is_err() || is_closed(&mut stream) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "a byte at a time"
        );
    }
}

#[test]
fn thousands_of_half_open_connections() {
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let pid = neighbours.cluster.edges[0].pid();
    let connect = || {
        let begun = Instant::now();
        let client = Wired::session(server, "counter/between");
        drop(client);
        begun.elapsed()
    };
    connect();
    let before = resident_mib(pid);
    // As many as descriptors allow, this process's and the edge's own.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let limit = limit.unwrap_or(u64::MAX);
    let count = limit.saturating_sub(1000).min(15_000) as usize;
    let hello = wire::c0c1();
    let mut held = Vec::with_capacity(count);
    let mut honest = Vec::new();
    for number in 0..count {
        let mut stream = tcp(server).expect("room for half-open connections");
        let part = [1, hello.len()][number % 2];
        stream
            .write_all(&hello[..part])
            .expect("an open connection");
        held.push(stream);
        if number % 150 == 0 {
            honest.push(connect());
        }
    }
    let open = neighbours
        .cluster
        .edge_metrics(0)
        .sum("tributary_edge_connections");
    let grown = resident_mib(pid) - before;
    honest.sort();
    let p99 = honest[honest.len() * 99 / 100];
    println!("row 1: {open} open, {grown:.1} MiB more; honest connects p99 {p99:?}");
    let each = grown * 1024.0 / count as f64;
    assert!(
        each < 8.0,
        "row 1: {each:.1} KiB for each with its task and socket"
    );
    wait::until("they are closed", PATIENCE, || {
        neighbours.faults() >= count as f64
    });
    drop(held);
    neighbours.unharmed();
}

#[test]
fn bytes_that_are_not_rtmp() {
    let neighbours = Neighbours::start();
    let tls_hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 200]].concat();
    let cases: [(&str, &[u8]); 4] = [
        ("TLS", &tls_hello),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"),
        ("version 6", &[&[6][..], &[0; 1536]].concat()),
        ("version 255", &[&[255][..], &[0; 1536]].concat()),
    ];
    for (what, bytes) in cases {
        neighbours.closes(&format!("row 2: {what}"), 1, |server| {
            let mut stream = tcp(server).expect("a connection");
            stream.write_all(bytes).expect("an open connection");
            await_close(&mut stream, what);
        });
    }
    // A digest that does not fit is a simple handshake.
    let mut stream = tcp(neighbours.server()).expect("a connection");
    let mut hello = wire::c0c1();
    hello[5..9].copy_from_slice(&[9, 0, 124, 2]);
    hello[9..].fill(0xff);
    stream.write_all(&hello).expect("an open connection");
    let mut answer = vec![0; 1 + 2 * wire::HANDSHAKE];
    stream
        .read_exact(&mut answer)
        .expect("a simple handshake is answered");
    assert_eq!(answer[1 + wire::HANDSHAKE..], hello[1..], "S2 echoes C1");
    neighbours.unharmed();
}

#[test]
fn chunk_sizes_of_every_kind() {
    let neighbours = Neighbours::start();
    for (what, size) in [("zero", 0_u32), ("the high bit", 0x8000_1000)] {
        neighbours.closes(&format!("row 3: {what}"), 1, |server| {
            let mut client = Wired::open(server).expect("a handshake");
            client
                .send(&control(wire::SET_CHUNK_SIZE, &size.to_be_bytes()))
                .expect("sent");
            assert!(client.wait_closed(PATIENCE), "chunk size {what}");
        });
    }
    for size in [1_u32, 127, 1 << 24, 0x7fff_ffff] {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        client.set_chunk_size(size);
        let values = wire::connect("counter/sizes", "rtmp://x/counter/sizes");
        client.command(0, &values).expect("an open connection");
        let answer = client.wait_code("NetConnection.Connect.Success");
        assert_eq!(
            answer.name().as_deref(),
            Some("_result"),
            "chunk size {size}"
        );
    }
    neighbours.unharmed();
}

#[test]
fn promised_bytes_take_no_memory() {
    let neighbours = Neighbours::start();
    let pid = neighbours.cluster.edges[0].pid();
    let before = resident_mib(pid);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        for csid in 3..2000 {
            let mut chunk = Vec::new();
            wire::basic_header(&mut chunk, 0, csid);
            chunk.extend([0, 0, 0, 0xff, 0xff, 0xff, 9, 0, 0, 0, 0]);
            chunk.extend([0; 128]);
            if client.send(&chunk).is_err() {
                break;
            }
        }
        held.push(client);
    }
    thread::sleep(Duration::from_millis(500));
    let grown = resident_mib(pid) - before;
    println!("row 4: {grown:.1} MiB for 20 connections");
    assert!(grown < 20.0 * 5.0, "row 4: {grown} MiB");
    drop(held);
    neighbours.unharmed();
}

#[test]
fn chunks_that_contradict_themselves() {
    let neighbours = Neighbours::start();
    let begin = |csid: u8, length: u8| {
        [
            &[csid, 0, 0, 0, 0, 0, length, 20, 0, 0, 0, 0][..],
            &[0; 128],
        ]
        .concat()
    };
    let again = [begin(5, 200), begin(5, 180)].concat();
    let cases: [(&str, &[u8]); 3] = [
        ("row 5: another length in mid-message", &again),
        (
            "row 6: format 2 on a new chunk stream",
            &[0x80 | 9, 0, 0, 0, 1, 2, 3],
        ),
        (
            "row 6: format 3 on a new chunk stream",
            &[0xc0 | 9, 1, 2, 3],
        ),
    ];
    for (what, bytes) in cases {
        neighbours.closes(what, 1, |server| {
            let mut client = Wired::session(server, "counter/chunks");
            client.send(bytes).expect("an open connection");
            assert!(client.wait_closed(PATIENCE), "{what}");
        });
    }
    // librtmp opens chunk stream 2 with format 1.
    let mut client = Wired::open(neighbours.server()).expect("a handshake");
    let pong = [0x42, 0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0x0d, 0x0f];
    client.send(&pong).expect("an open connection");
    let answer = client.connect("counter/librtmp");
    assert_eq!(
        answer.name().as_deref(),
        Some("_result"),
        "row 6: format 1 there"
    );
    neighbours.unharmed();
}

#[test]
fn legal_interleaving_and_aborts() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/woven");
    let call = |number: f64| {
        let filler = "y".repeat(1000);
        let values = [
            "count".into(),
            (number + 1.0).into(),
            Amf::Null,
            number.into(),
        ];
        let values = [&values[..], &[filler.as_str().into()]].concat();
        Amf::encode_all(&values)
    };
    // Three calls woven chunk by chunk over ids of one, two and three bytes.
    let woven: Vec<_> = [(10, 1.0), (100, 2.0), (1000, 3.0)]
        .into_iter()
        .map(|(csid, number)| chunks(csid, &call(number)))
        .collect();
    let longest = woven.iter().map(Vec::len).max().unwrap_or(0);
    let mut bytes = Vec::new();
    for index in 0..longest {
        for message in &woven {
            bytes.extend(message.get(index).into_iter().flatten());
        }
    }
    client.send(&bytes).expect("an open connection");
    for _ in 0..3 {
        let answer = client.wait(PATIENCE, |message| {
            message.name().as_deref() == Some("_result")
        });
        answer.expect("row 7: every woven call is answered");
    }
    // A message begun, aborted, and the chunk stream used anew.
    let aborted = chunks(10, &call(7.0));
    let mut bytes = aborted[0].clone();
    bytes.extend(control(ABORT, &10_u32.to_be_bytes()));
    bytes.extend(chunks(10, &call(4.0)).concat());
    client.send(&bytes).expect("an open connection");
    let answer = client.wait(PATIENCE, |message| {
        message.name().as_deref() == Some("_result")
    });
    let answer = answer.expect("row 7: the call after the abort is answered");
    assert_eq!(answer.values()[3].number(), Some(4.0));
    neighbours.unharmed();
}

#[test]
fn bombs_in_amf() {
    let neighbours = Neighbours::start();
    let connect = Amf::encode_all(&["connect".into(), 1.0.into()]);
    let deep: Vec<u8> = [3, 0, 1, b'a'].repeat(100_000);
    let strict: Vec<u8> = [10, 0, 0, 0, 1].repeat(100_000);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("row 8: nested objects", deep),
        ("row 8: nested arrays", strict),
        (
            "row 8: four billion elements",
            vec![10, 0xff, 0xff, 0xff, 0xff, 5],
        ),
        (
            "row 8: four billion properties",
            vec![8, 0xff, 0xff, 0xff, 0xff, 0, 1, b'a', 5],
        ),
        ("row 8: a string beyond the end", vec![2, 0xff, 0xff, b'a']),
        (
            "row 8: a long string of four billion",
            vec![12, 0xff, 0xff, 0xff, 0xff, b'a'],
        ),
        ("row 9: a reference to nothing", vec![7, 0x12, 0x34]),
        (
            "row 8: an AMF3 integer of five bytes",
            vec![0x11, 4, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        (
            "row 9: AMF3 traits that are not there",
            vec![0x11, 0x0a, 0x05],
        ),
    ];
    for (what, bomb) in cases {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        let payload = [connect.as_slice(), &bomb].concat();
        let begun = Instant::now();
        client
            .send(&message(3, wire::COMMAND_AMF0, 0, &payload))
            .expect("an open connection");
        // A close, or an answer that is not a yes: which one is the connect's own affair.
        let answer = client.wait(PATIENCE, |message| message.code().is_some());
        if let Ok(answer) = answer {
            let code = answer.code().unwrap_or_default();
            assert_ne!(code, "NetConnection.Connect.Success", "{what}");
        }
        println!("{what}: {:?}", begun.elapsed());
    }
    neighbours.unharmed();
}

#[test]
fn more_streams_than_anybody_needs() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/streams");
    let mut refused = 0;
    for _ in 0..200 {
        // Either it says no, or it closes; both end the flood.
        let Ok(transaction) = client.send_call("createStream", &[]) else {
            break;
        };
        let answer = client.wait(PATIENCE, |message| {
            matches!(message.name().as_deref(), Some("_result" | "_error"))
        });
        match answer {
            Ok(answer) => {
                assert_eq!(answer.values()[1].number(), Some(transaction));
                refused += u32::from(answer.name().as_deref() == Some("_error"));
            }
            Err(_) => {
                refused += 1;
                break;
            }
        }
    }
    assert!(refused > 0, "row 10: 200 message streams are too many");
    for transaction in [f64::NAN, f64::INFINITY, -5.0, 1e300] {
        let mut client = Wired::session(neighbours.server(), "counter/numbers");
        let call = ["createStream".into(), transaction.into(), Amf::Null];
        client.command(0, &call).expect("an open connection");
        let play = [
            "play".into(),
            transaction.into(),
            Amf::Null,
            "x".into(),
            f64::NAN.into(),
        ];
        client.command(0, &play).expect("an open connection");
        // Whatever the answer is, the next connection is served.
        let _ = client.next(Duration::from_millis(300));
    }
    neighbours.unharmed();
}

#[test]
fn names_that_lead_astray() {
    let neighbours = Neighbours::start();
    let apps = [
        "../live",
        "live/../../etc",
        "live/\u{0}room",
        "live\u{7}",
        "",
        "/",
        "LIVE",
        "live/..",
    ];
    for app in apps {
        let mut client = Wired::open(neighbours.server()).expect("a handshake");
        let values = wire::connect(app, "rtmp://x/y");
        client.command(0, &values).expect("an open connection");
        let answer = client.wait(PATIENCE, |message| message.code().is_some());
        let code = answer
            .ok()
            .and_then(|answer| answer.code())
            .unwrap_or_default();
        assert_ne!(code, "NetConnection.Connect.Success", "row 11: {app:?}");
    }
    let long = "n".repeat(60_000);
    for name in ["../../etc/passwd", "a\u{0}b", "", long.as_str()] {
        let client = Wired::session(neighbours.server(), "live");
        let code = client.publish_refused(name);
        assert_ne!(code, "NetStream.Publish.Start", "row 11: {:.20?}", name);
    }
    neighbours.unharmed();
}

#[test]
fn acknowledgements_of_every_kind() {
    let neighbours = Neighbours::start();
    let mut client = Wired::session(neighbours.server(), "counter/acks");
    for size in [0_u32, 1, 2, u32::MAX] {
        client
            .send(&control(5, &size.to_be_bytes()))
            .expect("an open connection");
        let bandwidth = [&size.to_be_bytes()[..], &[2]].concat();
        client
            .send(&control(6, &bandwidth))
            .expect("an open connection");
    }
    let mut storm = Vec::new();
    for count in 0..20_000_u32 {
        let position = if count % 2 == 0 { count * 1000 } else { 5 };
        storm.extend(control(wire::ACKNOWLEDGEMENT, &position.to_be_bytes()));
    }
    client.send(&storm).expect("row 12: the storm is read");
    let answer = client.call("count", &[1.0.into()]);
    assert_eq!(
        answer.name().as_deref(),
        Some("_result"),
        "row 12: and the client is served"
    );
    neighbours.unharmed();
}

#[test]
fn times_that_jump_and_media_that_is_none() {
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let (mut viewer, _) = Wired::viewer(server, "live", "odd");
    let (mut publisher, stream) = Wired::publisher(server, "live", "odd");
    let mut number = 0;
    let mut put = |publisher: &mut Wired, timestamp: u32| {
        number += 1;
        let (kind, payload) = Codec::Avc.frames(number, true, 300).remove(0);
        publisher
            .media(stream, kind, timestamp, &payload)
            .expect("row 13: it stays");
    };
    let times = [
        0,
        40,
        0xff_fffe,
        0xff_ffff,
        0x100_0000,
        0x100_0001,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        8,
        3_600_000,
        40,
    ];
    for time in times {
        put(&mut publisher, time);
        viewer
            .wait(PATIENCE, |message| message.header.kind == wire::VIDEO)
            .unwrap_or_else(|nothing| panic!("row 13: no frame at {time:#x}: {nothing:?}"));
    }
    let odd: [(u8, &[u8]); 9] = [
        (wire::AUDIO, &[]),
        (wire::VIDEO, &[]),
        (wire::VIDEO, &[0x17]),
        (wire::DATA_AMF0, &[]),
        (wire::DATA_AMF0, &[2, 0xff]),
        (wire::VIDEO, &[0x96, 0xff, 0xff]),
        (wire::AUDIO, &[0x97, 0xff, 0xff, 0xff]),
        (99, b"what is this"),
        (0, &[]),
    ];
    for (kind, payload) in odd {
        publisher
            .media(stream, kind, 80, payload)
            .expect("row 14: it stays");
    }
    put(&mut publisher, 120);
    viewer
        .wait(PATIENCE, |message| {
            message.header.kind == wire::VIDEO && message.payload.len() == 300
        })
        .expect("row 14: the stream goes on");
    let aggregate = [9, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3];
    // Sizes that lie end the publisher or are passed over; the server lives on either way.
    let _ = publisher.media(stream, AGGREGATE, 160, &aggregate);
    neighbours.unharmed();
}

/// A protocol control message on chunk stream 2.
fn control(kind: u8, payload: &[u8]) -> Vec<u8> {
    message(2, kind, 0, payload)
}

fn message(csid: u32, kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        csid,
        kind,
        stream,
        ..Header::default()
    };
    let mut out = Vec::new();
    wire::write_message(&mut out, &header, payload, 128);
    out
}

/// The chunks of a command, one by one.
fn chunks(csid: u32, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    for (index, part) in payload.chunks(128).enumerate() {
        let mut chunk = Vec::new();
        wire::basic_header(&mut chunk, if index == 0 { 0 } else { 3 }, csid);
        if index == 0 {
            chunk.extend([0, 0, 0]);
            chunk.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
            chunk.extend([wire::COMMAND_AMF0, 0, 0, 0, 0]);
        }
        chunk.extend_from_slice(part);
        chunks.push(chunk);
    }
    chunks
}

/// Reads until the server closes.
fn await_close(stream: &mut TcpStream, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a timeout above zero");
    while !is_closed(stream) {
        assert!(Instant::now() < deadline, "{what}: not closed");
    }
    // The server may have closed it already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => count == 0,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}

/// The metric that counts connections closed for what they sent, by reason.
const FAULTS: &str = "tributary_edge_faults_total";
const ABORT: u8 = 2;
const AGGREGATE: u8 = 22;
