//! Puts the same load on tributary and on nginx with its rtmp module, in turn, and reports the cost
//! of each: `cargo bench --bench load -- SCENARIO`.

use clap::{Parser, Subcommand};

mod chart;
mod client;
mod delivery;
mod driver;
mod fit;
mod generator;
mod ground;
mod histogram;
mod hooks;
#[expect(dead_code, reason = "the tests read more of the metrics")]
#[path = "../../tests/support/http.rs"]
mod http;
mod meter;
mod peers;
#[path = "../../tests/support/program.rs"]
mod program;
#[path = "../../src/plan/quantity.rs"]
mod quantity;
mod reading;
mod report;
mod scenario;
mod servers;
mod stamp;
mod transport;
#[path = "../../tests/support/wire.rs"]
mod wire;

/// The load generator and side-by-side harness.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
    /// Cargo gives this flag to every bench; it has no effect here.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// One stream to many viewers: processor time per Gbit, latency, memory per viewer.
    Fanout(scenario::fanout::Options),
    /// Few viewers, and a stream that nobody watches: latency, processor time per message.
    Light(scenario::light::Options),
    /// Many publishers, few of whom anybody watches: processor time per message.
    Publishers(scenario::publishers::Options),
    /// As many viewers as the machine bears: their number when the delay passes a limit, and what
    /// becomes of the sessions beyond it. It fills the machine for minutes; `all` leaves it out.
    Capacity(scenario::capacity::Options),
    /// Resident memory per idle session.
    Idle(scenario::idle::Options),
    /// Connects (handshake, connect, createStream) per processor second.
    Connect(scenario::connect::Options),
    /// Handshakes of TLS at a rate: the share that is answered, and processor time for each.
    Handshakes(scenario::handshakes::Options),
    /// Many groups on one link: each answers a call, then the processor time of doing nothing.
    Groups(scenario::groups::Options),
    /// Call latency in a group with and without a member that sends large commands.
    Fairness(scenario::fairness::Options),
    /// Call latency of groups with and without a neighbour that burns its processor time.
    Neighbour(scenario::neighbour::Options),
    /// Calls per processor second, beside a bare echo and a bare relay over QUIC.
    Rpc(scenario::rpc::Options),
    /// Changes of a shared object times its members per processor second, beside bare writes.
    #[command(name = "shared_object")]
    SharedObject(scenario::shared_object::Options),
    /// 100,000 sessions over several edges: memory, idle processor time, calls, changes of shared
    /// objects. It takes minutes and some GiB of memory; `all` leaves it out.
    Scale(scenario::scale::Options),
    /// An edge that is replaced 50 times under connects, publishers, viewers, callers and hooks. It
    /// takes minutes; `all` leaves it out.
    Replace(scenario::replace::Options),
    /// An origin in a cluster that is killed 50 times and starts again: how long until each session
    /// is served. It takes minutes; `all` leaves it out.
    Restore(scenario::restore::Options),
    /// An origin with 100,000 idle sessions that is killed, or drained: how long until all go on. It takes
    /// minutes and some GiB of memory; `all` leaves it out.
    Crowd(scenario::crowd::Options),
    /// Groups that move 50 times between two origins under their sessions: for how long each stands still.
    /// It takes minutes; `all` leaves it out.
    Move(scenario::migrate::Options),
    /// Processor time and memory as sessions, groups, viewers and streams grow tenfold, and the cost
    /// of each for `tributary plan`. It takes minutes; `all` leaves it out.
    Growth(scenario::growth::Options),
    /// Fits the costs to the file that `growth` has written.
    Fit(fit::Options),
    /// The scenarios but `capacity`, `scale`, `replace`, `restore`, `move` and `growth`, with default settings.
    All,
    /// One of the generator's own processes.
    #[command(hide = true)]
    Generate {
        #[command(subcommand)]
        role: generator::Role,
    },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match Arguments::parse().action {
        Action::Fanout(options) => scenario::fanout::run(&options),
        Action::Light(options) => scenario::light::run(&options),
        Action::Publishers(options) => scenario::publishers::run(&options),
        Action::Capacity(options) => scenario::capacity::run(&options),
        Action::Idle(options) => scenario::idle::run(&options),
        Action::Connect(options) => scenario::connect::run(&options),
        Action::Handshakes(options) => scenario::handshakes::run(&options),
        Action::Groups(options) => scenario::groups::run(&options),
        Action::Fairness(options) => scenario::fairness::run(&options),
        Action::Neighbour(options) => scenario::neighbour::run(&options),
        Action::Rpc(options) => scenario::rpc::run(&options),
        Action::SharedObject(options) => scenario::shared_object::run(&options),
        Action::Scale(options) => scenario::scale::run(&options),
        Action::Replace(options) => scenario::replace::run(&options),
        Action::Restore(options) => scenario::restore::run(&options),
        Action::Crowd(options) => scenario::crowd::run(&options),
        Action::Move(options) => scenario::migrate::run(&options),
        Action::Growth(options) => scenario::growth::run(&options),
        Action::Fit(options) => fit::run(&options)?,
        Action::All => {
            scenario::fanout::run(&defaults());
            scenario::light::run(&defaults());
            scenario::publishers::run(&defaults());
            scenario::idle::run(&defaults());
            scenario::connect::run(&defaults());
            scenario::handshakes::run(&defaults());
            scenario::groups::run(&defaults());
            scenario::fairness::run(&defaults());
            scenario::neighbour::run(&defaults());
            scenario::rpc::run(&defaults());
            scenario::shared_object::run(&defaults());
        }
        Action::Generate { role } => generator::run(role)?,
    }
    Ok(())
}

/// The default options of a scenario.
fn defaults<T: clap::Args>() -> T {
    let command = T::augment_args(clap::Command::new("defaults"));
    let matches = command.get_matches_from(["defaults"]);
    T::from_arg_matches(&matches).expect("every option has a default")
}
