//! Calls of clients.

use std::rc::Rc;

use rquickjs::{Ctx, Function, Object, Result, Value as JsValue, function::Args};
use tributary_origin::app::{Answer, Call, Responder, embed::lent};
use tributary_protocol::amf::Value;

use crate::{
    api::{application, class},
    host::state::State,
    program::failure::ScriptError,
    value::{from_script, to_script},
};

/// Calls the method that a client names. Its exception is logged, and becomes the error of the
/// call.
pub(crate) fn call<'js>(ctx: &Ctx<'js>, state: &Rc<State>, call: &Call) -> Result<Answer> {
    let Some(client) = client(ctx, state, call)? else {
        return Ok(Answer::Unknown);
    };
    let Some((owner, method)) = method(ctx, state, &client, &call.name)? else {
        return Ok(Answer::Unknown);
    };
    let mut arguments = Args::new(ctx.clone(), call.arguments.len());
    arguments.this(owner)?;
    for argument in &call.arguments {
        arguments.push_arg(to_script(ctx, state, argument)?)?;
    }
    let result: Result<JsValue<'js>> = arguments.apply(&method);
    let answer = result.and_then(|result| answer(ctx, state, call.responder, &result));
    match answer {
        Ok(answer) => Ok(answer),
        Err(_) => {
            let thrown = ctx.catch();
            application::thrown(ctx, state, &thrown);
            if state.allowance.exceeded().is_some() {
                return Ok(Answer::Error(application::call_failed(&call.name, None)));
            }
            let message = ScriptError::thrown(ctx, &thrown, state.program.scripts()).message;
            Ok(Answer::Error(application::call_failed(
                &call.name,
                Some(&message),
            )))
        }
    }
}

fn client<'js>(ctx: &Ctx<'js>, state: &State, call: &Call) -> Result<Option<Object<'js>>> {
    let clients = state.clients.borrow();
    let kept = clients.get(call.responder.client);
    kept.map(|kept| state.keeper.kept_object(ctx, kept))
        .transpose()
}

/// The method of this name, or the result of the client's `__resolve` for it.
fn method<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    client: &Object<'js>,
    name: &str,
) -> Result<Option<(Object<'js>, Function<'js>)>> {
    if let Some(found) = state.find(ctx, client, name)? {
        return Ok(Some(found));
    }
    let Some((_, resolve)) = state.find(ctx, client, "__resolve")? else {
        return Ok(None);
    };
    let found = class::call_on(&resolve, client, (name,))?;
    Ok(found.into_function().map(|found| (client.clone(), found)))
}

/// A result as the client's answer; a promise gives the answer when it is settled.
fn answer<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    responder: Responder,
    result: &JsValue<'js>,
) -> Result<Answer> {
    let Some(promise) = result.as_promise() else {
        return from_script(ctx, state, result).map(Answer::Result);
    };
    let known = Rc::clone(state);
    let resolved = move |ctx: Ctx<'js>, value: JsValue<'js>| -> Result<()> {
        let answer = match from_script(&ctx, &known, &value) {
            Ok(value) => Ok(value),
            Err(_) => Err(failed(&ctx, &known, &ctx.catch())),
        };
        lent(|context| context.respond(responder, answer));
        Ok(())
    };
    let known = Rc::clone(state);
    let rejected = move |ctx: Ctx<'js>, reason: JsValue<'js>| {
        let failed = failed(&ctx, &known, &reason);
        lent(|context| context.respond(responder, Err(failed)));
    };
    let resolved = Function::new(ctx.clone(), resolved)?;
    let rejected = Function::new(ctx.clone(), rejected)?;
    class::then(promise, resolved, rejected)?;
    Ok(Answer::Deferred)
}

fn failed<'js>(ctx: &Ctx<'js>, state: &Rc<State>, thrown: &JsValue<'js>) -> Value {
    application::thrown(ctx, state, thrown);
    let message = ScriptError::thrown(ctx, thrown, state.program.scripts()).message;
    application::call_failed("", Some(&message))
}
