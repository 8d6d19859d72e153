//! Many viewers: counts the media that arrives and its delay.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Commands, say};
use crate::{
    client::Client,
    histogram::Histogram,
    reading::Reading,
    stamp::{self, Stamp},
    transport::Transport,
    wire::{self, Header, Sink},
};

/// The viewers of one process.
pub(super) struct Crowd {
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    pub(super) app: String,
    /// The stream; `{}` in it stands for the viewer's number.
    pub(super) name: String,
    /// The number of the first viewer among all of the run.
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) reading: Reading,
}

pub(super) async fn run(mut commands: Commands, crowd: Crowd) -> io::Result<()> {
    let crowd = Rc::new(crowd);
    let tally = Rc::new(RefCell::new(Tally::new(crowd.count)));
    let turns = Rc::new(Semaphore::new(CONNECTING_AT_ONCE));
    for index in 0..crowd.count {
        let (crowd, tally, turns) = (Rc::clone(&crowd), Rc::clone(&tally), Rc::clone(&turns));
        task::spawn_local(async move {
            if let Err(error) = view(&crowd, index, &tally, &turns).await {
                tally.borrow_mut().ended(index);
                eprintln!("viewer {index}: {error}");
            }
        });
    }
    let late = Instant::now() + BEGUN_WITHIN;
    while !tally.borrow().all_begun() && Instant::now() < late {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        tally.borrow_mut().reset();
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&tally.borrow().summary());
    }
    Ok(())
}

async fn view(
    crowd: &Crowd,
    index: usize,
    tally: &Rc<RefCell<Tally>>,
    turns: &Semaphore,
) -> io::Result<()> {
    let turn = turns.acquire().await.map_err(io::Error::other)?;
    let number = crowd.first + index;
    let mut client = Client::open_over(crowd.transport, crowd.server, number).await?;
    client.connect(&crowd.app).await?;
    let stream = client.create_stream().await?;
    let name = crowd.name.replace("{}", &number.to_string());
    client.play(stream, &name).await?;
    drop(turn);
    match crowd.reading {
        Reading::Prompt => {
            let mut viewer = Viewer {
                index,
                tally: Rc::clone(tally),
                bytes: 0,
                next: [None; 2],
            };
            loop {
                let found = client.receive_once(&mut viewer).await?;
                tally.borrow_mut().arrivals += u64::from(found);
            }
        }
        Reading::Lazy => {
            let mut discard = client.discard()?;
            // The viewers' turns are spread over the pause.
            sleep(LAZY.mul_f64(index as f64 / crowd.count as f64)).await;
            let mut turn = interval(LAZY);
            turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                turn.tick().await;
                let bytes = discard.take()?;
                tally.borrow_mut().discarded(index, bytes);
            }
        }
    }
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
        tally.messages += 1;
        tally.lost += lost;
        tally.repeated += u64::from(again);
        tally.latency.record(late);
        if header.kind == wire::VIDEO {
            tally.pictured(self.index, stamp);
        }
        let bytes = std::mem::take(&mut self.bytes);
        tally.received(self.index, bytes);
    }
}

struct Tally {
    begun: Vec<bool>,
    /// Viewers without a connection any more; those of them that had received media are `closed`.
    failed: usize,
    closed: usize,
    /// The bytes of each viewer.
    bytes: Vec<u64>,
    messages: u64,
    /// Reads that found bytes.
    arrivals: u64,
    lost: u64,
    repeated: u64,
    latency: Histogram,
    /// When the measured time began, and the milliseconds from then until each viewer had a picture
    /// that was sent since.
    measured_from: u64,
    served_ms: Vec<Option<f64>>,
}

impl Tally {
    fn new(count: usize) -> Self {
        Self {
            begun: vec![false; count],
            failed: 0,
            closed: 0,
            bytes: vec![0; count],
            messages: 0,
            arrivals: 0,
            lost: 0,
            repeated: 0,
            latency: Histogram::new(),
            measured_from: 0,
            served_ms: vec![None; count],
        }
    }

    fn pictured(&mut self, index: usize, stamp: Stamp) {
        let served = &mut self.served_ms[index];
        if served.is_none() && stamp.sent_nanos >= self.measured_from {
            let took = stamp::now_nanos().saturating_sub(self.measured_from);
            *served = Some(took as f64 / 1e6);
        }
    }

    fn received(&mut self, index: usize, bytes: u64) {
        self.begun[index] = true;
        self.bytes[index] += bytes;
    }

    fn discarded(&mut self, index: usize, bytes: u64) {
        if bytes > 0 {
            self.received(index, bytes);
        }
    }

    fn ended(&mut self, index: usize) {
        self.failed += 1;
        self.closed += usize::from(self.begun[index]);
    }

    fn joined(&self) -> usize {
        self.begun.iter().filter(|begun| **begun).count()
    }

    fn all_begun(&self) -> bool {
        self.joined() + self.failed - self.closed >= self.begun.len()
    }

    fn reset(&mut self) {
        self.bytes.fill(0);
        self.messages = 0;
        self.arrivals = 0;
        self.lost = 0;
        self.repeated = 0;
        self.latency = Histogram::new();
        self.measured_from = stamp::now_nanos();
        self.served_ms.fill(None);
    }

    fn summary(&self) -> Value {
        json!({
            "messages": self.messages,
            "arrivals": self.arrivals,
            "bytes": self.bytes.iter().sum::<u64>(),
            "fewest_bytes": self.bytes.iter().min(),
            "most_bytes": self.bytes.iter().max(),
            "lost": self.lost,
            "repeated": self.repeated,
            "joined": self.joined(),
            "failed": self.failed,
            "closed": self.closed,
            "latency": self.latency.summary(),
            "served_ms": self.served_ms.iter().flatten().collect::<Vec<_>>(),
        })
    }
}

/// The pause of a viewer that does not read at once.
const LAZY: Duration = Duration::from_millis(100);
/// Viewers of a server that is full may not receive media at all.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// More at once would measure the listen queue.
const CONNECTING_AT_ONCE: usize = 32;
