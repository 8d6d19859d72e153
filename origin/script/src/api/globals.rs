//! trace, load, timers, getGlobal.

use std::rc::Rc;

use rquickjs::{
    Array, Coerced, Ctx, Exception, Function, Result, Value,
    function::{Opt, Rest},
};
use tributary_origin::app::Level;

use crate::{
    host::{loads::Due, state::State},
    program::{check::script_options, source},
    text,
};

/// `trace(value, ...)`: a line in the application's log.
pub(super) fn trace<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let trace = move |ctx: Ctx<'js>, values: Rest<Value<'js>>| {
        let shown: Vec<_> = values.iter().map(|one| text::shown(&ctx, one)).collect();
        say(&state, Level::Info, &shown.join(" "));
    };
    named(ctx, "trace", Function::new(ctx.clone(), trace)?)
}

/// Logs a line of the script.
pub(super) fn say(state: &State, level: Level, text: &str) {
    state.log(level, source::shortened(text, LINE));
}

/// The bytes of one traced text that are logged. Reason: a script may trace whole data sets.
const LINE: usize = 4 * 1024;

/// `load(file)`: a file that the main file names runs after it, any other at once.
pub(super) fn load<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
    let state = Rc::clone(state);
    let load = move |ctx: Ctx<'js>, name: Coerced<String>| {
        let scripts = state.program.scripts();
        let loader = running_file(&ctx).unwrap_or_default();
        // A name without a file is an error at the call.
        let Some(file) = scripts.find(&loader, &name.0) else {
            let why = format!(
                "load: there is no file {:?}; see docs/porting-from-fms.md",
                name.0
            );
            return Err(Exception::throw_message(&ctx, &why));
        };
        let named = state.loads.borrow_mut().name(file, scripts.owner(file));
        match named {
            Ok(Due::Now) => run_file(&ctx, &state, file),
            Ok(Due::Later | Due::Done) => Ok(()),
            Err(refusal) => Err(Exception::throw_range(&ctx, &refusal.to_string())),
        }
    };
    named(ctx, "load", Function::new(ctx.clone(), load)?)
}

/// The file whose code has called the host.
fn running_file(ctx: &Ctx<'_>) -> Option<String> {
    // Frames of the engine's own functions, such as `forEach`, have no file.
    let mut frames = (0..OWN_FRAMES).filter_map(|level| ctx.script_or_module_name(level));
    frames.next()?.to_string().ok()
}

/// The most functions of the engine between a script's code and the function of the host.
const OWN_FRAMES: isize = 8;

/// Runs a file of the application or of the framework; [`ScriptFiles::find`] gives its name.
///
/// [`ScriptFiles::find`]: crate::program::script_files::ScriptFiles::find
pub(crate) fn run_file(ctx: &Ctx<'_>, state: &Rc<State>, file: &str) -> Result<()> {
    if let Err(refusal) = state.loads.borrow_mut().begin(file) {
        return Err(Exception::throw_range(ctx, &refusal.to_string()));
    }
    let text = state.program.scripts().source(file).unwrap_or_default();
    let done = ctx.eval_with_options::<(), _>(text, script_options(file));
    state.loads.borrow_mut().end(done.is_ok());
    done
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
        let call = state.keeper.keep(&ctx, call.as_value());
        let now = state.now.get();
        Ok(state.timers.borrow_mut().add(now, time, repeats, call))
    };
    named(ctx, name, Function::new(ctx.clone(), set)?)
}

/// Runs a timer's call: an array of the object, the function or its name, the arguments.
pub(crate) fn run_timer<'js>(ctx: &Ctx<'js>, call: &Array<'js>) -> Result<()> {
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
        state.keeper.forget(removed.flatten());
    };
    named(ctx, "clearInterval", Function::new(ctx.clone(), clear)?)
}

/// `getGlobal()` returns the global object.
pub(super) fn get_global<'js>(ctx: &Ctx<'js>, _: &Rc<State>) -> Result<Value<'js>> {
    let get = |ctx: Ctx<'js>| ctx.globals();
    named(ctx, "getGlobal", Function::new(ctx.clone(), get)?)
}

fn named<'js>(_: &Ctx<'js>, name: &str, function: Function<'js>) -> Result<Value<'js>> {
    Ok(function.with_name(name)?.into_value())
}
