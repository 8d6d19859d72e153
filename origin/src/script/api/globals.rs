//! trace, load, timers, getGlobal.

use std::rc::Rc;

use rquickjs::{
    Array, Coerced, Ctx, Exception, Function, Result, Value,
    function::{Opt, Rest},
};

use super::super::{check::script_options, source, state::State, value};
use crate::app::Level;

/// `trace(value, ...)`: a line in the application's log.
pub(super) fn trace<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let trace = move |ctx: Ctx<'js>, values: Rest<Value<'js>>| {
        let shown: Vec<_> = values.iter().map(|one| value::shown(&ctx, one)).collect();
        say(&state, Level::Info, &shown.join(" "));
    };
    named(ctx, "trace", Function::new(ctx.clone(), trace)?)
}

/// Logs a line of the script's own.
pub(super) fn say(state: &State, level: Level, text: &str) {
    state.log(level, source::shortened(text, LINE));
}

/// How much of one traced text is logged. Reason: a script may trace whole data sets.
const LINE: usize = 4 * 1024;

/// `load(file)`: before the main file is through, the file is run after it; later, at once.
pub(super) fn load<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let load = move |ctx: Ctx<'js>, name: Coerced<String>| {
        let waiting = {
            let mut loads = state.loads.borrow_mut();
            match loads.as_mut() {
                Some(loads) if loads.len() >= MAX_LOADS => {
                    return Err(Exception::throw_range(&ctx, "too many files are loaded"));
                }
                Some(loads) => {
                    loads.push(name.0.clone());
                    true
                }
                None => false,
            }
        };
        if waiting {
            // A name that means nothing is an error where it stands.
            return known(&ctx, &state, &name.0).map(drop);
        }
        run_file(&ctx, &state, &name.0)
    };
    named(ctx, "load", Function::new(ctx.clone(), load)?)
}

/// The most files that one start loads. Reason: files may load each other for ever.
const MAX_LOADS: usize = 1_024;

/// Runs a file of the application.
pub(in super::super) fn run_file(ctx: &Ctx<'_>, state: &Rc<State>, name: &str) -> Result<()> {
    let file = known(ctx, state, name)?;
    let program = &state.program;
    let text = program.source(file).unwrap_or_default();
    ctx.eval_with_options::<(), _>(text, script_options(file))
}

fn known<'a>(ctx: &Ctx<'_>, state: &'a State, name: &str) -> Result<&'a str> {
    state.program.find(name).ok_or_else(|| {
        let why = format!("load: there is no file {name:?}; see docs/porting-from-fms.md");
        Exception::throw_message(ctx, &why)
    })
}

/// `setInterval(function, ms, ...)` and `setInterval(object, "method", ms, ...)`.
pub(super) fn set_interval<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    timer(ctx, state, "setInterval", true)
}

/// `setTimeout(function, ms, ...)`, which Flash Media Server does not have.
pub(super) fn set_timeout<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    timer(ctx, state, "setTimeout", false)
}

fn timer<'js>(ctx: &Ctx<'js>, state: &Rc<State>, name: &str, repeats: bool) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let set = move |ctx: Ctx<'js>, given: Rest<Value<'js>>| -> Result<u32> {
        let mut given = given.0.into_iter();
        let first = given.next();
        let Some(first) = first.filter(|first| first.is_object()) else {
            return Err(Exception::throw_type(&ctx, "a timer needs a function"));
        };
        let call = Array::new(ctx.clone())?;
        if first.is_function() {
            call.set(0, Value::new_undefined(ctx.clone()))?;
            call.set(1, first)?;
        } else {
            call.set(0, first)?;
            call.set(1, given.next())?;
        }
        let time = given.next().map(|time| time.get::<Coerced<f64>>());
        let time = time.transpose()?.map_or(0.0, |time| time.0);
        for (index, argument) in given.enumerate() {
            call.set(index + 2, argument)?;
        }
        let most = state.program.settings().script_timers;
        if state.timers.borrow().len() >= most {
            let why = format!("more than {most} timers (script_timers)");
            return Err(Exception::throw_range(&ctx, &why));
        }
        let call = state.keep(&ctx, call.as_value());
        let now = state.now.get();
        Ok(state.timers.borrow_mut().add(now, time, repeats, call))
    };
    named(ctx, name, Function::new(ctx.clone(), set)?)
}

/// Calls what a timer is for: an array of the object, the function or its name, the arguments.
pub(in super::super) fn run_timer<'js>(ctx: &Ctx<'js>, call: &Array<'js>) -> Result<()> {
    let this: Value<'js> = call.get(0)?;
    let mut function: Value<'js> = call.get(1)?;
    if !function.is_function()
        && let Some(object) = this.as_object()
    {
        function = object.get(function)?;
    }
    let Some(function) = function.as_function() else {
        return Err(Exception::throw_type(
            ctx,
            "a timer's method does not exist",
        ));
    };
    let arguments: Result<Vec<Value<'js>>> = call.iter().skip(2).collect();
    let mut all = rquickjs::function::Args::new(ctx.clone(), call.len());
    all.this(this)?;
    all.push_args(arguments?)?;
    all.apply(function)
}

/// `clearInterval(number)` and `clearTimeout(number)`.
pub(super) fn clear<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let clear = move |number: Opt<Value<'js>>| {
        let number = number.0.and_then(|number| number.as_number());
        let removed = number.map(|number| state.timers.borrow_mut().remove(number as u32));
        state.forget(removed.flatten());
    };
    named(ctx, "clearInterval", Function::new(ctx.clone(), clear)?)
}

/// `getGlobal()`: the global object.
pub(super) fn get_global<'js>(ctx: &Ctx<'js>, _: &Rc<State>) -> Result<Value<'js>> {
    let get = |ctx: Ctx<'js>| ctx.globals();
    named(ctx, "getGlobal", Function::new(ctx.clone(), get)?)
}

fn named<'js>(_: &Ctx<'js>, name: &str, function: Function<'js>) -> Result<Value<'js>> {
    Ok(function.with_name(name)?.into_value())
}
