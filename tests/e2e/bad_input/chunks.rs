//! Rows 3 to 7: the chunk stream.

use super::*;

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
    drop(client);
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
    // The chunks of three calls interleave, on chunk stream ids of one, two and three bytes.
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
    // A message begins and is aborted; the chunk stream is then used anew.
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
    drop(client);
    neighbours.unharmed();
}
