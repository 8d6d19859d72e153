//! The generator's processes: the load harness starts itself in one of these roles, so that their
//! processor time is separate from the servers'.
//!
//! A generator prints one JSON line when it is ready and one for each command line it reads; it
//! ends when its input ends.

use std::{
    io::{self, BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    thread,
};

use clap::Subcommand;
use serde_json::Value;
use tokio::{
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::LocalSet,
};

use crate::{reading::Reading, transport::Transport};

mod bare;
mod calls;
mod connects;
mod echo;
mod members;
mod numbered;
mod object;
mod publisher;
mod relay;
mod rpc;
mod sessions;
mod share;
mod steady;
mod turns;
mod viewers;

/// The roles of a generator process.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Publishes stamped streams.
    Publisher {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        /// The name; `{}` in it stands for the stream's number.
        #[arg(long)]
        name: String,
        /// The number of streams.
        #[arg(long, default_value_t = 1)]
        count: usize,
        /// Bits per second of audio and video together.
        #[arg(long)]
        bitrate: u32,
        /// Divides the messages per second; the bits stay.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
        slowness: u32,
    },
    /// Plays a stream many times, or many streams, and reads their stamps.
    Viewers {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        /// The stream; `{}` in it stands for the viewer's number.
        #[arg(long)]
        name: String,
        /// The number of the first viewer among all of the run.
        #[arg(long, default_value_t = 0)]
        first: usize,
        #[arg(long)]
        count: usize,
        #[arg(long, value_enum, default_value_t = Reading::Prompt)]
        read: Reading,
        #[arg(long, value_enum, default_value_t)]
        transport: Transport,
    },
    /// Holds idle sessions; `grow N` makes them N, `call` calls from one of each group, `act S` makes
    /// the changes or calls of S seconds.
    Sessions {
        #[arg(long)]
        server: SocketAddr,
        /// The application; `{}` in it stands for the group's number.
        #[arg(long)]
        app: String,
        /// The number of the first session.
        #[arg(long, default_value_t = 0)]
        first: usize,
        /// The distance from one session's number to the next; the others are of other processes.
        #[arg(long, default_value_t = 1)]
        step: usize,
        /// Sessions in each group, one after the other by number.
        #[arg(long, default_value_t = 1)]
        members: usize,
        /// Sessions that connect in a second; without one, as many as the server takes.
        #[arg(long)]
        rate: Option<f64>,
        /// Changes per second by the sessions of all processes; with it, all use a shared object.
        #[arg(long)]
        changes: Option<f64>,
        /// Calls per second by the sessions of all processes, in place of changes.
        #[arg(long, conflicts_with = "changes")]
        calls: Option<f64>,
        /// The groups of the sessions of all processes.
        #[arg(long, default_value_t = 1)]
        groups: usize,
        #[arg(long, value_enum, default_value_t)]
        transport: Transport,
    },
    /// Connects and leaves, over and over.
    Connects {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        /// The number of clients at a time.
        #[arg(long)]
        concurrency: usize,
        /// The number of clients per second; without one, as many as the server takes.
        #[arg(long)]
        rate: Option<f64>,
        #[arg(long, value_enum, default_value_t)]
        transport: Transport,
    },
    /// Sessions of one group that call and wait for the answer; `bulk on` and `bulk off` make one
    /// more send large commands without pause.
    Calls {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        #[arg(long)]
        count: usize,
        #[arg(long)]
        method: String,
        #[arg(long)]
        bulk_bytes: usize,
    },
    /// Sessions of one group that make numbered calls at intervals; `finish` ends them.
    Numbered {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        #[arg(long)]
        count: usize,
    },
    /// Sessions that change a shared object and call, each once a second.
    Steady {
        #[arg(long)]
        server: SocketAddr,
        /// The application; `{}` in it stands for the group's number.
        #[arg(long)]
        app: String,
        /// The number of the first session among all of the run.
        #[arg(long, default_value_t = 0)]
        first: usize,
        #[arg(long)]
        count: usize,
        /// Sessions in each group, one after the other by number.
        #[arg(long)]
        members: usize,
        /// Whether they change the object.
        #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
        changes: bool,
    },
    /// Sessions that call one after the other.
    Rpc {
        #[arg(long)]
        server: SocketAddr,
        /// The application, `{}` in it standing for the group's number; without one, the server
        /// sends the calls back.
        #[arg(long)]
        app: Option<String>,
        /// The number of sessions.
        #[arg(long)]
        count: usize,
        /// The number of groups of these sessions.
        #[arg(long)]
        groups: usize,
    },
    /// Members of one shared object, and one more that changes it.
    Members {
        #[arg(long)]
        server: SocketAddr,
        #[arg(long)]
        app: String,
        /// The number of members besides the author.
        #[arg(long)]
        count: usize,
        /// Changes per second.
        #[arg(long)]
        rate: f64,
    },
    /// The bare loop, a server that only writes.
    Bare {
        #[arg(long)]
        address: Ipv4Addr,
        /// Writes for each message and viewer, at most one.
        #[arg(long)]
        writes: f64,
        /// Whether the kernel may merge the writes.
        #[arg(long)]
        merging: bool,
    },
    /// The bare echo, a server that sends its input back.
    Echo {
        #[arg(long)]
        address: Ipv4Addr,
    },
    /// The end of the bare relay to which clients connect.
    RelayNear {
        #[arg(long)]
        address: Ipv4Addr,
        /// The folder with the far end's certificate.
        #[arg(long)]
        certificate: PathBuf,
        #[arg(long)]
        far: SocketAddr,
    },
    /// The end of the bare relay that sends its input back.
    RelayFar {
        #[arg(long)]
        address: Ipv4Addr,
        #[arg(long)]
        certificate: PathBuf,
    },
}

