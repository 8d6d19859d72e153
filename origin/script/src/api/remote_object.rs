//! SharedObject of another instance: the result of `SharedObject.get` with a NetConnection.

use std::rc::Rc;

use rquickjs::{
    Array, Class, Coerced, Ctx, JsLifetime, Object, Result, Value,
    function::{Opt, Rest, This},
};
use tributary_origin::app::{News, RemoteObject, RemoteObjectId, embed::lent};
use tributary_protocol::{amf, command::Status};

use super::{class, net_connection};
use crate::{
    host::state::State,
    value::{from_script, to_script, to_values},
};

/// The inside of a `SharedObject` whose authority is elsewhere.
#[derive(JsLifetime)]
pub(crate) struct RemoteObjectInside {
    #[qjs(skip_trace)]
    id: RemoteObjectId,
}

class::host_class!(RemoteObjectInside, "RemoteSharedObject");

type Own<'js> = This<Class<'js, RemoteObjectInside>>;

/// `SharedObject.get(name, persistence, connection)`: null without an open connection. `class` is
/// the prototype of every `SharedObject`.
pub(super) fn get<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    name: &str,
    persistent: bool,
    connection: &Value<'js>,
) -> Result<Option<Object<'js>>> {
    let Some(connection) = net_connection::id_of(state, connection) else {
        return Ok(None);
    };
    let opened = lent(|context| {
        let mut connection = context.connection(connection)?;
        connection.open_object(name, persistent).ok()
    });
    let Some(id) = opened.flatten() else {
        return Ok(None);
    };
    if let Some(known) = known(ctx, state, id) {
        return Ok(known.into_object());
    }
    if !state.has_prototype("RemoteSharedObject") {
        define(ctx, state)?;
    }
    let object = state.instance(ctx, RemoteObjectInside { id })?.into_inner();
    let kept = state.keeper.keep(ctx, object.as_value());
    state.media.borrow_mut().add_remote_object(id, kept);
    Ok(Some(object))
}

fn known<'js>(ctx: &Ctx<'js>, state: &State, id: RemoteObjectId) -> Option<Value<'js>> {
    let media = state.media.borrow();
    media
        .remote_object(id)
        .map(|kept| state.keeper.kept(ctx, kept))
}

/// Makes the prototype on that of `SharedObject`, so that `instanceof` holds.
fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<()> {
    let prototype = class::prototype(ctx, state, "RemoteSharedObject")?;
    prototype.set_prototype(Some(&state.prototype(ctx, "SharedObject")?))?;
    facts(&prototype)?;
    slots(&prototype, state)?;
    ruling(&prototype, state)
}

fn with<R: Default>(own: &Own<'_>, work: impl FnOnce(&mut RemoteObject<'_>) -> R) -> R {
    let id = own.0.borrow().id;
    let done = lent(|context| {
        context
            .remote_object(id)
            .map(|mut object| work(&mut object))
    });
    done.flatten().unwrap_or_default()
}

/// name, version, size(), and properties that a replica does not have.
fn facts<'js>(prototype: &Object<'js>) -> Result<()> {
    class::getter(prototype, "name", |own: Own<'js>| {
        with(&own, |object| object.name().to_owned())
    })?;
    class::getter(prototype, "version", |own: Own<'js>| {
        with(&own, |object| object.version())
    })?;
    class::getter(prototype, "isDirty", |_: Own<'js>| false)?;
    // The authority decides about storage and deleted slots; a script may set these here without
    // effect.
    class::property(
        prototype,
        "autoCommit",
        |_: Own<'js>| true,
        |_: Own<'js>, _: Value<'js>| (),
    )?;
    class::property(
        prototype,
        "resyncDepth",
        |_: Own<'js>| f64::INFINITY,
        |_: Own<'js>, _: Value<'js>| (),
    )?;
    class::method(prototype, "size", |own: Own<'js>| {
        with(&own, |object| object.slot_names().count() as f64)
    })
}

