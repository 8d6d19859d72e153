//! The classes that are written in JavaScript on a few functions of the host: File, LoadVars, XML,
//! XMLSocket, ByteArray, fetch and others.
//!
//! A part is evaluated when a script first names one of its classes, so it costs other groups
//! nothing. The part is a function: it takes an object with the host's functions and returns the
//! classes.

mod bytes;
mod file;
mod http;
pub(crate) mod remoting;
mod sha;
mod socket;
mod xml;

use std::rc::Rc;

use rquickjs::{Ctx, Function, Object, Result, Value};

use crate::{host::state::State, program::check::script_options};

/// A script of the host.
struct Part {
    /// The name in stacks; a name in `<>` is no file of the application.
    name: &'static str,
    text: &'static str,
    /// Puts the host's functions for the part on an object.
    host: for<'js> fn(&Object<'js>, &Rc<State>) -> Result<()>,
}

const FILE: Part = Part {
    name: "<File>",
    text: include_str!("file.js"),
    host: file::host,
};

const LOAD_VARS: Part = Part {
    name: "<LoadVars>",
    text: include_str!("load_vars.js"),
    host: xml::load_vars_host,
};

const XML: Part = Part {
    name: "<XML>",
    text: include_str!("xml.js"),
    host: xml::host,
};

const XML_SOCKET: Part = Part {
    name: "<XMLSocket>",
    text: include_str!("xml_socket.js"),
    host: socket::host,
};

const BYTE_ARRAY: Part = Part {
    name: "<ByteArray>",
    text: include_str!("byte_array.js"),
    host: bytes::host,
};

const FETCH: Part = Part {
    name: "<fetch>",
    text: include_str!("fetch.js"),
    host: http::host,
};

const SMALL: Part = Part {
    name: "<library>",
    text: include_str!("small.js"),
    host: sha::host,
};

/// Gives a global its definition: a class of a part.
macro_rules! globals {
    ($($function:ident, $part:ident, $name:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`.")]
            pub(super) fn $function<'js>(ctx: &Ctx<'js>, state: &Rc<State>) -> Result<Value<'js>> {
                exports(ctx, state, &$part)?.get($name)
            }
        )*
    };
}

globals! {
    file, FILE, "File";
    load_vars, LOAD_VARS, "LoadVars";
    xml, XML, "XML";
    xml_node, XML, "XMLNode";
    xml_socket, XML_SOCKET, "XMLSocket";
    xml_streams, SMALL, "XMLStreams";
    byte_array, BYTE_ARRAY, "ByteArray";
    fetch, FETCH, "fetch";
    sha256, SMALL, "SHA256";
    log, SMALL, "Log";
    web_service, SMALL, "WebService";
    soap_call, SMALL, "SOAPCall";
    soap_fault, SMALL, "SOAPFault";
}

/// The classes of a part, evaluated once for each script.
fn exports<'js>(ctx: &Ctx<'js>, state: &Rc<State>, part: &Part) -> Result<Object<'js>> {
    let known = state
        .library
        .part(part.name, |kept| state.keeper.kept_object(ctx, kept));
    if let Some(exports) = known {
        return exports;
    }
    let host = Object::new(ctx.clone())?;
    (part.host)(&host, state)?;
    let make: Function<'js> = ctx.eval_with_options(part.text, script_options(part.name))?;
    let exports: Object<'js> = make.call((host,))?;
    for class in exports.values::<Value<'js>>() {
        let class = class?;
        // A peer's call reaches no member of the host's classes.
        state.hide(ctx, &class)?;
        let prototype = class
            .as_object()
            .map(|class| class.get::<_, Value<'js>>("prototype"));
        if let Some(prototype) = prototype.transpose()?.filter(Value::is_object) {
            state.hide(ctx, &prototype)?;
        }
    }
    let kept = state.keeper.keep(ctx, exports.as_value());
    state.library.keep_part(part.name, kept);
    Ok(exports)
}
