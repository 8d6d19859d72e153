//! Clients in other languages that take requests and report events in lines of JSON, as
//! `tests/clients/README.md` describes: npm `rtmp-client`, python-librtmp, and one on py3amf.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

use serde_json::{Value, json};

use super::{replica::Replica, wired::PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The npm package `rtmp-client`.
    Npm,
    /// python-librtmp.
    Librtmp,
    /// The py3amf client with objectEncoding 0.
    Amf0,
    /// The py3amf client with objectEncoding 3.
    Amf3,
}

/// A running client; it is killed when dropped.
pub(crate) struct Driven {
    kind: Kind,
    child: Child,
    input: ChildStdin,
    lines: Receiver<Value>,
    /// Events that no test has asked for yet.
    kept: VecDeque<Value>,
    /// The shared objects in its events.
    pub(super) objects: BTreeMap<String, Replica>,
    requests: u64,
}

impl Kind {
    /// The clients that can call.
    pub(crate) const ALL: [Self; 4] = [Self::Npm, Self::Librtmp, Self::Amf0, Self::Amf3];

    fn command(self) -> Command {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let (program, script) = match self {
            Self::Npm => (PathBuf::from("node"), "npm/client.js"),
            Self::Librtmp => (python(), "python/librtmp_client.py"),
            Self::Amf0 | Self::Amf3 => (python(), "python/client.py"),
        };
        let mut command = Command::new(program);
        command
            .arg(sources.join(script))
            .env("NODE_PATH", installed().join("npm/node_modules"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

impl Driven {
    /// Starts a client. A client that is not installed is a failure.
    pub(crate) fn start(kind: Kind) -> Self {
        let list = match kind {
            Kind::Npm => "npm/installed.json",
            _ => "python/installed.txt",
        };
        assert!(
            installed().join(list).exists(),
            "{kind:?} is not installed: run scripts/test-clients.sh (test.sh does)"
        );
        let mut child = kind
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{kind:?} does not start: {error}"));
        let input = child.stdin.take().expect("its input is a pipe");
        let output = child.stdout.take().expect("its output is a pipe");
        let (sender, lines) = mpsc::sync_channel(LINES);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or_else(|_| json!({"wrong": line}));
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        Self {
            kind,
            child,
            input,
            lines,
            kept: VecDeque::new(),
            objects: BTreeMap::new(),
            requests: 0,
        }
    }

    /// A client that an application has accepted.
    pub(crate) fn session(kind: Kind, server: SocketAddr, app: &str) -> Self {
        Self::session_with(kind, server, app, json!([]))
    }

    /// As [`Self::session`], with arguments of connect.
    pub(crate) fn session_with(kind: Kind, server: SocketAddr, app: &str, args: Value) -> Self {
        let mut client = Self::start(kind);
        let info = client
            .connect(server, app, args)
            .unwrap_or_else(|error| panic!("{kind:?} is not accepted: {error}"));
        assert_eq!(info["code"], "NetConnection.Connect.Success");
        client
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is the py3amf client, which reports messages to all members, and message types;
    /// npm `rtmp-client` does not.
    pub(crate) fn is_python(&self) -> bool {
        matches!(self.kind, Kind::Amf0 | Kind::Amf3)
    }

    /// Connects; returns the info object of either outcome.
    pub(crate) fn connect(
        &mut self,
        server: SocketAddr,
        app: &str,
        args: Value,
    ) -> Result<Value, Value> {
        let encoding = if self.kind == Kind::Amf3 { 3 } else { 0 };
        let url = format!("rtmp://{server}/{app}");
        self.ask(json!({"do": "connect", "url": url, "args": args, "encoding": encoding}))
    }

    /// Calls a method and waits for its result or error.
    pub(crate) fn call(&mut self, name: &str, args: Value) -> Result<Value, Value> {
        self.ask(json!({"do": "call", "name": name, "args": args}))
    }

    /// Calls a method without a responder.
    pub(crate) fn tell(&mut self, name: &str, args: Value) {
        let told = self.ask(json!({"do": "call", "name": name, "args": args, "responder": false}));
        told.expect("the connection is open");
    }

    /// Gives the client these methods, which answer null, for the server to call. npm `rtmp-client`
    /// and librtmp drop a call that comes before the method is there.
    pub(crate) fn hears(&mut self, methods: &[&str]) {
        for method in methods {
            self.order(json!({"do": "answer", "name": method, "value": null}));
        }
    }

    /// Sends a request that must succeed.
    pub(crate) fn order(&mut self, request: Value) {
        let text = request.to_string();
        self.ask(request)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&mut self, request: Value) -> Result<Value, Value> {
        let id = self.send(request);
        self.answer(id)
    }

    /// Sends a request; [`Driven::answer`] takes its answer.
    pub(crate) fn send(&mut self, mut request: Value) -> u64 {
        self.requests += 1;
        request["id"] = self.requests.into();
        writeln!(self.input, "{request}").expect("the client reads");
        self.requests
    }

    /// Waits for the answer to a request.
    pub(crate) fn answer(&mut self, id: u64) -> Result<Value, Value> {
        let mut answer = self.wait("an answer", |line| line["id"] == id);
        match answer.get_mut("error") {
            Some(error) => Err(error.take()),
            None => Ok(answer["value"].take()),
        }
    }

    /// The next line of the client that is not about a shared object.
    pub(crate) fn line(&mut self) -> Value {
        self.wait("a line", |_| true)
    }

    /// Waits for an event that `wanted` accepts. Others are kept for later.
    pub(crate) fn event(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let found = |line: &Value| line["event"] == what && wanted(line);
        self.wait(what, found)
    }

    /// Waits for the server's call of a method; returns its arguments.
    pub(crate) fn called(&mut self, name: &str) -> Value {
        if self.kind == Kind::Librtmp {
            let pumped = self.ask(json!({"do": "pump", "until": name}));
            return pumped.unwrap_or_else(|error| panic!("{name} is not called: {error}"));
        }
        let mut call = self.event("call", |call| call["name"] == name);
        call["args"].take()
    }

    /// Waits for a status with this code.
    pub(crate) fn status(&mut self, code: &str) -> Value {
        let mut status = self.event("status", |status| status["info"]["code"] == code);
        status["info"].take()
    }

    /// Creates a message stream.
    pub(crate) fn create_stream(&mut self) -> u64 {
        let id = self.call("createStream", json!([]));
        id.expect("a message stream")
            .as_u64()
            .expect("a whole number")
    }

    /// A command on a message stream: publish, play, closeStream.
    pub(crate) fn command(&mut self, stream: u64, name: &str, args: Value) {
        self.order(json!({"do": "command", "stream": stream, "name": name, "args": args}));
    }

    /// Publishes an FLV file's media without an end; returns the message stream.
    pub(crate) fn publish(&mut self, name: &str, file: &Path) -> u64 {
        let stream = self.create_stream();
        self.command(stream, "publish", json!([name, "live"]));
        self.status("NetStream.Publish.Start");
        self.order(json!({"do": "media", "stream": stream, "file": file}));
        stream
    }

    /// Plays a stream; returns the message stream.
    pub(crate) fn play(&mut self, name: &str) -> u64 {
        let stream = self.create_stream();
        self.command(stream, "play", json!([name]));
        stream
    }

    fn wait(&mut self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.kept.iter().position(&mut wanted) {
                return self.kept.remove(at).unwrap_or_default();
            }
            self.take(what, deadline);
        }
    }

    /// Takes lines until `done`.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            self.take(what, deadline);
        }
    }

    /// Takes one line: an event of a shared object is applied to it, any other line is kept.
    fn take(&mut self, what: &str, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) if line["event"] == "wrong" || line.get("wrong").is_some() => {
                panic!("{self:?}: the server is wrong: {line}")
            }
            Ok(line) if line["event"] == "object" => {
                let name = line["name"].as_str().unwrap_or_default();
                let object = self.objects.entry(name.to_owned()).or_default();
                object.apply(&line);
            }
            Ok(line) => self.kept.push_back(line),
            Err(RecvTimeoutError::Timeout) => panic!("{self:?} waits for {what}"),
            Err(RecvTimeoutError::Disconnected) => panic!("{self:?} has ended instead of {what}"),
        }
    }
}

impl fmt::Debug for Driven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.kept.iter().map(Value::to_string).collect();
        write!(f, "{:?} with {lines:#?}, {:#?}", self.kind, self.objects)
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that a test has not taken yet; a client that writes more waits.
const LINES: usize = 16 * 1024;

/// The directory to which `scripts/test-clients.sh` installs.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients")
}

fn python() -> PathBuf {
    installed().join("python/bin/python")
}
