//! Client: one connection to the application.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use rquickjs::{
    Class, Coerced, Constructor, Ctx, Exception, IntoJs, JsLifetime, Object, Result, Value,
    function::{Opt, Rest, This},
};
use tributary_origin::app::{
    Client, ClientId,
    embed::{lent, read_connect},
};
use tributary_protocol::{
    amf::{self, Budget, ObjectEncoding, amf0},
    command::Connect,
    link::{Bandwidth, PeerAddress, Statistics},
};

use super::class;
use crate::{
    host::{kept::Kept, state::State},
    value::{to_script, to_values},
};

/// The inside of a `Client` object. The properties from the client's connect stay readable when the
/// client is gone.
#[derive(JsLifetime)]
pub(crate) struct ClientObject {
    #[qjs(skip_trace)]
    pub(crate) id: ClientId,
    peer: PeerAddress,
    connect: Bytes,
    protocol: &'static str,
    user: Option<Box<str>>,
    /// A JSON object, which the script's first look reads.
    claims: Option<Box<str>>,
    /// Set if the process before had accepted the client: what it was to remember, in AMF0.
    remembered: Option<Box<[u8]>>,
}

class::host_class!(ClientObject, "Client");

/// The class. Scripts put their methods on `Client.prototype`, which inherits the host's; a script
/// can still call a method of the host that it overrides.
pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let host = Object::new(ctx.clone())?;
    facts(&host)?;
    verified(&host)?;
    memory(&host, state)?;
    access(&host)?;
    methods(&host, state)?;
    let prototype = Object::new_proto(ctx.clone(), Some(&host))?;
    let class = Constructor::new_prototype(
        ctx,
        prototype.clone(),
        |ctx: Ctx<'js>| -> Result<Value<'js>> {
            Err(Exception::throw_type(&ctx, "clients come by connecting"))
        },
    )?;
    class.set_name("Client")?;
    state.set_prototype(ctx, "Client", &prototype);
    Ok(class.into_value())
}

/// Makes the object of a client that asks to connect.
pub(crate) fn object<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    id: ClientId,
    remembered: Option<&[u8]>,
) -> Result<Class<'js, ClientObject>> {
    let known = lent(|context| {
        let client = context.client(id)?;
        Some(ClientObject {
            id,
            peer: client.peer(),
            connect: client.connect_bytes(),
            protocol: client.protocol(),
            user: client.user().map(Box::from),
            claims: client.claims().map(Box::from),
            remembered: remembered.map(Box::from),
        })
    });
    let Some(inside) = known.flatten() else {
        return Err(Exception::throw_internal(ctx, "there is no such client"));
    };
    state.instance(ctx, inside)
}

/// The client of a script's `Client` object.
pub(crate) fn id_of(value: &Value<'_>) -> Option<ClientId> {
    let class = value.as_object()?.as_class::<ClientObject>()?;
    Some(class.borrow().id)
}

type OwnClient<'js> = This<Class<'js, ClientObject>>;

impl ClientObject {
    fn connect(&self) -> Option<Connect> {
        read_connect(&self.connect)
    }
}

/// The folders that a client may read and write, and those whose samples its player may read, as
/// paths with `;` between them.
fn access<'js>(host: &Object<'js>) -> Result<()> {
    class::property(
        host,
        "readAccess",
        |client: OwnClient<'js>| of_client(&client, |client| client.read_access().to_owned()),
        |client: OwnClient<'js>, folders: Coerced<String>| {
            change_client(&client, |client| client.set_read_access(&folders.0));
        },
    )?;
    class::property(
        host,
        "writeAccess",
        |client: OwnClient<'js>| of_client(&client, |client| client.write_access().to_owned()),
        |client: OwnClient<'js>, folders: Coerced<String>| {
            change_client(&client, |client| client.set_write_access(&folders.0));
        },
    )?;
    class::property(
        host,
        "audioSampleAccess",
        |client: OwnClient<'js>| of_client(&client, |known| known.audio_sample_access().to_owned()),
        |client: OwnClient<'js>, folders: Coerced<String>| {
            change_client(&client, |known| known.set_audio_sample_access(&folders.0));
        },
    )?;
    class::property(
        host,
        "videoSampleAccess",
        |client: OwnClient<'js>| of_client(&client, |known| known.video_sample_access().to_owned()),
        |client: OwnClient<'js>, folders: Coerced<String>| {
            change_client(&client, |known| known.set_video_sample_access(&folders.0));
        },
    )
}

fn of_client<R>(client: &OwnClient<'_>, look: impl FnOnce(&Client) -> R) -> Option<R> {
    let id = client.0.borrow().id;
    lent(|context| context.client(id).map(look)).flatten()
}

fn change_client(client: &OwnClient<'_>, change: impl FnOnce(&mut Client)) {
    let id = client.0.borrow().id;
    lent(|context| {
        if let Some(client) = context.client_mut(id) {
            change(client);
        }
    });
}

