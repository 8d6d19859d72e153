//! The thread the links run on.

use std::{io, net::SocketAddr, sync::mpsc, thread::JoinHandle, time::Duration};

use tributary_node::{
    drain,
    tls::Identity,
    transport::{BindError, Endpoint},
};

use super::{LinkMetrics, driver::Driver};
use crate::group::Groups;

/// What the links of an origin need to run.
#[derive(Debug)]
pub struct LinkConfig {
    /// Where edges dial, UDP.
    pub address: SocketAddr,
    /// The origin's certificate and key.
    pub identity: Identity,
    /// Drawn at random when the process starts.
    pub epoch: u64,
    /// The longest grace time of any application.
    pub grace: Duration,
    /// The longest message of a client, in bytes.
    pub max_message: u32,
    /// What long messages under way may hold in all, in bytes.
    pub message_budget: u64,
}

/// The links at work.
#[derive(Debug)]
pub struct Running {
    /// The address bound.
    pub address: SocketAddr,
    thread: JoinHandle<()>,
}

impl Running {
    /// Waits until the links are closed, after the drain.
    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the link thread panicked");
        }
    }
}

/// Starts the links on a thread of their own: QUIC batches best where nothing else runs.
pub fn start(
    config: LinkConfig,
    groups: Groups,
    metrics: LinkMetrics,
    drain: drain::Watch,
) -> Result<Running, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let (bound, address) = mpsc::sync_channel(1);
    let work = move || {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let endpoint = match Endpoint::accepting(config.address, &config.identity) {
                Ok(endpoint) => endpoint,
                Err(error) => return drop(bound.send(Err(error))),
            };
            let address = endpoint.local_addr().unwrap_or(config.address);
            let _ = bound.send(Ok(address));
            Driver::new(config, groups, metrics)
                .run(endpoint, drain)
                .await;
        });
    };
    let thread = std::thread::Builder::new().name("link".into()).spawn(work);
    let thread = thread.map_err(StartError::Thread)?;
    match address.recv() {
        Ok(Ok(address)) => Ok(Running { address, thread }),
        Ok(Err(error)) => Err(StartError::Bind(error)),
        Err(_) => Err(StartError::Thread(io::Error::other(
            "the link thread ended",
        ))),
    }
}

/// The links could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The address or the certificate.
    Bind(BindError),
    /// The thread or its runtime.
    Thread(io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start the link thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
