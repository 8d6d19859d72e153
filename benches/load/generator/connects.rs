//! Connects: handshake, connect, createStream, and away.

use std::{cell::Cell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{task, time::sleep};

use super::{Commands, say};
use crate::client::{self, Client};

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    concurrency: usize,
) -> io::Result<()> {
    let tally = Rc::new(Tally::default());
    for index in 0..concurrency {
        let (tally, app) = (Rc::clone(&tally), app.clone());
        task::spawn_local(async move {
            // A new address each time: closed connections keep theirs for a minute.
            for turn in (0..).map(|turn| turn % 100_000) {
                match come_and_go(server, &app, index + turn * concurrency).await {
                    Ok(()) => tally.done.set(tally.done.get() + 1),
                    Err(_) => {
                        tally.failed.set(tally.failed.get() + 1);
                        // A server that refuses must not be asked in a busy loop.
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

async fn come_and_go(server: SocketAddr, app: &str, index: usize) -> io::Result<()> {
    let mut client = Client::open(server, client::source(index)).await?;
    client.connect(app).await?;
    client.create_stream().await?;
    Ok(())
}
