//! A server on loopback with the answers of a test.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread,
};

/// Starts a server that answers each connection's requests with `answer`, in any number of threads.
/// It ends with the process of the test.
pub fn serve(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = Arc::clone(&answer);
            let Ok(stream) = stream else { return };
            thread::spawn(move || converse(&stream, &*answer));
        }
    });
    address
}

/// Takes requests from a connection until it ends: head, body, answer.
pub fn converse(mut stream: impl Read + Write, answer: &dyn Fn(&str, &[u8]) -> Vec<u8>) {
    loop {
        let mut reader = BufReader::with_capacity(1, &mut stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        drop(reader);
        if stream.write_all(&answer(&head, &body)).is_err() {
            return;
        }
    }
}

/// A response with a body.
pub fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut out =
        format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}
