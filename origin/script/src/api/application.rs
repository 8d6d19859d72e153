//! application: the instance itself.

use std::rc::Rc;

use rquickjs::{
    Array, Coerced, Ctx, Exception, Function, Object, Result, Value,
    function::{Opt, Rest},
};
use tributary_origin::app::{ClientId, Level, Rejection, embed::lent};
use tributary_protocol::{amf, command::Status};

use super::{class, client::id_of, config::config};
use crate::{
    host::state::State,
    program::failure::ScriptError,
    text::text,
    value::{from_script, to_values},
};

/// The global `application`. Scripts put their handlers on it; the host's methods are on its
/// prototype.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let host = class::prototype(ctx, state, "Application")?;
    facts(&host, state)?;
    deciding(&host, state)?;
    speaking(&host, state)?;
    ruling(&host, state)?;
    let application = Object::new_proto(ctx.clone(), Some(&host))?;
    application.set("allowDebug", false)?;
    let config = config(ctx, &state.program.application_xml().config)?;
    application.set("config", config)?;
    let kept = state.keeper.keep(ctx, application.as_value());
    state.clients.borrow_mut().set_application(kept);
    let list = Array::new(ctx.clone())?;
    let kept = state.keeper.keep(ctx, list.as_value());
    state.clients.borrow_mut().set_list(kept);
    Ok(application.into_value())
}

/// The host's application object, whatever value the script gives the global.
pub(crate) fn object<'js>(ctx: &Ctx<'js>, state: &State) -> Result<Object<'js>> {
    let clients = state.clients.borrow();
    match clients.application() {
        Some(kept) => state.keeper.kept_object(ctx, kept),
        None => Object::new(ctx.clone()),
    }
}

fn facts<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::getter(host, "name", move || known.group.to_string())?;
    class::getter(host, "hostname", hostname)?;
    class::getter(host, "server", || SERVER)?;
    let known = Rc::clone(state);
    class::getter(host, "clients", move |ctx: Ctx<'js>| {
        let clients = known.clients.borrow();
        clients.list().map(|list| known.keeper.kept(&ctx, list))
    })
}

/// The value of `application.server`.
const SERVER: &str = concat!("Tributary/", env!("CARGO_PKG_VERSION"));

fn hostname() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// acceptConnection, rejectConnection, redirectConnection, disconnect.
fn deciding<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "acceptConnection",
        move |ctx: Ctx<'js>, client: Value<'js>| accept(&ctx, &known, named(&ctx, &client)?),
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "rejectConnection",
        move |ctx: Ctx<'js>, client: Value<'js>, why: Rest<Value<'js>>| {
            let client = named(&ctx, &client)?;
            let rejection = rejection(&ctx, &known, why.0)?;
            reject(&known, client, rejection);
            Ok::<(), rquickjs::Error>(())
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "redirectConnection",
        move |ctx: Ctx<'js>, client: Value<'js>, uri: Opt<Value<'js>>, why: Rest<Value<'js>>| {
            let client = named(&ctx, &client)?;
            let mut why = why.0;
            // A single argument of this method is the description.
            why.resize(2, Value::new_undefined(ctx.clone()));
            let why = rejection(&ctx, &known, why)?;
            let uri = uri.0.filter(|uri| !is_nothing(uri));
            let Some(uri) = uri.map(|uri| uri.get::<Coerced<String>>()) else {
                reject(&known, client, why);
                return Ok(());
            };
            let uri = uri?;
            note_rejection(&known, client);
            lent(|context| context.redirect(client, &uri.0, why));
            Ok::<(), rquickjs::Error>(())
        },
    )?;
    class::method(
        host,
        "disconnect",
        move |ctx: Ctx<'js>, client: Value<'js>| {
            let client = named(&ctx, &client)?;
            let there = lent(|context| {
                let there = context.client(client).is_some();
                context.disconnect(client);
                there
            });
            Ok::<bool, rquickjs::Error>(there.unwrap_or_default())
        },
    )
}

