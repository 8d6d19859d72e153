//! Idle sessions: connected, with one message stream, silent until a command makes them act.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    sync::{Notify, Semaphore},
    task,
    time::{sleep, sleep_until},
};

use super::{Commands, object, say, share::Share, turns::Turns};
use crate::{
    client::Client,
    histogram::Histogram,
    stamp,
    transport::Transport,
    wire::{Amf, Header, Sink},
};

/// The sessions of this process.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    /// The application, `{}` in it being the group's number.
    pub(super) app: String,
    pub(super) share: Share,
    /// Sessions that connect in a second; `None` is as many as the server takes.
    pub(super) rate: Option<f64>,
    pub(super) acts: Option<Acts>,
}

/// Something that a session does when it has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It changes its slot of the shared object of its group, which all sessions use.
    Change,
    /// It calls, and waits for the answer.
    Call,
}

/// The acts of all processes' sessions together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acts {
    pub(super) act: Act,
    pub(super) per_second: f64,
    /// The groups that take turns.
    pub(super) groups: usize,
}

pub(super) async fn run(mut commands: Commands, held: Held) -> io::Result<()> {
    let shared = Rc::new(Shared {
        state: RefCell::default(),
        call: Notify::new(),
        authors: RefCell::default(),
        at_once: Semaphore::new(CONNECTING_AT_ONCE),
        turns: Turns::new(held.rate),
        held,
    });
    say(&json!({"ready": true}));
    while let Some((command, number)) = commands.next().await {
        match command.as_str() {
            "grow" => {
                shared.grow(number as usize);
                let wanted = shared.started();
                shared.wait(wanted, |state| state.connected).await;
            }
            "call" => {
                shared.state.borrow_mut().begin();
                shared.call.notify_waiters();
                shared.wait(shared.callers(), |state| state.answered).await;
            }
            "act" => {
                shared.state.borrow_mut().begin();
                shared.act(Duration::from_secs_f64(number)).await;
            }
            _ => {}
        }
        say(&shared.state.borrow().summary());
    }
    Ok(())
}

struct Shared {
    held: Held,
    state: RefCell<State>,
    call: Notify,
    /// One for each session: its turn to act.
    authors: RefCell<Vec<Rc<Notify>>>,
    at_once: Semaphore,
    turns: Turns,
}

#[derive(Default)]
struct State {
    connected: usize,
    /// Sessions that failed, connected or not.
    gone: usize,
    answered: usize,
    changes: usize,
    /// Of answers since the last `call`, or of answers or arrivals at other members since the last
    /// `act`.
    latency: Histogram,
}

impl State {
    fn begin(&mut self) {
        self.answered = 0;
        self.changes = 0;
        self.latency = Histogram::new();
    }

    fn summary(&self) -> Value {
        json!({
            "connected": self.connected,
            "gone": self.gone,
            "answered": self.answered,
            "changes": self.changes,
            "latency": self.latency.summary(),
        })
    }
}

impl Shared {
    fn started(&self) -> usize {
        self.authors.borrow().len()
    }

    /// Starts sessions until there are so many.
    fn grow(self: &Rc<Self>, wanted: usize) {
        for own in self.started()..wanted {
            let author = Rc::new(Notify::new());
            self.authors.borrow_mut().push(Rc::clone(&author));
            let (shared, number) = (Rc::clone(self), self.held.share.number(own));
            task::spawn_local(async move {
                if let Err(error) = hold(&shared, number, &author).await {
                    eprintln!("session {number}: {error}");
                }
                shared.state.borrow_mut().gone += 1;
            });
        }
    }

    /// The sessions that call: one of each group.
    fn callers(&self) -> usize {
        let share = self.held.share;
        (0..self.started())
            .filter(|own| share.is_first_member(share.number(*own)))
            .count()
    }

    /// Lets the sessions make their part of the acts.
    async fn act(&self, time: Duration) {
        let begun = Instant::now();
        if let Some(acts) = self.held.acts {
            self.take_turns(acts, begun, time).await;
        }
        sleep_until((begun + time).into()).await;
    }

    async fn take_turns(&self, acts: Acts, begun: Instant, time: Duration) {
        for turn in 0_u32.. {
            let at = Duration::from_secs_f64(f64::from(turn) / acts.per_second);
            if at >= time {
                return;
            }
            let author = self.held.share.author(turn as usize, acts.groups);
            if let Some(author) = author.and_then(|own| self.authors.borrow().get(own).cloned()) {
                sleep_until((begun + at).into()).await;
                author.notify_one();
            }
        }
    }

    /// Waits until `count` of the sessions have come `so_far`, or the rest has failed.
    async fn wait(&self, count: usize, so_far: impl Fn(&State) -> usize) {
        for _ in 0..WAIT_TURNS {
            if self.reached(count, &so_far) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn reached(&self, count: usize, so_far: impl Fn(&State) -> usize) -> bool {
        let state = self.state.borrow();
        so_far(&state) + state.gone >= count
    }
}

async fn hold(shared: &Shared, number: usize, author: &Notify) -> io::Result<()> {
    let mut client = connect(shared, number).await?;
    shared.state.borrow_mut().connected += 1;
    let calls = shared.held.share.is_first_member(number);
    let slot = number.to_string();
    let mut arrivals = Arrivals(&shared.state);
    loop {
        tokio::select! {
            ended = client.receive(&mut arrivals) => return ended,
            () = author.notified() => match shared.held.acts.map(|acts| acts.act) {
                Some(Act::Change) => {
                    let change = object::change(&slot, stamp::now_nanos() as f64);
                    client.send(&change).await?;
                    shared.state.borrow_mut().changes += 1;
                }
                Some(Act::Call) => call(&mut client, shared).await?,
                None => {}
            },
            () = shared.call.notified(), if calls => call(&mut client, shared).await?,
        }
    }
}

async fn connect(shared: &Shared, number: usize) -> io::Result<Client> {
    let held = &shared.held;
    let app = held
        .app
        .replace("{}", &held.share.group(number).to_string());
    let _turn = shared.at_once.acquire().await.map_err(io::Error::other)?;
    shared.turns.next().await;
    let mut client = Client::open_over(held.transport, held.server, number).await?;
    client.connect(&app).await?;
    client.create_stream().await?;
    if held.acts.is_some_and(|acts| acts.act == Act::Change) {
        client.send(&object::begin_use()).await?;
    }
    Ok(client)
}

async fn call(client: &mut Client, shared: &Shared) -> io::Result<()> {
    let begun = stamp::now_nanos();
    let values = ["count".into(), CALL.into(), Amf::Null, 1.0.into()];
    let answer = client.call(&values, CALL).await?;
    if answer.name().as_deref() != Some("_result") {
        return Err(io::Error::other(format!("refused: {:?}", answer.values())));
    }
    let mut state = shared.state.borrow_mut();
    state.answered += 1;
    state.latency.record(stamp::now_nanos() - begun);
    Ok(())
}

/// Takes the time of each change of another member.
struct Arrivals<'s>(&'s RefCell<State>);

impl Sink for Arrivals<'_> {
    fn complete(&mut self, header: &Header, prefix: &[u8]) {
        if let Some(sent) = object::changed(header, prefix) {
            let took = stamp::now_nanos().saturating_sub(sent as u64);
            self.0.borrow_mut().latency.record(took);
        }
    }
}

const CONNECTING_AT_ONCE: usize = 64;
const CALL: f64 = 3.0;
/// Two minutes.
const WAIT_TURNS: usize = 6000;
