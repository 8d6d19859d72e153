//! Script values that the host remembers.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
};

use rquickjs::{Ctx, Object, Persistent, Result, Value as JsValue};

/// Holds script values for functions of the host. These hold none themselves: a value in a closure
/// would never be freed. A kept value lives until it is released, or until [`Keeper::clear`] before
/// the runtime ends.
#[derive(Default)]
pub(crate) struct Keeper {
    values: RefCell<HashMap<u64, Persistent<JsValue<'static>>>>,
    last: Cell<u64>,
}

/// Names a value of a [`Keeper`].
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Kept(u64);

impl Keeper {
    /// Keeps a script value until [`Keeper::release`], or for as long as the script runs.
    pub(crate) fn keep<'js>(&self, ctx: &Ctx<'js>, value: impl AsRef<JsValue<'js>>) -> Kept {
        let id = self.last.get() + 1;
        self.last.set(id);
        let value = Persistent::save(ctx, value.as_ref().clone());
        self.values.borrow_mut().insert(id, value);
        Kept(id)
    }

    /// A kept value.
    pub(crate) fn kept<'js>(&self, ctx: &Ctx<'js>, kept: &Kept) -> JsValue<'js> {
        let value = self.values.borrow().get(&kept.0).cloned();
        value
            .and_then(|value| value.restore(ctx).ok())
            .unwrap_or_else(|| JsValue::new_undefined(ctx.clone()))
    }

    /// A kept object.
    pub(crate) fn kept_object<'js>(&self, ctx: &Ctx<'js>, kept: &Kept) -> Result<Object<'js>> {
        Object::from_value(self.kept(ctx, kept))
    }

    /// Removes a value and returns it.
    pub(crate) fn release<'js>(&self, ctx: &Ctx<'js>, kept: Kept) -> JsValue<'js> {
        let value = self.kept(ctx, &kept);
        self.forget(kept);
        value
    }

    /// Removes a value.
    pub(crate) fn forget(&self, kept: impl Into<Option<Kept>>) {
        let Some(kept) = kept.into() else { return };
        // The value is dropped outside the borrow: its end may run a finalizer.
        let value = self.values.borrow_mut().remove(&kept.0);
        drop(value);
    }

    /// Removes every value, which must happen before the runtime ends.
    pub(crate) fn clear(&self) {
        let values = std::mem::take(&mut *self.values.borrow_mut());
        drop(values);
    }
}

#[cfg(test)]
impl Kept {
    pub(crate) fn for_test(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("values", &self.values.borrow().len())
            .finish_non_exhaustive()
    }
}
