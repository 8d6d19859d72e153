//! AMF remoting: a NetConnection to an `http` address.
//!
//! The class NetConnection holds a [`Remoting`] while it is connected to such an address. The calls
//! of one turn are sent together after the turn.

use std::rc::Rc;

use rquickjs::{Ctx, Object, Result};
use tributary_origin::app::Level;
use tributary_protocol::amf::{ObjectEncoding, Value};
use tributary_web::{Answer, HttpError};

use crate::{
    api::{application, class::callback},
    host::{gateways::GatewayConnection, state::State},
    library::remoting::{Gateway, Headers, Outcome, Sent},
    value::to_script,
};

/// A connection to a remoting gateway, by its number in the group. Dropping it closes it: open
/// calls then have no answer.
#[derive(Debug)]
pub(crate) struct Remoting {
    number: u64,
    state: Rc<State>,
}

impl Remoting {
    /// Whether an address is that of a remoting gateway.
    pub(crate) fn is_gateway(uri: &str) -> bool {
        let scheme = uri.trim().split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| {
            scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
        })
    }

    /// Makes a connection. Nothing is sent before the first call, which also shows whether the
    /// address may be reached.
    pub(crate) fn connect(
        state: &Rc<State>,
        uri: &str,
        encoding: ObjectEncoding,
        headers: Headers,
    ) -> Self {
        let gateway = Gateway::new(uri, encoding, headers);
        Self {
            number: state.library.gateways.add(gateway),
            state: Rc::clone(state),
        }
    }

    /// Sends a header with every later request, unless there are too many; an undefined value
    /// removes it.
    pub(crate) fn add_header(&self, name: &str, must_understand: bool, value: Value) {
        if let Some(mut connection) = self.state.library.gateways.get(self.number) {
            // Headers above the limit are not sent.
            let _ = connection.gateway.set_header(name, must_understand, value);
        }
    }

    /// Queues a call of `owner`, the NetConnection. `false` if too many wait.
    pub(crate) fn call<'js>(
        &self,
        ctx: &Ctx<'js>,
        owner: &Object<'js>,
        method: &str,
        arguments: Vec<Value>,
        responder: Option<&Object<'js>>,
    ) -> bool {
        let state = &self.state;
        let kept = responder.map(|responder| state.keeper.keep(ctx, responder.as_value()));
        let owner = state.keeper.keep(ctx, owner.as_value());
        let mut connection = state.library.gateways.get(self.number);
        let queued = connection.as_mut().and_then(|connection| {
            let call = connection.queue(method, arguments, kept.is_some())?;
            Some((connection, call))
        });
        let Some((queued, call)) = queued else {
            drop(connection);
            state.keeper.forget(kept);
            state.keeper.forget(owner);
            return false;
        };
        queued.responders.extend(kept.map(|kept| (call, kept)));
        let before = queued.owner.replace(owner);
        if !std::mem::replace(&mut queued.flushing, true) {
            let number = self.number;
            state.soon(move |_, state| {
                flush(state, number);
                Ok(())
            });
        }
        drop(connection);
        state.keeper.forget(before);
        true
    }
}

impl Drop for Remoting {
    fn drop(&mut self) {
        let removed = self.state.library.gateways.remove(self.number);
        // The table is not borrowed here: a forgotten value may be a connection itself.
        let Some(connection) = removed else { return };
        self.state.keeper.forget(connection.owner);
        for kept in connection.responders.into_values() {
            self.state.keeper.forget(kept);
        }
    }
}

/// Sends the queued calls.
fn flush(state: &Rc<State>, number: u64) {
    let Some(mut connection) = state.library.gateways.get(number) else {
        return;
    };
    connection.flushing = false;
    let Some((request, sent)) = connection.gateway.take_request() else {
        return;
    };
    connection.under_way += 1;
    let later = state.later();
    state.library.http().send(request, move |answer| {
        later.run(move |ctx, state| {
            answered(ctx, state, number, sent, answer);
            Ok(())
        });
    });
}

fn answered(ctx: &Ctx<'_>, state: &Rc<State>, number: u64, sent: Sent, answer: Answer) {
    let Answer { result, .. } = answer;
    if let Err(error) = &result {
        let level = match error {
            HttpError::NotAllowed(_) | HttpError::BadRequest(_) => Level::Error,
            _ => Level::Warning,
        };
        state.log(level, &format!("NetConnection: {error}"));
    }
    let (told, owner) = {
        let Some(mut connection) = state.library.gateways.get(number) else {
            return;
        };
        connection.under_way -= 1;
        let outcomes = connection.gateway.handle_response(sent, result);
        let told = told(ctx, state, &mut connection, outcomes);
        (told, connection.idle_owner())
    };
    // The table is not borrowed here: the end of the owner may be that of the connection.
    state.keeper.forget(owner);
    for (object, handler, value) in told {
        let called = object.and_then(|object| {
            let value = to_script(ctx, state, &value)?;
            callback(&object, handler, (value,))
        });
        if called.is_err() {
            let thrown = ctx.catch();
            application::thrown(ctx, state, &thrown);
            if state.allowance.is_over() {
                return;
            }
        }
    }
}

/// A call to the script: the object, its handler, the argument.
type Told<'js> = (Result<Object<'js>>, &'static str, Value);

fn told<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    connection: &mut GatewayConnection,
    outcomes: Vec<Outcome>,
) -> Vec<Told<'js>> {
    let mut told = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Result(call, value) => {
                let kept = connection.responders.remove(&call);
                let object = kept.map(|kept| Object::from_value(state.keeper.release(ctx, kept)));
                told.extend(object.map(|object| (object, "onResult", value)));
            }
            Outcome::Status(call, value) => {
                let kept = connection.responders.remove(&call);
                let object = kept.map(|kept| Object::from_value(state.keeper.release(ctx, kept)));
                told.extend(object.map(|object| (object, "onStatus", value)));
            }
            Outcome::Failed(info) => {
                let owner = connection.owner.as_ref();
                let object = owner.map(|kept| state.keeper.kept_object(ctx, kept));
                told.extend(object.map(|object| (object, "onStatus", info)));
            }
        }
    }
    told
}
