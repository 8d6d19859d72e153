//! The settings of an origin's links.

use std::{net::SocketAddr, time::Duration};

use tributary_node::tls::Identity;

/// The settings of an origin's links.
#[derive(Debug)]
pub struct LinkConfig {
    /// The address that edges dial, UDP.
    pub address: SocketAddr,
    /// The origin's certificate and key.
    pub identity: Identity,
    /// Drawn at random when the process starts.
    pub epoch: u64,
    /// The longest grace time of any application.
    pub grace: Duration,
    /// The longest message of a client, in bytes.
    pub max_message: u32,
    /// The memory for long messages under way, in bytes.
    pub message_budget: u64,
}
