//! The classes and functions that scripts use.
//!
//! # How to add a class or a function
//!
//! 1. Write `api/NAME.rs` with a function `define(ctx, state) -> Result<Value>` that gives the
//!    global's value: a constructor, a function, an object.
//! 2. Add it to `program::globals` and to `define_one` here. With `When::FirstUse` nothing of it
//!    exists in a group until its script names it, and nothing at all if no word of the program is
//!    its name. Use it for every global that few scripts use: a group with its script must stay
//!    below 256 KiB.
//! 3. An object that stands for something of the host needs a Rust struct with `host_class!`, its
//!    prototype from `class::prototype`, methods with `class::method`, properties with
//!    `class::getter` and `class::property`, instances from `State::instance`. The struct's `Drop`
//!    runs when the script drops the object; it must not call into the script.
//!    A peer's call reaches no native function; functions written in JavaScript have to be hidden
//!    from it with `State::hide`, as `class::prototype` does.
//! 4. Closures given to the engine hold an `Rc<State>` and plain data, never a script value, which
//!    would never be freed. `state.keeper.keep` keeps values for the host (callbacks, listeners),
//!    and `state.keeper.release` releases them.
//! 5. Answers that come later: `let later = state.later();` goes to another thread or task, and
//!    there `later.run(move |ctx, state| ...)` runs the closure in a turn of its own. Take the
//!    callback out with `state.keeper.release(ctx, kept)` and call it with `class::callback`.
//! 6. Bound everything that a script can pile up, with a setting or a named constant.
//! 7. Errors for the script are exceptions: `Exception::throw_type(ctx, "...")`. Failures without
//!    one in Flash Media Server (a status event, `false`) have none here.
//! 8. Describe it in `docs/applications.md`, and test it in `tests` on a stage.

use std::rc::Rc;

use rquickjs::{Ctx, Function, Result, Value};

use crate::{
    host::state::State,
    program::globals::{GLOBALS, HostGlobal, When, named},
};

pub(crate) mod application;
pub(crate) mod class;
pub(crate) mod client;
mod config;
pub(crate) mod console;
pub(crate) mod globals;
pub(crate) mod library;
pub(crate) mod net_connection;
pub(crate) mod net_stream;
pub(crate) mod protect;
pub(crate) mod remote_object;
pub(crate) mod shared_object;
pub(crate) mod stream;

/// Prepares the language for the boot script.
pub(crate) fn before_boot(ctx: &Ctx<'_>) -> Result<()> {
    // These classes belong to web pages and would only cost memory here.
    for name in ["performance", "DOMException"] {
        ctx.globals().remove(name)?;
    }
    Ok(())
}

/// Defines all globals.
pub(crate) fn define(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
    let mut later = Vec::new();
    for &(global, name, when) in GLOBALS {
        match when {
            When::Start => {
                let value = define_one(ctx, state, global)?;
                class::hidden(&ctx.globals(), name, value)?;
            }
            When::FirstUse if state.program.may_name(name) => later.push(name),
            When::FirstUse => {}
        }
    }
    let make = Function::new(ctx.clone(), first_use(Rc::clone(state)))?;
    state.lazy(ctx, later, make)
}

/// Makes a global at its first use.
fn first_use(state: Rc<State>) -> impl for<'js> Fn(Ctx<'js>, String) -> Result<Value<'js>> {
    move |ctx, name| {
        let undefined = || Ok(Value::new_undefined(ctx.clone()));
        named(&name).map_or_else(undefined, |global| define_one(&ctx, &state, global))
    }
}

/// Makes the value of a global: a constructor, a function, an object.
fn define_one<'js>(ctx: &Ctx<'js>, state: &Rc<State>, global: HostGlobal) -> Result<Value<'js>> {
    let define: class::Define = match global {
        HostGlobal::Application => application::define,
        HostGlobal::Client => client::define,
        HostGlobal::SharedObject => shared_object::define,
        HostGlobal::Trace => globals::trace,
        HostGlobal::Load => globals::load,
        HostGlobal::SetInterval => globals::set_interval,
        HostGlobal::SetTimeout => globals::set_timeout,
        HostGlobal::ClearInterval => globals::clear,
        HostGlobal::ClearTimeout => globals::clear,
        HostGlobal::GetGlobal => globals::get_global,
        HostGlobal::SetAttributes => protect::set_attributes,
        HostGlobal::ProtectObject => protect::protect_object,
        HostGlobal::Stream => stream::define,
        HostGlobal::NetConnection => net_connection::define,
        HostGlobal::NetStream => net_stream::define,
        HostGlobal::Console => console::define,
        HostGlobal::File => library::file,
        HostGlobal::LoadVars => library::load_vars,
        HostGlobal::Xml => library::xml,
        HostGlobal::XmlNode => library::xml_node,
        HostGlobal::XmlSocket => library::xml_socket,
        HostGlobal::XmlStreams => library::xml_streams,
        HostGlobal::ByteArray => library::byte_array,
        HostGlobal::Fetch => library::fetch,
        HostGlobal::Sha256 => library::sha256,
        HostGlobal::Log => library::log,
        HostGlobal::WebService => library::web_service,
        HostGlobal::SoapCall => library::soap_call,
        HostGlobal::SoapFault => library::soap_fault,
    };
    define(ctx, state)
}
