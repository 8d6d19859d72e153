//! The requests of an event, in the style of the service.

use std::fmt;

use crate::{
    hooks::{
        event::{Caller, HookEvent},
        json, nginx,
        settings::{HookMethod, HookSettings, HookStyle, Urls, host},
        srs,
    },
    refusal::Action,
};

/// One request. Redirects are not followed: in the style nginx they are answers.
#[derive(Clone, PartialEq, Eq)]
pub struct HookRequest {
    /// `POST` or `GET`.
    pub method: &'static str,
    pub url: String,
    /// The value of `Content-Type`; `None` without a body.
    pub content_type: Option<&'static str>,
    pub body: String,
}

impl HookRequest {
    /// The host of the service with its port, as the setting has them; without the path and query,
    /// which may be secret.
    pub fn host(&self) -> &str {
        host(&self.url)
    }
}

/// Neither path nor body, which hold what clients must prove with.
impl fmt::Debug for HookRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRequest")
            .field("method", &self.method)
            .field("host", &self.host())
            .finish_non_exhaustive()
    }
}

/// A name or query of the client is longer than [`MAX_FIELD`]. A service must not decide about a part
/// of a name, so the act is to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldTooLong;

impl HookSettings {
    /// The requests of an event: one for each URL of its hook. Without a hook there is none, and an act
    /// is allowed.
    pub fn requests(
        &self,
        caller: &Caller<'_>,
        event: &HookEvent<'_>,
    ) -> Result<Vec<HookRequest>, FieldTooLong> {
        let urls = self.urls(event);
        if urls.is_empty() {
            return Ok(Vec::new());
        }
        let stream = event.stream();
        let (name, query) = stream.map_or(("", ""), |stream| (stream.name, stream.query));
        let decides = [caller.app, caller.query, name, query];
        if decides.into_iter().any(|field| field.len() > MAX_FIELD) {
            return Err(FieldTooLong);
        }
        let caller = Caller {
            flash_ver: cut(caller.flash_ver),
            swf_url: cut(caller.swf_url),
            tc_url: cut(caller.tc_url),
            page_url: cut(caller.page_url),
            ..*caller
        };
        let json = "application/json";
        let requests = match self.style {
            HookStyle::Nginx => self.forms(&nginx::fields(&caller, event), urls),
            HookStyle::Srs => match srs::body(&caller, event) {
                Some(body) => posts(&body, json, urls),
                None => Vec::new(),
            },
            HookStyle::Json => posts(&json::body(&caller, event), json, urls),
        };
        Ok(requests)
    }

    fn urls(&self, event: &HookEvent<'_>) -> &Urls {
        match event {
            HookEvent::Connect => &self.on_connect,
            HookEvent::Disconnect { .. } => &self.on_disconnect,
            HookEvent::Publish { .. } => &self.on_publish,
            HookEvent::Play { .. } => &self.on_play,
            HookEvent::Done { action, .. } if *action == Action::Publish => &self.on_publish_done,
            HookEvent::Done { .. } => &self.on_play_done,
            HookEvent::AnyDone { .. } => &self.on_done,
            HookEvent::Update { .. } => &self.on_update,
        }
    }

    fn forms(&self, fields: &str, urls: &Urls) -> Vec<HookRequest> {
        match self.method {
            HookMethod::Post => posts(fields, "application/x-www-form-urlencoded", urls),
            HookMethod::Get => {
                let get = |url| HookRequest {
                    method: "GET",
                    url: nginx::with_query(url, fields),
                    content_type: None,
                    body: String::new(),
                };
                urls.iter().map(get).collect()
            }
        }
    }
}

fn posts(body: &str, kind: &'static str, urls: &Urls) -> Vec<HookRequest> {
    let post = |url: &str| HookRequest {
        method: "POST",
        url: url.to_owned(),
        content_type: Some(kind),
        body: body.to_owned(),
    };
    urls.iter().map(post).collect()
}

/// A field that only informs, cut to its longest.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_FIELD)]
}

/// Bytes of one field of a client. Reason: the origin takes names of 512 bytes and queries of 4 KiB; a
/// body is kept until its answer is there.
pub const MAX_FIELD: usize = 4_096;
