//! The answers of hooks.

use std::fmt;

use serde_json::Value;

mod parcel;

use crate::{
    hooks::{
        ledger::NoRoom,
        request::FieldTooLong,
        settings::{HookSettings, HookStyle, OnFailure},
    },
    refusal::{Action, MAX_DESCRIPTION, Refusal},
};

/// A response of a service, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct HookResponse<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The header `Location`.
    pub location: Option<&'a str>,
    /// The header `X-Reason`: a sentence for the client.
    pub reason: Option<&'a str>,
    pub body: &'a [u8],
}

/// The decision of a service, or of several that agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookAnswer {
    pub verdict: HookVerdict,
    /// The identity of the client, which the style json has.
    pub user: Option<String>,
}

/// The decision about one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookVerdict {
    /// The act goes on.
    Allow,
    /// It goes on under this name (of a connect: this `app`), which may have a query.
    Rename(String),
    /// It goes on, and its stream also goes to (of a play: comes from) this `rtmp` or `rtmps` URL. The
    /// caller permits the targets of `outgoing` alone.
    Relay(String),
    /// It is refused, with a sentence for the client.
    Refuse(HookRefused),
}

/// The refusal of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRefused {
    label: &'static str,
    text: String,
}

impl HookRefused {
    /// The refusal of an act for this reason.
    pub fn refusal(&self, action: Action) -> Refusal {
        Refusal::new(action, self.label, &self.text)
    }

    /// The refusal of a name or `app` that the service gave, and that cannot be one.
    pub fn unusable_name() -> Self {
        Self::of_edge(
            "hook_name",
            "the service has renamed this to no usable name",
        )
    }

    /// The refusal of a relay to or from a target that is not permitted.
    pub fn relay_not_permitted() -> Self {
        let text = "the service asks for a relay that is not permitted here";
        Self::of_edge("hook_relay", text)
    }

    /// The end of an act that the service does not let go on.
    pub fn of_update() -> Self {
        Self::of_edge(
            "hook_update",
            "the service that decides about this has ended it",
        )
    }

    /// Whether the service has decided so: a refusal for another reason is no fault of the client.
    pub fn is_of_service(&self) -> bool {
        self.label == SERVICE_LABEL
    }

    fn of_edge(label: &'static str, text: &str) -> Self {
        Self {
            label,
            text: text.to_owned(),
        }
    }

    /// A refusal with the words of the service, made fit for one line, or else with ours.
    fn with(reason: Option<&str>) -> Self {
        let is_blank = |char: char| char.is_whitespace() || char.is_control();
        let reason = reason.unwrap_or_default().trim_matches(is_blank);
        let clean = |char: char| if char.is_control() { ' ' } else { char };
        let text: String = reason.chars().take(MAX_DESCRIPTION).map(clean).collect();
        let text = if text.is_empty() {
            "the service that decides about this has refused it".to_owned()
        } else {
            text
        };
        Self {
            label: SERVICE_LABEL,
            text,
        }
    }
}

impl From<FieldTooLong> for HookRefused {
    fn from(_: FieldTooLong) -> Self {
        let text = "a name or query is too long for the service that decides about this";
        Self::of_edge("hook_field", text)
    }
}

impl From<NoRoom> for HookRefused {
    fn from(_: NoRoom) -> Self {
        let text = "the session publishes or plays on too many message streams already";
        Self::of_edge("hook_no_room", text)
    }
}

/// A failure of a service: it has decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookFault {
    /// No connection, or one that broke.
    NoAnswer,
    /// No answer in `timeout`.
    TimedOut,
    /// Too many requests to the service wait already.
    Busy,
    /// An answer above [`MAX_ANSWER`].
    TooLong,
    /// A status from 500 on, or none of HTTP.
    Status(u16),
    /// An answer that this style does not have; the text names the part.
    Malformed(&'static str),
}

