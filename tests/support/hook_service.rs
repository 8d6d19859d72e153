//! A service of HTTP hooks that answers as a test says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

/// A service; it ends with the process of the test.
pub(crate) struct HookService {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A request to the service.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) path: String,
    pub(crate) body: String,
}

/// The answer of the service.
pub(crate) enum Reply {
    /// With this status, header lines and body.
    Answer(&'static str, String, String),
    /// None, while the connection stays open.
    Never,
    /// A body of 1 GB, as far as it is taken; the number of its bytes goes there.
    Endless(Arc<Mutex<u64>>),
}

impl Reply {
    pub(crate) fn allow() -> Self {
        Self::status("200 OK")
    }

    pub(crate) fn status(status: &'static str) -> Self {
        Self::Answer(status, String::new(), String::new())
    }

    pub(crate) fn header(status: &'static str, line: &str) -> Self {
        Self::Answer(status, format!("{line}\r\n"), String::new())
    }

    pub(crate) fn body(body: &str) -> Self {
        Self::Answer("200 OK", String::new(), body.to_owned())
    }
}

impl HookService {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (all, answer) = (Arc::clone(&asked), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    all.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(request.clone());
                    reply(stream, answer(&request));
                });
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests to a path so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|it| it.path == path).cloned().collect()
    }
}

/// The hooks of an application, each at the path of its name.
pub(crate) fn hooks(
    application: &str,
    style: &str,
    service: &HookService,
    hooks: &[&str],
    more: &str,
) -> String {
    let mut table = format!("[applications.{application}.hooks]\nstyle = \"{style}\"\n{more}\n");
    for hook in hooks {
        let url = service.url(&format!("/{hook}"));
        table += &format!("{hook} = \"{url}\"\n");
    }
    table
}

impl Asked {
    /// The names of a form's fields, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        let pairs = self.body.split('&');
        pairs
            .map(|pair| pair.split('=').next().unwrap_or_default())
            .collect()
    }

    /// The value of a form's field.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        let pair = pairs.find(|(key, _)| *key == name);
        pair.map_or("", |(_, value)| value)
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split_once("content-length: ");
    let length = length.and_then(|(_, rest)| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked {
        path: head.split(' ').nth(1)?.to_owned(),
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn reply(mut stream: TcpStream, reply: Reply) {
    match reply {
        Reply::Answer(status, headers, body) => {
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
            // The edge may have gone.
            let _ = stream.write_all(text.as_bytes());
        }
        Reply::Never => {
            let _ = stream.read(&mut [0; 1]);
        }
        Reply::Endless(taken) => {
            // Without a length, so that it is not refused by that.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            let bytes = vec![b' '; 1 << 16];
            let mut sent = 0;
            while sent < 1_000_000_000 && stream.write_all(&bytes).is_ok() {
                sent += bytes.len() as u64;
            }
            *taken.lock().unwrap_or_else(PoisonError::into_inner) = sent;
        }
    }
}
