//! Sessions of one group that make numbered calls at intervals. The application counts them: none may
//! be lost, come twice or out of order.

use std::{cell::RefCell, io, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::json;
use tokio::{
    task::{self, JoinHandle},
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Commands, say};
use crate::{
    client::Client,
    wire::{Amf, Message},
};

/// The interval of each caller.
const EVERY: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Tally {
    ready: usize,
    failed: usize,
    made: u64,
    counted: u64,
    /// Calls that the application saw twice, missed, or saw out of order.
    wrong: u64,
    ends: bool,
}

pub(super) async fn run(
    mut commands: Commands,
    server: SocketAddr,
    app: String,
    count: usize,
) -> io::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    let callers: Vec<JoinHandle<()>> = (0..count)
        .map(|index| {
            let (tally, app) = (Rc::clone(&tally), app.clone());
            task::spawn_local(async move {
                if let Err(error) = call(server, &app, index, &tally).await {
                    eprintln!("caller {index}: {error}");
                    tally.borrow_mut().failed += 1;
                }
            })
        })
        .collect();
    while tally.borrow().ready + tally.borrow().failed < count {
        sleep(Duration::from_millis(20)).await;
    }
    say(&json!({"ready": true}));
    while let Some((word, seconds)) = commands.next().await {
        if word == "finish" {
            tally.borrow_mut().ends = true;
            while !callers.iter().all(JoinHandle::is_finished) {
                sleep(Duration::from_millis(20)).await;
            }
        } else {
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        let tally = tally.borrow();
        say(&json!({
            "failed": tally.failed,
            "made": tally.made,
            "counted": tally.counted,
            "wrong": tally.wrong,
        }));
    }
    Ok(())
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
    let mut turn = interval(EVERY);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut made = 0_u32;
    while !tally.borrow().ends {
        turn.tick().await;
        made += 1;
        tally.borrow_mut().made += 1;
        let transaction = f64::from(made + 1);
        let number = f64::from(made);
        let values = ["count".into(), transaction.into(), Amf::Null, number.into()];
        let answer = client.call(&values, transaction).await?;
        let answered = answer.values().get(3).and_then(Amf::number);
        if answered != Some(number) {
            return Err(io::Error::other(format!("call {made}: {answered:?}")));
        }
    }
    let transaction = f64::from(made + 2);
    let report = ["report".into(), transaction.into(), Amf::Null];
    let report = client.call(&report, transaction).await?;
    let mut tally = tally.borrow_mut();
    tally.counted += field(&report, "calls");
    for fault in ["duplicates", "gaps", "late"] {
        tally.wrong += field(&report, fault);
    }
    Ok(())
}

fn field(report: &Message, name: &str) -> u64 {
    let values = report.values();
    let value = values.get(3).and_then(|report| report.field(name));
    value.and_then(Amf::number).map_or(0, |value| value as u64)
}
