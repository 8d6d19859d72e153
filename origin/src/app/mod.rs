//! Applications: an application decides for a group, and the group asks it.
//!
//! An [`Application`] is one application instance's behaviour. Its group owns it, calls it on one
//! thread, one call at a time, and does everything else: the sessions, the streams, the order of
//! messages, the limits. An application acts through [`Context`]; results from elsewhere (a
//! database, another thread) come into the group through a [`Poster`].
//!
//! ```text
//! start ─► connect ─► Accept ──► call, publish, play ... ─► disconnect ─► stop
//!             │  └──► Reject, Redirect
//!             └─────► Pending ─► Context::accept, Context::reject
//! ```

pub mod counter;
pub mod embed;
pub mod live;

mod application;
mod arguments;
mod builtin;
mod connections;
mod log;
mod made;
mod registry;
mod request;
mod shared_object;
mod streams;
mod version;

pub use crate::group::{
    Client, Connection, Context, NetStream, Poster, Rates, RemoteObject, SharedObject,
    SharedObjectMut, Stream,
};
pub use application::Application;
pub use arguments::{FromArguments, FromValue, WrongArgument, read_arguments};
pub use connections::{
    ConnectTo, ConnectionCall, ConnectionId, NetStreamId, RemoteObjectId, TooMany,
};
pub use log::{Level, Line, Log};
pub(crate) use made::Made;
pub use registry::{Applications, Summary};
pub(crate) use registry::{Factory, Registered};
pub use request::{
    Admission, Answer, AppStartError, Call, CallToken, ClientId, DECISION_TIME, Decision, Event,
    Identity, PublishGrant, Rejection, RequestId, Responder, Restored, StopReason, StreamRequest,
};
pub use shared_object::{ChangeKind, Encoded, ObjectChange, ObjectError, ObjectId, Refused};
pub use streams::{
    ClientStream, PlayRequest, Publisher, RelayRefused, StreamError, StreamId, StreamStatistics,
    StreamStatus,
};
#[cfg(test)]
pub(crate) use version::WAITING_NAMES;
pub(crate) use version::{AppVersion, InUse, Instance, Runs};

pub use tributary_protocol::shared_object::replica::{News, NewsKind};
