//! A service of hooks in the style of nginx-rtmp that allows everything, and counts.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// The service; it ends with the harness.
#[derive(Debug)]
pub(crate) struct HookService {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    done: AtomicU64,
}

/// Hooks that ask, as the field `call` names them.
const ASK: [&str; 3] = ["connect", "publish", "play"];

impl HookService {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let counts: Arc<Counts> = Arc::default();
        let all = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&all);
                // A connection that ends is one that the edge has closed.
                thread::spawn(move || serve(stream, &counts));
            }
        });
        Self { address, counts }
    }

    /// The settings of an application that asks this service.
    pub(crate) fn settings(&self, application: &str) -> String {
        let url = format!("http://{}/", self.address);
        let hooks = [
            "on_connect",
            "on_disconnect",
            "on_publish",
            "on_publish_done",
            "on_play",
            "on_play_done",
        ];
        let lines = hooks.map(|hook| format!("{hook} = \"{url}\"\n"));
        format!(
            "[applications.{application}.hooks]\nstyle = \"nginx\"\n{}",
            lines.concat()
        )
    }

    /// The decisions that were allowed, and those that were told as over.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let counts = &self.counts;
        (counts.allowed.load(Relaxed), counts.done.load(Relaxed))
    }
}

fn serve(stream: TcpStream, counts: &Counts) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).ok()? > 2 {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if line.is_empty() {
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = String::from_utf8_lossy(&body);
        let call = body
            .split('&')
            .find_map(|field| field.strip_prefix("call="));
        match call {
            Some(call) if ASK.contains(&call) => counts.allowed.fetch_add(1, Relaxed),
            _ => counts.done.fetch_add(1, Relaxed),
        };
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).ok()?;
    }
}
