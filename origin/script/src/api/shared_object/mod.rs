//! SharedObject: data that the application shares with its clients.

mod inside;
mod room;

use std::rc::Rc;

use rquickjs::{
    Class, Coerced, Constructor, Ctx, Exception, Object, Result, Value,
    function::{Opt, Rest, This},
    object::Property,
};
use tributary_origin::app::{
    ChangeKind, Level, ObjectChange, ObjectId, SharedObject, SharedObjectMut,
    embed::{lent, object_name},
};
use tributary_protocol::{amf, command::Status};

use super::{application, class, remote_object};
use crate::{
    host::state::State,
    value::{from_script, to_script, to_values},
};

use inside::ObjectInside;
pub(crate) use room::make as make_room;

type Own<'js> = This<Class<'js, ObjectInside>>;

/// The class.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let prototype = class::prototype(ctx, state, "SharedObject")?;
    facts(&prototype)?;
    slots(&prototype, state)?;
    ruling(&prototype, state)?;
    let class =
        Constructor::new_prototype(ctx, prototype, |ctx: Ctx<'js>| -> Result<Value<'js>> {
            Err(Exception::throw_type(&ctx, "use SharedObject.get()"))
        })?;
    class.set_name("SharedObject")?;
    let known = Rc::clone(state);
    class::method(
        &class,
        "get",
        move |ctx: Ctx<'js>,
              name: Coerced<String>,
              persistent: Opt<Value<'js>>,
              connection: Opt<Value<'js>>| {
            let persistent = truth(persistent.0)?;
            let remote = connection.0.filter(Value::is_object);
            let object = get(&ctx, &known, &name.0, persistent, remote)?;
            Ok::<_, rquickjs::Error>(class::or_null(&ctx, object))
        },
    )?;
    let known = Rc::clone(state);
    class::method(&class, "commit", move |name: Opt<Coerced<String>>| {
        commit(&known, name.0.as_ref().map(|name| &*name.0))
    })?;
    Ok(class.into_value())
}

fn truth(value: Option<Value<'_>>) -> Result<bool> {
    let value = value.filter(|value| !value.is_undefined());
    value.map_or(Ok(false), |value| Ok(value.get::<Coerced<bool>>()?.0))
}

/// `SharedObject.get(name, persistence, connection)`: null if there can be no such object.
fn get<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    name: &str,
    persistent: bool,
    remote: Option<Value<'js>>,
) -> Result<Option<Object<'js>>> {
    if let Some(connection) = remote {
        return remote_object::get(ctx, state, name, persistent, &connection);
    }
    let found = lent(|context| context.find_object(name)).flatten();
    if found.is_none_or(|id| state.objects.borrow().get(id).is_none()) {
        make_room(ctx, state)?;
    }
    let opened = lent(|context| context.open_object(name, persistent));
    let id = match opened {
        Some(Ok(id)) => id,
        Some(Err(error)) => {
            state.log(
                Level::Warning,
                &format!("SharedObject.get({name:?}): {error}"),
            );
            return Ok(None);
        }
        None => return Ok(None),
    };
    if let Some(known) = known(ctx, state, id) {
        // The script's present object holds it already.
        lent(|context| context.close_object(id));
        return Ok(Some(known));
    }
    if let Some(depth) = state.program.application_xml().resync_depth {
        lent(|context| {
            let object = context.object_mut(id);
            object.map(|mut object| object.set_resync_depth(depth))
        });
    }
    let ledger = state.objects.borrow().ledger();
    let object = state
        .instance(ctx, ObjectInside::new(id, ledger))?
        .into_inner();
    let kept = state.keeper.keep(ctx, object.as_value());
    let old = state.objects.borrow_mut().add(id, persistent, kept);
    state.keeper.forget(old);
    Ok(Some(object))
}

/// The script's object for a shared object, if it is open; this counts as a use.
fn known<'js>(ctx: &Ctx<'js>, state: &State, id: ObjectId) -> Option<Object<'js>> {
    let kept = {
        let objects = state.objects.borrow();
        objects.get(id).map(|object| state.keeper.kept(ctx, object))
    };
    let object = kept?.into_object()?;
    let open = object.as_class::<ObjectInside>()?.borrow().use_now();
    open.then_some(object)
}

/// `SharedObject.commit(name)`, or all persistent ones; `true` if the writes are queued.
fn commit(state: &State, name: Option<&str>) -> bool {
    let objects: Vec<_> = state.objects.borrow().persistent().collect();
    let all = lent(|context| {
        objects.iter().fold(true, |all, &id| {
            let wanted = context
                .object(id)
                .is_some_and(|object| name.is_none_or(|name| object.name() == object_name(name)));
            let done = !wanted
                || context
                    .object_mut(id)
                    .is_none_or(|mut object| object.flush());
            all && done
        })
    });
    all.unwrap_or_default()
}

fn look<R>(own: &Own<'_>, look: impl FnOnce(SharedObject<'_>) -> R) -> Option<R> {
    let inside = own.0.borrow();
    if !inside.use_now() {
        return None;
    }
    lent(|context| context.object(inside.id()).map(look)).flatten()
}

fn change<R>(own: &Own<'_>, change: impl FnOnce(&mut SharedObjectMut<'_>) -> R) -> Option<R> {
    let inside = own.0.borrow();
    if !inside.use_now() {
        return None;
    }
    lent(|context| {
        context
            .object_mut(inside.id())
            .map(|mut object| change(&mut object))
    })
    .flatten()
}