/// Properties from the client's connect and of its connection.
fn facts<'js>(host: &Object<'js>) -> Result<()> {
    class::getter(host, "ip", |client: OwnClient<'js>| {
        let peer = client.0.borrow().peer;
        peer.ip()
            .map_or_else(|| peer.to_string(), |ip| ip.to_string())
    })?;
    class::getter(host, "protocol", |client: OwnClient<'js>| {
        client.0.borrow().protocol
    })?;
    class::getter(host, "secure", |client: OwnClient<'js>| {
        matches!(client.0.borrow().protocol, "rtmps" | "rtmpts" | "wss")
    })?;
    fact(host, "agent", |connect| connect.flash_ver)?;
    fact(host, "referrer", |connect| connect.swf_url)?;
    fact(host, "pageUrl", |connect| connect.page_url)?;
    fact(host, "uri", |connect| connect.tc_url)?;
    class::property(
        host,
        "id",
        |client: OwnClient<'js>| client.0.borrow().id.to_string(),
        // A script may give the client an id of its own; the host keeps using its own.
        |client: OwnClient<'js>, id: Value<'js>| own_member(&client.0, "id", id),
    )
}

/// The facts that the client's edge has verified; null where there are none. Scripts of old use such
/// names for members of their own.
fn verified<'js>(host: &Object<'js>) -> Result<()> {
    class::property(
        host,
        "user",
        |ctx: Ctx<'js>, client: OwnClient<'js>| match &client.0.borrow().user {
            Some(user) => (&**user).into_js(&ctx),
            None => Ok(Value::new_null(ctx)),
        },
        |client: OwnClient<'js>, user: Value<'js>| own_member(&client.0, "user", user),
    )?;
    class::property(
        host,
        "claims",
        |ctx: Ctx<'js>, client: OwnClient<'js>| -> Result<Value<'js>> {
            let claims = claims(&ctx, client.0.borrow().claims.as_deref());
            // The script sees the same object each time.
            own_member(&client.0, "claims", claims.clone())?;
            Ok(claims)
        },
        |client: OwnClient<'js>, claims: Value<'js>| own_member(&client.0, "claims", claims),
    )
}

/// `restored`, `remembered` and `remember(value)`: what outlives the process of the origin.
fn memory<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let looking = Rc::clone(state);
    class::property(
        host,
        "restored",
        move |client: OwnClient<'js>| {
            let is_restored = client.0.borrow().remembered.is_some();
            is_restored.then(|| looking.clients.borrow().restored)
        },
        |client: OwnClient<'js>, value: Value<'js>| own_member(&client.0, "restored", value),
    )?;
    let reading = Rc::clone(state);
    class::property(
        host,
        "remembered",
        move |ctx: Ctx<'js>, client: OwnClient<'js>| -> Result<Value<'js>> {
            let client = client.0.borrow();
            let bytes = client.remembered.as_deref().unwrap_or_default();
            let values = amf0::decode_all(bytes, &Budget::default()).unwrap_or_default();
            match values.first() {
                Some(value) => to_script(&ctx, &reading, value),
                None => Ok(Value::new_undefined(ctx)),
            }
        },
        |client: OwnClient<'js>, value: Value<'js>| own_member(&client.0, "remembered", value),
    )?;
    let writing = Rc::clone(state);
    class::method(
        host,
        "remember",
        move |ctx: Ctx<'js>, client: OwnClient<'js>, value: Opt<Value<'js>>| -> Result<bool> {
            let values: Vec<_> = value.0.into_iter().collect();
            let values = to_values(&ctx, &writing, &values)?;
            let mut bytes = BytesMut::new();
            amf0::encode_all(&mut bytes, ObjectEncoding::Amf3, &values);
            let fits = of_client(&client, |client| client.remember(&bytes));
            Ok(fits.unwrap_or_default())
        },
    )
}

/// The object of a JSON text; null for another text.
fn claims<'js>(ctx: &Ctx<'js>, json: Option<&str>) -> Value<'js> {
    let object = json.and_then(|json| match ctx.json_parse(json) {
        Ok(value) => value.is_object().then_some(value),
        Err(_) => {
            // The exception that the engine holds.
            let _ = ctx.catch();
            None
        }
    });
    object.unwrap_or_else(|| Value::new_null(ctx.clone()))
}

fn fact<'js>(
    host: &Object<'js>,
    name: &str,
    read: impl Fn(Connect) -> Option<String> + 'static,
) -> Result<()> {
    class::getter(host, name, move |client: OwnClient<'js>| {
        client
            .0
            .borrow()
            .connect()
            .and_then(&read)
            .unwrap_or_default()
    })
}

/// Sets a member of the object itself, over the host's member of the same name.
fn own_member<'js>(object: &Object<'js>, name: &str, value: Value<'js>) -> Result<()> {
    let own = rquickjs::object::Property::from(value);
    object.prop(name, own.writable().enumerable().configurable())
}

fn methods<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let state = Rc::clone(state);
    class::method(
        host,
        "call",
        move |ctx: Ctx<'js>,
              client: OwnClient<'js>,
              name: Coerced<String>,
              responder: Opt<Value<'js>>,
              arguments: Rest<Value<'js>>| {
            let id = client.0.borrow().id;
            call(&ctx, &state, id, &name.0, responder.0, &arguments)
        },
    )?;
    watching(host)?;
    class::method(host, "toString", || "[object Client]")
}

