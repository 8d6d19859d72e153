//! The text of script values.

use rquickjs::{Coerced, Ctx, Function, Result, Value as JsValue};

/// The text of a string value, with U+FFFD for halves of surrogate pairs.
pub(crate) fn text(value: &JsValue<'_>) -> Option<String> {
    let string = value.as_string()?;
    if let Ok(text) = string.to_string() {
        return Some(text);
    }
    // UTF-8 has no form for half of a surrogate pair.
    let whole: Result<Function<'_>> = value.ctx().eval("(text) => text.toWellFormed()");
    whole.and_then(|whole| whole.call((string.clone(),))).ok()
}

/// A value as `trace()` shows it; an exception of its own code is shown instead.
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
            // An uncatchable error is thrown on.
            let thrown = ctx.catch();
            if thrown.is_uncatchable_error() {
                ctx.throw(thrown);
            }
            "(no text)".to_owned()
        }
    }
}
