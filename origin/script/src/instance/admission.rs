//! Clients that come and go: onConnect, onDisconnect.

use std::rc::Rc;

use rquickjs::{Ctx, Function, Object, Result, Value as JsValue, function::Args};
use tributary_origin::app::{ClientId, Rejection};
use tributary_protocol::command::Connect;

use crate::{
    api::{application, class, client},
    host::state::State,
    value::to_script,
};

/// Makes the client's object and calls `application.onConnect(client, ...)`.
///
/// Without a handler the client is accepted. `true` accepts, `false` rejects, and a promise does so
/// when it is settled; any other result decides nothing. A decision that the handler itself made
/// holds.
///
/// A client that the process before had accepted comes with what it was to remember: its handler is
/// `application.onReconnect`, if there is one.
pub(crate) fn ask(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    id: ClientId,
    connect: &Connect,
    remembered: Option<&[u8]>,
) -> Result<()> {
    let object = client::object(ctx, state, id, remembered)?;
    let kept = state.keeper.keep(ctx, object.as_value());
    state.clients.borrow_mut().add(id, kept);
    let application = application::object(ctx, state)?;
    let mut handler: JsValue<'_> = application.get("onConnect")?;
    if remembered.is_some() {
        let again: JsValue<'_> = application.get("onReconnect")?;
        if again.is_function() {
            handler = again;
        }
    }
    let Some(handler) = handler.as_function() else {
        return application::accept(ctx, state, id);
    };
    let mut arguments = Args::new(ctx.clone(), connect.arguments.len() + 1);
    arguments.this(application)?;
    arguments.push_arg(object)?;
    for argument in &connect.arguments {
        arguments.push_arg(to_script(ctx, state, argument)?)?;
    }
    let said: JsValue<'_> = arguments.apply(handler)?;
    let Some(promise) = said.as_promise() else {
        return decide(ctx, state, id, &said);
    };
    let (known, refusing) = (Rc::clone(state), Rc::clone(state));
    let resolved = Function::new(ctx.clone(), decider(known, id))?;
    let rejected = Function::new(ctx.clone(), refuser(refusing, id))?;
    class::then(promise, resolved, rejected)
}

fn decider(
    state: Rc<State>,
    id: ClientId,
) -> impl for<'js> Fn(Ctx<'js>, JsValue<'js>) -> Result<()> {
    move |ctx, said| decide(&ctx, &state, id, &said)
}

fn refuser(state: Rc<State>, id: ClientId) -> impl for<'js> Fn(Ctx<'js>, JsValue<'js>) {
    move |ctx, reason| {
        application::reject(&state, id, Rejection::default());
        application::thrown(&ctx, &state, &reason);
    }
}

fn decide<'js>(ctx: &Ctx<'js>, state: &State, id: ClientId, said: &JsValue<'js>) -> Result<()> {
    match said.as_bool() {
        Some(true) => application::accept(ctx, state, id)?,
        Some(false) if state.clients.borrow().is_pending(id) => {
            application::reject(state, id, Rejection::default());
        }
        _ => {}
    }
    Ok(())
}

/// Removes a client and calls `application.onDisconnect(client)`.
pub(crate) fn left(ctx: &Ctx<'_>, state: &Rc<State>, id: ClientId) -> Result<()> {
    let removed = state.clients.borrow_mut().remove(id);
    let Some(removed) = removed else {
        return Ok(());
    };
    state.clients.borrow_mut().left += 1;
    let object = state.keeper.release(ctx, removed);
    let list = {
        let clients = state.clients.borrow();
        clients.list().map(|list| state.keeper.kept(ctx, list))
    };
    if let Some(list) = list.as_ref().and_then(JsValue::as_object) {
        state.remove(ctx, list, &object)?;
    }
    let application: Object<'_> = application::object(ctx, state)?;
    class::callback(&application, "onDisconnect", (object,)).map(drop)
}
