//! The common parts of the three kinds of node: a runtime, the admin server, the line of listening
//! addresses, and the end.

use std::{error::Error, fs, io::Write, net::SocketAddr, path::Path, time::Duration};

use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tributary_node::{
    admin::{Admin, Guard, Ready, Routes},
    drain,
    tls::{Identity, Role},
    token::Token,
};

/// An error that ends the program with its message.
pub(crate) type Failure = Box<dyn Error>;

/// The file in the data directory that holds the address of the admin API.
pub(crate) const ADDRESS_FILE: &str = "admin-address";

/// The time for all parts to end.
pub(crate) const STOP: Duration = Duration::from_secs(17);

/// The metrics registry of this build.
pub(crate) fn registry() -> Registry {
    tributary_node::metrics::registry(env!("CARGO_PKG_VERSION"))
}

/// A number that no earlier start of this node had.
pub(crate) fn epoch() -> u64 {
    rand::random()
}

/// Runs `work` on a runtime of this thread: the tiers have threads of their own. Returns with the end
/// of `work`, also while a blocking task still waits for one of these threads: an application may
/// block its thread for as long as it likes, but not hold the end of the program.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(result)
}

/// The certificate in the directory that `--cert` names, if it is one for this role.
pub(crate) fn identity(cert: Option<&Path>, role: Role) -> Result<Identity, Failure> {
    let Some(cert) = cert else {
        return Err(format!(
            "no certificate: an {role} needs one for the link; name its directory with --cert DIR, \
             which `tributary cert issue --role {role}` makes"
        )
        .into());
    };
    Ok(Identity::load(cert)?.require(role)?)
}

/// The token of the configuration, or else the one of the data directory.
pub(crate) fn token(token: Option<Token>, data: Option<&Path>) -> Result<Option<Token>, Failure> {
    match (token, data) {
        (None, Some(data)) => Ok(Some(Token::of(data)?)),
        (token, _) => Ok(token),
    }
}

/// Starts the admin server, with these routes besides its own; returns its address and its task.
/// The address also goes to the data directory, if there is one: `tributary apps` finds it there.
pub(crate) async fn serve_admin(
    (address, guard): (SocketAddr, Guard),
    routes: Routes,
    data: Option<&Path>,
    registry: Registry,
    ready: Ready,
    drain: drain::Watch,
) -> Result<(SocketAddr, JoinHandle<()>), Failure> {
    let admin = Admin::bind(address, guard).await?.with_routes(routes);
    let address = admin.address()?;
    if let Some(data) = data {
        fs::write(data.join(ADDRESS_FILE), format!("{address}\n"))?;
    }
    Ok((address, tokio::spawn(admin.serve(registry, ready, drain))))
}

/// Prints every bound address on one line that a script can parse.
pub(crate) fn print_listening(addresses: &[(&str, SocketAddr)]) -> Result<(), Failure> {
    let mut line = String::from("listening");
    for (name, address) in addresses {
        line.push_str(&format!(" {name}={address}"));
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}

/// The names and addresses of an edge's listeners.
pub(crate) fn client_addresses(edge: &tributary_edge::Running) -> Vec<(&'static str, SocketAddr)> {
    let listening = edge.listening().into_iter();
    listening
        .map(|(protocol, address)| (protocol.name(), address))
        .collect()
}

/// Waits for SIGTERM or SIGINT, then begins the drain.
pub(crate) async fn until_stopped(mut stops: drain::Stops, signal: &drain::Signal) {
    let stop = stops.next().await;
    tracing::info!(signal = ?stop, "stopping");
    signal.begin();
}

/// Waits for `end` within this time.
pub(crate) async fn within(limit: Duration, end: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, end).await.is_err() {
        tracing::warn!("stopped with work left");
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn a_thread_that_blocks_does_not_hold_the_end() {
        let (hold, held) = mpsc::sync_channel::<()>(0);
        let (ended, end) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let ended_in_time = block_on(async {
                let join = tokio::task::spawn_blocking(move || held.recv());
                tokio::time::timeout(Duration::from_millis(10), join).await
            });
            ended.send(ended_in_time.is_ok_and(|joined| joined.is_err()))
        });
        let ended = end.recv_timeout(Duration::from_secs(20));
        assert_eq!(ended, Ok(true), "it has left the blocked thread");
        drop(hold);
    }
}
