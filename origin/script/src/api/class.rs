//! Tools that build the classes of the host: methods, properties, prototypes, calls.

use std::rc::Rc;

use rquickjs::{
    Atom, Ctx, Function, Object, Promise, Result, Value,
    atom::PredefinedAtom,
    function::{Args, IntoArgs, IntoJsFunc, Opt, Rest, This},
    object::{Accessor, Property},
};
use tributary_protocol::amf;

use crate::{host::state::State, value::to_script};

/// Makes a value for the script.
pub(crate) type Define = for<'js> fn(&Ctx<'js>, &Rc<State>) -> Result<Value<'js>>;

/// Makes the prototype of a host class if the script has not used the class yet, or has replaced
/// it; `define` makes the class.
pub(crate) fn need_class(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    class: &str,
    define: Define,
) -> Result<()> {
    if !state.has_prototype(class) {
        let _: Value<'_> = ctx.globals().get(class)?;
    }
    if !state.has_prototype(class) {
        define(ctx, state)?;
    }
    Ok(())
}

/// A value to store; `None` for `null` and `undefined`, which remove.
pub(super) fn given(value: Opt<Value<'_>>) -> Option<Value<'_>> {
    value
        .0
        .filter(|value| !value.is_null() && !value.is_undefined())
}

/// Adds a method: writable, and hidden from `for in`.
pub(crate) fn method<'js, P, F>(object: &Object<'js>, name: &str, function: F) -> Result<()>
where
    F: IntoJsFunc<'js, P> + 'js,
{
    // The key and the name share one text.
    let key = Atom::from_str(object.ctx().clone(), name)?;
    let function = Function::new(object.ctx().clone(), function)?;
    let shown = Property::from(key.to_js_string()?).configurable();
    function.prop(PredefinedAtom::Name, shown)?;
    object.prop(key, Property::from(function).writable().configurable())
}

/// Adds a property that is hidden from `for in`.
pub(crate) fn hidden<'js>(object: &Object<'js>, name: &str, value: Value<'js>) -> Result<()> {
    object.prop(name, Property::from(value).writable().configurable())
}

/// Adds a property that scripts read and cannot write.
pub(crate) fn getter<'js, P, F>(object: &Object<'js>, name: &str, get: F) -> Result<()>
where
    F: IntoJsFunc<'js, P> + 'js,
{
    object.prop(name, Accessor::from(get).configurable())
}

/// Adds a property with functions for both ways.
pub(crate) fn property<'js, P, G, Q, S>(
    object: &Object<'js>,
    name: &str,
    get: G,
    set: S,
) -> Result<()>
where
    G: IntoJsFunc<'js, P> + 'js,
    S: IntoJsFunc<'js, Q> + 'js,
{
    object.prop(name, Accessor::new(get, set).configurable())
}

/// The prototype for objects of a host class, hidden from peers' calls.
pub(crate) fn prototype<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    class: &'static str,
) -> Result<Object<'js>> {
    let prototype = Object::new(ctx.clone())?;
    state.hide(ctx, prototype.as_value())?;
    state.set_prototype(ctx, class, &prototype);
    Ok(prototype)
}

/// Calls a handler, `object.name(arguments)`; `None` if there is none.
pub(crate) fn callback<'js>(
    object: &Object<'js>,
    name: &str,
    arguments: impl IntoArgs<'js>,
) -> Result<Option<Value<'js>>> {
    let handler: Value<'js> = object.get(name)?;
    let handler = handler.as_function();
    handler.map_or(Ok(None), |handler| {
        call_on(handler, object, arguments).map(Some)
    })
}

/// Calls a function as a method of an object.
pub(crate) fn call_on<'js>(
    function: &Function<'js>,
    this: &Object<'js>,
    arguments: impl IntoArgs<'js>,
) -> Result<Value<'js>> {
    let mut all = Args::new(function.ctx().clone(), arguments.num_args());
    all.this(this.clone())?;
    arguments.into_args(&mut all)?;
    all.apply(function)
}

/// Calls a handler of a message, if the script has put it on this object.
pub(crate) fn call_handler<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    object: &Object<'js>,
    handler: &str,
    arguments: &[amf::Value],
) -> Result<()> {
    let Some((owner, method)) = state.find(ctx, object, handler)? else {
        return Ok(());
    };
    let arguments: Result<Vec<_>> = arguments
        .iter()
        .map(|argument| to_script(ctx, state, argument))
        .collect();
    call_on(&method, &owner, (Rest(arguments?),)).map(drop)
}

/// An object, or null.
pub(crate) fn or_null<'js>(ctx: &Ctx<'js>, object: Option<Object<'js>>) -> Value<'js> {
    object.map_or_else(|| Value::new_null(ctx.clone()), Object::into_value)
}

/// Calls one of two functions when a promise is settled.
pub(crate) fn then<'js>(
    promise: &Promise<'js>,
    resolved: Function<'js>,
    rejected: Function<'js>,
) -> Result<()> {
    let then = promise.then()?;
    then.call((This(promise.clone()), resolved, rejected))
}

/// Makes a Rust type the inside of script objects of a host class.
///
/// The type derives `JsLifetime` and holds no script value.
macro_rules! host_class {
    ($type:ty, $name:literal) => {
        impl<'js> rquickjs::class::Trace<'js> for $type {
            fn trace<'a>(&self, _: rquickjs::class::Tracer<'a, 'js>) {}
        }

        impl<'js> rquickjs::class::JsClass<'js> for $type {
            const NAME: &'static str = $name;
            type Mutable = rquickjs::class::Readable;

            fn constructor(
                _: &rquickjs::Ctx<'js>,
            ) -> rquickjs::Result<Option<rquickjs::Constructor<'js>>> {
                Ok(None)
            }
        }
    };
}
pub(crate) use host_class;
