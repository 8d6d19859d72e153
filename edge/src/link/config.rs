//! Configuration of the edge's links.

use tributary_node::{link::OriginAddress, tls::Identity};
use tributary_protocol::link::Rate;

/// Configuration of the links.
#[derive(Debug)]
pub struct LinkConfig {
    /// The edge's certificate and key.
    pub identity: Identity,
    /// The origins, with different names.
    pub origins: Vec<OriginAddress>,
    /// Location of the edge, for routing by locality; may be empty.
    pub zone: String,
    /// Number of sessions that the edge is meant for.
    pub capacity: u64,
    /// Rate of each session towards its origin, media not counted.
    pub rate: Rate,
}
