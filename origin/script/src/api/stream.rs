//! Stream: a live stream of this instance, by its name.

use std::{rc::Rc, time::Duration};

use rquickjs::{
    Class, Coerced, Constructor, Ctx, Exception, JsLifetime, Object, Result, Value,
    function::{Opt, Rest, This},
};
use tributary_origin::app::{
    ConnectionId, PlayRequest, Publisher, Stream, StreamId, StreamStatus, embed::lent,
};
use tributary_protocol::{
    amf,
    command::stream::{PlayStart, PublishKind},
};

use super::{class, net_connection};
use crate::{
    host::{media::MAX_IDLE_STREAMS, state::State},
    text::text,
    value::{to_script, to_values},
};

/// The inside of a `Stream` object: a name. The host's live stream of that name may come and go.
#[derive(JsLifetime)]
pub(crate) struct StreamObject {
    name: String,
}

class::host_class!(StreamObject, "Stream");

type OwnStream<'js> = This<Class<'js, StreamObject>>;

/// The class with its functions.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let host = class::prototype(ctx, state, "Stream")?;
    facts(&host, state)?;
    playing(&host, state)?;
    recording(&host, state)?;
    speaking(&host, state)?;
    let known = Rc::clone(state);
    let class = Constructor::new_prototype(
        ctx,
        host.clone(),
        move |ctx: Ctx<'js>, name: Coerced<String>| match get(&ctx, &known, &name.0)? {
            Some(stream) => Ok(stream),
            None => Err(Exception::throw_range(&ctx, "the stream cannot be opened")),
        },
    )?;
    class.set_name("Stream")?;
    statics(&class, state)?;
    Ok(class.into_value())
}

/// get, destroy, length, size.
fn statics<'js>(class: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(class, "get", move |ctx: Ctx<'js>, name: Coerced<String>| {
        or_null(&ctx, get(&ctx, &known, &name.0)?)
    })?;
    let known = Rc::clone(state);
    class::method(class, "destroy", move |stream: Value<'js>| {
        let Some(name) = name_of(&stream) else {
            return false;
        };
        let closed = lent(|context| {
            let id = context.open_stream(&name).ok()?;
            context.close_stream(id);
            Some(id)
        });
        let closed = closed.flatten();
        let kept = closed.and_then(|id| known.media.borrow_mut().remove_stream(id));
        known.keeper.forget(kept);
        closed.is_some()
    })?;
    // Only recordings have a length or a size, and there are none.
    class::method(class, "length", || 0)?;
    class::method(class, "size", || 0)
}

fn or_null<'js>(ctx: &Ctx<'js>, value: Option<Value<'js>>) -> Result<Value<'js>> {
    Ok(value.unwrap_or_else(|| Value::new_null(ctx.clone())))
}

/// The object of a stream of this name; the same object for as long as the host knows it.
pub(crate) fn get<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    name: &str,
) -> Result<Option<Value<'js>>> {
    let Some(id) = open(ctx, state, name)? else {
        return Ok(None);
    };
    let known = {
        let media = state.media.borrow();
        media
            .stream(id)
            .map(|object| state.keeper.kept(ctx, object))
    };
    if let Some(known) = known {
        return Ok(Some(known));
    }
    class::need_class(ctx, state, "Stream", define)?;
    let name = lent(|context| Some(context.stream(id)?.name().to_owned()));
    let name = name.flatten().unwrap_or_default();
    let object = state.instance(ctx, StreamObject { name })?;
    let value = object.into_value();
    let kept = state.keeper.keep(ctx, &value);
    state.media.borrow_mut().add_stream(id, kept);
    Ok(Some(value))
}

/// The stream of this name. `None` if the name is not allowed or there are too many.
fn open(ctx: &Ctx<'_>, state: &State, name: &str) -> Result<Option<StreamId>> {
    let open = lent(|context| context.open_stream(name));
    let Some(open) = open else {
        return Err(Exception::throw_internal(ctx, "the group is not there"));
    };
    let Ok(id) = open else { return Ok(None) };
    if state.media.borrow().stream(id).is_none() {
        make_room(state, id);
    }
    Ok(Some(id))
}

/// Drops `Stream` objects of streams that play nothing, the oldest first.
fn make_room(state: &State, but: StreamId) {
    let Some(streams) = state.media.borrow().crowd() else {
        return;
    };
    let is_idle = |id: &StreamId| {
        let playing = lent(|context| Some(context.stream(*id)?.is_playing()));
        *id != but && playing.flatten() != Some(true)
    };
    let idle: Vec<_> = streams.into_iter().filter(is_idle).collect();
    let many = idle.len().saturating_sub(MAX_IDLE_STREAMS);
    for id in idle.into_iter().take(many) {
        lent(|context| context.close_stream(id));
        let kept = state.media.borrow_mut().remove_stream(id);
        state.keeper.forget(kept);
    }
    state.media.borrow_mut().swept();
}

