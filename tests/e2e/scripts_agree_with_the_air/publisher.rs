//! Publishers that take orders: clients of the tests' own in threads, and ffmpeg.

use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, SyncSender, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::wired::{Nothing, Wired},
    media::clip,
    program::Program,
    synthetic::Codec,
    wire::{self, Amf, Message},
};

/// The state of a publisher by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    Nothing,
    /// A publish has no answer yet.
    Asking,
    Publishing(String),
    /// The connection is over.
    Gone,
}

#[derive(Debug)]
pub(super) enum Order {
    /// Publish a name, with a query if there is one.
    Publish(String),
    Unpublish,
    /// Unpublish and close the connection.
    Leave,
    /// Close the connection without unpublish.
    Vanish,
    /// Reset the TCP connection.
    Reset,
}

/// A session that publishes one stream at a time; its frames bear its number.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) app: &'static str,
    pub(super) nick: String,
    pub(super) number: u32,
    doing: Arc<Mutex<Doing>>,
    orders: SyncSender<Order>,
}

impl Publisher {
    pub(super) fn connect(
        server: SocketAddr,
        app: &'static str,
        nick: String,
        number: u32,
    ) -> Self {
        let arguments = [nick.as_str().into(), ROOM.into()];
        let mut client = Wired::session_with(server, app, &arguments);
        client.set_chunk_size(4096);
        let stream = client.create_stream();
        let (orders, ordered) = mpsc::sync_channel(ORDERS);
        let doing = Arc::new(Mutex::new(Doing::Nothing));
        let work = Work {
            client,
            stream,
            number,
            asked: None,
            begun: Instant::now(),
            doing: Arc::clone(&doing),
        };
        thread::spawn(move || work.run(&ordered));
        Self {
            app,
            nick,
            number,
            doing,
            orders,
        }
    }

    pub(super) fn doing(&self) -> Doing {
        self.doing.lock().expect("no panic").clone()
    }

    pub(super) fn order(&self, order: Order) {
        if matches!(order, Order::Publish(_)) {
            let mut doing = self.doing.lock().expect("no panic");
            if *doing != Doing::Gone {
                *doing = Doing::Asking;
            }
        }
        // A publisher whose connection is over takes no orders.
        let _ = self.orders.send(order);
    }
}

struct Work {
    client: Wired,
    stream: u32,
    number: u32,
    asked: Option<String>,
    begun: Instant,
    doing: Arc<Mutex<Doing>>,
}

impl Work {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut next_frame = Instant::now();
        while let Some(()) = self.turn(orders) {
            if self.is_publishing() && Instant::now() >= next_frame {
                next_frame = Instant::now() + FRAME;
                if self.send_frame().is_err() {
                    break;
                }
            }
        }
        *self.doing.lock().expect("no panic") = Doing::Gone;
    }

    /// Takes one order and one message; returns `None` once the connection is over.
    fn turn(&mut self, orders: &Receiver<Order>) -> Option<()> {
        match orders.try_recv() {
            Ok(Order::Publish(name)) => self.publish(&name)?,
            Ok(Order::Unpublish) => self.unpublish()?,
            Ok(Order::Leave) => {
                self.unpublish()?;
                return None;
            }
            Ok(Order::Reset) => {
                self.client.reset_when_dropped();
                return None;
            }
            Ok(Order::Vanish) | Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        match self.client.next(FRAME / 4) {
            Ok(message) => self.hear(&message),
            Err(Nothing::Late) => {}
            Err(Nothing::Closed) => return None,
        }
        Some(())
    }

    fn publish(&mut self, name: &str) -> Option<()> {
        let bare = name.split('?').next().unwrap_or_default();
        self.asked = Some(bare.to_owned());
        let values = [
            "publish".into(),
            0.0.into(),
            Amf::Null,
            name.into(),
            "live".into(),
        ];
        self.client.command(self.stream, &values).ok()
    }

    fn unpublish(&mut self) -> Option<()> {
        self.asked = None;
        *self.doing.lock().expect("no panic") = Doing::Nothing;
        let values = ["closeStream".into(), 0.0.into(), Amf::Null];
        self.client.command(self.stream, &values).ok()
    }

    /// An answer counts only for the last name that was asked for.
    fn hear(&mut self, message: &Message) {
        let Some(code) = message.code() else {
            return;
        };
        let details = message.values().iter().find_map(|value| {
            let details = value.field("details")?;
            match details {
                Amf::String(details) => Some(details.clone()),
                _ => None,
            }
        });
        if self.asked.is_none() || details != self.asked {
            return;
        }
        let mut doing = self.doing.lock().expect("no panic");
        match code.as_str() {
            "NetStream.Publish.Start" => {
                self.begun = Instant::now();
                *doing = Doing::Publishing(details.unwrap_or_default());
            }
            "NetStream.Publish.BadName" => *doing = Doing::Nothing,
            _ => {}
        }
    }

    fn is_publishing(&self) -> bool {
        matches!(*self.doing.lock().expect("no panic"), Doing::Publishing(_))
    }

    fn send_frame(&mut self) -> std::io::Result<()> {
        let time = self.begun.elapsed().as_millis() as u32;
        for header in Codec::Avc.headers() {
            let kind = header.message_type();
            self.client
                .media(self.stream, kind, time, &header.payload)?;
        }
        for (kind, payload) in Codec::Avc.frames(self.number, true, FRAME_BYTES) {
            self.client.media(self.stream, kind, time, &payload)?;
        }
        Ok(())
    }
}

/// The number of the publisher whose frame this is; none for a frame of an encoder.
pub(super) fn number_of(message: &Message) -> Option<u32> {
    let payload = &message.payload;
    let ours = message.header.kind == wire::VIDEO
        && payload.len() == FRAME_BYTES
        && payload.ends_with(&[0x6b; 16]);
    let number = payload.get(5..9)?.try_into().ok()?;
    ours.then(|| u32::from_be_bytes(number))
}

/// ffmpeg as a publisher of a name.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) app: &'static str,
    pub(super) nick: String,
    pub(super) name: String,
    pub(super) program: Program,
}

impl Encoder {
    pub(super) fn start(
        server: SocketAddr,
        app: &'static str,
        nick: String,
        name: &str,
        directory: &Path,
    ) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-nostdin"]);
        command
            .args(["-re", "-stream_loop", "-1", "-i"])
            .arg(clip());
        command.args(["-c", "copy", "-f", "flv", "-rtmp_conn"]);
        command.arg(format!("S:{nick} S:{ROOM}"));
        command.arg(format!("rtmp://{server}/{app}/{name}"));
        let program = Program::spawn(&nick, &mut command, directory);
        Self {
            app,
            nick,
            name: name.split('?').next().unwrap_or_default().to_owned(),
            program,
        }
    }
}

/// The room of all publishers in the chat.
pub(super) const ROOM: &str = "lobby";

/// Orders that a publisher has not carried out; the driver gives the next one after that.
const ORDERS: usize = 16;

const FRAME: Duration = Duration::from_millis(80);
const FRAME_BYTES: usize = 400;
