//! Members of one shared object, one of which changes a slot at a steady rate.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    task,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Commands, object, say};
use crate::{
    client::Client,
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
        client
            .send(&object::change("position", f64::from(value)))
            .await?;
        shared.changes.set(shared.changes.get() + 1);
    }
    Ok(())
}

async fn join(server: SocketAddr, app: &str, index: usize) -> io::Result<Client> {
    let mut client = Client::open(server, index).await?;
    client.connect(app).await?;
    client.send(&object::begin_use()).await?;
    Ok(client)
}

struct Count(Rc<Shared>);

impl Sink for Count {
    fn complete(&mut self, header: &Header, _prefix: &[u8]) {
        if header.kind == wire::SHARED_OBJECT_AMF0 {
            self.0.messages.set(self.0.messages.get() + 1);
        }
    }
}

struct Nothing;

impl Sink for Nothing {
    fn complete(&mut self, _header: &Header, _prefix: &[u8]) {}
}
