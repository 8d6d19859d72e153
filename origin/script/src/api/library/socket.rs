//! The host's functions for XMLSocket.

use std::{cell::RefCell, rc::Rc};

use rquickjs::{Class, Ctx, Function, JsLifetime, Object, Result, Value};
use tributary_origin::app::Level;

use crate::{
    api::class::{host_class, method},
    host::state::State,
    library::socket::{Socket, SocketEvent},
};

/// A script's connection; the engine closes it with the last reference.
#[derive(JsLifetime)]
pub(crate) struct SocketHandle {
    #[qjs(skip_trace)]
    socket: RefCell<Option<Socket>>,
}

host_class!(SocketHandle, "SocketHandle");

/// connect, send, close, XML.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    method(
        host,
        "connect",
        move |ctx: Ctx<'js>, address: String, port: u16, tell: Function<'js>| {
            connect(&ctx, &known, &address, port, &tell)
        },
    )?;
    method(
        host,
        "send",
        |handle: Class<'js, SocketHandle>, text: String| {
            let handle = handle.borrow();
            let socket = handle.socket.borrow();
            socket.as_ref().is_some_and(|socket| socket.send(&text))
        },
    )?;
    method(host, "close", |handle: Class<'js, SocketHandle>| {
        drop(handle.borrow().socket.borrow_mut().take());
    })?;
    let known = Rc::clone(state);
    method(host, "XML", move |ctx: Ctx<'js>| super::xml(&ctx, &known))
}

fn connect<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    address: &str,
    port: u16,
    tell: &Function<'js>,
) -> Result<Value<'js>> {
    let kept = state.keeper.keep(ctx, tell.as_value());
    let number = state.library.add_socket(kept);
    let later = state.later();
    let tell =
        move |event: SocketEvent| later.run(move |ctx, state| heard(ctx, state, number, event));
    match state.library.sockets().connect(address, port, tell) {
        Ok(socket) => {
            let socket = RefCell::new(Some(socket));
            let handle = state.instance(ctx, SocketHandle { socket })?;
            Ok(handle.into_value())
        }
        Err(_) => {
            state.keeper.forget(state.library.remove_socket(number));
            state.log(
                Level::Warning,
                "XMLSocket: the limit MAX_SOCKETS is reached",
            );
            Ok(Value::new_null(ctx.clone()))
        }
    }
}

fn heard(ctx: &Ctx<'_>, state: &Rc<State>, number: u64, event: SocketEvent) -> Result<()> {
    let tell = match &event {
        SocketEvent::Connected | SocketEvent::Text(..) => state
            .library
            .with_socket(number, |kept| state.keeper.kept(ctx, kept)),
        SocketEvent::Failed(_) | SocketEvent::Closed => state
            .library
            .remove_socket(number)
            .map(|kept| state.keeper.release(ctx, kept)),
    };
    let Some(tell) = tell else { return Ok(()) };
    let tell = Function::from_value(tell)?;
    match &event {
        SocketEvent::Connected => tell.call(("connect",)),
        SocketEvent::Text(text, _) => tell.call(("data", text.as_str())),
        SocketEvent::Failed(why) => {
            state.log(Level::Warning, &format!("XMLSocket: {why}"));
            tell.call(("failed",))
        }
        SocketEvent::Closed => tell.call(("close",)),
    }
}
