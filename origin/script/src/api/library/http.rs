//! Requests of scripts: LoadVars, XML, fetch.

use std::rc::Rc;

use bytes::Bytes;
use rquickjs::{Array, Ctx, Function, Object, Result, TypedArray, Value};
use tributary_origin::app::Level;
use tributary_web::{Answer, HttpError, Request, Response};

use crate::{
    api::class::method,
    host::{kept::Kept, state::State},
    program::check::script_options,
};

/// `request(class, method, url, headers, body, done)`; `done(response, why)` is called later.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let state = Rc::clone(state);
    method(
        host,
        "request",
        move |class: String,
              method: String,
              url: String,
              headers: Vec<String>,
              body: Value<'js>,
              done: Function<'js>|
              -> Result<()> {
            let ctx = body.ctx();
            let headers = headers.chunks_exact(2).map(|pair| match pair {
                [name, value] => (name.clone(), value.clone()),
                _ => <(String, String)>::default(),
            });
            let request = Request {
                method,
                url,
                headers: headers.collect(),
                body: body_of(&state, &body)?,
                ..Request::default()
            };
            let done = state.keeper.keep(ctx, done.as_value());
            send(&state, class, request, done);
            Ok(())
        },
    )
}

/// As [`host`], for classes that call an object's handlers with the response.
pub(super) fn delivering<'js>(object: &Object<'js>, state: &Rc<State>) -> Result<()> {
    host(object, state)?;
    let text = include_str!("deliver.js");
    let deliver: Function<'js> = object
        .ctx()
        .eval_with_options(text, script_options("<http>"))?;
    object.set("deliver", deliver)
}

fn body_of(state: &State, body: &Value<'_>) -> Result<Bytes> {
    if let Some(text) = body.as_string() {
        return Ok(Bytes::from(text.to_string()?));
    }
    let bytes = body.get::<Object<'_>>()?;
    state.bytes(body.ctx(), &bytes).map(Bytes::from)
}

fn send(state: &Rc<State>, class: String, request: Request, done: Kept) {
    let later = state.later();
    state.library.http().send(request, move |answer| {
        later.run(move |ctx, state| answered(ctx, state, &class, done, answer));
    });
}

fn answered<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    class: &str,
    done: Kept,
    answer: Answer,
) -> Result<()> {
    let done = Function::from_value(state.keeper.release(ctx, done))?;
    match &answer.result {
        Ok(response) => done.call((script_response(ctx, response)?,)),
        Err(error) => {
            state.log(level(error), &format!("{class}: {error}"));
            done.call((Value::new_null(ctx.clone()), error.to_string()))
        }
    }
}

fn level(error: &HttpError) -> Level {
    match error {
        HttpError::NotAllowed(_) | HttpError::BadRequest(_) => Level::Error,
        _ => Level::Warning,
    }
}

fn script_response<'js>(ctx: &Ctx<'js>, response: &Response) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    object.set("status", response.status)?;
    object.set("url", response.url.as_str())?;
    object.set("length", response.body.len())?;
    let headers = Array::new(ctx.clone())?;
    for (index, (name, value)) in response.headers.iter().enumerate() {
        headers.set(index * 2, name.as_str())?;
        headers.set(index * 2 + 1, value.as_str())?;
    }
    object.set("headers", headers)?;
    object.set("text", response.text())?;
    let body = response.body.clone();
    method(&object, "bytes", move |ctx: Ctx<'js>| {
        TypedArray::<u8>::new_copy(ctx, &body)
    })?;
    Ok(object)
}
