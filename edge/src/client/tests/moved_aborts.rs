//! Processes that ask for the clients of an edge, and go away in the middle of the conversation.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use tokio::join;
use tributary_protocol::{TransactionId, command::Command, parcel::VERSION, session::ClientEvent};

use super::support::{Client, Edge, LONG, Peer};
use crate::{
    handover::{Given, Giver, Passed, SocketRole, give, take},
    live::{LiveClients, Taken},
};

const NAME: &str = "edge-1";

const CLIENTS: usize = 3;

const HELLO: u8 = 1;
const REFUSE: u8 = 2;
const TAKEN: u8 = 5;
const LEFT: u8 = 6;
const READY: u8 = 7;
const MOVED: u8 = 8;

/// The kinds of the messages of a whole conversation, in their order; the new process says the second
/// of each pair that is set.
const CONVERSATION: [(u8, bool); 9] = [
    (HELLO, true),
    (3, false),
    (4, false),
    (READY, true),
    (MOVED, false),
    (10, false),
    (11, false),
    (12, false),
    (13, false),
];

/// An edge with live clients.
struct Live {
    clients: LiveClients,
    taken: SyncSender<()>,
}

impl Given for Live {
    fn name(&self) -> &str {
        NAME
    }

    fn sockets(&self) -> Result<Vec<Passed>, String> {
        let (socket, _) = UnixStream::pair().map_err(|error| error.to_string())?;
        Ok(vec![Passed {
            role: SocketRole::Admin,
            socket: socket.into(),
        }])
    }

    fn clients(&self) -> Option<LiveClients> {
        Some(self.clients.clone())
    }

    fn taken(&self) {
        self.taken.send(()).expect("the test waits");
    }
}

/// The way in which the other process ends a conversation.
#[derive(Clone, Copy, Debug)]
enum Break {
    Goes,
    /// Half a message comes before.
    Cut,
    /// A message comes that does not belong there.
    Wrong,
}

fn say(stream: &mut UnixStream, kind: u8) {
    let mut content = Vec::new();
    if kind == HELLO {
        content.extend(VERSION.to_be_bytes());
        content.extend(NAME.as_bytes());
    }
    let length = content.len() as u32 + 1;
    let message = [&length.to_be_bytes()[..], &[kind], &content].concat();
    stream.write_all(&message).expect("it is read");
}

/// Reads a message. Its descriptor is closed.
fn hear(stream: &mut UnixStream) -> u8 {
    let mut head = [0; 5];
    stream.read_exact(&mut head).expect("a message");
    let [length @ .., kind] = head;
    let mut content = vec![0; u32::from_be_bytes(length) as usize - 1];
    stream.read_exact(&mut content).expect("all of it");
    kind
}

/// Asks for the edge, once it has ended the conversation before.
fn connect(path: &Path) -> UnixStream {
    loop {
        let mut stream = UnixStream::connect(path).expect("the edge listens");
        stream.set_read_timeout(Some(LONG)).expect("a time");
        say(&mut stream, HELLO);
        if hear(&mut stream) != REFUSE {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Has a conversation of so many messages. Returns once the edge serves again.
fn converse(path: &Path, messages: usize, how: Break) {
    if messages > 0 {
        // The first answer has been heard.
        let mut stream = connect(path);
        for (kind, is_own) in CONVERSATION.into_iter().take(messages).skip(2) {
            match is_own {
                true => say(&mut stream, kind),
                false => {
                    let mut heard = hear(&mut stream);
                    // The clients come in one message or in several.
                    while heard == MOVED && kind != MOVED {
                        heard = hear(&mut stream);
                    }
                    assert_eq!(heard, kind);
                }
            }
        }
        match how {
            Break::Goes => {}
            Break::Cut => stream.write_all(&[0, 0, 0]).expect("it is read"),
            Break::Wrong => {
                say(&mut stream, LEFT);
                let mut rest = Vec::new();
                // The edge closes, whatever it has sent before.
                let _ = stream.read_to_end(&mut rest);
            }
        }
    } else {
        let mut stream = UnixStream::connect(path).expect("the edge listens");
        match how {
            Break::Goes => {}
            Break::Cut => stream.write_all(&[0, 0, 0, 9, HELLO]).expect("room"),
            Break::Wrong => say(&mut stream, TAKEN),
        }
    }
    drop(connect(path));
}

/// Each client calls and is answered.
async fn is_served(edge: &mut Edge, clients: &mut [Client], peers: &[Peer]) {
    for (client, peer) in clients.iter_mut().zip(peers) {
        client.connection.notify("count", Vec::new());
        client.send().await;
        assert_eq!(edge.command(peer).await.0.name, "count");
        peer.command(&Command::new("count", TransactionId(0.0)));
        let event = client.event().await;
        assert!(matches!(event, ClientEvent::Command { .. }), "{event:?}");
    }
}

/// The edge behind a socket.
fn behind(edge: &Edge) -> (tempfile::TempDir, PathBuf, Receiver<()>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("edge.sock");
    let (tell, taken) = sync_channel(1);
    let live = Live {
        clients: edge.live_clients(),
        taken: tell,
    };
    give(Giver::bind(&path).expect("a new socket"), live).expect("a thread");
    (directory, path, taken)
}

#[tokio::test]
async fn an_abort_at_any_message_changes_nothing_and_a_replacement_works_afterwards() {
    let (mut old, mut new) = (Edge::start(), Edge::start());
    let (mut clients, mut peers) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let (client, peer) = old.session().await;
        clients.push(client);
        peers.push(peer);
    }
    let (_directory, path, taken) = behind(&old);
    for how in [Break::Goes, Break::Cut, Break::Wrong] {
        for messages in 0..=CONVERSATION.len() {
            println!("{how:?} after {messages}");
            let path = path.clone();
            let marked: Vec<_> = peers.iter().collect();
            old.during(&marked, move || converse(&path, messages, how))
                .await;
            is_served(&mut old, &mut clients, &peers).await;
        }
    }
    // From Ready on the clients have stood still.
    assert_eq!(old.links.thaws, 3 * 6);
    let taking = new.holding().await;
    let berths = new.berths(&peers);
    let marked: Vec<_> = peers.iter().collect();
    let ((), (takeover, taking)) = join!(
        old.during(&marked, move || taken
            .recv_timeout(LONG)
            .expect("it leaves")),
        new.during(&[], move || {
            let takeover = take(&path, NAME).expect("sockets");
            assert!(takeover.is_live());
            let taken = takeover.take_clients(&taking).expect("clients");
            let (clients, refused) = (CLIENTS, 0);
            assert_eq!(taken, Taken { clients, refused });
            (takeover.confirm().expect("it leaves"), taking)
        })
    );
    let _taking = new.serve(taking).await;
    let peers = new.arrived(&peers, berths);
    is_served(&mut new, &mut clients, &peers).await;
    assert_eq!(old.links.closes(), []);
    drop(takeover);
}