/// getStats, getBandwidthLimit, setBandwidthLimit, checkBandwidth, ping.
fn watching<'js>(host: &Object<'js>) -> Result<()> {
    class::method(host, "getStats", |ctx: Ctx<'js>, client: OwnClient<'js>| {
        let id = client.0.borrow().id;
        stats(&ctx, id)
    })?;
    class::method(host, "checkBandwidth", |client: OwnClient<'js>| {
        let id = client.0.borrow().id;
        lent(|context| context.check_bandwidth(id)).unwrap_or_default()
    })?;
    class::method(host, "ping", |client: OwnClient<'js>| {
        let id = client.0.borrow().id;
        lent(|context| context.ping(id)).unwrap_or_default()
    })?;
    class::method(
        host,
        "getBandwidthLimit",
        |client: OwnClient<'js>, direction: Opt<Coerced<f64>>| {
            let limits = of_client(&client, Client::bandwidth).unwrap_or_default();
            let to_client = direction.0.is_some_and(|direction| direction.0 != 0.0);
            let limit = if to_client {
                limits.to_client
            } else {
                limits.from_client
            };
            limit.map_or(NO_LIMIT, f64::from)
        },
    )?;
    class::method(
        host,
        "setBandwidthLimit",
        |client: OwnClient<'js>, to: Opt<Coerced<f64>>, from: Opt<Coerced<f64>>| {
            let id = client.0.borrow().id;
            lent(|context| {
                let before = context.client(id).map(Client::bandwidth);
                let before = before.unwrap_or_default();
                let bandwidth = Bandwidth {
                    to_client: limit(to.0).or(before.to_client),
                    from_client: limit(from.0).or(before.from_client),
                };
                context.limit_bandwidth(id, bandwidth);
            });
        },
    )
}

/// Reads a limit in bytes per second; 0 leaves the present one.
fn limit(given: Option<Coerced<f64>>) -> Option<u32> {
    given
        .map(|given| given.0)
        .filter(|given| *given >= 1.0)
        .map(|given| given as u32)
}

/// The value of `getBandwidthLimit` without a limit: the highest limit of Flash Media Server.
const NO_LIMIT: f64 = 125_000_000.0;

/// `client.call(name, responder, ...)`: `false` if the client is gone or its queue is full.
fn call<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    client: ClientId,
    name: &str,
    responder: Option<Value<'js>>,
    arguments: &[Value<'js>],
) -> Result<bool> {
    let arguments = to_values(ctx, state, arguments)?;
    let responder = responder.filter(Value::is_object);
    let token = responder.map(|responder| {
        let responder = state.keeper.keep(ctx, responder);
        state.calls.borrow_mut().add(responder)
    });
    let sent = lent(|context| context.call(client, name, &arguments, token)).unwrap_or_default();
    if !sent && let Some(token) = token {
        let responder = state.calls.borrow_mut().take(token);
        state.keeper.forget(responder);
    }
    Ok(sent)
}

/// Calls the responder of an answered call: `onResult(value)` or `onStatus(info)`.
pub(crate) fn answered(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    responder: Kept,
    answer: &std::result::Result<amf::Value, amf::Value>,
) -> Result<()> {
    let responder = state.keeper.release(ctx, responder);
    let Some(responder) = responder.as_object() else {
        return Ok(());
    };
    let (name, value) = match answer {
        Ok(value) => ("onResult", value),
        Err(value) => ("onStatus", value),
    };
    let value = to_script(ctx, state, value)?;
    class::callback(responder, name, (value,)).map(drop)
}

/// The counts of the connection. The first call asks the edge, which then reports every 5 s; the
/// counts of the lane since the last report are added.
fn stats<'js>(ctx: &Ctx<'js>, client: ClientId) -> Result<Option<Object<'js>>> {
    let known = lent(|context| {
        context.request_statistics(client);
        let client = context.client(client)?;
        let own = Statistics {
            bytes_in: client.bytes_in(),
            bytes_out: client.bytes_out(),
            ..Statistics::default()
        };
        let now = context.now();
        let said = client.statistics(now).unwrap_or(own);
        Some((said, client.rates(now), client.since(now)))
    });
    let Some((said, rates, since)) = known.flatten() else {
        return Ok(None);
    };
    let stats = Object::new(ctx.clone())?;
    for (name, value) in [
        ("bytes_in", said.bytes_in),
        ("bytes_out", said.bytes_out),
        ("msg_in", said.messages_in),
        ("msg_out", said.messages_out),
        ("msg_dropped", said.messages_dropped),
        ("ping_rtt", said.round_trip_ms.unwrap_or(0).into()),
        ("queued_bytes", said.queued),
        ("bw_in", rates.from_client),
        ("bw_out", rates.to_client),
    ] {
        stats.set(name, value as f64)?;
    }
    stats.set("connect_time", since.as_secs_f64())?;
    Ok(Some(stats))
}
