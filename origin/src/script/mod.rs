//! Script applications: Server-Side ActionScript and modern JavaScript, on QuickJS.
//!
//! [`Program`] is a snapshot of an application's folder, [`ScriptApplication`] one instance of it:
//! an [`Application`](crate::app::Application) with a script runtime of its own.
//!
//! | module | what it does |
//! |---|---|
//! | `program`, `source`, `check`, `words`, `loader` | files: reading, encodings, compiling, `import` |
//! | `engine`, `allowance` | the runtime; turns and what they may use |
//! | `application` | hears from the group, asks the script |
//! | `admission`, `rpc`, `hooks`, `idle` | connects, calls of clients, publish and play requests, idle clients |
//! | `state`, `kept`, `clients`, `calls`, `media`, `objects`, `timers`, `later` | what the host remembers of one script |
//! | `value` | AMF values as script values, and back |
//! | `pace` | how fast a script may fill the log |
//! | `failure` | errors with file, line and source line |
//! | `library` | files, HTTP, XML and the like, without an engine; `api::library` has the classes |
//! | `api` | the classes and functions that scripts use; one file for each |
//!
//! # How a turn goes
//!
//! The group calls the application, which lends the group to the thread and calls the script. A
//! function of the host that needs the group borrows it with `lent`:
//! `lent(|context| context.accept(client))`. It must not call into the script inside that closure;
//! convert values before and after. After the script's own code come its promise jobs, under the
//! same allowance. An exception that nobody catches is logged with its place and told to
//! `application.onStatus`.
//!
//! # How to add a class or a function
//!
//! 1. Write `api/NAME.rs` with a function `define(ctx, state) -> Result<Value>` that gives what the
//!    global is to be: a constructor, a function, an object.
//! 2. Add it to `globals::GLOBALS` and to `api::define_one`. With `When::FirstUse` nothing of it exists in a group until its
//!    script names it (and nothing at all if no word of the program is its name): use that for
//!    all but what nearly every script uses, since a group with its
//!    script must stay below 256 KiB.
//! 3. Objects that stand for something of the host: a Rust struct with `host_class!`, its
//!    prototype from `class::prototype`,
//!    methods with `class::method`, properties with `class::getter` and `class::property`,
//!    instances from `State::instance`. When the script lets go of one, its `Drop` runs; it must
//!    not call into the script.
//!    A peer's call reaches no native function; what is written in JavaScript has to be kept
//!    from it with `State::hide`, as `class::prototype` does.
//! 4. Closures given to the engine hold an `Rc<State>` and plain data, never a script value, which
//!    would never be freed. What has to be remembered (callbacks, listeners) is kept with
//!    `state.keeper.keep` and let go with `state.keeper.release`.
//! 5. Answers that come later: `let later = state.later();` goes to another thread or task, and
//!    there `later.run(move |ctx, state| ...)` has that work done in a turn of its own. Take the
//!    callback out with `state.keeper.release(ctx, kept)` and call it with `class::callback`.
//! 6. Bound what a script can pile up, with a setting or a named constant.
//! 7. Errors for the script are exceptions: `Exception::throw_type(ctx, "...")`. Things that fail
//!    in Flash Media Server without one (a status event, `false`) do so here.
//! 8. Write it into `docs/applications.md`, and test it in `tests/` with `Stage`.

mod admission;
mod allowance;
mod api;
mod application;
mod calls;
mod check;
mod clients;
mod engine;
mod failure;
mod gateways;
mod globals;
mod hooks;
mod host;
mod idle;
mod kept;
mod later;
pub(crate) mod library;
mod loader;
mod loads;
mod media;
mod notes;
mod objects;
mod pace;
mod program;
mod rpc;
mod script_files;
mod shape;
mod source;
mod state;
mod text;
mod timers;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use application::ScriptApplication;
pub use check::Kind;
pub use failure::ScriptError;
pub use host::Host;
pub use library::{
    application_xml::{ApplicationXml, ApplicationXmlError, ConfigValue, Ignored},
    outbound::Outbound,
};
pub use program::{Program, ProgramError};

pub(crate) use allowance::THREAD_STACK;
