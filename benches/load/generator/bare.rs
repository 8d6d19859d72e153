//! The bare loop: the cost of the writes alone.
//!
//! It answers every client with the same few prepared messages, chunks each message of its one
//! publisher once, and writes it to every viewer in a loop. No timers, no queues, no policies; if it
//! makes fewer writes than there are messages, some messages leave with the next one.

use std::{cell::RefCell, io, net::Ipv4Addr, rc::Rc};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task,
};

use super::{Commands, object, say};
use crate::wire::{self, Amf, Assembler, Header, Parser};

/// The writes of the loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writes {
    /// For each message and viewer; at most one.
    pub(super) each: f64,
    /// Whether the kernel may merge those to a viewer.
    pub(super) merging: bool,
}

pub(super) async fn run(
    mut commands: Commands,
    address: Ipv4Addr,
    writes: Writes,
) -> io::Result<()> {
    let listener = TcpListener::bind((address, 0)).await?;
    say(&json!({"ready": true, "listening": listener.local_addr()?.to_string()}));
    let viewers = Rc::new(RefCell::new(Vec::new()));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                let viewers = Rc::clone(&viewers);
                // A client that leaves ends its task; the reason does not matter.
                task::spawn_local(async move { let _ = serve(stream, &viewers, writes).await; });
            }
            command = commands.next() => {
                if command.is_none() {
                    return Ok(());
                }
            }
        }
    }
}

type Viewers = RefCell<Vec<Rc<TcpStream>>>;

async fn serve(mut stream: TcpStream, viewers: &Viewers, writes: Writes) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut hello = [0; 1 + wire::HANDSHAKE];
    stream.read_exact(&mut hello).await?;
    let mut answer = wire::c0c1();
    answer.extend_from_slice(&hello[1..]);
    stream.write_all(&answer).await?;
    stream.read_exact(&mut hello[1..]).await?;
    let mut buffer = vec![0; 64 * 1024];
    let mut parser = Parser::new();
    let mut inbox = Assembler::default();
    let mut played = false;
    let stream = Rc::new(stream);
    let mut out = Vec::new();
    let mut waiting = Waiting::new(writes.each);
    loop {
        stream.readable().await?;
        match stream.try_read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => parser.feed(&buffer[..count], &mut inbox),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(message) = inbox.messages.pop_front() {
            out.clear();
            match message.header.kind {
                wire::AUDIO | wire::VIDEO => {
                    let header = Header {
                        stream: 1,
                        ..message.header
                    };
                    let media = &mut waiting.bytes;
                    wire::write_message(media, &header, &message.payload, CHUNK_SIZE);
                    waiting.leave(viewers);
                }
                wire::SHARED_OBJECT_AMF0 => {
                    wire::write_message(&mut out, &message.header, &message.payload, CHUNK_SIZE);
                    if message.payload.get(object::EVENT_AT) == Some(&object::USE) {
                        viewers.borrow_mut().push(Rc::clone(&stream));
                    } else {
                        send(viewers, &out);
                    }
                }
                _ => {
                    let plays = answer_to(&message, &mut out);
                    if stream.try_write(&out)? != out.len() {
                        return Ok(());
                    }
                    if plays && !std::mem::replace(&mut played, true) {
                        stream.set_nodelay(!writes.merging)?;
                        viewers.borrow_mut().push(Rc::clone(&stream));
                    }
                }
            }
        }
    }
}

/// Messages of the publisher that wait for the next write.
struct Waiting {
    bytes: Vec<u8>,
    each: f64,
    /// Writes that are due; one is made when there is a whole one.
    due: f64,
}

impl Waiting {
    fn new(each: f64) -> Self {
        let (bytes, due) = (Vec::new(), 0.0);
        Self { bytes, each, due }
    }

    /// Counts a message, and writes all if a write is due.
    fn leave(&mut self, viewers: &Viewers) {
        self.due += self.each;
        if self.due >= 1.0 {
            self.due -= 1.0;
            send(viewers, &self.bytes);
            self.bytes.clear();
        }
    }
}

/// Writes to every viewer. A viewer that cannot take a message whole is dropped: this loop has no
/// queues.
fn send(viewers: &Viewers, bytes: &[u8]) {
    viewers
        .borrow_mut()
        .retain(|viewer| matches!(viewer.try_write(bytes), Ok(n) if n == bytes.len()));
}

/// Appends the answer to a command; returns whether the command was a play.
fn answer_to(message: &wire::Message, out: &mut Vec<u8>) -> bool {
    let values = message.values();
    let transaction = values.get(1).cloned().unwrap_or(Amf::Null);
    let info = |code: &str| {
        Amf::Object(vec![
            ("level".into(), "status".into()),
            ("code".into(), code.into()),
        ])
    };
    let name = message.name().unwrap_or_default();
    let (values, stream) = match name.as_str() {
        "connect" => {
            let header = Header {
                csid: 2,
                kind: wire::SET_CHUNK_SIZE,
                ..Header::default()
            };
            wire::write_message(out, &header, &(CHUNK_SIZE as u32).to_be_bytes(), CHUNK_SIZE);
            let info = info("NetConnection.Connect.Success");
            (vec!["_result".into(), transaction, Amf::Null, info], 0)
        }
        "createStream" => (
            vec!["_result".into(), transaction, Amf::Null, 1.0.into()],
            0,
        ),
        "play" => (status(info("NetStream.Play.Start")), 1),
        "publish" => (status(info("NetStream.Publish.Start")), 1),
        _ => return false,
    };
    let header = Header {
        csid: 3,
        kind: wire::COMMAND_AMF0,
        stream,
        ..Header::default()
    };
    wire::write_message(out, &header, &Amf::encode_all(&values), CHUNK_SIZE);
    name == "play"
}

fn status(info: Amf) -> Vec<Amf> {
    vec!["onStatus".into(), 0.0.into(), Amf::Null, info]
}

/// A message is one chunk, as in an efficient server.
const CHUNK_SIZE: usize = 65_536;
