//! AMF values as script values, and back.
//!
//! | AMF | script | and back |
//! |---|---|---|
//! | undefined, null, boolean, number, string | the same | the same |
//! | object | object | object |
//! | typed object | instance of the class registered for it; else an object that remembers its class | typed object |
//! | ECMA array, mixed array | array with named members | ECMA array |
//! | strict array, vector | array | strict array |
//! | date | `Date` | date |
//! | XML, XML document | string | string |
//! | byte array | `Uint8Array` | byte array |
//! | dictionary | `Map` | dictionary |
//! | `ArrayCollection`, `ArrayList`, `ObjectProxy` | what they are around | array, object |
//! | any other externalizable | `Uint8Array` of its body | byte array |
//! | unsupported, movie clip, record set | undefined | undefined |
//!
//! Functions and symbols are not written: as a member they are left out, elsewhere they are
//! undefined. References, cycles among them, are kept both ways.

mod from_script;
mod to_script;

use rquickjs::{Coerced, Ctx, Function, Result, Value as JsValue};

pub(crate) use from_script::{from_script, to_values};
pub(crate) use to_script::to_script;

/// The text of a string value, with U+FFFD for what is not UTF-16.
pub(crate) fn text(value: &JsValue<'_>) -> Option<String> {
    let string = value.as_string()?;
    if let Ok(text) = string.to_string() {
        return Some(text);
    }
    // Half of a surrogate pair, which UTF-8 has no form for.
    let whole: Result<Function<'_>> = value.ctx().eval("(text) => text.toWellFormed()");
    whole.and_then(|whole| whole.call((string.clone(),))).ok()
}

/// A value as `trace()` shows it; what its own code throws meanwhile shows as such.
pub(crate) fn shown<'js>(ctx: &Ctx<'js>, value: &JsValue<'js>) -> String {
    if let Some(text) = text(value) {
        return text;
    }
    if let Some(symbol) = value.as_symbol() {
        let name = symbol.description().ok().and_then(|name| text(&name));
        return format!("Symbol({})", name.unwrap_or_default());
    }
    let coerced: Result<Coerced<rquickjs::String<'js>>> = value.get();
    match coerced {
        Ok(string) => text(&string.0.into_value()).unwrap_or_default(),
        Err(_) => {
            // An uncatchable error must go on.
            let thrown = ctx.catch();
            if thrown.is_uncatchable_error() {
                ctx.throw(thrown);
            }
            "(no text)".to_owned()
        }
    }
}
