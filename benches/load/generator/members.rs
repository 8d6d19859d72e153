//! Members of one shared object, one of which changes a slot at a steady rate.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    task,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Commands, say};
use crate::{
    client::{self, Client},
    wire::{self, Header, Sink},
};

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    count: usize,
    rate: f64,
) -> io::Result<()> {
    let shared = Rc::new(Shared::default());
    for index in 0..count {
        let (shared, app) = (Rc::clone(&shared), app.clone());
        task::spawn_local(async move {
            if let Err(error) = member(server, &app, index, &shared).await {
                eprintln!("member {index}: {error}");
            }
            shared.gone.set(shared.gone.get() + 1);
        });
    }
    while shared.ready.get() + shared.gone.get() < count {
        sleep(Duration::from_millis(20)).await;
    }
    let author = Rc::clone(&shared);
    task::spawn_local(async move {
        if let Err(error) = write(server, &app, count, rate, &author).await {
            eprintln!("author: {error}");
            author.gone.set(author.gone.get() + 1);
        }
    });
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        shared.changes.set(0);
        shared.messages.set(0);
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&json!({
            "changes": shared.changes.get(),
            "messages": shared.messages.get(),
            "gone": shared.gone.get(),
        }));
    }
    Ok(())
}

#[derive(Default)]
struct Shared {
    ready: Cell<usize>,
    gone: Cell<usize>,
    changes: Cell<u64>,
    /// Messages that members got.
    messages: Cell<u64>,
}

async fn member(
    server: SocketAddr,
    app: &str,
    index: usize,
    shared: &Rc<Shared>,
) -> io::Result<()> {
    let mut client = join(server, app, index).await?;
    shared.ready.set(shared.ready.get() + 1);
    client.receive(&mut Count(Rc::clone(shared))).await
}

async fn write(
    server: SocketAddr,
    app: &str,
    index: usize,
    rate: f64,
    shared: &Shared,
) -> io::Result<()> {
    let mut client = join(server, app, index).await?;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / rate));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut nothing = Nothing;
    for value in 1_u32.. {
        tokio::select! {
            _ = ticks.tick() => {}
            ended = client.receive(&mut nothing) => return ended,
        }
        let mut data = slot();
        data.push(0);
        data.extend_from_slice(&f64::from(value).to_be_bytes());
        client.send(&event(REQUEST_CHANGE, &data)).await?;
        shared.changes.set(shared.changes.get() + 1);
    }
    Ok(())
}

async fn join(server: SocketAddr, app: &str, index: usize) -> io::Result<Client> {
    let mut client = Client::open(server, client::source(index)).await?;
    client.connect(app).await?;
    client.send(&event(USE, &[])).await?;
    Ok(client)
}

/// A message with one event of the object.
fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend_from_slice(&(NAME.len() as u16).to_be_bytes());
    payload.extend_from_slice(NAME.as_bytes());
    payload.extend_from_slice(&[0; 12]);
    payload.push(kind);
    payload.extend_from_slice(&(data.len() as u32).to_be_bytes());
    payload.extend_from_slice(data);
    let header = Header {
        csid: 4,
        kind: SHARED_OBJECT,
        ..Header::default()
    };
    let mut out = Vec::new();
    wire::write_message(&mut out, &header, &payload, 128);
    out
}

fn slot() -> Vec<u8> {
    let mut name = (SLOT.len() as u16).to_be_bytes().to_vec();
    name.extend_from_slice(SLOT.as_bytes());
    name
}

struct Count(Rc<Shared>);

impl Sink for Count {
    fn complete(&mut self, header: &Header, _prefix: &[u8]) {
        if header.kind == SHARED_OBJECT {
            self.0.messages.set(self.0.messages.get() + 1);
        }
    }
}

struct Nothing;

impl Sink for Nothing {
    fn complete(&mut self, _header: &Header, _prefix: &[u8]) {}
}

const NAME: &str = "board";
const SLOT: &str = "position";
const REQUEST_CHANGE: u8 = 3;

pub(super) const SHARED_OBJECT: u8 = 19;
/// The event that begins the use of an object.
pub(super) const USE: u8 = 1;
/// The place of the first event's type in a message of [`NAME`].
pub(super) const EVENT_AT: usize = 2 + NAME.len() + 12;
