//! Groups: application instances, each an actor that owns its clients and streams.
//!
//! [`Groups`] starts them on its worker threads and finds them by name; a [`GroupHandle`] is a
//! lane's way into one. What a group is made of, outermost first:
//!
//! | module | what it does |
//! |---|---|
//! | `actor` | takes mail, one turn at a time; contains panics; ends the group |
//! | `turn` | what a turn does: sessions, commands, deadlines |
//! | `net_stream`, `live_streams` | publish, play, pause and the rest |
//! | `context` | what an application may do |
//! | `lend` | the context of a script that runs |
//! | `handle`, `refusal` | the ways in |
//! | `trial` | an instance without clients, apart from all others |
//! | `core` | what a group owns, and how it speaks to its sessions |
//! | `client`, `streams` | one session; all live streams by name |
//! | `shared_objects` | all shared objects, their members, and what clients ask of them |
//! | `bandwidth` | how fast a client takes what it is sent |
//! | `access` | what a client may read and write |
//! | `own_streams`, `stream` | the streams of the application, and what it may do with one |
//! | `connections`, `connection` | its connections to others, and what it may do with one |

mod access;
mod actor;
mod answer;
mod bandwidth;
mod client;
mod clock;
mod connection;
mod connections;
mod context;
mod core;
mod encoders;
mod freeing;
mod handle;
mod lend;
mod live_streams;
mod mailbox;
mod media;
mod name;
mod net_stream;
mod open_refused;
mod own_streams;
mod playlist;
mod process;
mod publisher;
mod publishing;
mod refusal;
mod registry;
mod remote_objects;
mod remote_sources;
mod restarts;
mod shared_objects;
mod stream;
mod streams;
mod timers;
mod token;
mod trial;
mod turn;
mod watched;
mod worker;

#[cfg(test)]
mod tests;

pub use client::{Client, read_connect};
pub use connection::{Connection, NetStream};
pub use context::{Context, Poster};
pub use handle::GroupHandle;
pub use lend::lent;
pub use open_refused::OpenRefused;
pub use process::Settings;
pub use refusal::refusal;
pub use registry::Groups;
pub use remote_objects::api::RemoteObject;
pub use shared_objects::api::{SharedObject, SharedObjectMut};
pub use shared_objects::{CROWD, MAX_GROUP_BYTES, MAX_OBJECTS, object_name};
pub use stream::Stream;
pub(crate) use trial::trial;
pub use watched::Rates;
