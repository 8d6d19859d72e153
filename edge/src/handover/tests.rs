use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
    time::Instant,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_gate::{HookAnswer, HookVerdict};
use tributary_protocol::parcel::pack;

use super::*;
use crate::live::LiveClients;

/// The name of the edge.
const NAME: &str = "edge-1";

/// A bound that no step reaches.
const WITHIN: Duration = Duration::from_secs(20);

/// A process that gives a listener away.
struct Old {
    directory: tempfile::TempDir,
    listener: TcpListener,
    taken: Receiver<()>,
}

impl Old {
    fn start(refuses: Option<&'static str>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let own = listener.try_clone().expect("a descriptor");
        let (tell, taken) = sync_channel(1);
        let old = Self {
            directory,
            listener,
            taken,
        };
        let giver = Giver::bind(&old.path()).expect("a new socket");
        let given = Listening {
            refuses,
            own,
            taken: tell,
        };
        give(giver, given).expect("a thread");
        old
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("edge.sock")
    }

    fn is_taken(&self) -> bool {
        self.taken.try_recv().is_ok()
    }
}

/// A listener without live clients.
struct Listening {
    refuses: Option<&'static str>,
    own: TcpListener,
    taken: SyncSender<()>,
}

impl Given for Listening {
    fn name(&self) -> &str {
        NAME
    }

    fn sockets(&self) -> Result<Vec<Passed>, String> {
        if let Some(reason) = self.refuses {
            return Err(reason.to_owned());
        }
        let own = || OwnedFd::from(self.own.try_clone().expect("a descriptor"));
        let address = own_address(&own());
        let roles = [SocketRole::Clients(address), SocketRole::Admin];
        let passed = roles.map(|role| Passed {
            role,
            socket: own(),
        });
        Ok(passed.into())
    }

    fn clients(&self) -> Option<LiveClients> {
        None
    }

    fn taken(&self) {
        self.taken.send(()).expect("the test waits");
    }
}

fn own_address(socket: &OwnedFd) -> SocketAddr {
    let socket = TcpListener::from(socket.try_clone().expect("a descriptor"));
    socket.local_addr().expect("a bound socket")
}

#[test]
fn a_listener_moves_with_its_queue_and_the_old_process_hears_of_it() {
    let old = Old::start(None);
    let address = old.listener.local_addr().expect("an address");
    let mut client = TcpStream::connect(address).expect("the queue");
    let takeover = take(&old.path(), NAME).expect("sockets");
    let roles: Vec<_> = takeover.sockets.iter().map(|it| it.role).collect();
    assert_eq!(roles, [SocketRole::Clients(address), SocketRole::Admin]);
    assert!(!old.is_taken());
    let socket = takeover.sockets[0]
        .socket
        .try_clone()
        .expect("a descriptor");
    takeover.confirm().expect("the old process answers");
    old.taken.recv_timeout(WITHIN).expect("it hears of it");
    drop(old);
    let (mut served, _) = TcpListener::from(socket).accept().expect("a client");
    served.write_all(b"hello").expect("an open connection");
    let mut heard = [0; 5];
    client.read_exact(&mut heard).expect("the new process");
    assert_eq!(&heard, b"hello");
}

#[test]
fn a_process_that_refuses_or_is_left_alone_goes_on() {
    let refusing = Old::start(Some("the edge leaves"));
    let why = take(&refusing.path(), NAME)
        .map(drop)
        .unwrap_err()
        .to_string();
    assert_eq!(why, "the running edge refuses: the edge leaves");

    let old = Old::start(None);
    let takeover = take(&old.path(), NAME).expect("sockets");
    let why = take(&old.path(), NAME).map(drop).unwrap_err().to_string();
    assert_eq!(
        why,
        "the running edge refuses: another replacement is under way"
    );
    drop(takeover);
    // The process that asked has gone; the next one is served.
    let mut stranger = UnixStream::connect(old.path()).expect("a socket");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("an open connection");
    let mut rest = Vec::new();
    // It is closed.
    let _ = stranger.read_to_end(&mut rest);
    let takeover = take(&old.path(), NAME).expect("sockets");
    assert!(!old.is_taken());
    takeover.confirm().expect("the old process listens");
    old.taken.recv_timeout(WITHIN).expect("it hears of it");

    let nobody = old.directory.path().join("other.sock");
    let why = take(&nobody, NAME).map(drop).unwrap_err().to_string();
    assert!(why.contains("start without --replace"), "{why}");
}

#[test]
fn a_process_that_hears_no_answer_begins_only_if_the_other_one_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("edge.sock");
    // Processes that give nothing and do not answer: this one, and one that has ended.
    let mut ended = std::process::Command::new("true")
        .spawn()
        .expect("a process");
    ended.wait().expect("its end");
    for (process, begins) in [(std::process::id(), false), (ended.id(), true)] {
        let listener = UnixListener::bind(&path).expect("a new socket");
        let old = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a request");
            message::receive(&stream).expect("its hello");
            let end = message::HandoverMessage::End {
                count: 0,
                process,
                is_live: false,
            };
            message::send(&stream, end).expect("it listens");
        });
        let takeover = take(&path, NAME).expect("no sockets");
        old.join().expect("no panic");
        assert_eq!(takeover.confirm().is_ok(), begins);
        fs::remove_file(&path).expect("the socket");
    }
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("edge.sock");
    fs::write(&path, "settings").expect("a file");
    assert!(Giver::bind(&path).is_err(), "a file of somebody");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "settings");
    fs::remove_file(&path).expect("the file");
    drop(UnixListener::bind(&path).expect("a new socket"));
    assert!(path.exists());
    let giver = Giver::bind(&path).expect("nobody listens");
    assert!(Giver::bind(&path).is_err(), "this one does");
    drop(giver);
}

