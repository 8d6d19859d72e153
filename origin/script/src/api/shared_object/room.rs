//! Closes shared objects that nothing needs any more, to make room for others.
//!
//! A script's object lives until the script closes it, and old scripts never do. When the group's
//! objects or the script's memory become scarce, objects are closed that have no members and no
//! handlers and that no variable of the script reaches: the least recently used first, whether they
//! are empty or not.

use std::rc::Rc;

use rquickjs::{Ctx, Object, Result, Value as JsValue};
use tributary_origin::app::{
    Level, ObjectId,
    embed::{CROWD, MAX_GROUP_BYTES, MAX_OBJECTS, lent},
};

use super::inside::last_use;
use crate::host::state::State;

/// The most objects that are closed at a time. Reason: the search for them visits each.
const AT_A_TIME: usize = MAX_OBJECTS / 8;

/// The objects that are opened between two checks of the script's memory. Reason: a check takes
/// some microseconds.
const LOOK_EVERY: usize = 16;

/// The scarce resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scarce {
    Objects,
    Memory,
}

/// Closes objects if there is little room.
pub(crate) fn make(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
    let living = lent(|context| context.living_objects()).unwrap_or_default();
    let now = state.now.get();
    if !state.objects.borrow().may_search(living, now) {
        return Ok(());
    }
    let Some(scarce) = scarce(ctx, state, living) else {
        return Ok(());
    };
    forget_dropped(state);
    let mut idle = idle(ctx, state)?;
    idle.sort_unstable();
    let wanted = match scarce {
        Scarce::Objects => AT_A_TIME,
        Scarce::Memory => AT_A_TIME.min(idle.len().div_ceil(2)),
    };
    let gone = let_go(ctx, state, &idle, wanted)?;
    let said = state
        .objects
        .borrow_mut()
        .searched(living.saturating_sub(gone), gone, now);
    if let Some(gone) = said {
        let why = format!(
            "{gone} shared objects were closed to make room: they had no members and no handlers, \
             and no variable held them; close() what is not needed any more"
        );
        state.log(Level::Warning, &why);
    }
    Ok(())
}

fn scarce(ctx: &Ctx<'_>, state: &State, living: usize) -> Option<Scarce> {
    let bytes = lent(|context| context.object_bytes()).unwrap_or_default();
    if living >= CROWD || bytes >= MAX_GROUP_BYTES / 4 * 3 {
        return Some(Scarce::Objects);
    }
    let open = state.objects.borrow().len();
    if open == 0 || !open.is_multiple_of(LOOK_EVERY) {
        return None;
    }
    let quarter = state.program.settings().script_memory.get() / 4;
    let has_room = || {
        let room = state.probe(ctx, quarter).is_ok();
        if !room {
            ctx.catch();
        }
        room
    };
    if has_room() {
        return None;
    }
    ctx.run_gc();
    (!has_room()).then_some(Scarce::Memory)
}

/// The objects without members, locks and handlers, each with the number of its last use.
fn idle(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<Vec<(u64, ObjectId)>> {
    let open: Vec<_> = {
        let objects = state.objects.borrow();
        let open = objects.open();
        open.map(|(id, object)| (id, state.keeper.kept(ctx, object)))
            .collect()
    };
    let mut idle = Vec::new();
    for (id, object) in open {
        let needed = lent(|context| {
            let object = context.object(id);
            object
                .is_some_and(|object| object.lock_depth() > 0 || object.members().next().is_some())
        });
        let Some(object) = object.as_object().filter(|_| needed == Some(false)) else {
            continue;
        };
        if let Some(used) = last_use(object)
            && !state.has_handlers(ctx, object)?
        {
            idle.push((used, id));
        }
    }
    Ok(idle)
}

/// Closes the first `wanted` of these that no variable reaches; returns the number of closed ones.
fn let_go(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    idle: &[(u64, ObjectId)],
    wanted: usize,
) -> Result<usize> {
    let mut gone = 0;
    let mut held = Vec::new();
    for &(_, id) in idle {
        if gone >= wanted {
            break;
        }
        loosen(ctx, state, id)?;
        gone += forget_dropped(state);
        if state.objects.borrow().get(id).is_some() {
            held.push(id);
        }
    }
    if gone < wanted {
        // Only a collection frees objects that hold each other.
        ctx.run_gc();
        gone += forget_dropped(state);
    }
    for id in held {
        hold(ctx, state, id)?;
    }
    Ok(gone)
}

/// Replaces the reference to an object by a weak one.
fn loosen(ctx: &Ctx<'_>, state: &Rc<State>, id: ObjectId) -> Result<()> {
    let object = {
        let objects = state.objects.borrow();
        objects
            .get(id)
            .map(|object| state.keeper.kept_object(ctx, object))
    };
    let Some(object) = object.transpose()? else {
        return Ok(());
    };
    let weak = state.weak(ctx, &object)?;
    let weak = state.keeper.keep(ctx, weak);
    let strong = state.objects.borrow_mut().replace(id, weak);
    drop(object);
    state.keeper.forget(strong);
    Ok(())
}

/// Replaces the weak reference to an object that still exists by a strong one.
fn hold(ctx: &Ctx<'_>, state: &Rc<State>, id: ObjectId) -> Result<()> {
    let weak = {
        let objects = state.objects.borrow();
        objects.get(id).map(|weak| state.keeper.kept(ctx, weak))
    };
    let object: Option<Object<'_>> = match weak {
        Some(weak) => state.strong(ctx, weak)?,
        None => None,
    };
    let Some(object) = object else { return Ok(()) };
    let strong = state.keeper.keep(ctx, JsValue::from(object));
    let weak = state.objects.borrow_mut().replace(id, strong);
    state.keeper.forget(weak);
    Ok(())
}

/// Closes the group's objects that the script has dropped; returns their number.
fn forget_dropped(state: &State) -> usize {
    let dropped = state.objects.borrow().take_dropped();
    for &object in &dropped {
        lent(|context| context.close_object(object));
        let last = state.objects.borrow_mut().remove(object);
        state.keeper.forget(last);
    }
    dropped.len()
}
