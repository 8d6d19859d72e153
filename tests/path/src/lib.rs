//! A network path with the delay, rate and faults that are set, between two network namespaces.
//!
//! Each namespace has a TUN device, and one thread carries the IP packets between them: TCP and QUIC
//! see a true path, with its acknowledgements and its congestion control. A relay of TCP is no such
//! path, because it acknowledges at once.
//!
//! [`Path::open`] makes both namespaces and the thread. [`Namespace::run`] starts clients in the one
//! and servers in the other. The namespaces have no name: the kernel removes them with the last
//! process in them, so that nothing is left over after a panic or a kill.
//!
//! TUN devices without offload take packets no larger than their MTU: the sender's kernel cuts what
//! TCP hands to it at once, which a network card would do by itself.

mod carrier;
mod conditions;
mod error;
mod line;
mod namespace;
mod path;

pub use conditions::{Conditions, InvalidSettings, Settings};
pub use error::Error;
pub use line::{Counts, Line};
pub use namespace::Namespace;
pub use path::{Direction, FAR, NEAR, Path, THREAD, source};