/// getProperty, getPropertyNames, setProperty, clear.
fn slots<'js>(prototype: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        prototype,
        "getProperty",
        move |ctx: Ctx<'js>, own: Own<'js>, name: Coerced<String>| {
            let value = with(&own, |object| object.get(&name.0));
            to_script(&ctx, &known, &value.unwrap_or(amf::Value::Null))
        },
    )?;
    class::method(prototype, "getPropertyNames", |own: Own<'js>| {
        with(&own, |object| {
            object
                .slot_names()
                .map(str::to_owned)
                .collect::<Vec<String>>()
        })
    })?;
    let known = Rc::clone(state);
    class::method(
        prototype,
        "setProperty",
        move |ctx: Ctx<'js>, own: Own<'js>, name: Coerced<String>, value: Opt<Value<'js>>| {
            let Some(value) = class::given(value) else {
                return Ok(with(&own, |object| object.remove(&name.0)));
            };
            let value = from_script(&ctx, &known, &value)?;
            Ok::<bool, rquickjs::Error>(with(&own, |object| object.set(&name.0, &value)))
        },
    )?;
    class::method(prototype, "clear", |own: Own<'js>| {
        with(&own, |object| object.clear())
    })
}

/// send, close, and methods of the authority alone.
fn ruling<'js>(prototype: &Object<'js>, state: &Rc<State>) -> Result<()> {
    for name in ["send", "mark"] {
        let known = Rc::clone(state);
        class::method(
            prototype,
            name,
            move |ctx: Ctx<'js>,
                  own: Own<'js>,
                  handler: Coerced<String>,
                  arguments: Rest<Value<'js>>| {
                let arguments = to_values(&ctx, &known, &arguments)?;
                Ok::<bool, rquickjs::Error>(with(&own, |object| {
                    object.send(&handler.0, &arguments)
                }))
            },
        )?;
    }
    for name in ["lock", "unlock"] {
        class::method(prototype, name, |_: Own<'js>| -1)?;
    }
    for name in ["flush", "commit"] {
        class::method(prototype, name, |_: Own<'js>| false)?;
    }
    class::method(prototype, "purge", |_: Own<'js>| ())?;
    let known = Rc::clone(state);
    class::method(prototype, "close", move |own: Own<'js>| {
        let id = own.0.borrow().id;
        lent(|context| context.remote_object(id).map(RemoteObject::close));
        let kept = known.media.borrow_mut().remove_remote_object(id);
        known.keeper.forget(kept);
    })
}

/// Calls the handlers of an object for its news: `onSync`, `onStatus`, and the handlers of
/// messages, in order.
pub(crate) fn news(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    id: RemoteObjectId,
    news: &[News],
) -> Result<()> {
    let Some(object) = known(ctx, state, id).and_then(Value::into_object) else {
        return Ok(());
    };
    let mut list = Array::new(ctx.clone())?;
    for news in news {
        if let Some(change) = change(ctx, state, news)? {
            list.set(list.len(), change)?;
            continue;
        }
        sync(state, ctx, &object, &mut list)?;
        match news {
            News::InUse => {
                let status = Status::SharedObjectProxyConnect;
                told(&object, status.code(), status.level().as_str())?;
            }
            News::Status { code, level } => told(&object, code, level)?,
            News::Message { handler, arguments } => {
                class::call_handler(ctx, state, &object, handler, arguments)?;
            }
            News::TooLarge => {
                let kept = state.media.borrow_mut().remove_remote_object(id);
                state.keeper.forget(kept);
                let status = Status::SharedObjectCreationFailed;
                told(&object, status.code(), status.level().as_str())?;
            }
            _ => {}
        }
    }
    sync(state, ctx, &object, &mut list)
}

/// A change as an item of `onSync`.
fn change<'js>(ctx: &Ctx<'js>, state: &Rc<State>, news: &News) -> Result<Option<Object<'js>>> {
    let change = Object::new(ctx.clone())?;
    match news {
        News::Cleared => change.set("code", "clear")?,
        News::Slot { kind, name, old } => {
            change.set("code", kind.code())?;
            change.set("name", name.as_str())?;
            if let Some(old) = old {
                change.set("oldValue", to_script(ctx, state, old)?)?;
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(change))
}

/// Calls `onSync` with the gathered changes, if there are any.
fn sync<'js>(
    state: &Rc<State>,
    ctx: &Ctx<'js>,
    object: &Object<'js>,
    list: &mut Array<'js>,
) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let gathered = std::mem::replace(list, Array::new(ctx.clone())?);
    match state.find(ctx, object, "onSync")? {
        Some((owner, handler)) => class::call_on(&handler, &owner, (gathered,)).map(drop),
        None => Ok(()),
    }
}

fn told(object: &Object<'_>, code: &str, level: &str) -> Result<()> {
    let info = Object::new(object.ctx().clone())?;
    info.set("code", code)?;
    info.set("level", level)?;
    class::callback(object, "onStatus", (info,)).map(drop)
}
