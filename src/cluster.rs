//! `tributary cluster`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tributary_node::config;

use crate::{
    admin_client::{Client, OriginAdmin},
    node::{self, Failure},
    table,
};

/// Shows the cluster of a running origin, and moves groups to its other origins.
#[derive(Args)]
pub(crate) struct ClusterArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    origin: OriginAdmin,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// The origins and edges, as this origin knows them, or one of its groups
    Status {
        /// A group, as APPLICATION/INSTANCE
        group: Option<String>,
    },
    /// Moves a group of this origin to another one
    Move {
        /// The group, as APPLICATION/INSTANCE
        group: String,
        /// The name of the other origin
        #[arg(long, value_name = "ORIGIN")]
        to: String,
    },
    /// Moves all groups of this origin to the others; it takes no new ones until `undrain`
    Drain {
        /// The origin, if it is not clear which one answers at the admin address
        origin: Option<String>,
        /// The time for which applications that do not expect to be moved are left alone
        #[arg(long, value_name = "TIME", default_value = "5 min")]
        within: config::Duration,
        /// Do not wait until the groups have moved
        #[arg(long)]
        no_wait: bool,
    },
    /// Lets this origin take groups again
    Undrain {
        /// The origin, if it is not clear which one answers at the admin address
        origin: Option<String>,
    },
}

/// The time between two looks at a drain.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the subcommand.
pub(crate) fn run(args: &ClusterArgs) -> Result<(), Failure> {
    let client = args.origin.client()?;
    node::block_on(async {
        match &args.command {
            Command::Status { group: None } => {
                let status = client.get("/api/cluster").await?;
                show(args.json, &status, print_status);
            }
            Command::Status { group: Some(group) } => {
                let status = client.get(&group_path(group)?).await?;
                show(args.json, &status, print_group);
            }
            Command::Move { group, to } => {
                let asked = json!({ "group": group, "to": to });
                let moved = client.post_json("/api/cluster/move", &asked).await?;
                show(args.json, &moved, print_moved);
            }
            Command::Drain {
                origin,
                within,
                no_wait,
            } => {
                is_the_one(&client, origin.as_deref()).await?;
                let asked = json!({ "within": within.to_string() });
                let mut status = client.post_json("/api/cluster/drain", &asked).await?;
                let mut last = None;
                while !no_wait && status["state"] == "draining" {
                    let left = status["groups"].as_u64();
                    if last.replace(left) != Some(left) {
                        eprintln!("{} groups are left", left.unwrap_or_default());
                    }
                    tokio::time::sleep(LOOK).await;
                    status = client.get("/api/cluster").await?;
                }
                show(args.json, &status, print_status);
            }
            Command::Undrain { origin } => {
                is_the_one(&client, origin.as_deref()).await?;
                let status = client.post("/api/cluster/undrain").await?;
                show(args.json, &status, print_status);
            }
        }
        Ok(())
    })?
}

/// Refuses an order for another origin than the one that answers.
async fn is_the_one(client: &Client, named: Option<&str>) -> Result<(), Failure> {
    let Some(named) = named else { return Ok(()) };
    let status = client.get("/api/cluster").await?;
    if text(&status, "origin") == named {
        return Ok(());
    }
    let address = client.address();
    Err(format!(
        "{address} is the admin address of {}, not of {named}; name that of {named} with --admin, and the \
         file with its token with --token",
        text(&status, "origin")
    )
    .into())
}

fn group_path(group: &str) -> Result<String, Failure> {
    let plain = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
        !part.is_empty() && part.chars().all(allowed)
    };
    let (application, instance) = group.split_once('/').unwrap_or((group, "_definst_"));
    if plain(application) && plain(instance) {
        return Ok(format!("/api/cluster/groups/{application}/{instance}"));
    }
    Err(format!("{group:?} is no group; write APPLICATION/INSTANCE").into())
}

fn show(is_json: bool, answer: &Value, print: impl FnOnce(&Value)) {
    match is_json {
        true => println!("{answer}"),
        false => print(answer),
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn number(value: &Value, key: &str) -> String {
    value[key].as_u64().unwrap_or_default().to_string()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn print_status(status: &Value) {
    println!("cluster {}", text(status, "cluster"));
    let own = [
        text(status, "origin").to_owned(),
        text(status, "state").to_owned(),
        number(status, "groups"),
        number(status, "sessions"),
        "this one".to_owned(),
    ];
    let others = list(status, "origins").map(|origin| {
        let state = match (&origin["is_linked"], &origin["takes_groups"]) {
            (Value::Bool(true), Value::Bool(true)) => "up",
            (Value::Bool(true), _) => "takes no groups",
            _ => "no link",
        };
        [
            text(origin, "name").to_owned(),
            state.to_owned(),
            number(origin, "groups"),
            number(origin, "sessions"),
            text(origin, "address").to_owned(),
        ]
    });
    let rows: Vec<_> = std::iter::once(own).chain(others).collect();
    table::print(["ORIGIN", "STATE", "GROUPS", "SESSIONS", "ADDRESS"], &rows);
    let edges = list(status, "edges").map(|edge| {
        let state = match edge["is_linked"] == true {
            true => "up",
            false => "no link",
        };
        [
            text(edge, "name").to_owned(),
            state.to_owned(),
            number(edge, "groups"),
            number(edge, "sessions"),
        ]
    });
    let edges: Vec<_> = edges.collect();
    table::print(["EDGE", "STATE", "GROUPS", "SESSIONS"], &edges);
    for group in list(status, "staying") {
        println!("{} stays: {}", text(group, "group"), text(group, "why"));
    }
}

fn print_group(group: &Value) {
    let edges: Vec<_> = list(group, "edges").filter_map(Value::as_str).collect();
    let data = match group["has_data"] == true {
        true => "it has stored data, which does not move",
        false => "it has no stored data",
    };
    println!(
        "{}: at {}, {} sessions from {}; {data}",
        text(group, "group"),
        text(group, "origin"),
        number(group, "sessions"),
        edges.join(", ")
    );
}

fn print_moved(moved: &Value) {
    let millis = |key: &str| moved[key].as_f64().unwrap_or_default();
    println!(
        "{}: at {} after {:.0} ms, frozen for {:.0} ms; {} sessions",
        text(moved, "group"),
        text(moved, "to"),
        millis("took_ms"),
        millis("frozen_ms"),
        number(moved, "sessions")
    );
}