/// A message of each kind, as its kind and its content.
fn contents() -> Vec<(u8, Vec<u8>)> {
    let answer = HookAnswer {
        verdict: HookVerdict::Rename("hidden".to_owned()),
        user: Some("bob".to_owned()),
    };
    let answer = pack(&answer, Instant::now()).expect("it can move");
    let numbers = [1_u64, 2].map(u64::to_be_bytes).concat();
    vec![
        (1, b"\x00\x01edge-1".to_vec()),
        (2, b"the edge leaves".to_vec()),
        (3, b"127.0.0.1:1935".to_vec()),
        (4, [&numbers[..8], b"\0\0\0\x07\x01"].concat()),
        (5, Vec::new()),
        (6, Vec::new()),
        (7, Vec::new()),
        (8, b"a parcel".to_vec()),
        (9, [&numbers[..8], &answer[..]].concat()),
        (10, b"a head".to_vec()),
        (11, b"a lane".to_vec()),
        (12, b"a session".to_vec()),
        (13, numbers),
        (14, b"a parcel".to_vec()),
    ]
}

/// Changed messages are refused or are other messages, which can be sent again; none keeps a reader
/// waiting once its sender is gone.
#[test]
fn changed_messages_are_refused_or_are_others() {
    let mut random = StdRng::seed_from_u64(0x68_616e64);
    let contents = contents();
    let (mut read, mut refused) = (0, 0);
    for n in 0..4_000 {
        let mut bytes = Vec::new();
        for (kind, content) in [n, n + 1].map(|n| &contents[n % contents.len()]) {
            bytes.extend((content.len() as u32 + 1).to_be_bytes());
            bytes.push(*kind);
            bytes.extend(content);
        }
        for _ in 0..random.random_range(0..4) {
            let place = random.random_range(0..bytes.len());
            match random.random_range(0..4) {
                0 => bytes[place] = random.random(),
                1 => bytes[place] ^= 1 << random.random_range(0..8),
                2 => drop(bytes.remove(place)),
                // Something is left for the next change.
                _ => bytes.truncate(place.max(4)),
            }
        }
        let (one, other) = UnixStream::pair().expect("a pair");
        (&one).write_all(&bytes).expect("room");
        drop(one);
        let error = loop {
            match message::receive(&other) {
                Ok(message) => {
                    read += 1;
                    let text = format!("{message:?}");
                    let (one, other) = UnixStream::pair().expect("a pair");
                    message::send(&one, message).expect("room");
                    let again = message::receive(&other).expect("it was read");
                    assert_eq!(format!("{again:?}"), text);
                }
                Err(error) => break error,
            }
        };
        if !matches!(error, HandoverError::Io(_)) {
            refused += 1;
        }
    }
    assert!(read > 2_000 && refused > 500, "{read} {refused}");
}

#[test]
fn messages_that_are_none_are_refused() {
    // No kind; an unknown one; a name and an address that are none; messages that are too short or
    // too long; ones without their descriptor.
    for (kind, content) in [
        (0, &b""[..]),
        (99, b""),
        (1, b"\x00"),
        (1, b"\x00\x01\xff\xfe"),
        (2, b"\xff"),
        (3, b"admin"),
        (3, b"nowhere"),
        (4, b"\0\0\0\0\0\0\0\x01"),
        (4, b"\0\0\0\0\0\0\0\x01\0\0\0\x07\x02"),
        (8, b"\x01\x01\0\0\0\x01x"),
        (8, b"\x01\0\0\0\0\x02x"),
        (8, b"\x09\0\0\0\0\x01x"),
        (8, b"\x03\0\0\0\0\x09\0\0\0\0\0\0\0\x01x"),
        (13, b"\0\0\0\0\0\0\0\x01\0"),
    ] {
        let decoded = message::decode(kind, content.to_vec(), Vec::new());
        assert!(decoded.is_err(), "{kind} {content:?}");
    }
    // A length that nothing follows: the reader waits no longer than it is told to.
    let (one, other) = UnixStream::pair().expect("a pair");
    let short = Some(Duration::from_millis(50));
    other.set_read_timeout(short).expect("a time");
    let writing = thread::spawn(move || {
        (&one).write_all(b"\x00\x00\x00\x09\x00").expect("room");
        one
    });
    assert!(message::receive(&other).is_err());
    drop(writing.join());
    let (one, other) = UnixStream::pair().expect("a pair");
    (&one).write_all(b"\xff\xff\xff\xff\x01").expect("room");
    assert!(matches!(
        message::receive(&other),
        Err(HandoverError::Order)
    ));
}