impl Role {
    /// A generator has one thread. A server of two tiers has as many as its author would give it.
    fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = match self {
            Self::RelayNear { .. } | Self::RelayFar { .. } => Builder::new_multi_thread(),
            _ => Builder::new_current_thread(),
        };
        builder.enable_all().build()
    }
}

/// Runs a role until its input ends.
pub(crate) fn run(role: Role) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = role.runtime()?;
    let commands = Commands::read_stdin();
    runtime.block_on(LocalSet::new().run_until(async move {
        match role {
            Role::Publisher {
                server,
                app,
                name,
                count,
                bitrate,
                slowness,
            } => {
                let streams = publisher::Streams {
                    server,
                    app,
                    name,
                    count,
                    bitrate,
                    slowness,
                };
                publisher::run(commands, streams).await
            }
            Role::Viewers {
                server,
                app,
                name,
                first,
                count,
                read,
                transport,
            } => {
                let crowd = viewers::Crowd {
                    server,
                    transport,
                    app,
                    name,
                    first,
                    count,
                    reading: read,
                };
                viewers::run(commands, crowd).await
            }
            Role::Sessions {
                server,
                app,
                first,
                step,
                members,
                rate,
                changes,
                calls,
                groups,
                transport,
            } => {
                let share = share::Share {
                    first,
                    step,
                    members,
                };
                let act = changes.map(|per_second| (sessions::Act::Change, per_second));
                let call = calls.map(|per_second| (sessions::Act::Call, per_second));
                let act = act.or(call);
                let acts = act.map(|(act, per_second)| sessions::Acts {
                    act,
                    per_second,
                    groups,
                });
                let held = sessions::Held {
                    server,
                    transport,
                    app,
                    share,
                    rate,
                    acts,
                };
                sessions::run(commands, held).await
            }
            Role::Connects {
                server,
                app,
                concurrency,
                rate,
                transport,
            } => {
                let coming = connects::Coming {
                    server,
                    transport,
                    app,
                };
                connects::run(commands, coming, concurrency, rate).await
            }
            Role::Calls {
                server,
                app,
                count,
                method,
                bulk_bytes,
            } => calls::run(commands, server, app, count, method, bulk_bytes).await,
            Role::Numbered { server, app, count } => {
                numbered::run(commands, server, app, count).await
            }
            Role::Steady {
                server,
                app,
                first,
                count,
                members,
                changes,
            } => {
                let members = steady::Members {
                    server,
                    app,
                    first,
                    count,
                    members,
                    changes,
                };
                steady::run(commands, members).await
            }
            Role::Rpc {
                server,
                app,
                count,
                groups,
            } => {
                let answers = match app {
                    Some(app) => rpc::Answers::Application { app, groups },
                    None => rpc::Answers::Echo,
                };
                rpc::run(commands, server, answers, count).await
            }
            Role::Members {
                server,
                app,
                count,
                rate,
            } => members::run(commands, server, app, count, rate).await,
            Role::Bare {
                address,
                writes,
                merging,
            } => {
                let writes = bare::Writes {
                    each: writes.min(1.0),
                    merging,
                };
                bare::run(commands, address, writes).await
            }
            Role::Echo { address } => echo::run(commands, address).await,
            Role::RelayNear {
                address,
                certificate,
                far,
            } => relay::near(commands, address, &certificate, far).await,
            Role::RelayFar {
                address,
                certificate,
            } => relay::far(commands, address, &certificate).await,
        }
    }))?;
    Ok(())
}

/// Command lines from the harness.
#[derive(Debug)]
pub(crate) struct Commands(mpsc::Receiver<String>);

impl Commands {
    fn read_stdin() -> Self {
        let (sender, receiver) = mpsc::channel(16);
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next command as its word and its number, if it has one; `None` when the harness is done.
    async fn next(&mut self) -> Option<(String, f64)> {
        let line = self.0.recv().await?;
        let (word, number) = line.split_once(' ').unwrap_or((&line, "0"));
        Some((word.to_owned(), number.trim().parse().unwrap_or(0.0)))
    }
}

fn say(value: &Value) {
    // The harness that reads this may have ended; then the input ends too.
    let _ = writeln!(io::stdout().lock(), "{value}");
}
