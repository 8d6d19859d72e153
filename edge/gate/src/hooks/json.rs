//! Requests of Tributary's own style: one JSON object.

use serde_json::{Map, Value};

use crate::hooks::event::{Caller, HookEvent};

/// The body of an event's request. Keys whose value is not known are left out.
pub(super) fn body(caller: &Caller<'_>, event: &HookEvent<'_>) -> String {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("event", event.name().into());
    put("session", caller.session.to_string().into());
    put("edge", caller.edge.into());
    put("process", caller.process.into());
    if let Some(address) = caller.address {
        put("address", address.to_canonical().to_string().into());
    }
    put("protocol", caller.transport.name().into());
    put("app", caller.app.into());
    for (key, text) in [
        ("virtual_host", caller.virtual_host.unwrap_or_default()),
        ("query", caller.query),
        ("tc_url", caller.tc_url),
        ("page_url", caller.page_url),
        ("swf_url", caller.swf_url),
        ("flash_ver", caller.flash_ver),
        ("user", caller.user.unwrap_or_default()),
        ("reason", event.reason()),
    ] {
        if !text.is_empty() {
            put(key, text.into());
        }
    }
    if let Some(stream) = event.stream() {
        put("name", stream.name.into());
        if !stream.query.is_empty() {
            put("name_query", stream.query.into());
        }
    }
    match *event {
        HookEvent::Publish { kind, .. } => put("type", kind.into()),
        HookEvent::Play {
            start,
            duration,
            reset,
            ..
        } => {
            put("start", start.into());
            put("duration", duration.into());
            put("reset", reset.into());
        }
        HookEvent::Disconnect { sent, received, .. } => {
            put("bytes_sent", sent.into());
            put("bytes_received", received.into());
        }
        HookEvent::Update {
            time, timestamp, ..
        } => {
            put("time", time.into());
            put("timestamp", timestamp.into());
        }
        _ => {}
    }
    Value::Object(body).to_string()
}
