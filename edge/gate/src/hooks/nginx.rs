//! Requests as nginx-rtmp sends them.
//!
//! The order of the fields, their names and the characters that are escaped are those of
//! `ngx_rtmp_notify_module.c` and `ngx_rtmp_netcall_module.c` (arut/nginx-rtmp-module 6c7719d). Fields
//! of Tributary's own follow at the end.

use std::fmt::Write;

use crate::hooks::event::{Caller, HookEvent};

/// The fields of an event's request.
pub(super) fn fields(caller: &Caller<'_>, event: &HookEvent<'_>) -> String {
    let mut form = Form(String::new());
    form.session(caller);
    match event {
        HookEvent::Connect => form.number("epoch", caller.epoch),
        _ => form.number("clientid", caller.session),
    }
    form.plain("call", event.name());
    if let HookEvent::Disconnect { .. } = event {
        form.text("app", caller.app);
    }
    if let HookEvent::Update {
        time, timestamp, ..
    } = event
    {
        form.number("time", time);
        // nginx-rtmp writes it with its sign.
        form.number("timestamp", timestamp.cast_signed());
    }
    if let Some(stream) = event.stream() {
        form.text("name", stream.name);
    }
    match event {
        HookEvent::Publish { kind, .. } => form.text("type", kind),
        HookEvent::Play {
            start,
            duration,
            reset,
            ..
        } => {
            form.number("start", *start as i64 as u32);
            form.number("duration", *duration as i64 as u32);
            form.number("reset", u8::from(*reset));
        }
        _ => {}
    }
    let query = event.stream().map_or(caller.query, |stream| stream.query);
    form.query(query);
    form.own(caller, event.reason());
    form.0
}

struct Form(String);

impl Form {
    /// The fields that all events share.
    fn session(&mut self, caller: &Caller<'_>) {
        self.text("app", caller.app);
        self.text("flashver", caller.flash_ver);
        self.text("swfurl", caller.swf_url);
        self.text("tcurl", caller.tc_url);
        self.text("pageurl", caller.page_url);
        let address = caller.address.map(|address| address.to_canonical());
        let address = address.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
        self.text("addr", &address);
    }

    fn own(&mut self, caller: &Caller<'_>, reason: &str) {
        self.number("session", caller.session);
        self.text("edge", caller.edge);
        self.plain("protocol", caller.transport.name());
        if let Some(user) = caller.user {
            self.text("user", user);
        }
        if !reason.is_empty() {
            self.text("reason", reason);
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        for byte in value.bytes() {
            // NGX_ESCAPE_ARGS.
            if byte.is_ascii_graphic() && !b"\"#%&+;<>?\\^`{|}".contains(&byte) {
                self.0.push(char::from(byte));
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }

    fn plain(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    fn number(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.0, "{value}");
    }

    /// The client's query, as it came.
    fn query(&mut self, query: &str) {
        if !query.is_empty() {
            self.0.push('&');
            self.0.push_str(query);
        }
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
    }
}

/// A URL with these fields as its query. Characters that the client's query has and a URL cannot have
/// are escaped.
pub(super) fn with_query(url: &str, fields: &str) -> String {
    let mut url = format!("{url}{}", if url.contains('?') { '&' } else { '?' });
    for byte in fields.bytes() {
        if byte.is_ascii_graphic() && byte != b'#' {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}
