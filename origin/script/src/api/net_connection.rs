//! NetConnection: the application as a client of another instance or server.

use std::{cell::RefCell, rc::Rc};

use rquickjs::{
    Class, Coerced, Constructor, Ctx, Exception, Function, JsLifetime, Object, Result, Value,
    function::{Args, Opt, Rest, This},
};
use tributary_origin::app::{
    Answer, ConnectTo, Connection, ConnectionCall, ConnectionId, embed::lent,
};
use tributary_protocol::{
    TransactionId,
    amf::{self, ObjectEncoding},
    command::Status,
};

use super::{application, class, library::remoting::Remoting};
use crate::{
    host::state::State,
    library::remoting::Headers,
    program::failure::ScriptError,
    value::{from_script, to_script, to_values},
};

/// The inside of a `NetConnection` object.
#[derive(JsLifetime)]
pub(crate) struct NetConnectionObject {
    number: u64,
    /// The address of the last connect.
    uri: RefCell<Option<String>>,
    /// The headers for every request to a gateway.
    #[qjs(skip_trace)]
    headers: RefCell<Headers>,
    /// Present while the object is connected to an `http` address.
    #[qjs(skip_trace)]
    remoting: RefCell<Option<Remoting>>,
}

class::host_class!(NetConnectionObject, "NetConnection");

type OwnConnection<'js> = This<Class<'js, NetConnectionObject>>;

/// The class.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let host = class::prototype(ctx, state, "NetConnection")?;
    facts(&host, state)?;
    connecting(&host, state)?;
    calling(&host, state)?;
    // The other side may call functions that scripts put on the prototype, and none of the host's.
    let prototype = Object::new_proto(ctx.clone(), Some(&host))?;
    let known = Rc::clone(state);
    let class = Constructor::new_prototype(ctx, prototype.clone(), move |ctx: Ctx<'js>| {
        let number = known.media.borrow_mut().number_connection();
        known.instance(
            &ctx,
            NetConnectionObject {
                number,
                uri: RefCell::default(),
                headers: RefCell::default(),
                remoting: RefCell::default(),
            },
        )
    })?;
    class.set_name("NetConnection")?;
    state.set_prototype(ctx, "NetConnection", &prototype);
    Ok(class.into_value())
}

/// The present connection of a script's `NetConnection` object.
pub(crate) fn id_of(state: &State, value: &Value<'_>) -> Option<ConnectionId> {
    let number = number_of(value)?;
    state.media.borrow().connection_of(number)
}

/// The number of a script's `NetConnection` object.
pub(super) fn number_of(value: &Value<'_>) -> Option<u64> {
    let class = value.as_object()?.as_class::<NetConnectionObject>()?;
    Some(class.borrow().number)
}

fn with<R: Default>(
    state: &State,
    object: &Class<'_, NetConnectionObject>,
    work: impl FnOnce(&mut Connection<'_>) -> R,
) -> R {
    let number = object.borrow().number;
    let Some(id) = state.media.borrow().connection_of(number) else {
        return R::default();
    };
    let done = lent(|context| context.connection(id).map(|mut open| work(&mut open)));
    done.flatten().unwrap_or_default()
}

fn facts<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::getter(host, "isConnected", move |object: OwnConnection<'js>| {
        object.0.borrow().remoting.borrow().is_some()
            || with(&known, &object.0, |connection| connection.is_connected())
    })?;
    class::getter(host, "uri", |object: OwnConnection<'js>| {
        object.0.borrow().uri.borrow().clone()
    })?;
    // AMF0 is the default.
    class::hidden(
        host,
        "objectEncoding",
        Value::new_int(host.ctx().clone(), 0),
    )?;
    class::getter(host, "protocol", |object: OwnConnection<'js>| {
        let inside = object.0.borrow();
        let remoting = inside.remoting.borrow().is_some();
        let scheme = |uri: &str| match uri.split_once(':') {
            _ if remoting => "http",
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("rtmps") => "rtmps",
            _ => "rtmp",
        };
        inside.uri.borrow().as_deref().map(scheme)
    })
}

/// connect, close.
fn connecting<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "connect",
        move |ctx: Ctx<'js>,
              object: OwnConnection<'js>,
              uri: Value<'js>,
              arguments: Rest<Value<'js>>| {
            close(&known, &object.0);
            if uri.is_null() || uri.is_undefined() {
                return Ok(false);
            }
            let uri: Coerced<String> = uri.get()?;
            connect(&ctx, &known, &object.0, uri.0, &arguments)
        },
    )?;
    let known = Rc::clone(state);
    class::method(host, "close", move |object: OwnConnection<'js>| {
        close(&known, &object.0);
    })
}

