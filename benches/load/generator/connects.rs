//! Clients that connect and leave: handshake, connect, createStream.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{task, time::sleep};

use super::{Commands, say, turns::Turns};
use crate::{client::Client, transport::Transport};

/// The server to which clients come, and the way.
#[derive(Clone, Debug)]
pub(super) struct Coming {
    pub(super) server: SocketAddr,
    pub(super) transport: Transport,
    pub(super) app: String,
}

pub(super) async fn run(
    mut commands: Commands,
    coming: Coming,
    concurrency: usize,
    rate: Option<f64>,
) -> io::Result<()> {
    let tally = Rc::new(Tally::default());
    let turns = Rc::new(Turns::new(rate));
    for index in 0..concurrency {
        let (tally, turns, coming) = (Rc::clone(&tally), Rc::clone(&turns), coming.clone());
        task::spawn_local(async move {
            // Each client has a new address: a closed connection keeps its address for a minute.
            for turn in (0..).map(|turn| turn % 100_000) {
                turns.next().await;
                match come_and_go(&coming, index + turn * concurrency).await {
                    Ok(()) => tally.done.set(tally.done.get() + 1),
                    Err(error) => {
                        eprintln!("client {index}: {error}");
                        tally.failed.set(tally.failed.get() + 1);
                        // This pause keeps a server that refuses from being asked in a busy loop.
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            }
        });
    }
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        tally.done.set(0);
        tally.failed.set(0);
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&json!({"done": tally.done.get(), "failed": tally.failed.get()}));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    done: Cell<u64>,
    failed: Cell<u64>,
}

async fn come_and_go(coming: &Coming, index: usize) -> io::Result<()> {
    let mut client = Client::open_over(coming.transport, coming.server, index).await?;
    client.connect(&coming.app).await?;
    client.create_stream().await?;
    Ok(())
}
