//! Members of groups that come through all edges in turn, a generator process for each edge.

use std::net::SocketAddr;

use serde_json::Value;

use crate::{driver::Generator, servers::Server};

/// Starts the generators: session n comes through edge n modulo the edges, and is in group n / `members`.
pub(super) fn start(
    server: &Server,
    app: &str,
    members: usize,
    more: &[(&str, &str)],
) -> Vec<Generator> {
    let addresses: Vec<SocketAddr> = server.edges().collect();
    let (step, members) = (addresses.len().to_string(), members.to_string());
    let start = |(edge, address): (usize, SocketAddr)| {
        let first = edge.to_string();
        let own = [
            ("--app", app),
            ("--first", &first),
            ("--step", &step),
            ("--members", &members),
        ];
        Generator::start("sessions", address, &[&own, more].concat())
    };
    addresses.into_iter().enumerate().map(start).collect()
}

/// Has them connect until there are `sessions` in all; returns their answers.
pub(super) fn grow(generators: &mut [Generator], sessions: usize) -> Vec<Value> {
    let edges = generators.len();
    for (edge, generator) in generators.iter_mut().enumerate() {
        generator.begin(&format!("grow {}", through(edge, edges, sessions)));
    }
    generators.iter_mut().map(Generator::answer).collect()
}

/// The first so many of all sessions, as far as they come through one edge.
pub(super) fn through(edge: usize, edges: usize, sessions: usize) -> usize {
    sessions.saturating_sub(edge).div_ceil(edges)
}
