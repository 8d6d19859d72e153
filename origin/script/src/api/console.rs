//! console.log and its relatives: lines of the application's log.

use std::rc::Rc;

use rquickjs::{Ctx, Object, Result, Value, function::Rest};
use tributary_origin::app::Level;

use super::{class, globals::say};
use crate::{host::state::State, text};

pub(super) fn define<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let console = Object::new(ctx.clone())?;
    for (name, level) in [
        ("log", Level::Info),
        ("info", Level::Info),
        ("debug", Level::Info),
        ("warn", Level::Warning),
        ("error", Level::Error),
    ] {
        let state = Rc::clone(state);
        class::method(
            &console,
            name,
            move |ctx: Ctx<'js>, values: Rest<Value<'js>>| -> Result<()> {
                let shown: Result<Vec<_>> = values.iter().map(|one| shown(&ctx, one)).collect();
                say(&state, level, &shown?.join(" "));
                Ok(())
            },
        )?;
    }
    Ok(console.into_value())
}

/// A value as JSON, if it is an object with such a form.
fn shown<'js>(ctx: &Ctx<'js>, one: &Value<'js>) -> Result<String> {
    if one.is_object() && !one.is_function() && !one.is_error() {
        match ctx.json_stringify(one.clone()) {
            Ok(Some(json)) => return json.to_string(),
            Ok(None) => {}
            Err(error) => {
                let thrown = ctx.catch();
                if thrown.is_uncatchable_error() {
                    ctx.throw(thrown);
                    return Err(error);
                }
            }
        }
    }
    Ok(text::shown(ctx, one))
}
