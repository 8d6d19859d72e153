//! Groups: application instances, each an actor that owns its clients and streams.
//!
//! [`Groups`] starts them on its worker threads and finds them by name; a [`GroupHandle`] is a
//! lane's way into one. The modules of a group, outermost first:
//!
//! | module | what it does |
//! |---|---|
//! | `actor` | takes mail, one turn at a time; contains panics; ends the group |
//! | `turn`, `net_stream`, `playlist` | the steps of a turn: sessions, commands, deadlines |
//! | `context` | the acts of an application on its group |
//! | `lend` | the context of a script that runs |
//! | `handle`, `refusal` | the ways in |
//! | `workers`, `worker`, `beside_link` | the threads that groups run on: workers, and that of the links |
//! | `trial` | an instance without clients, apart from all others |
//! | `core` | all parts, and the acts that concern all of them: sessions begin and end |
//! | `room` | the surroundings of every act: the time, deadlines, notices, the log |
//! | `clients`, `client`, `message_stream` | the sessions, one session, its message streams |
//! | `streams`, `publishing`, `playing` | live streams by name; their publishers; their players |
//! | `shared_objects` | all shared objects, their members, and the requests of clients |
//! | `bandwidth`, `watched` | measurements of a client's connection; its figures and limits |
//! | `access` | the folders that a client may read and write |
//! | `own_streams`, `stream` | the streams of the application, and its acts on one |
//! | `connections`, `connection` | its connections to others, and its acts on one |
//! | `remote_objects` | shared objects that it uses over its connections |
//! | `relays` | streams pushed to other servers and pulled from them |
//! | `record`, `restore` | the records of clients that edges keep; clients of the process before go on |
//! | `keeper` | keeps the groups alive that pull without viewers |
//!
//! A part (`clients`, `streams`, `own_streams`, `connections`, `remote_objects`, `shared_objects`,
//! `relays`) holds state and uses no other part. Acts work on parts: a type such as `ObjectActs` borrows the
//! room and the parts that one area needs, and nothing else of the core. An act that finds that a
//! session or a stream has to end returns that (`Verdict`, `Air`); its caller, which has the other
//! parts, ends it.

mod access;
mod actor;
mod answer;
mod bandwidth;
mod beside_link;
mod client;
mod clients;
mod clock;
mod connection;
mod connections;
mod context;
mod core;
mod freeing;
mod hand_over;
mod handle;
mod heat;
mod keeper;
mod lend;
mod mailbox;
mod media;
mod message_stream;
mod name;
mod net_stream;
mod notice;
mod open_refused;
mod own_streams;
mod playing;
mod playlist;
mod process;
mod publisher;
mod publishing;
mod pull_id;
mod reconnecting;
mod record;
mod refusal;
mod registry;
mod relays;
mod remote_objects;
mod restarts;
mod restore;
mod resume_token;
mod resuming;
mod room;
mod shared_objects;
mod stream;
mod streams;
mod timers;
mod token;
mod trial;
mod turn;
mod verdict;
mod watched;
mod worker;
mod workers;

#[cfg(test)]
mod tests;

pub use client::{Client, read_connect};
pub use connection::{Connection, NetStream};
pub use context::{Context, Poster};
pub(crate) use hand_over::{HandOver, Stopped};
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
