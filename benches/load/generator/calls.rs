//! Sessions of one group that call, and one more that sends large commands without pause.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    task,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Commands, say};
use crate::{
    client::Client,
    histogram::Histogram,
    stamp,
    wire::{self, Amf},
};

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    count: usize,
    method: String,
    bulk_bytes: usize,
) -> io::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::new()));
    let (bulk, bulk_on) = watch::channel(false);
    for index in 0..count {
        let (tally, app, method) = (Rc::clone(&tally), app.clone(), method.clone());
        task::spawn_local(async move {
            if let Err(error) = call(server, &app, index, &method, &tally).await {
                tally.borrow_mut().failed += 1;
                eprintln!("caller {index}: {error}");
            }
        });
    }
    let heavy = Rc::clone(&tally);
    task::spawn_local(async move {
        if let Err(error) = flood(server, &app, count, &method, bulk_bytes, bulk_on, &heavy).await {
            heavy.borrow_mut().failed += 1;
            eprintln!("bulk: {error}");
        }
    });
    while tally.borrow().connected + tally.borrow().failed < count + 1 {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true, "failed": tally.borrow().failed}));
    while let Some((command, seconds)) = commands.next().await {
        bulk.send_replace(command == "bulk");
        // Answers that are under way have to arrive first.
        sleep(Duration::from_secs(1)).await;
        tally.borrow_mut().reset();
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&tally.borrow().summary());
    }
    Ok(())
}

async fn call(
    server: SocketAddr,
    app: &str,
    index: usize,
    method: &str,
    tally: &RefCell<Tally>,
) -> io::Result<()> {
    let mut client = join(server, app, index, tally).await?;
    let mut ticks = interval(CALL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The callers spread their calls over the interval and do not call in one burst.
    sleep(CALL_EVERY * (index % 100) as u32 / 100).await;
    for transaction in 10_u32.. {
        ticks.tick().await;
        let transaction = f64::from(transaction);
        let begun = stamp::now_nanos();
        let values = [
            method.into(),
            transaction.into(),
            Amf::Null,
            transaction.into(),
        ];
        client.call(&values, transaction).await?;
        tally
            .borrow_mut()
            .latency
            .record(stamp::now_nanos() - begun);
    }
    Ok(())
}

/// Sends one large command after the other, with two under way.
async fn flood(
    server: SocketAddr,
    app: &str,
    index: usize,
    method: &str,
    bytes: usize,
    mut on: watch::Receiver<bool>,
    tally: &RefCell<Tally>,
) -> io::Result<()> {
    let mut client = join(server, app, index, tally).await?;
    let filler = "x".repeat(bytes);
    let mut out = Vec::new();
    let chunk_size = wire::Header {
        csid: 2,
        kind: wire::SET_CHUNK_SIZE,
        ..wire::Header::default()
    };
    wire::write_message(&mut out, &chunk_size, &65_536_u32.to_be_bytes(), 128);
    client.send(&out).await?;
    let mut ahead = 0;
    for transaction in 10_u32.. {
        if !*on.borrow() {
            on.changed().await.map_err(io::Error::other)?;
        }
        let transaction = f64::from(transaction);
        let values = [
            method.into(),
            transaction.into(),
            Amf::Null,
            filler.as_str().into(),
        ];
        let header = wire::Header {
            csid: 3,
            kind: wire::COMMAND_AMF0,
            ..wire::Header::default()
        };
        out.clear();
        wire::write_message(&mut out, &header, &Amf::encode_all(&values), 65_536);
        client.send(&out).await?;
        ahead += 1;
        // Two are always under way, so that the sender never waits for an answer.
        if ahead == 2 {
            client.answer(transaction - 1.0).await?;
            ahead -= 1;
            tally.borrow_mut().bulk += 1;
        }
    }
    Ok(())
}

async fn join(
    server: SocketAddr,
    app: &str,
    index: usize,
    tally: &RefCell<Tally>,
) -> io::Result<Client> {
    let mut client = Client::open(server, index).await?;
    client.connect(app).await?;
    client.create_stream().await?;
    tally.borrow_mut().connected += 1;
    Ok(client)
}

struct Tally {
    connected: usize,
    failed: usize,
    bulk: u64,
    latency: Histogram,
}

impl Tally {
    fn new() -> Self {
        Self {
            connected: 0,
            failed: 0,
            bulk: 0,
            latency: Histogram::new(),
        }
    }

    fn reset(&mut self) {
        self.bulk = 0;
        self.latency = Histogram::new();
    }

    fn summary(&self) -> Value {
        json!({
            "failed": self.failed,
            "bulk": self.bulk,
            "latency": self.latency.summary(),
        })
    }
}

const CALL_EVERY: Duration = Duration::from_millis(100);
