//! NetStream: publishes a stream of this instance to the other side of a NetConnection.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use rquickjs::{
    Class, Coerced, Constructor, Ctx, Exception, JsLifetime, Object, Result, Value,
    function::{Opt, Rest, This},
};
use tributary_origin::app::{ConnectionId, NetStream, NetStreamId, embed::lent};
use tributary_protocol::{amf, command::stream::PublishKind};

use super::{class, net_connection, stream};
use crate::{
    host::state::State,
    text::text,
    value::{to_script, to_values},
};

/// The inside of a `NetStream` object.
#[derive(JsLifetime)]
pub(crate) struct NetStreamObject {
    /// The number of its `NetConnection` object.
    connection: u64,
    /// The host's NetStream, and its connection.
    open: Cell<Option<(ConnectionId, NetStreamId)>>,
    /// The name of the attached stream.
    attached: RefCell<Option<String>>,
}

class::host_class!(NetStreamObject, "NetStream");

type OwnStream<'js> = This<Class<'js, NetStreamObject>>;

/// The class.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let host = class::prototype(ctx, state, "NetStream")?;
    publishing(&host, state)?;
    speaking(&host, state)?;
    let known = Rc::clone(state);
    let class = Constructor::new_prototype(
        ctx,
        host.clone(),
        move |ctx: Ctx<'js>, connection: Value<'js>| {
            let Some(connection) = net_connection::number_of(&connection) else {
                let why = "the first argument must be a NetConnection";
                return Err(Exception::throw_type(&ctx, why));
            };
            known.instance(
                &ctx,
                NetStreamObject {
                    connection,
                    open: Cell::default(),
                    attached: RefCell::default(),
                },
            )
        },
    )?;
    class.set_name("NetStream")?;
    Ok(class.into_value())
}

/// Runs `work` with the NetStream of an object; makes it on the present connection if necessary.
fn with<'js, R: Default>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Class<'js, NetStreamObject>,
    work: impl FnOnce(&mut NetStream<'_>) -> R,
) -> R {
    let Some(id) = open(ctx, state, object) else {
        return R::default();
    };
    let done = lent(|context| context.net_stream(id).map(|mut stream| work(&mut stream)));
    done.flatten().unwrap_or_default()
}

fn open<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Class<'js, NetStreamObject>,
) -> Option<NetStreamId> {
    let inside = object.borrow();
    let connection = state.media.borrow().connection_of(inside.connection)?;
    if let Some((_, known)) = inside.open.get().filter(|(of, _)| *of == connection) {
        return Some(known);
    }
    let attached = inside.attached.borrow().clone();
    let opened = lent(|context| {
        let id = context.connection(connection)?.open_stream().ok()?;
        if let Some(name) = &attached {
            context.net_stream(id)?.attach(Some(name));
        }
        Some(id)
    });
    let id = opened.flatten()?;
    inside.open.set(Some((connection, id)));
    let kept = state.keeper.keep(ctx, object.as_value());
    state.media.borrow_mut().add_net_stream(id, kept);
    Some(id)
}

/// attach, publish, close.
fn publishing<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "attach",
        move |ctx: Ctx<'js>, object: OwnStream<'js>, source: Opt<Value<'js>>| {
            let source = source.0.filter(Value::is_object);
            let name = source.as_ref().and_then(stream::name_of);
            if source.is_some() && name.is_none() {
                return Err(Exception::throw_type(&ctx, "attach needs a Stream"));
            }
            object.0.borrow().attached.replace(name.clone());
            Ok(with(&ctx, &known, &object.0, |stream| {
                stream.attach(name.as_deref())
            }))
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "publish",
        move |ctx: Ctx<'js>, object: OwnStream<'js>, name: Value<'js>, how: Opt<Value<'js>>| {
            if name.as_bool() == Some(false) {
                return Ok(with(&ctx, &known, &object.0, |stream| {
                    stream.unpublish();
                    true
                }));
            }
            let name: Coerced<String> = name.get()?;
            let how = how.0.as_ref().and_then(text).unwrap_or_default();
            let kind = match how.as_str() {
                "record" => PublishKind::Record,
                "append" => PublishKind::Append,
                _ => PublishKind::Live,
            };
            Ok::<bool, rquickjs::Error>(with(&ctx, &known, &object.0, |stream| {
                stream.publish(&name.0, kind)
            }))
        },
    )?;
    let known = Rc::clone(state);
    class::method(host, "close", move |object: OwnStream<'js>| {
        if let Some((_, id)) = object.0.borrow().open.take() {
            lent(|context| context.net_stream(id).map(NetStream::close));
            let over = known
                .media
                .borrow_mut()
                .take_net_streams(|known| known == id);
            for over in over {
                known.keeper.forget(over);
            }
        }
    })
}

/// send, setBufferTime.
fn speaking<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "send",
        move |ctx: Ctx<'js>,
              object: OwnStream<'js>,
              handler: Coerced<String>,
              values: Rest<Value<'js>>| {
            let values = to_values(&ctx, &known, &values)?;
            Ok::<bool, rquickjs::Error>(with(&ctx, &known, &object.0, |stream| {
                stream.send(&handler.0, &values)
            }))
        },
    )?;
    // A publisher has no buffer.
    class::method(host, "setBufferTime", || ())?;
    class::method(host, "toString", || "[object NetStream]")
}

/// Calls `onStatus` of a NetStream.
pub(crate) fn status(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    id: NetStreamId,
    info: &amf::Value,
) -> Result<()> {
    let object = {
        let media = state.media.borrow();
        media
            .net_stream(id)
            .map(|kept| state.keeper.kept(ctx, kept))
    };
    let Some(object) = object.as_ref().and_then(Value::as_object) else {
        return Ok(());
    };
    let info = to_script(ctx, state, info)?;
    class::callback(object, "onStatus", (info,)).map(drop)
}