fn named(ctx: &Ctx<'_>, client: &Value<'_>) -> Result<ClientId> {
    id_of(client).ok_or_else(|| Exception::throw_type(ctx, "the first argument must be a Client"))
}

/// Accepts a client: its answer leaves before later messages of the script to it.
pub(crate) fn accept(ctx: &Ctx<'_>, state: &State, client: ClientId) -> Result<()> {
    if !state.clients.borrow_mut().decided(client) {
        return Ok(());
    }
    lent(|context| context.accept(client));
    state.clients.borrow_mut().accepted += 1;
    let list = {
        let clients = state.clients.borrow();
        clients
            .list()
            .zip(clients.get(client))
            .map(|(list, object)| (state.keeper.kept(ctx, list), state.keeper.kept(ctx, object)))
    };
    if let Some((list, object)) = list
        && let Some(list) = list.as_array()
    {
        list.set(list.len(), object)?;
    }
    Ok(())
}

/// Refuses a client.
pub(crate) fn reject(state: &State, client: ClientId, rejection: Rejection) {
    note_rejection(state, client);
    lent(|context| context.reject(client, rejection));
}

fn note_rejection(state: &State, client: ClientId) {
    let mut clients = state.clients.borrow_mut();
    if clients.decided(client) {
        clients.rejected += 1;
    }
}

/// Reads the reason of a rejection: an object, or a description and an object. A single text counts
/// as both.
fn rejection<'js>(ctx: &Ctx<'js>, state: &Rc<State>, why: Vec<Value<'js>>) -> Result<Rejection> {
    let mut why = why.into_iter();
    let (first, second) = (why.next(), why.next());
    let description = first.as_ref().and_then(text);
    let application = if second.is_some() { second } else { first };
    let application = application.filter(|value| !is_nothing(value));
    let application = application.map(|value| from_script(ctx, state, &value));
    Ok(Rejection {
        description,
        application: application.transpose()?,
    })
}

fn is_nothing(value: &Value<'_>) -> bool {
    value.is_undefined() || value.is_null()
}

/// broadcastMsg, registerClass, registerProxy.
fn speaking<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "broadcastMsg",
        move |ctx: Ctx<'js>, name: Coerced<String>, arguments: Rest<Value<'js>>| {
            let arguments = to_values(&ctx, &known, &arguments)?;
            lent(|context| context.broadcast(&name.0, &arguments));
            Ok::<bool, rquickjs::Error>(true)
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "registerClass",
        move |ctx: Ctx<'js>, name: Coerced<String>, class: Opt<Value<'js>>| match class
            .0
            .as_ref()
            .and_then(Value::as_function)
        {
            Some(class) if class.is_constructor() => {
                known.register_class(&ctx, &name.0, class)?;
                Ok(true)
            }
            _ => {
                let why = "registerClass needs a constructor function";
                Err(Exception::throw_type(&ctx, why))
            }
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "registerProxy",
        move |ctx: Ctx<'js>, name: Coerced<String>, target: Value<'js>, to: Opt<Value<'js>>| {
            let proxy: Function<'js> =
                ctx.eval_with_options(PROXY, crate::program::check::script_options("<host>"))?;
            let prototype = known.prototype(&ctx, "Client")?;
            proxy.call::<_, ()>((prototype, name.0, target, to.0))
        },
    )
}

/// registerProxy: calls of `name` go to the target, and its answer to the caller.
const PROXY: &str = "(function (prototype, name, target, method) {
    prototype[name] = function (...rest) {
        return new Promise((resolve, reject) => {
            target.call(method || name, { onResult: resolve, onStatus: reject }, ...rest);
        });
    };
})";

