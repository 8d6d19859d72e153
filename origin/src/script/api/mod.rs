//! The classes and functions that scripts use.

use std::rc::Rc;

use rquickjs::{
    Atom, Ctx, Function, Object, Promise, Result, Value,
    atom::PredefinedAtom,
    function::{Args, IntoArgs, IntoJsFunc, Opt, This},
    object::{Accessor, Property},
};

use super::state::State;

pub(crate) mod application;
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

/// A global of every script.
pub(crate) struct Global {
    pub(crate) name: &'static str,
    when: When,
    define: Define,
}

/// Makes what a global is.
type Define = for<'js> fn(&Ctx<'js>, &Rc<State>) -> Result<Value<'js>>;

/// When a global comes into being.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Before the main file runs.
    Start,
    /// When a script first names it: one that few scripts use costs the others nothing.
    FirstUse,
}

/// Every global of the host.
pub(crate) const GLOBALS: &[Global] = &[
    Global::new("application", When::Start, application::define),
    Global::new("Client", When::Start, client::define),
    Global::new("SharedObject", When::FirstUse, shared_object::define),
    Global::new("trace", When::Start, globals::trace),
    Global::new("load", When::Start, globals::load),
    Global::new("setInterval", When::Start, globals::set_interval),
    Global::new("setTimeout", When::FirstUse, globals::set_timeout),
    Global::new("clearInterval", When::Start, globals::clear),
    Global::new("clearTimeout", When::FirstUse, globals::clear),
    Global::new("getGlobal", When::FirstUse, globals::get_global),
    Global::new("setAttributes", When::FirstUse, protect::set_attributes),
    Global::new("protectObject", When::FirstUse, protect::protect_object),
    Global::new("Stream", When::FirstUse, stream::define),
    Global::new("NetConnection", When::FirstUse, net_connection::define),
    Global::new("NetStream", When::FirstUse, net_stream::define),
    Global::new("console", When::FirstUse, console::define),
    Global::new("File", When::FirstUse, library::file),
    Global::new("LoadVars", When::FirstUse, library::load_vars),
    Global::new("XML", When::FirstUse, library::xml),
    Global::new("XMLNode", When::FirstUse, library::xml_node),
    Global::new("XMLSocket", When::FirstUse, library::xml_socket),
    Global::new("XMLStreams", When::FirstUse, library::xml_streams),
    Global::new("ByteArray", When::FirstUse, library::byte_array),
    Global::new("fetch", When::FirstUse, library::fetch),
    Global::new("SHA256", When::FirstUse, library::sha256),
    Global::new("Log", When::FirstUse, library::log),
    Global::new("WebService", When::FirstUse, library::web_service),
    Global::new("SOAPCall", When::FirstUse, library::soap_call),
    Global::new("SOAPFault", When::FirstUse, library::soap_fault),
];

impl Global {
    const fn new(name: &'static str, when: When, define: Define) -> Self {
        Self { name, when, define }
    }
}

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
    for global in GLOBALS {
        match global.when {
            When::Start => {
                let value = (global.define)(ctx, state)?;
                hidden(&ctx.globals(), global.name, value)?;
            }
            When::FirstUse if state.program.may_name(global.name) => later.push(global.name),
            When::FirstUse => {}
        }
    }
    let make = Function::new(ctx.clone(), first_use(Rc::clone(state)))?;
    state.lazy(ctx, later, make)
}

/// Makes a global when it is first named.
fn first_use(state: Rc<State>) -> impl for<'js> Fn(Ctx<'js>, String) -> Result<Value<'js>> {
    move |ctx, name| {
        let global = GLOBALS.iter().find(|global| global.name == name);
        let undefined = || Ok(Value::new_undefined(ctx.clone()));
        global.map_or_else(undefined, |global| (global.define)(&ctx, &state))
    }
}

/// Has the prototype of a host class there that the script may never have named, or has replaced.
pub(crate) fn need_class(ctx: &Ctx<'_>, state: &Rc<State>, class: &str) -> Result<()> {
    if !state.has_prototype(class) {
        let _: Value<'_> = ctx.globals().get(class)?;
    }
    let global = GLOBALS.iter().find(|global| global.name == class);
    match global.filter(|_| !state.has_prototype(class)) {
        Some(global) => (global.define)(ctx, state).map(drop),
        None => Ok(()),
    }
}

