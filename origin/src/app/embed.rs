//! For applications in another language: the means besides [`Application`](super::Application).
//!
//! An engine calls functions of its host without a context. While a script runs, its group is lent
//! to the thread by [`Context::lend`], and the host's functions borrow it with [`lent`]. The crate
//! `tributary-script` is built on this.
//!
//! ```
//! use tributary_origin::app::{Answer, Application, Call, Context, embed::lent};
//!
//! /// Counts as a script's function would: without a context of its own.
//! fn accepted_clients() -> usize {
//!     lent(|context| context.clients().count()).unwrap_or_default()
//! }
//!
//! struct Counting;
//!
//! impl Application for Counting {
//!     fn call(&mut self, context: &mut Context<'_>, _: &Call) -> Answer {
//!         let count = context.lend(accepted_clients);
//!         Answer::Result((count as f64).into())
//!     }
//! }
//! ```
//!
//! [`Context::lend`]: super::Context::lend

pub use crate::group::{CROWD, MAX_GROUP_BYTES, MAX_OBJECTS, lent, object_name, read_connect};
