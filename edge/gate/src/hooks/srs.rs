//! Requests as SRS sends them.
//!
//! The keys and their order are those of `srs_app_http_hooks.cpp` (ossrs/srs 101382a).

use data_encoding::HEXLOWER;
use ring::digest;
use serde_json::{Map, Value};

use crate::{
    hooks::event::{Caller, HookEvent, Told},
    refusal::Action,
};

/// The body of an event's request; `None` if SRS has no hook for it.
pub(super) fn body(caller: &Caller<'_>, event: &HookEvent<'_>) -> Option<String> {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("server_id", caller.edge.into());
    put("service_id", caller.process.into());
    put("action", action(event)?.into());
    put("client_id", caller.session.to_string().into());
    let address = caller.address.map(|address| address.to_canonical());
    let address = address.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    put("ip", address.into());
    let host = caller.virtual_host.unwrap_or(DEFAULT_HOST);
    put("vhost", host.into());
    put("app", caller.app.into());
    match event {
        HookEvent::Connect => {
            put("stream", "".into());
            put("param", param(caller.query).into());
            put("tcUrl", caller.tc_url.into());
            put("pageUrl", caller.page_url.into());
        }
        HookEvent::Disconnect { sent, received, .. } => {
            put("send_bytes", (*sent).into());
            put("recv_bytes", (*received).into());
        }
        _ => {
            let Told { name, query } = event.stream()?;
            let is_play = matches!(event, HookEvent::Play { .. });
            let (url, name) = (("tcUrl", caller.tc_url), ("stream", name));
            let pair = if is_play { [name, url] } else { [url, name] };
            for (key, text) in pair {
                put(key, text.into());
            }
            let query = if query.is_empty() {
                caller.query
            } else {
                query
            };
            put("param", param(query).into());
            if is_play {
                put("pageUrl", caller.page_url.into());
            }
            let host = caller.virtual_host.unwrap_or_default();
            let url = format!("{host}/{}/{}", caller.app, name.1);
            let id = stream_id(&url);
            put("stream_url", url.into());
            put("stream_id", id.into());
        }
    }
    Some(Value::Object(body).to_string())
}

fn action(event: &HookEvent<'_>) -> Option<&'static str> {
    Some(match event {
        HookEvent::Connect => "on_connect",
        HookEvent::Disconnect { .. } => "on_close",
        HookEvent::Publish { .. } => "on_publish",
        HookEvent::Play { .. } => "on_play",
        HookEvent::Done { action, .. } if *action == Action::Publish => "on_unpublish",
        HookEvent::Done { .. } => "on_stop",
        HookEvent::AnyDone { .. } | HookEvent::Update { .. } => return None,
    })
}

fn param(query: &str) -> String {
    if query.is_empty() {
        return String::new();
    }
    format!("?{query}")
}

/// The same text for a stream at every edge. SRS draws one for each stream of a process.
fn stream_id(url: &str) -> String {
    let hash = digest::digest(&digest::SHA256, url.as_bytes());
    format!("vid-{}", &HEXLOWER.encode(&hash.as_ref()[..4])[..7])
}

const DEFAULT_HOST: &str = "__defaultVhost__";
