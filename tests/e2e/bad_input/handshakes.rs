//! Rows 1 and 2: input before the first chunk.

use super::*;

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

/// Sends a handshake of 25 minutes; the deadline for the whole handshake ends it long before.
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
    // The number of connections that the descriptors of this process and of the edge allow.
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
    // A handshake with a wrong digest is treated as a simple handshake.
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
