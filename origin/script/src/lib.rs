//! Script applications for an origin: Server-Side ActionScript and modern JavaScript, on QuickJS.
//!
//! An origin reads folders of scripts with the [`loader`] of this crate:
//!
//! ```no_run
//! # fn example(identity: tributary_node::tls::Identity) -> Result<(), Box<dyn std::error::Error>> {
//! use std::{collections::BTreeMap, path::PathBuf};
//!
//! use tributary_node::drain;
//! use tributary_origin::{Config, Start, app::Applications};
//!
//! let (signal, watch) = drain::channel();
//! let mut metrics = Default::default();
//! let start = Start {
//!     config: Config {
//!         apps: Some(PathBuf::from("applications")),
//!         data: Some(PathBuf::from("data")),
//!         ..Config::default()
//!     },
//!     identity,
//!     epoch: 1,
//!     applications: BTreeMap::new(),
//!     own: Applications::new(),
//!     loader: tributary_script::loader(),
//!     token: None,
//!     cluster: None,
//! };
//! let origin = tributary_origin::start(start, &mut metrics, watch)?;
//! # drop((signal, origin));
//! # Ok(())
//! # }
//! ```
//!
//! A program may also add a [`Program`] to its own applications, with a [`ScriptApplication`] for
//! each instance. A `Program` is a snapshot of an application's folder; an instance has a script
//! runtime of its own.
//!
//! # What imports what
//!
//! Each row imports only from rows below it.
//!
//! | module | content |
//! |---|---|
//! | `loader` | folders of scripts, for the origin's deployments |
//! | `instance` | one instance, which calls the script for its group. `engine` has the runtime, `admission`, `rpc`, `hooks` and `idle` connects, calls, publish and play requests, idle clients |
//! | `api` | the classes and functions that scripts use, one file for each; `api::library` has those of `library` |
//! | `value` | AMF values as script values, and back |
//! | `host` | the host's state of one script: `state`, and its parts |
//! | `program` | files: reading, encodings, compiling, `import`, notes, errors with their place |
//! | `text` | the text of script values |
//! | `library` | files, XML, remoting and the like, without an engine |
//!
//! # How a turn goes
//!
//! The group calls the application, which lends the group to the thread and calls the script. A
//! function of the host that needs the group borrows it with
//! [`lent`](tributary_origin::app::embed::lent): `lent(|context| context.accept(client))`. It must
//! not call into the script inside that closure; convert values before and after. The promise jobs
//! of the script's code run after it, in the same turn. An uncaught exception is logged with its
//! place, and `application.onStatus` is called.

mod api;
mod host;
mod instance;
mod library;
mod loader;
mod program;
#[cfg(any(test, feature = "test"))]
pub mod test;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub use host::{Host, THREAD_STACK};
pub use instance::ScriptApplication;
pub use library::{
    application_xml::{ApplicationXml, ApplicationXmlError, ConfigValue, Ignored},
    outbound::Outbound,
};
pub use loader::loader;
pub use program::{Kind, Program, ProgramError, ScriptError};
