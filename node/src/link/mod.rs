//! The mechanism of links, for an end of either tier.
//!
//! ```text
//! accept -> greeting -> control
//!   │ └───► control_loop ──┘
//!   └─────► lane            feeds -> metrics
//! ```
//!
//! A tier implements a trait for each part that it drives: [`ControlDriver`] for the control
//! stream, [`LaneDriver`] for a lane, [`LastingFeed`] for a feed. An end that accepts links
//! implements [`LinkHost`] and [`ServedLink`] besides. Nothing here knows of groups or sessions.

mod accept;
mod control;
mod control_loop;
mod dial;
mod feeds;
mod greeting;
mod lane;
mod metrics;

pub use accept::{GREETING, LinkHost, ServedLink, accept};
pub use control::{ControlReceiver, ControlSender};
pub use control_loop::{ControlDriver, ControlSink, ControlSource, control_queue, run_control};
pub use dial::{OriginAddress, OriginAddressError, connect};
pub use feeds::{LastingFeed, keep_feed};
pub use greeting::{Greeted, answer, greet};
pub use lane::{Carriage, Carried, LaneDriver, LaneStream};
pub use metrics::{LinkCounts, PeerLabel, Traffic};