/// Runs `work` with the stream of an object, which the host knows from then on.
fn with<'js, R: Default>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Class<'js, StreamObject>,
    work: impl FnOnce(&mut Stream<'_>) -> R,
) -> Result<R> {
    let name = object.borrow().name.clone();
    let Some(id) = open(ctx, state, &name)? else {
        return Ok(R::default());
    };
    if state.media.borrow().stream(id).is_none() {
        let kept = state.keeper.keep(ctx, object.as_value());
        state.media.borrow_mut().add_stream(id, kept);
    }
    let done = lent(|context| context.stream(id).map(|mut stream| work(&mut stream)));
    Ok(done.flatten().unwrap_or_default())
}

/// The name of a script's `Stream` object.
pub(crate) fn name_of(value: &Value<'_>) -> Option<String> {
    let class = value.as_object()?.as_class::<StreamObject>()?;
    Some(class.borrow().name.clone())
}

fn facts<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    class::getter(host, "name", |stream: OwnStream<'js>| {
        stream.0.borrow().name.clone()
    })?;
    let known = Rc::clone(state);
    class::getter(
        host,
        "time",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            with(&ctx, &known, &stream.0, |stream| {
                let statistics = stream.statistics();
                let time = statistics.map_or_else(|| stream.time(), |known| known.time);
                time.as_secs_f64()
            })
        },
    )?;
    let known = Rc::clone(state);
    class::getter(
        host,
        "bufferTime",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            with(&ctx, &known, &stream.0, |stream| {
                stream.buffer_time().as_secs_f64()
            })
        },
    )?;
    let known = Rc::clone(state);
    class::getter(
        host,
        "publishQueryString",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            with(&ctx, &known, &stream.0, |stream| {
                stream.publish_query().to_owned()
            })
        },
    )
}

/// play, receiveAudio, receiveVideo, setBufferTime.
fn playing<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "play",
        move |ctx: Ctx<'js>,
              stream: OwnStream<'js>,
              name: Value<'js>,
              start: Opt<Value<'js>>,
              length: Opt<Value<'js>>,
              reset: Opt<Value<'js>>,
              remote: Opt<Value<'js>>| {
            if name.as_bool() == Some(false) {
                return with(&ctx, &known, &stream.0, |stream| stream.stop());
            }
            let remote = remote.0.filter(Value::is_object);
            let connection = match &remote {
                None => None,
                Some(remote) => match net_connection::id_of(&known, remote) {
                    Some(connection) => Some(connection),
                    None => return Ok(false),
                },
            };
            let name: Coerced<String> = name.get()?;
            let request = request(name.0, start.0, length.0, reset.0, connection);
            with(&ctx, &known, &stream.0, |stream| stream.play(&request))
        },
    )?;
    receiving(host, state, "receiveAudio", |on| (Some(on), None))?;
    receiving(host, state, "receiveVideo", |on| (None, Some(on)))?;
    let known = Rc::clone(state);
    class::method(
        host,
        "setBufferTime",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>, seconds: Coerced<f64>| {
            let time = Duration::try_from_secs_f64(seconds.0).unwrap_or_default();
            with(&ctx, &known, &stream.0, |stream| {
                stream.set_buffer_time(time.min(LONGEST_BUFFER));
            })
        },
    )
}

/// The longest buffer time that is remembered.
const LONGEST_BUFFER: Duration = Duration::from_secs(3_600);

/// Adds a method that may also be set like a property: scripts do both.
fn receiving<'js>(
    host: &Object<'js>,
    state: &Rc<State>,
    name: &'static str,
    which: fn(bool) -> (Option<bool>, Option<bool>),
) -> Result<()> {
    let known = Rc::clone(state);
    let receive = move |ctx: Ctx<'js>, stream: OwnStream<'js>, on: Coerced<bool>| {
        let (audio, video) = which(on.0);
        with(&ctx, &known, &stream.0, |stream| {
            stream.receive(audio, video)
        })
    };
    let method = rquickjs::Function::new(host.ctx().clone(), receive.clone())?.with_name(name)?;
    let kept = state.keeper.keep(host.ctx(), method.as_value());
    let known = Rc::clone(state);
    class::property(
        host,
        name,
        move |ctx: Ctx<'js>| known.keeper.kept(&ctx, &kept),
        receive,
    )
}

