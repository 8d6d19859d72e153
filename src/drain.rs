//! `tributary drain`

use std::{net::SocketAddr, path::PathBuf};

use serde_json::json;
use tributary_node::config::{Duration, address};

use crate::{
    admin_client::Client,
    node::{self, Failure},
};

/// Lets a running edge leave, as SIGTERM does.
#[derive(clap::Args)]
pub(crate) struct DrainArgs {
    /// The edge's admin address [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The file with the edge's token: its `admin.token_file`
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// The time until its last sessions end [default: its `edge.drain_deadline`]
    #[arg(long, value_name = "TIME")]
    deadline: Option<Duration>,
}

/// Asks the edge, and prints its times.
pub(crate) fn run(args: &DrainArgs) -> Result<(), Failure> {
    let client = Client::of_edge(args.admin, &args.token)?;
    node::block_on(async {
        let asked = match args.deadline {
            Some(deadline) => json!({ "deadline": deadline.to_string() }),
            None => json!({}),
        };
        let answer = client.post_json("/api/drain", &asked).await?;
        let seconds = |key: &str| {
            answer
                .get(key)
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(0.0)
        };
        println!(
            "the edge leaves: it accepts clients for {:.0} s more, and its last sessions end in {:.0} s",
            seconds("accepts_for_s"),
            seconds("ends_after_s")
        );
        Ok(())
    })?
}