/// `connect(uri, ...)`: the outcome always comes to `onStatus`.
fn connect<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Class<'js, NetConnectionObject>,
    uri: String,
    arguments: &[Value<'js>],
) -> Result<bool> {
    if Remoting::is_gateway(&uri) {
        connect_gateway(state, object, uri)?;
        return Ok(true);
    }
    let mut to = ConnectTo::uri(uri.clone());
    to.arguments = to_values(ctx, state, arguments)?;
    let encoding: Value<'js> = object.get("objectEncoding")?;
    if let Some(encoding) = encoding.as_number() {
        to.properties.push("objectEncoding", encoding);
    }
    let (number, opened) = {
        let inside = object.borrow();
        inside.uri.replace(Some(uri));
        (inside.number, lent(|context| context.open_connection(to)))
    };
    let kept = state.keeper.keep(ctx, object.as_value());
    match opened {
        Some(Ok(id)) => {
            state.media.borrow_mut().add_connection(number, id, kept);
            Ok(true)
        }
        _ => {
            let why = "The application has too many connections.";
            let info = Status::ConnectFailed.info(Some(why), None);
            state.soon(move |ctx, state| {
                let object = state.keeper.release(ctx, kept);
                tell(ctx, state, &object, &info.into())
            });
            Ok(false)
        }
    }
}

/// `connect("http://...")`: a remoting gateway, for calls alone.
fn connect_gateway<'js>(
    state: &Rc<State>,
    object: &Class<'js, NetConnectionObject>,
    uri: String,
) -> Result<()> {
    let encoding: Value<'js> = object.get("objectEncoding")?;
    let encoding = if encoding.as_number() == Some(3.0) {
        ObjectEncoding::Amf3
    } else {
        ObjectEncoding::Amf0
    };
    let inside = object.borrow();
    let headers = inside.headers.borrow().clone();
    let remoting = Remoting::connect(state, &uri, encoding, headers);
    inside.remoting.replace(Some(remoting));
    inside.uri.replace(Some(uri));
    Ok(())
}

fn close(state: &State, object: &Class<'_, NetConnectionObject>) {
    let number = object.borrow().number;
    // The object is not borrowed here: the responders end with the connection.
    let remoting = object.borrow().remoting.take();
    drop(remoting);
    let open = state.media.borrow_mut().part(number);
    if let Some(id) = open {
        lent(|context| context.connection(id).map(|mut open| open.close()));
    }
}

/// call, addHeader.
fn calling<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "call",
        move |ctx: Ctx<'js>,
              object: OwnConnection<'js>,
              name: Coerced<String>,
              responder: Opt<Value<'js>>,
              arguments: Rest<Value<'js>>| {
            let arguments = to_values(&ctx, &known, &arguments)?;
            let responder = responder.0.filter(Value::is_object);
            if let Some(remoting) = &*object.0.borrow().remoting.borrow() {
                let responder = responder.as_ref().and_then(Value::as_object);
                return Ok(remoting.call(&ctx, &object.0, &name.0, arguments, responder));
            }
            let token = responder.map(|responder| {
                let responder = known.keeper.keep(&ctx, responder);
                known.calls.borrow_mut().add(responder)
            });
            let sent = with(&known, &object.0, |connection| {
                connection.call(&name.0, &arguments, token)
            });
            if !sent && let Some(token) = token {
                let responder = known.calls.borrow_mut().take(token);
                known.keeper.forget(responder);
            }
            Ok::<bool, rquickjs::Error>(sent)
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "addHeader",
        move |ctx: Ctx<'js>,
              object: OwnConnection<'js>,
              name: Coerced<String>,
              must_understand: Opt<Value<'js>>,
              value: Opt<Value<'js>>| {
            let must_understand = must_understand.0.and_then(|must| must.as_bool());
            let value = value.0.unwrap_or_else(|| Value::new_undefined(ctx.clone()));
            let value = from_script(&ctx, &known, &value)?;
            let must_understand = must_understand.unwrap_or_default();
            let inside = object.0.borrow();
            let kept = inside
                .headers
                .borrow_mut()
                .set(&name.0, must_understand, value.clone());
            if kept.is_err() {
                return Err(Exception::throw_range(&ctx, "too many headers"));
            }
            // Headers belong to remoting over http; RTMP has none.
            if let Some(remoting) = &*inside.remoting.borrow() {
                remoting.add_header(&name.0, must_understand, value);
            }
            Ok(())
        },
    )?;
    class::method(host, "toString", || "[object NetConnection]")
}

