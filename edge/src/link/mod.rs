//! The edge's end of its links.
//!
//! ```text
//! thread -> ownership -> placing -> lanes -> lane -> outgoing -> origin
//!    │        └───► dial -> feeds              └────► shared -> sessions
//!    └─► diallers ───┘
//! ```
//!
//! `thread` handles the commands of clients. `diallers` has a `dial` for each origin: it keeps the
//! link of that `origin` and reports its news to `ownership`, which moves lanes. `placing` gives
//! sessions their lanes; a `lane` carries the sessions of one group. No file imports one to its
//! left.
//!
//! The links of an edge move to another process as they are: `stage` has the stages of that way,
//! `moved` the parcels, and `arrival` takes them in.

mod arrival;
mod config;
mod dial;
mod diallers;
mod feeds;
pub mod handle;
mod head;
mod hold;
mod journal;
mod lane;
mod lanes;
mod metrics;
pub mod moved;
mod origin;
mod origins;
mod outgoing;
mod ownership;
mod placing;
mod probe;
pub mod publish;
mod readiness;
mod session;
mod sessions;
mod shared;
mod silence;
mod stage;
mod thread;

pub use config::LinkConfig;
pub use handle::{OpenRequest, SessionLink, Upstream};
pub use metrics::{LinkMetrics, OriginLabel};
pub use moved::{MoveError, MovedLinks};
pub use readiness::Readiness;
pub use thread::Links;