/// A value that is to be stored; none where `null` or `undefined` stands for taking one away.
fn given(value: Opt<Value<'_>>) -> Option<Value<'_>> {
    value
        .0
        .filter(|value| !value.is_null() && !value.is_undefined())
}

/// A method: writable, and not seen by `for in`.
pub(crate) fn method<'js, P, F>(object: &Object<'js>, name: &str, function: F) -> Result<()>
where
    F: IntoJsFunc<'js, P> + 'js,
{
    // One text for the key and the name.
    let key = Atom::from_str(object.ctx().clone(), name)?;
    let function = Function::new(object.ctx().clone(), function)?;
    let shown = Property::from(key.to_js_string()?).configurable();
    function.prop(PredefinedAtom::Name, shown)?;
    object.prop(key, Property::from(function).writable().configurable())
}

/// A property that is not seen by `for in`.
pub(crate) fn hidden<'js>(object: &Object<'js>, name: &str, value: Value<'js>) -> Result<()> {
    object.prop(name, Property::from(value).writable().configurable())
}

/// A property that scripts read and cannot write.
pub(crate) fn getter<'js, P, F>(object: &Object<'js>, name: &str, get: F) -> Result<()>
where
    F: IntoJsFunc<'js, P> + 'js,
{
    object.prop(name, Accessor::from(get).configurable())
}

/// A property with code behind it both ways.
pub(crate) fn property<'js, P, G, Q, S>(
    object: &Object<'js>,
    name: &str,
    get: G,
    set: S,
) -> Result<()>
where
    G: IntoJsFunc<'js, P> + 'js,
    S: IntoJsFunc<'js, Q> + 'js,
{
    object.prop(name, Accessor::new(get, set).configurable())
}

/// The prototype for objects of a host class, out of reach of peers' calls.
pub(crate) fn prototype<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    class: &'static str,
) -> Result<Object<'js>> {
    let prototype = Object::new(ctx.clone())?;
    state.hide(ctx, prototype.as_value())?;
    state.set_prototype(ctx, class, &prototype);
    Ok(prototype)
}

/// Calls a handler if there is one: `object.name(arguments)`. `None` if there is none.
pub(crate) fn callback<'js>(
    object: &Object<'js>,
    name: &str,
    arguments: impl IntoArgs<'js>,
) -> Result<Option<Value<'js>>> {
    let handler: Value<'js> = object.get(name)?;
    let handler = handler.as_function();
    handler.map_or(Ok(None), |handler| {
        call_on(handler, object, arguments).map(Some)
    })
}

/// Calls a function as a method of an object.
pub(crate) fn call_on<'js>(
    function: &Function<'js>,
    this: &Object<'js>,
    arguments: impl IntoArgs<'js>,
) -> Result<Value<'js>> {
    let mut all = Args::new(function.ctx().clone(), arguments.num_args());
    all.this(this.clone())?;
    arguments.into_args(&mut all)?;
    all.apply(function)
}

/// An object, or null.
pub(crate) fn or_null<'js>(ctx: &Ctx<'js>, object: Option<Object<'js>>) -> Value<'js> {
    object.map_or_else(|| Value::new_null(ctx.clone()), Object::into_value)
}

/// Has one of two functions called when a promise is settled.
pub(crate) fn then<'js>(
    promise: &Promise<'js>,
    resolved: Function<'js>,
    rejected: Function<'js>,
) -> Result<()> {
    let then = promise.then()?;
    then.call((This(promise.clone()), resolved, rejected))
}

/// Makes a Rust type the inside of script objects of a host class.
///
/// The type derives `JsLifetime` and holds no script value.
macro_rules! host_class {
    ($type:ty, $name:literal) => {
        impl<'js> rquickjs::class::Trace<'js> for $type {
            fn trace<'a>(&self, _: rquickjs::class::Tracer<'a, 'js>) {}
        }

        impl<'js> rquickjs::class::JsClass<'js> for $type {
            const NAME: &'static str = $name;
            type Mutable = rquickjs::class::Readable;

            fn constructor(
                _: &rquickjs::Ctx<'js>,
            ) -> rquickjs::Result<Option<rquickjs::Constructor<'js>>> {
                Ok(None)
            }
        }
    };
}
pub(crate) use host_class;