/// name, version, isDirty, autoCommit, resyncDepth, size().
fn facts<'js>(prototype: &Object<'js>) -> Result<()> {
    class::getter(prototype, "name", |own: Own<'js>| {
        look(&own, |object| object.name().to_owned())
    })?;
    class::getter(prototype, "version", |own: Own<'js>| {
        look(&own, |object| object.version())
    })?;
    class::getter(prototype, "isDirty", |own: Own<'js>| {
        look(&own, |object| object.is_dirty())
    })?;
    class::property(
        prototype,
        "autoCommit",
        |own: Own<'js>| look(&own, |object| object.auto_commit()),
        |own: Own<'js>, on: Coerced<bool>| {
            change(&own, |object| object.set_auto_commit(on.0));
        },
    )?;
    class::property(
        prototype,
        "resyncDepth",
        |own: Own<'js>| look(&own, |object| depth_shown(object.resync_depth())),
        |own: Own<'js>, depth: Coerced<f64>| {
            change(&own, |object| object.set_resync_depth(depth.0 as u32));
        },
    )?;
    class::method(prototype, "size", |own: Own<'js>| {
        look(&own, |object| object.len()).unwrap_or(0)
    })?;
    class::method(prototype, "toString", || "[object SharedObject]")
}

fn depth_shown(depth: u32) -> f64 {
    if depth == u32::MAX {
        f64::INFINITY
    } else {
        depth.into()
    }
}

/// getProperty, getPropertyNames, setProperty, clear.
fn slots<'js>(prototype: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        prototype,
        "getProperty",
        move |ctx: Ctx<'js>, own: Own<'js>, name: Coerced<String>| {
            let value = look(&own, |object| object.get(&name.0)).flatten();
            let value = value.unwrap_or(amf::Value::Null);
            to_script(&ctx, &known, &value)
        },
    )?;
    class::method(prototype, "getPropertyNames", |own: Own<'js>| {
        let names = look(&own, |object| {
            object.slot_names().map(str::to_owned).collect::<Vec<_>>()
        });
        names.unwrap_or_default()
    })?;
    let known = Rc::clone(state);
    class::method(
        prototype,
        "setProperty",
        move |ctx: Ctx<'js>, own: Own<'js>, name: Coerced<String>, value: Opt<Value<'js>>| {
            let Some(value) = class::given(value) else {
                change(&own, |object| object.remove(&name.0));
                return Ok(());
            };
            let value = from_script(&ctx, &known, &value)?;
            match change(&own, |object| object.set(&name.0, &value)) {
                Some(Err(error)) => Err(Exception::throw_range(&ctx, &error.to_string())),
                _ => Ok(()),
            }
        },
    )?;
    class::method(prototype, "clear", |own: Own<'js>| {
        change(&own, |object| object.clear()).is_some()
    })
}

/// lock, unlock, send, mark, flush, commit, purge, close.
fn ruling<'js>(prototype: &Object<'js>, state: &Rc<State>) -> Result<()> {
    class::method(prototype, "lock", |own: Own<'js>| {
        change(&own, |object| object.lock()).unwrap_or(0)
    })?;
    class::method(prototype, "unlock", |own: Own<'js>| {
        change(&own, |object| object.unlock()).unwrap_or(0)
    })?;
    // A mark is a message in its place among the changes, as every message is.
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
                let sent = change(&own, |object| object.send(&handler.0, &arguments));
                match sent {
                    Some(Err(error)) => Err(Exception::throw_range(&ctx, &error.to_string())),
                    sent => Ok(sent.is_some()),
                }
            },
        )?;
    }
    for name in ["flush", "commit"] {
        class::method(prototype, name, |own: Own<'js>| {
            change(&own, |object| object.flush()).unwrap_or(false)
        })?;
    }
    class::method(
        prototype,
        "purge",
        |own: Own<'js>, version: Coerced<f64>| {
            change(&own, |object| object.purge(version.0 as u32));
        },
    )?;
    class::method(prototype, "close", |own: Own<'js>| own.0.borrow().close())
}

/// Calls `onSync(list)` with a client's changes. Only a handler of the object itself counts.
pub(crate) fn changed(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    object: ObjectId,
    changes: &[ObjectChange],
) -> Result<()> {
    let Some(object) = known(ctx, state, object) else {
        return Ok(());
    };
    let Some((owner, handler)) = state.find(ctx, &object, "onSync")? else {
        return Ok(());
    };
    let list = rquickjs::Array::new(ctx.clone())?;
    for (index, change) in changes.iter().enumerate() {
        let info = Object::new(ctx.clone())?;
        let code = match change.kind {
            ChangeKind::Changed => "change",
            ChangeKind::Removed => "delete",
            _ => "clear",
        };
        info.set("code", code)?;
        if !matches!(change.kind, ChangeKind::Cleared) {
            info.set("name", &*change.name)?;
        }
        if let Some(old) = &change.old {
            let old = to_script(ctx, state, &old.value())?;
            info.prop("oldValue", Property::from(old).enumerable().writable())?;
        }
        list.set(index, info)?;
    }
    class::call_on(&handler, &owner, (list,)).map(drop)
}

/// Calls the handler that a client's message names, if the script has put it on the object.
pub(crate) fn message(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    object: ObjectId,
    handler: &str,
    arguments: &[amf::Value],
) -> Result<()> {
    match known(ctx, state, object) {
        Some(object) => class::call_handler(ctx, state, &object, handler, arguments),
        None => Ok(()),
    }
}

/// Calls `onStatus(info)` after a failure.
pub(crate) fn status(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    object: ObjectId,
    status: Status,
) -> Result<()> {
    let Some(object) = known(ctx, state, object) else {
        return Ok(());
    };
    let info = application::info(ctx, status, status.description())?;
    class::callback(&object, "onStatus", (info,)).map(drop)
}