/// Reads the arguments of `play`. Times are in seconds.
fn request(
    name: String,
    start: Option<Value<'_>>,
    length: Option<Value<'_>>,
    reset: Option<Value<'_>>,
    remote: Option<ConnectionId>,
) -> PlayRequest {
    let number = |value: &Option<Value<'_>>| value.as_ref().and_then(Value::as_number);
    let start = match number(&start) {
        Some(-1.0) => PlayStart::Live,
        // The cast clamps the number.
        Some(seconds) if seconds >= 0.0 => PlayStart::Recorded((seconds * 1000.0) as u32),
        _ => PlayStart::LiveOrRecorded,
    };
    let length = number(&length).filter(|seconds| *seconds > 0.0);
    let reset = match reset {
        Some(reset) if reset.as_bool() == Some(false) => false,
        Some(reset) => !matches!(reset.as_number(), Some(0.0 | 2.0)),
        None => true,
    };
    PlayRequest {
        name,
        start,
        length: length.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        reset,
        remote,
    }
}

/// record, clear, flush, setVirtualPath.
fn recording<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "record",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>, how: Opt<Value<'js>>| {
            let stops = how.0.as_ref().and_then(Value::as_bool) == Some(false);
            let word = how.0.as_ref().and_then(text).unwrap_or_default();
            let kind = match word.as_str() {
                _ if stops => PublishKind::Live,
                "append" => PublishKind::Append,
                _ => PublishKind::Record,
            };
            with(&ctx, &known, &stream.0, |stream| stream.record(kind))
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "clear",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            with(&ctx, &known, &stream.0, |stream| stream.clear())
        },
    )?;
    // The host holds no data back, and there are no files.
    class::method(host, "flush", || true)?;
    class::method(host, "setVirtualPath", || false)
}

/// send, getOnMetaData, and the additions kick and getStats.
fn speaking<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    class::method(
        host,
        "send",
        move |ctx: Ctx<'js>,
              stream: OwnStream<'js>,
              handler: Coerced<String>,
              values: Rest<Value<'js>>| {
            let values = to_values(&ctx, &known, &values)?;
            with(&ctx, &known, &stream.0, |stream| {
                stream.send(&handler.0, &values)
            })
        },
    )?;
    let known = Rc::clone(state);
    class::method(
        host,
        "getOnMetaData",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            let metadata = with(&ctx, &known, &stream.0, |stream| stream.metadata())?;
            let metadata = metadata.unwrap_or(amf::Value::Null);
            to_script(&ctx, &known, &metadata)
        },
    )?;
    class::method(
        host,
        "kick",
        move |stream: OwnStream<'js>, why: Opt<Coerced<String>>| {
            let name = stream.0.borrow().name.clone();
            let why = why.0.map_or_else(|| KICKED.to_owned(), |why| why.0);
            lent(|context| context.kick(&name, &why)).unwrap_or_default()
        },
    )?;
    class::method(
        host,
        "getStats",
        move |ctx: Ctx<'js>, stream: OwnStream<'js>| {
            let name = stream.0.borrow().name.clone();
            or_null(&ctx, statistics(&ctx, &name)?.map(Object::into_value))
        },
    )?;
    class::method(host, "toString", || "[object Stream]")
}

const KICKED: &str = "The application has ended the stream.";

fn statistics<'js>(ctx: &Ctx<'js>, name: &str) -> Result<Option<Object<'js>>> {
    let Some(known) = lent(|context| context.stream_statistics(name)).flatten() else {
        return Ok(None);
    };
    let stats = Object::new(ctx.clone())?;
    match known.publisher {
        Publisher::Client(client) => stats.set("publisher", client.to_string())?,
        Publisher::Application(_) | Publisher::Pull => {
            stats.set("publisher", Value::new_null(ctx.clone()))?
        }
    }
    stats.set("viewers", known.viewers as f64)?;
    stats.set("messages", known.messages as f64)?;
    stats.set("bytes", known.bytes as f64)?;
    stats.set("time", known.time.as_secs_f64())?;
    Ok(Some(stats))
}

/// Calls `onStatus` of a stream.
pub(crate) fn status(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    id: StreamId,
    status: &StreamStatus,
) -> Result<()> {
    let object = {
        let media = state.media.borrow();
        media
            .stream(id)
            .map(|object| state.keeper.kept(ctx, object))
    };
    let Some(object) = object.as_ref().and_then(Value::as_object) else {
        return Ok(());
    };
    let info = to_script(ctx, state, &status.info().into())?;
    class::callback(object, "onStatus", (info,)).map(drop)
}