impl HookFault {
    /// All labels.
    const LABELS: [&str; 6] = [
        "hook_no_answer",
        "hook_timeout",
        "hook_busy",
        "hook_too_long",
        "hook_status",
        "hook_malformed",
    ];

    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoAnswer => "hook_no_answer",
            Self::TimedOut => "hook_timeout",
            Self::Busy => "hook_busy",
            Self::TooLong => "hook_too_long",
            Self::Status(_) => "hook_status",
            Self::Malformed(_) => "hook_malformed",
        }
    }
}

impl fmt::Display for HookFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no answer"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Busy => f.write_str("too many requests wait for it"),
            Self::TooLong => write!(f, "an answer of more than {MAX_ANSWER} bytes"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for HookFault {}

impl HookSettings {
    /// Reads the response to a question.
    ///
    /// | style | allowed | renamed, relayed | failed | refused |
    /// |---|---|---|---|---|
    /// | nginx | 2xx; 3xx without `Location` | 3xx with `Location` | 5xx | any other status |
    /// | srs | 200 or 201 with `0` or `{"code":0}` | | 5xx | any other |
    /// | json | 200 with `{"allow":true}` | `name`, `relay` beside it | 5xx, another answer below 400 | 4xx, `{"allow":false}` |
    pub fn read(
        &self,
        action: Action,
        response: &HookResponse<'_>,
    ) -> Result<HookAnswer, HookFault> {
        if response.body.len() > MAX_ANSWER {
            return Err(HookFault::TooLong);
        }
        if !(200..500).contains(&response.status) {
            return Err(HookFault::Status(response.status));
        }
        match self.style {
            HookStyle::Nginx => read_nginx(action, response),
            HookStyle::Srs => Ok(read_srs(response)),
            HookStyle::Json => read_json(action, response),
        }
    }

    /// The outcome of a question to a service that has failed.
    pub fn failed(&self, fault: HookFault) -> HookAnswer {
        let verdict = match self.on_failure {
            OnFailure::Allow => HookVerdict::Allow,
            OnFailure::Refuse => {
                let text = "the service that decides about this does not answer: try again later";
                HookVerdict::Refuse(HookRefused::of_edge(fault.label(), text))
            }
        };
        HookAnswer {
            verdict,
            user: None,
        }
    }

    /// Whether a client may go on after an update. As nginx-rtmp: an error ends the stream, and where
    /// `update_strict` is set a redirect as well. A failed service ends it unless `on_failure` is
    /// `allow`.
    pub fn goes_on(&self, action: Action, response: Result<&HookResponse<'_>, HookFault>) -> bool {
        let is_redirect = response.is_ok_and(|it| (300..400).contains(&it.status));
        if is_redirect && self.style == HookStyle::Nginx {
            return !self.update_strict;
        }
        let answer = response.and_then(|response| self.read(action, response));
        let answer = answer.unwrap_or_else(|fault| self.failed(fault));
        !matches!(answer.verdict, HookVerdict::Refuse(_))
    }
}

impl HookAnswer {
    /// Whether the service has allowed the act, so that it is owed a done-hook.
    pub fn is_allowed(&self) -> bool {
        !matches!(self.verdict, HookVerdict::Refuse(_))
    }

    /// The decision of several services: the first refusal, or else the first that is more than a plain
    /// permission.
    pub fn of_all(answers: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::allowed();
        for Self { verdict, user } in answers {
            match (&all.verdict, &verdict) {
                (HookVerdict::Refuse(_), _) => {}
                (_, HookVerdict::Refuse(_)) | (HookVerdict::Allow, _) => all.verdict = verdict,
                _ => {}
            }
            all.user = all.user.or(user);
        }
        all
    }

    fn allowed() -> Self {
        HookVerdict::Allow.into()
    }
}

impl From<HookVerdict> for HookAnswer {
    fn from(verdict: HookVerdict) -> Self {
        Self {
            verdict,
            user: None,
        }
    }
}

/// `ngx_rtmp_notify_publish_handle`, `_play_handle`, `_connect_handle`.
fn read_nginx(action: Action, response: &HookResponse<'_>) -> Result<HookAnswer, HookFault> {
    let verdict = match (response.status, response.location.map(str::trim)) {
        (..300, _) | (300..400, None | Some("")) => HookVerdict::Allow,
        (300..400, Some(location)) => target(action, location)?,
        _ => HookVerdict::Refuse(HookRefused::with(response.reason)),
    };
    Ok(verdict.into())
}

/// `SrsHttpHooks::do_post`.
fn read_srs(response: &HookResponse<'_>) -> HookAnswer {
    let body: Option<Value> = serde_json::from_slice(response.body).ok();
    let code = body.as_ref().and_then(|body| match body {
        Value::Object(object) => object.get("code")?.as_i64(),
        number => number.as_i64(),
    });
    if matches!(response.status, 200 | 201) && code == Some(0) {
        return HookAnswer::allowed();
    }
    let own = body.as_ref().and_then(|body| body.get("reason")?.as_str());
    HookVerdict::Refuse(HookRefused::with(response.reason.or(own))).into()
}

fn read_json(action: Action, response: &HookResponse<'_>) -> Result<HookAnswer, HookFault> {
    let malformed = HookFault::Malformed;
    let body: Option<Value> = serde_json::from_slice(response.body).ok();
    let text = |key: &str| match body.as_ref().and_then(|body| body.get(key)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(malformed("name, relay, reason and user are texts")),
    };
    let allow = body.as_ref().and_then(|body| body.get("allow")?.as_bool());
    let reason = || text("reason").ok().flatten();
    let refused = || HookVerdict::Refuse(HookRefused::with(response.reason.or_else(reason)));
    if response.status >= 400 || (response.status == 200 && allow == Some(false)) {
        return Ok(refused().into());
    }
    if response.status != 200 || allow != Some(true) {
        return Err(malformed("no status 200 with {\"allow\": true or false}"));
    }
    let verdict = match (text("name")?, text("relay")?) {
        (None, None) => HookVerdict::Allow,
        (Some(target_name), None) if !is_relay(target_name) => target(action, target_name)?,
        (None, Some(url)) if is_relay(url) => target(action, url)?,
        _ => return Err(malformed("either a name, or an rtmp URL as relay")),
    };
    let user = text("user")?.filter(|user| !user.is_empty());
    if user.is_some_and(|user| user.len() > MAX_IDENTITY || user.contains(char::is_control)) {
        return Err(malformed("user is too long or has control characters"));
    }
    Ok(HookAnswer {
        verdict,
        user: user.map(str::to_owned),
    })
}

/// The verdict of a name or URL.
fn target(action: Action, text: &str) -> Result<HookVerdict, HookFault> {
    let malformed = HookFault::Malformed;
    if text.is_empty() || text.len() > MAX_TARGET || text.contains(char::is_control) {
        return Err(malformed(
            "a target that is empty, too long or has control characters",
        ));
    }
    let is_web = ["http://", "https://"]
        .iter()
        .any(|scheme| begins(text, scheme));
    match (is_relay(text), action) {
        (true, Action::Connect) => Err(malformed("a connect cannot be relayed")),
        (true, _) => Ok(HookVerdict::Relay(text.to_owned())),
        // Such as the page of a proxy that asks for a login.
        (false, _) if is_web => Err(malformed("a redirect to a web page")),
        (false, _) => Ok(HookVerdict::Rename(text.to_owned())),
    }
}

fn is_relay(text: &str) -> bool {
    begins(text, "rtmp://") || begins(text, "rtmps://")
}

/// Whether the text begins with a scheme, in letters of either case.
fn begins(text: &str, scheme: &str) -> bool {
    let start = text.get(..scheme.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// The label of a refusal by the service itself.
const SERVICE_LABEL: &str = "hook_refused";

/// Bytes of a response's body. Reason: an answer has a few fields.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Bytes of a new name with its query, or of a URL.
const MAX_TARGET: usize = 1_024;
/// Bytes of an identity. Reason: both tiers keep it for each session.
const MAX_IDENTITY: usize = 256;
