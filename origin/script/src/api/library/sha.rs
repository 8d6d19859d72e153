//! The host's functions for the small classes.

use std::{fmt::Write, rc::Rc};

use rquickjs::{Ctx, Object, Result, Value};
use sha2::{Digest, Sha256};
use tributary_origin::app::Level;

use crate::{api::class::method, host::state::State};

/// `sha256(parts)`: the digest of texts and bytes, in hexadecimal; `trace(text)`.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    method(host, "trace", move |text: rquickjs::Coerced<String>| {
        known.log(Level::Info, &text.0);
    })?;
    let known = Rc::clone(state);
    method(
        host,
        "sha256",
        move |ctx: Ctx<'js>, parts: Vec<Value<'js>>| {
            let mut digest = Sha256::new();
            for part in parts {
                match part.as_string() {
                    Some(text) => digest.update(text.to_string()?),
                    None => digest.update(known.bytes(&ctx, &part.get::<Object<'js>>()?)?),
                }
            }
            let mut hex = String::new();
            for byte in digest.finalize() {
                // Writing to a string cannot fail.
                let _ = write!(hex, "{byte:02x}");
            }
            Ok::<_, rquickjs::Error>(hex)
        },
    )
}
