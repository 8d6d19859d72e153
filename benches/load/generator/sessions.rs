//! Idle sessions: connected, with one message stream, silent.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore},
    task,
    time::sleep,
};

use super::{Commands, say};
use crate::{
    client::{self, Client},
    histogram::Histogram,
    stamp,
    wire::{Amf, Header, Sink},
};

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    first: usize,
) -> io::Result<()> {
    let shared = Rc::new(Shared {
        state: RefCell::default(),
        call: Notify::new(),
        turns: Semaphore::new(CONNECTING_AT_ONCE),
    });
    let mut started = 0;
    say(&json!({"ready": true}));
    while let Some((command, number)) = commands.next().await {
        match command.as_str() {
            "grow" => {
                let wanted = number as usize;
                for index in (started..wanted).map(|index| first + index) {
                    let app = app.replace("{}", &index.to_string());
                    let shared = Rc::clone(&shared);
                    task::spawn_local(async move {
                        if let Err(error) = hold(server, &app, index, &shared).await {
                            eprintln!("session {index}: {error}");
                        }
                        shared.state.borrow_mut().gone += 1;
                    });
                }
                started = started.max(wanted);
                shared.wait(started, |state| state.connected).await;
            }
            "call" => {
                shared.state.borrow_mut().answered = 0;
                shared.call.notify_waiters();
                shared.wait(started, |state| state.answered).await;
            }
            _ => {}
        }
        let state = shared.state.borrow();
        say(&json!({
            "connected": state.connected,
            "gone": state.gone,
            "answered": state.answered,
            "latency": state.latency.as_ref().map(Histogram::summary),
        }));
    }
    Ok(())
}

struct Shared {
    state: RefCell<State>,
    call: Notify,
    turns: Semaphore,
}

#[derive(Default)]
struct State {
    connected: usize,
    /// Sessions that failed, connected or not.
    gone: usize,
    answered: usize,
    latency: Option<Histogram>,
}

impl Shared {
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

async fn hold(server: SocketAddr, app: &str, index: usize, shared: &Shared) -> io::Result<()> {
    let turn = shared.turns.acquire().await.map_err(io::Error::other)?;
    let mut client = Client::open(server, client::source(index)).await?;
    client.connect(app).await?;
    client.create_stream().await?;
    drop(turn);
    shared.state.borrow_mut().connected += 1;
    let mut nothing = Nothing;
    loop {
        tokio::select! {
            ended = client.receive(&mut nothing) => return ended,
            () = shared.call.notified() => {}
        }
        let begun = stamp::now_nanos();
        let values = ["count".into(), CALL.into(), Amf::Null, 1.0.into()];
        let answer = client.call(&values, CALL).await?;
        if answer.name().as_deref() != Some("_result") {
            return Err(io::Error::other(format!("refused: {:?}", answer.values())));
        }
        let mut state = shared.state.borrow_mut();
        state.answered += 1;
        let latency = state.latency.get_or_insert_with(Histogram::new);
        latency.record(stamp::now_nanos() - begun);
    }
}

struct Nothing;

impl Sink for Nothing {
    fn complete(&mut self, _header: &Header, _prefix: &[u8]) {}
}

const CONNECTING_AT_ONCE: usize = 64;
const CALL: f64 = 3.0;
/// Two minutes.
const WAIT_TURNS: usize = 6000;
