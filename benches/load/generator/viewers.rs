//! Viewers of one stream, which count messages and measure their delay.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task, time::sleep};

use super::{Commands, say};
use crate::{
    client::{self, Client},
    histogram::Histogram,
    stamp::{self, Stamp},
    wire::{self, Header, Sink},
};

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    name: String,
    count: usize,
) -> io::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::new(count)));
    let turns = Rc::new(Semaphore::new(CONNECTING_AT_ONCE));
    for index in 0..count {
        let (tally, turns) = (Rc::clone(&tally), Rc::clone(&turns));
        let (app, name) = (app.clone(), name.clone());
        task::spawn_local(async move {
            if let Err(error) = view(server, &app, &name, index, &tally, &turns).await {
                tally.borrow_mut().failed += 1;
                eprintln!("viewer {index}: {error}");
            }
        });
    }
    while !tally.borrow().all_begun() {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true, "failed": tally.borrow().failed}));
    while let Some((_, seconds)) = commands.next().await {
        tally.borrow_mut().reset();
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&tally.borrow().summary());
    }
    Ok(())
}

async fn view(
    server: SocketAddr,
    app: &str,
    name: &str,
    index: usize,
    tally: &Rc<RefCell<Tally>>,
    turns: &Semaphore,
) -> io::Result<()> {
    let turn = turns.acquire().await.map_err(io::Error::other)?;
    let mut client = Client::open(server, client::source(index)).await?;
    client.connect(app).await?;
    let stream = client.create_stream().await?;
    client.play(stream, name).await?;
    drop(turn);
    let mut viewer = Viewer {
        index,
        tally: Rc::clone(tally),
        bytes: 0,
        next: [None; 2],
    };
    client.receive(&mut viewer).await
}

struct Viewer {
    index: usize,
    tally: Rc<RefCell<Tally>>,
    bytes: u64,
    next: [Option<u64>; 2],
}

impl Sink for Viewer {
    fn piece(&mut self, _header: &Header, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
    }

    fn complete(&mut self, header: &Header, prefix: &[u8]) {
        let Some(stamp) = Stamp::find(header.kind, prefix) else {
            return;
        };
        let late = stamp::now_nanos().saturating_sub(stamp.sent_nanos);
        let next = &mut self.next[usize::from(header.kind == wire::VIDEO)];
        let lost = next.map_or(0, |next| stamp.sequence.saturating_sub(next));
        let again = next.is_some_and(|next| stamp.sequence < next);
        *next = Some(stamp.sequence + 1);
        let mut tally = self.tally.borrow_mut();
        tally.messages[self.index] += 1;
        tally.begun[self.index] = true;
        tally.bytes += std::mem::take(&mut self.bytes);
        tally.lost += lost;
        tally.repeated += u64::from(again);
        tally.latency.record(late);
    }
}

struct Tally {
    begun: Vec<bool>,
    failed: usize,
    messages: Vec<u64>,
    bytes: u64,
    lost: u64,
    repeated: u64,
    latency: Histogram,
}

impl Tally {
    fn new(count: usize) -> Self {
        Self {
            begun: vec![false; count],
            failed: 0,
            messages: vec![0; count],
            bytes: 0,
            lost: 0,
            repeated: 0,
            latency: Histogram::new(),
        }
    }

    fn all_begun(&self) -> bool {
        let begun = self.begun.iter().filter(|begun| **begun).count();
        begun + self.failed >= self.begun.len()
    }

    fn reset(&mut self) {
        self.messages.fill(0);
        self.bytes = 0;
        self.lost = 0;
        self.repeated = 0;
        self.latency = Histogram::new();
    }

    fn summary(&self) -> Value {
        json!({
            "messages": self.messages.iter().sum::<u64>(),
            "fewest": self.messages.iter().min(),
            "most": self.messages.iter().max(),
            "bytes": self.bytes,
            "lost": self.lost,
            "repeated": self.repeated,
            "failed": self.failed,
            "latency": self.latency.summary(),
        })
    }
}

/// More clients at once would measure the listen queue.
const CONNECTING_AT_ONCE: usize = 32;