/// Calls `onStatus` of a connection.
pub(crate) fn status(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    id: ConnectionId,
    info: &amf::Value,
) -> Result<()> {
    let is_over = lent(|context| context.connection(id).is_none()).unwrap_or(true);
    let object = if is_over {
        let kept = state.media.borrow_mut().remove_connection(id);
        let over = state.media.borrow_mut().take_net_streams(|stream| {
            lent(|context| context.net_stream(stream).is_none()).unwrap_or(true)
        });
        for over in over {
            state.keeper.forget(over);
        }
        let over = state.media.borrow_mut().take_remote_objects(|object| {
            lent(|context| context.remote_object(object).is_none()).unwrap_or(true)
        });
        for over in over {
            state.keeper.forget(over);
        }
        kept.map(|kept| state.keeper.release(ctx, kept))
    } else {
        let media = state.media.borrow();
        media
            .connection(id)
            .map(|kept| state.keeper.kept(ctx, kept))
    };
    object.map_or(Ok(()), |object| tell(ctx, state, &object, info))
}

fn tell<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Value<'js>,
    info: &amf::Value,
) -> Result<()> {
    let Some(object) = object.as_object() else {
        return Ok(());
    };
    let info = to_script(ctx, state, info)?;
    class::callback(object, "onStatus", (info,)).map(drop)
}

/// Calls the method that the other side names, if the script has put it on its `NetConnection`.
pub(crate) fn called<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    id: ConnectionId,
    call: &ConnectionCall,
) -> Result<Answer> {
    let object = {
        let media = state.media.borrow();
        media
            .connection(id)
            .map(|kept| state.keeper.kept(ctx, kept))
    };
    let Some(object) = object.as_ref().and_then(Value::as_object) else {
        return Ok(Answer::Unknown);
    };
    let Some((owner, method)) = state.find(ctx, object, &call.name)? else {
        return Ok(Answer::Unknown);
    };
    let mut arguments = Args::new(ctx.clone(), call.arguments.len());
    arguments.this(owner)?;
    for argument in &call.arguments {
        arguments.push_arg(to_script(ctx, state, argument)?)?;
    }
    let result: Result<Value<'js>> = arguments.apply(&method);
    let answer = result.and_then(|result| answer(ctx, state, id, call.transaction, &result));
    match answer {
        Ok(answer) => Ok(answer),
        Err(_) => {
            let thrown = ctx.catch();
            application::thrown(ctx, state, &thrown);
            Ok(Answer::Error(application::call_failed(&call.name, None)))
        }
    }
}

/// A result as the answer; a promise gives the answer when it is settled.
fn answer<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    id: ConnectionId,
    transaction: TransactionId,
    result: &Value<'js>,
) -> Result<Answer> {
    let Some(promise) = result.as_promise() else {
        return from_script(ctx, state, result).map(Answer::Result);
    };
    let respond = move |answer| {
        lent(|context| {
            let mut connection = context.connection(id)?;
            connection.respond(transaction, answer);
            Some(())
        });
    };
    let known = Rc::clone(state);
    let resolved = move |ctx: Ctx<'js>, value: Value<'js>| match from_script(&ctx, &known, &value) {
        Ok(value) => respond(Ok(value)),
        Err(_) => respond(Err(failed(&ctx, &known, &ctx.catch()))),
    };
    let known = Rc::clone(state);
    let rejected = move |ctx: Ctx<'js>, reason: Value<'js>| {
        respond(Err(failed(&ctx, &known, &reason)));
    };
    let resolved = Function::new(ctx.clone(), resolved)?;
    let rejected = Function::new(ctx.clone(), rejected)?;
    class::then(promise, resolved, rejected)?;
    Ok(Answer::Deferred)
}

fn failed<'js>(ctx: &Ctx<'js>, state: &Rc<State>, thrown: &Value<'js>) -> amf::Value {
    application::thrown(ctx, state, thrown);
    let message = ScriptError::thrown(ctx, thrown, state.program.scripts()).message;
    application::call_failed("", Some(&message))
}
