//! Sessions that change a slot of their group's shared object and call, each once a second. They tell
//! how long after a command each of them is served: it has an answer to a later call, and a later
//! change of another member.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::Semaphore,
    task,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{Commands, object, say};
use crate::{
    client::Client,
    stamp,
    wire::{self, Amf, Header, Sink},
};

/// The sessions of one process.
pub(super) struct Members {
    pub(super) server: SocketAddr,
    /// The application; `{}` in it stands for the group's number.
    pub(super) app: String,
    /// The number of the first session among all of the run.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Sessions of each group, one after the other by number.
    pub(super) members: usize,
    /// Whether they change the object of their group.
    pub(super) changes: bool,
}

pub(super) async fn run(mut commands: Commands, members: Members) -> io::Result<()> {
    let shared = Rc::new(Shared {
        begun: Cell::new(0),
        state: RefCell::new(State::default()),
        served: RefCell::new(vec![Served::default(); members.count]),
        at_once: Semaphore::new(CONNECTING_AT_ONCE),
        members,
    });
    for own in 0..shared.members.count {
        let shared = Rc::clone(&shared);
        task::spawn_local(async move {
            if let Err(error) = attend(&shared, own).await {
                eprintln!("session {}: {error}", shared.members.first + own);
            }
            shared.state.borrow_mut().gone += 1;
        });
    }
    while shared.is_connecting() {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        shared.begin();
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&shared.summary());
    }
    Ok(())
}

struct Shared {
    members: Members,
    /// When the measured time began.
    begun: Cell<u64>,
    state: RefCell<State>,
    /// One for each session.
    served: RefCell<Vec<Served>>,
    at_once: Semaphore,
}

#[derive(Default)]
struct State {
    connected: usize,
    /// Sessions without a connection any more.
    gone: usize,
    answered: u64,
    /// Calls that the origin's end made fail.
    failed: u64,
    /// Calls with any other answer.
    wrong: u64,
}

/// The nanoseconds from the begin of the measured time until a session had each.
#[derive(Clone, Copy, Default)]
struct Served {
    answer: Option<u64>,
    change: Option<u64>,
    /// The longest time from a call in the measured time to its answer.
    longest: u64,
}

impl Served {
    fn whole_ms(self, changes: bool) -> Option<f64> {
        let change = if changes { self.change? } else { 0 };
        let nanos = self.answer?.max(change);
        Some(nanos as f64 / 1e6)
    }
}

impl Shared {
    /// Begins a measured time.
    fn begin(&self) {
        self.begun.set(stamp::now_nanos());
        self.served.borrow_mut().fill(Served::default());
        let mut state = self.state.borrow_mut();
        (state.answered, state.failed, state.wrong) = (0, 0, 0);
    }

    fn is_connecting(&self) -> bool {
        let state = self.state.borrow();
        state.connected + state.gone < self.members.count
    }

    /// The time since the measured one began, for something that was sent after that.
    fn took(&self, sent: u64) -> Option<u64> {
        let begun = self.begun.get();
        (sent >= begun).then(|| stamp::now_nanos() - begun)
    }

    fn summary(&self) -> Value {
        let state = self.state.borrow();
        let served = self.served.borrow();
        let longest: Vec<f64> = served.iter().map(|it| it.longest as f64 / 1e6).collect();
        let changes = self.members.changes;
        let served = served.iter().filter_map(|it| it.whole_ms(changes));
        let served: Vec<f64> = served.collect();
        json!({
            "gone": state.gone,
            "answered": state.answered,
            "failed": state.failed,
            "wrong": state.wrong,
            "served_ms": served,
            "longest_ms": longest,
        })
    }
}

async fn attend(shared: &Shared, own: usize) -> io::Result<()> {
    let members = &shared.members;
    let number = members.first + own;
    let group = number / members.members;
    let app = members.app.replace("{}", &group.to_string());
    let turn = shared.at_once.acquire().await.map_err(io::Error::other)?;
    let mut client = Client::open(members.server, number).await?;
    client.connect(&app).await?;
    if members.changes {
        client.send(&object::begin_use()).await?;
    }
    drop(turn);
    shared.state.borrow_mut().connected += 1;
    // The turns of the sessions are spread over the second.
    sleep(EVERY.mul_f64(own as f64 / members.count as f64)).await;
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut taken = Taken {
        shared,
        own,
        open: HashMap::new(),
    };
    for transaction in FIRST_CALL.. {
        turn.tick().await;
        let sent = stamp::now_nanos();
        taken.open.insert(transaction, sent);
        client
            .send(&change_and_call(shared, own, transaction, sent))
            .await?;
        // A client calls by its own clock, also while earlier calls have no answer.
        if let Ok(ended) = timeout(EVERY.mul_f64(0.95), client.receive(&mut taken)).await {
            return ended;
        }
    }
    Ok(())
}

fn change_and_call(shared: &Shared, own: usize, transaction: u32, sent: u64) -> Vec<u8> {
    // A slot of another time: a client that names no version may not change a slot whose author the origin
    // does not know, as after a restart.
    let slot = format!("{}-{}", shared.members.first + own, shared.begun.get());
    let mut both = match shared.members.changes {
        true => object::change(&slot, sent as f64),
        false => Vec::new(),
    };
    both.extend(wire::command(&[
        "echo".into(),
        f64::from(transaction).into(),
        Amf::Null,
        word(own, transaction).as_str().into(),
    ]));
    both
}

/// The argument of a call, which is its result.
fn word(own: usize, transaction: u32) -> String {
    format!("{own} calls {transaction}")
}

/// Takes answers, and the first change of another member that was made in the measured time.
struct Taken<'s> {
    shared: &'s Shared,
    own: usize,
    /// The calls without an answer, and when each was sent.
    open: HashMap<u32, u64>,
}

impl Taken<'_> {
    fn answer(&mut self, prefix: &[u8]) {
        let values = Amf::decode_all(prefix);
        let [Amf::String(name), Amf::Number(transaction), rest @ ..] = &values[..] else {
            return;
        };
        let transaction = *transaction as u32;
        let Some(sent) = self.open.remove(&transaction) else {
            return;
        };
        let mut state = self.shared.state.borrow_mut();
        if name == "_result" && rest.get(1) == Some(&Amf::String(word(self.own, transaction))) {
            state.answered += 1;
            let served = &mut self.shared.served.borrow_mut()[self.own];
            let since_begin = self.shared.took(sent);
            served.answer = served.answer.or(since_begin);
            if since_begin.is_some() {
                served.longest = served.longest.max(stamp::now_nanos() - sent);
            }
        } else if name == "_error" {
            state.failed += 1;
        } else {
            state.wrong += 1;
            eprintln!("session {}: {values:?}", self.own);
        }
    }
}

impl Sink for Taken<'_> {
    fn complete(&mut self, header: &Header, prefix: &[u8]) {
        if header.kind == wire::COMMAND_AMF0 {
            return self.answer(prefix);
        }
        let Some(sent) = object::changed(header, prefix) else {
            return;
        };
        let served = &mut self.shared.served.borrow_mut()[self.own];
        served.change = served.change.or_else(|| self.shared.took(sent as u64));
    }
}

const EVERY: Duration = Duration::from_secs(1);
const FIRST_CALL: u32 = 2;
const CONNECTING_AT_ONCE: usize = 64;
