//! The origin tier of Tributary: application instances, their clients and live streams.
//!
//! A program embeds an origin to serve applications of its own in Rust. An application implements
//! [`app::Application`]; the origin makes one instance of it for each group, and asks the instance
//! to decide about its clients:
//!
//! ```
//! use std::{collections::BTreeMap, error::Error, sync::Arc};
//!
//! use tributary_node::{cert, config, drain};
//! use tributary_origin::{
//!     Config, Start,
//!     app::{Answer, Application, Applications, Call, Context},
//!     deploy::NoLoader,
//! };
//!
//! /// Counts the calls of each instance.
//! #[derive(Default)]
//! struct Counter {
//!     calls: u32,
//! }
//!
//! impl Application for Counter {
//!     fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
//!         match call.name.as_str() {
//!             "count" => {
//!                 self.calls += 1;
//!                 context.broadcast("counted", &[f64::from(self.calls).into()]);
//!                 Answer::Result(f64::from(self.calls).into())
//!             }
//!             _ => Answer::Unknown,
//!         }
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let settings = config::Application::default();
//!     let mut own = Applications::new();
//!     own.add("count", settings.clone(), |_| Box::new(Counter::default()));
//!
//!     let (signal, watch) = drain::channel();
//!     let mut metrics = tributary_node::metrics::registry("1.0.0");
//!     let origin = tributary_origin::start(
//!         Start {
//!             config: Config {
//!                 link: "127.0.0.1:0".parse()?,
//!                 ..Config::default()
//!             },
//!             identity: cert::temporary()?.origin,
//!             epoch: 1,
//!             applications: BTreeMap::from([("count".to_owned(), settings)]),
//!             own,
//!             loader: Arc::new(NoLoader),
//!             token: None,
//!             cluster: None,
//!         },
//!         &mut metrics,
//!         watch,
//!     )?;
//!     println!("edges dial {}", origin.address());
//!
//!     // A server drains on a signal; see `drain::Stops`.
//!     signal.begin();
//!     origin.join();
//!     Ok(())
//! }
//! ```
//!
//! Clients reach the origin through an edge, which dials [`Running::address`]; the two may run in
//! one process, as `examples/rust/poll` does. An origin alone is built without JavaScript engine
//! and without HTTP client: folders of scripts are read by the loader of the crate
//! `tributary-script`.
//!
//! # What is public
//!
//! | | for whom |
//! |---|---|
//! | [`start`], [`Start`], [`Running`], [`Config`], [`StartError`] | programs: to start an origin and to wait for its end |
//! | [`Flags`], [`LIVE`] | the program `tributary`: its command line, and the name of the application that needs no configuration |
//! | [`app`] | applications: the trait, and the acts of an instance |
//! | [`app::embed`] | engines of other languages, such as `tributary-script`: a group that is lent to its thread, and the bounds of shared objects |
//! | [`deploy::Loader`] and its types | crates that read applications from folders |
//! | [`deploy::check`], [`deploy::archive`], [`deploy::folder`] | the program `tributary`: `tributary check` and `tributary apps`, which look at folders as an origin does |
//! | `test` | tests of applications, with the feature `test`: groups without sockets, on a clock that the test moves |
//!
//! Everything else (groups, links, live streams, the store) is reached through these.

pub mod app;
mod cluster;
mod config;
pub mod deploy;
mod exchange;
#[allow(
    unreachable_pub,
    reason = "applications see the parts that `app` re-exports"
)]
mod group;
mod link;
mod live;
mod metrics;
mod outgoing;
mod run;
mod session;
mod store;
#[cfg(any(test, feature = "test"))]
pub mod test;

pub use cluster::{ClusterConfig, ClusterKeyError};
pub use config::{Config, Flags};
pub use link::LinkError;
pub use run::{LIVE, Reloader, Running, Start, StartError, start};
pub use store::StorageError;