/// shutdown, gc, getStats, clearSharedObjects, clearStreams.
fn ruling<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    class::method(host, "shutdown", || {
        lent(|context| context.unload()).is_some()
    })?;
    class::method(host, "clearSharedObjects", |path: Coerced<String>| {
        lent(|context| context.clear_shared_objects(&path.0)).unwrap_or_default()
    })?;
    // The method deletes recordings, and there are none.
    class::method(host, "clearStreams", || false)?;
    class::method(host, "gc", |ctx: Ctx<'js>| ctx.run_gc())?;
    let known = Rc::clone(state);
    class::method(host, "getStats", move |ctx: Ctx<'js>| {
        let stats = Object::new(ctx.clone())?;
        let (accepted, rejected, left) = {
            let clients = known.clients.borrow();
            (clients.accepted, clients.rejected, clients.left)
        };
        let bytes = lent(|context| {
            context
                .clients()
                .fold((0, 0), |(bytes_in, bytes_out), client| {
                    (bytes_in + client.bytes_in(), bytes_out + client.bytes_out())
                })
        });
        let (bytes_in, bytes_out) = bytes.unwrap_or_default();
        for (name, value) in [
            ("total_connects", accepted + rejected),
            ("total_disconnects", left),
            ("accepted", accepted),
            ("rejected", rejected),
            ("bytes_in", bytes_in),
            ("bytes_out", bytes_out),
        ] {
            stats.set(name, value as f64)?;
        }
        Ok::<_, rquickjs::Error>(stats)
    })
}

/// Logs an exception of a script, and calls its `application.onStatus`.
pub(crate) fn thrown<'js>(ctx: &Ctx<'js>, state: &Rc<State>, thrown: &Value<'js>) {
    state.failed.set(true);
    let mut error = ScriptError::thrown(ctx, thrown, state.program.scripts());
    if let Some(exceeded) = state.allowance.exceeded() {
        exceeded.describe().clone_into(&mut error.message);
        state.allowance.reported();
    } else if error.message == OUT_OF_MEMORY {
        state
            .allowance
            .exceed(crate::host::allowance::Exceeded::Memory);
        state.allowance.reported();
    }
    report(state, &error);
    // An error in onStatus itself is not reported to it, nor an error in a turn that is over.
    if state.allowance.exceeded().is_some() || state.telling.replace(true) {
        return;
    }
    if tell(ctx, state, &error).is_err() {
        let again = ScriptError::thrown(ctx, &ctx.catch(), state.program.scripts());
        report(state, &again);
    }
    state.telling.set(false);
}

/// The text of the engine's own error of that kind.
const OUT_OF_MEMORY: &str = "InternalError: out of memory";

/// Logs a script's error.
pub(crate) fn report(state: &State, error: &ScriptError) {
    state.log(Level::Error, &error.to_string());
}

/// Calls `application.onStatus` because the memory has run out.
pub(crate) fn low_memory(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
    let status = Status::ResourceLowMemory;
    let info = info(ctx, status, status.description())?;
    class::callback(&object(ctx, state)?, "onStatus", (info,)).map(drop)
}

/// The argument of an `onStatus`.
pub(crate) fn info<'js>(ctx: &Ctx<'js>, status: Status, description: &str) -> Result<Object<'js>> {
    let info = Object::new(ctx.clone())?;
    info.set("code", status.code())?;
    info.set("level", status.level().as_str())?;
    info.set("description", description)?;
    Ok(info)
}

fn tell<'js>(ctx: &Ctx<'js>, state: &State, error: &ScriptError) -> Result<()> {
    let application = object(ctx, state)?;
    let info = info(ctx, Status::ScriptError, &error.message)?;
    info.set("filename", error.file.as_deref())?;
    info.set("lineno", error.line)?;
    info.set("linebuf", error.source_line.as_deref())?;
    class::callback(&application, "onStatus", (info,)).map(drop)
}

/// The answer to a call whose method failed.
pub(crate) fn call_failed(name: &str, message: Option<&str>) -> amf::Value {
    let description = message.map_or_else(|| format!("The method {name} failed."), str::to_owned);
    amf::Value::Object(Status::CallFailed.info(Some(&description), None))
}
