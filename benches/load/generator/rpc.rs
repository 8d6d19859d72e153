//! Sessions that call one after the other: each waits for its answer before it calls again.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task,
    time::sleep,
};

use super::{Commands, say};
use crate::{
    client::Client,
    histogram::Histogram,
    stamp,
    wire::{self, Amf},
};

/// The server of the calls.
#[derive(Clone, Debug)]
pub(super) enum Answers {
    /// An application, `{}` in its name being the group's number, and the number of groups.
    Application { app: String, groups: usize },
    /// A server that sends the calls back.
    Echo,
}

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    answers: Answers,
    count: usize,
) -> io::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    for index in 0..count {
        let (tally, answers) = (Rc::clone(&tally), answers.clone());
        task::spawn_local(async move {
            let ended = match answers {
                Answers::Application { app, groups } => {
                    let app = app.replace("{}", &(index % groups).to_string());
                    call(server, &app, index, &tally).await
                }
                Answers::Echo => echo(server, &tally).await,
            };
            if let Err(error) = ended {
                eprintln!("caller {index}: {error}");
                tally.borrow_mut().failed += 1;
            }
        });
    }
    while tally.borrow().ready + tally.borrow().failed < count {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        tally.borrow_mut().latency = Histogram::new();
        sleep(Duration::from_secs_f64(seconds)).await;
        let tally = tally.borrow();
        say(&json!({"failed": tally.failed, "latency": tally.latency.summary()}));
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    ready: usize,
    failed: usize,
    latency: Histogram,
}

async fn call(
    server: SocketAddr,
    app: &str,
    index: usize,
    tally: &RefCell<Tally>,
) -> io::Result<()> {
    let mut client = Client::open(server, index).await?;
    client.connect(app).await?;
    tally.borrow_mut().ready += 1;
    for transaction in 2_u32.. {
        let begun = stamp::now_nanos();
        let answer = client
            .call(&values(transaction), f64::from(transaction))
            .await?;
        if answer.name().as_deref() != Some("_result") {
            return Err(io::Error::other(format!("refused: {:?}", answer.values())));
        }
        let took = stamp::now_nanos() - begun;
        tally.borrow_mut().latency.record(took);
    }
    Ok(())
}

async fn echo(server: SocketAddr, tally: &RefCell<Tally>) -> io::Result<()> {
    let mut stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    tally.borrow_mut().ready += 1;
    for transaction in 2_u32.. {
        let begun = stamp::now_nanos();
        let mut bytes = wire::command(&values(transaction));
        stream.write_all(&bytes).await?;
        stream.read_exact(&mut bytes).await?;
        let took = stamp::now_nanos() - begun;
        tally.borrow_mut().latency.record(took);
    }
    Ok(())
}

fn values(transaction: u32) -> [Amf; 4] {
    [
        "echo".into(),
        f64::from(transaction).into(),
        Amf::Null,
        "sixteen letters!".into(),
    ]
}
