//! The inside of a script's `SharedObject`.

use std::{cell::Cell, rc::Rc};

use rquickjs::{JsLifetime, Object};
use tributary_origin::app::ObjectId;

use crate::{api::class, host::objects::Ledger};

/// The inside of a `SharedObject`. Its end, or `close()`, closes the group's object.
#[derive(JsLifetime)]
pub(super) struct ObjectInside {
    #[qjs(skip_trace)]
    id: ObjectId,
    #[qjs(skip_trace)]
    ledger: Rc<Ledger>,
    #[qjs(skip_trace)]
    used: Cell<u64>,
    #[qjs(skip_trace)]
    open: Cell<bool>,
}

class::host_class!(ObjectInside, "SharedObject");

impl ObjectInside {
    /// The inside of an object that is just opened; this counts as a use.
    pub(super) fn new(id: ObjectId, ledger: Rc<Ledger>) -> Self {
        Self {
            id,
            used: Cell::new(ledger.used()),
            ledger,
            open: Cell::new(true),
        }
    }

    pub(super) fn id(&self) -> ObjectId {
        self.id
    }

    pub(super) fn close(&self) {
        if self.open.replace(false) {
            self.ledger.dropped(self.id);
        }
    }

    /// Whether it is open; if so, this counts as a use.
    pub(super) fn use_now(&self) -> bool {
        if self.open.get() {
            self.used.set(self.ledger.used());
        }
        self.open.get()
    }
}

impl Drop for ObjectInside {
    fn drop(&mut self) {
        self.close();
    }
}

/// The number of an object's last use, which rises with each use; `None` if it is closed.
pub(super) fn last_use(object: &Object<'_>) -> Option<u64> {
    let class = object.as_class::<ObjectInside>()?;
    let inside = class.borrow();
    inside.open.get().then(|| inside.used.get())
}
