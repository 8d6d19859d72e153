//! onPublishRequest and onPlayRequest: a script decides who may publish and play.

use std::rc::Rc;

use rquickjs::{Ctx, Function, Object, Result, Value as JsValue};
use tributary_origin::app::{
    ClientId, Context, Decision, Identity, PublishGrant, StreamRequest, embed::lent,
};

use crate::{
    api::{application, class, stream},
    host::state::State,
    text::text,
};

/// The decision of a hook: refused with a description, or accepted, maybe with an identity.
enum Said {
    Accepted(Option<String>),
    Refused(String),
    /// The decision comes later or never.
    Later,
}

/// Calls `application.onPublishRequest(client, name, type, query)`.
pub(crate) fn publish<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    request: &StreamRequest,
) -> Result<Decision<PublishGrant>> {
    let application = application::object(ctx, state)?;
    let client = client(ctx, state, request)?;
    let arguments = (client, &*request.name, &*request.kind, &*request.query);
    let said = class::callback(&application, "onPublishRequest", arguments)?;
    let id = request.id;
    let decide = move |context: &mut Context<'_>, said| {
        context.decide_publish(id, grant(said));
    };
    let said = said.map_or(Ok(Said::Accepted(None)), |said| settle(ctx, &said, decide));
    said.map(grant)
}

/// Calls `application.onPlayRequest(client, name, query)`.
pub(crate) fn play<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    request: &StreamRequest,
) -> Result<Decision<()>> {
    let application = application::object(ctx, state)?;
    let client = client(ctx, state, request)?;
    let arguments = (client, &*request.name, &*request.query);
    let said = class::callback(&application, "onPlayRequest", arguments)?;
    let id = request.id;
    let decide = move |context: &mut Context<'_>, said| {
        context.decide_play(id, admit(&said));
    };
    let said = said.map_or(Ok(Said::Accepted(None)), |said| settle(ctx, &said, decide));
    said.map(|said| admit(&said))
}

fn client<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    request: &StreamRequest,
) -> Result<Option<Object<'js>>> {
    let clients = state.clients.borrow();
    let kept = clients.get(request.id.client);
    kept.map(|kept| state.keeper.kept_object(ctx, kept))
        .transpose()
}

/// The decision in a hook's result; a promise decides when it is settled.
fn settle<'js>(
    ctx: &Ctx<'js>,
    said: &JsValue<'js>,
    decide: impl Fn(&mut Context<'_>, Said) + Clone + 'static,
) -> Result<Said> {
    let Some(promise) = said.as_promise() else {
        return read(said);
    };
    let rejected = decide.clone();
    let resolved = move |said: JsValue<'js>| -> Result<()> {
        let said = match read(&said)? {
            // An undefined result of a promise accepts: no later decision can come.
            Said::Later => Said::Accepted(None),
            said => said,
        };
        lent(|context| decide(context, said));
        Ok(())
    };
    let rejected = move |reason: JsValue<'js>| {
        let _ = &reason;
        lent(|context| rejected(context, Said::Refused(String::new())));
    };
    let resolved = Function::new(ctx.clone(), resolved)?;
    let rejected = Function::new(ctx.clone(), rejected)?;
    class::then(promise, resolved, rejected)?;
    Ok(Said::Later)
}

/// `false` and `{code, description}` refuse, `{identity}` names the publisher, undefined waits, any
/// other result accepts.
fn read(said: &JsValue<'_>) -> Result<Said> {
    if said.is_undefined() {
        return Ok(Said::Later);
    }
    if said.as_bool() == Some(false) {
        return Ok(Said::Refused(String::new()));
    }
    let Some(object) = said.as_object() else {
        return Ok(Said::Accepted(None));
    };
    let part = |name: &str| -> Result<Option<String>> {
        let part: JsValue<'_> = object.get(name)?;
        Ok(text(&part))
    };
    let (code, description) = (part("code")?, part("description")?);
    if code.is_some() || description.is_some() {
        return Ok(Said::Refused(description.or(code).unwrap_or_default()));
    }
    Ok(Said::Accepted(part("identity")?))
}

fn grant(said: Said) -> Decision<PublishGrant> {
    match said {
        Said::Accepted(identity) => Decision::Accept(PublishGrant {
            identity: identity.map(Identity::Application),
        }),
        Said::Refused(why) => Decision::Refuse(why),
        Said::Later => Decision::Pending,
    }
}

fn admit(said: &Said) -> Decision<()> {
    match said {
        Said::Accepted(_) => Decision::Accept(()),
        Said::Refused(why) => Decision::Refuse(why.clone()),
        Said::Later => Decision::Pending,
    }
}

/// Calls `application.onPublish(client, stream)` or `application.onUnpublish(client, stream)`, and
/// ignores the result.
pub(crate) fn notify(
    ctx: &Ctx<'_>,
    state: &Rc<State>,
    event: &str,
    client: ClientId,
    name: &str,
) -> Result<()> {
    let application = application::object(ctx, state)?;
    let client = {
        let clients = state.clients.borrow();
        let kept = clients.get(client);
        kept.map(|kept| state.keeper.kept(ctx, kept))
    };
    let handler: JsValue<'_> = application.get(event)?;
    if !handler.is_function() {
        return Ok(());
    }
    let stream = stream::get(ctx, state, name)?;
    class::callback(&application, event, (client, stream)).map(drop)
}
