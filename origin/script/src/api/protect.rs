//! setAttributes and protectObject.

use std::rc::Rc;

use rquickjs::{Ctx, Result, Value};

use crate::{host::state::State, program::check::script_options};

/// `setAttributes(object, name, enumerable, readonly, permanent)`.
pub(super) fn set_attributes<'js>(ctx: &Ctx<'js>, _: &Rc<State>) -> Result<Value<'js>> {
    own(
        ctx,
        "(function setAttributes(object, name, enumerable, readonly, permanent) {
            Object.defineProperty(object, name, {
                enumerable: !!enumerable, writable: !readonly, configurable: !permanent
            });
        })",
    )
}

/// `protectObject(object)` returns an object with the same methods, which call the original, and no
/// other member of it.
pub(super) fn protect_object<'js>(ctx: &Ctx<'js>, _: &Rc<State>) -> Result<Value<'js>> {
    own(
        ctx,
        "(function protectObject(object) {
            const guard = {};
            for (const name in object) {
                if (typeof object[name] === 'function') {
                    const method = (...rest) => object[name](...rest);
                    Object.defineProperty(guard, name, { value: method, enumerable: false });
                }
            }
            return Object.preventExtensions(guard);
        })",
    )
}

fn own<'js>(ctx: &Ctx<'js>, text: &str) -> Result<Value<'js>> {
    ctx.eval_with_options(text, script_options("<host>"))
}
