//! The scenarios, one file each.

mod audience;
pub(crate) mod capacity;
pub(crate) mod connect;
pub(crate) mod crowd;
pub(crate) mod fairness;
pub(crate) mod fanout;
pub(crate) mod groups;
pub(crate) mod growth;
pub(crate) mod handshakes;
pub(crate) mod idle;
pub(crate) mod light;
mod members;
pub(crate) mod migrate;
pub(crate) mod neighbour;
pub(crate) mod publishers;
pub(crate) mod replace;
pub(crate) mod restore;
pub(crate) mod rpc;
pub(crate) mod scale;
pub(crate) mod shared_object;
mod steady;
