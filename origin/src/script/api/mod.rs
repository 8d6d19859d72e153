//! The classes and functions that scripts use.

use std::rc::Rc;

use rquickjs::{Ctx, Function, Result, Value};

use super::{
    globals::{GLOBALS, Global, When, named},
    state::State,
};

pub(crate) mod application;
pub(crate) mod class;
pub(crate) mod client;
pub(crate) mod console;
pub(crate) mod globals;
pub(crate) mod library;
pub(crate) mod net_connection;
pub(crate) mod net_stream;
pub(crate) mod protect;
pub(crate) mod remote_object;
pub(crate) mod shared_object;
pub(crate) mod stream;

/// What has to be there when the boot script looks at the language.
pub(super) fn before_boot(ctx: &Ctx<'_>) -> Result<()> {
    // What belongs to web pages and would only cost memory here.
    for name in ["performance", "DOMException"] {
        ctx.globals().remove(name)?;
    }
    Ok(())
}

/// Defines all globals.
pub(super) fn define(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
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

/// Makes a global when it is first named.
fn first_use(state: Rc<State>) -> impl for<'js> Fn(Ctx<'js>, String) -> Result<Value<'js>> {
    move |ctx, name| {
        let undefined = || Ok(Value::new_undefined(ctx.clone()));
        named(&name).map_or_else(undefined, |global| define_one(&ctx, &state, global))
    }
}

/// Makes what a global is: a constructor, a function, an object.
fn define_one<'js>(ctx: &Ctx<'js>, state: &Rc<State>, global: Global) -> Result<Value<'js>> {
    let define: class::Define = match global {
        Global::Application => application::define,
        Global::Client => client::define,
        Global::SharedObject => shared_object::define,
        Global::Trace => globals::trace,
        Global::Load => globals::load,
        Global::SetInterval => globals::set_interval,
        Global::SetTimeout => globals::set_timeout,
        Global::ClearInterval => globals::clear,
        Global::ClearTimeout => globals::clear,
        Global::GetGlobal => globals::get_global,
        Global::SetAttributes => protect::set_attributes,
        Global::ProtectObject => protect::protect_object,
        Global::Stream => stream::define,
        Global::NetConnection => net_connection::define,
        Global::NetStream => net_stream::define,
        Global::Console => console::define,
        Global::File => library::file,
        Global::LoadVars => library::load_vars,
        Global::Xml => library::xml,
        Global::XmlNode => library::xml_node,
        Global::XmlSocket => library::xml_socket,
        Global::XmlStreams => library::xml_streams,
        Global::ByteArray => library::byte_array,
        Global::Fetch => library::fetch,
        Global::Sha256 => library::sha256,
        Global::Log => library::log,
        Global::WebService => library::web_service,
        Global::SoapCall => library::soap_call,
        Global::SoapFault => library::soap_fault,
    };
    define(ctx, state)
}
