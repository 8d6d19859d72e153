//! The settings of an origin's links.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tributary_node::{link::OriginAddress, tls::Identity};

use crate::session::RecordKey;

/// The settings of an origin's links.
#[derive(Debug)]
pub(crate) struct LinkConfig {
    /// The address that edges dial, UDP.
    pub(crate) address: SocketAddr,
    /// The origin's certificate and key.
    pub(crate) identity: Identity,
    /// A random number of the process's start.
    pub(crate) epoch: u64,
    /// The longest grace time of any application.
    pub(crate) grace: Duration,
    /// The longest message of a client, in bytes.
    pub(crate) max_message: u32,
    /// The memory for long messages under way, in bytes.
    pub(crate) message_budget: u64,
    /// Set if the origin is in a cluster.
    pub(crate) cluster: Option<ClusterLink>,
}

/// The part of a cluster that the links of its origin need.
#[derive(Clone, Debug)]
pub(crate) struct ClusterLink {
    /// The cluster's name.
    pub(crate) name: String,
    /// Signs the records that edges keep.
    pub(crate) key: RecordKey,
    /// The other origins.
    pub(crate) origins: Vec<OriginAddress>,
    /// The file with the states that applications hand to the next process.
    pub(crate) states: PathBuf,
    /// The file with the names of the edges.
    pub(crate) edges: PathBuf,
}
