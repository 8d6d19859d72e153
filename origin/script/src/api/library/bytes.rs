//! The host's functions for ByteArray: texts and AMF3 values as bytes.

use std::rc::Rc;

use bytes::BytesMut;
use rquickjs::{Array, Ctx, Exception, Object, Result, TypedArray, Value};
use tributary_protocol::amf::{Budget, amf3};

use crate::{
    api::class::method,
    host::state::State,
    value::{from_script, to_script},
};

/// utf8, text, latin, readObject, writeObject.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    method(host, "utf8", |ctx: Ctx<'js>, text: String| {
        TypedArray::<u8>::new_copy(ctx, text)
    })?;
    let known = Rc::clone(state);
    method(host, "text", move |ctx: Ctx<'js>, bytes: Object<'js>| {
        let bytes = known.bytes(&ctx, &bytes)?;
        Ok::<_, rquickjs::Error>(String::from_utf8_lossy(&bytes).into_owned())
    })?;
    let known = Rc::clone(state);
    method(host, "latin", move |ctx: Ctx<'js>, bytes: Object<'js>| {
        let bytes = known.bytes(&ctx, &bytes)?;
        Ok::<_, rquickjs::Error>(bytes.into_iter().map(char::from).collect::<String>())
    })?;
    let known = Rc::clone(state);
    method(
        host,
        "readObject",
        move |ctx: Ctx<'js>, bytes: Object<'js>| {
            let bytes = known.bytes(&ctx, &bytes)?;
            let decoded = amf3::Decoder::new(&bytes, &Budget::default()).and_then(|mut decoder| {
                let value = decoder.value()?;
                Ok((value, decoder.position()))
            });
            let (value, used) = decoded
                .map_err(|error| Exception::throw_range(&ctx, &format!("readObject: {error}")))?;
            let pair = Array::new(ctx.clone())?;
            pair.set(0, to_script(&ctx, &known, &value)?)?;
            pair.set(1, used)?;
            Ok::<_, rquickjs::Error>(pair)
        },
    )?;
    let known = Rc::clone(state);
    method(
        host,
        "writeObject",
        move |ctx: Ctx<'js>, value: Value<'js>| {
            let value = from_script(&ctx, &known, &value)?;
            let mut out = BytesMut::new();
            amf3::encode(&mut out, &value);
            TypedArray::<u8>::new_copy(ctx, out)
        },
    )
}
