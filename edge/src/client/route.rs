//! The route that a client's `app` names.

use std::fmt;

use tributary_protocol::{GroupName, GroupNameError};

/// The application instance that a client names, and the origin if its URL has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) group: GroupName,
    pub(super) origin: Option<String>,
}

/// The fault of an `app` without a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RouteError {
    /// No application instance.
    Group(GroupNameError),
    /// The beginning of an explicit proxy URL, without an origin.
    Proxy,
}

/// The longest host and port of an explicit proxy URL, in bytes.
const MAX_HOST: usize = 255 + 6;

impl Route {
    /// Reads an `app`: `application/instance`, or `?rtmp://origin/application/instance`. The port
    /// of the origin is left out: an edge knows origins by name.
    pub(super) fn from_app(app: &str) -> Result<Self, RouteError> {
        let Some(proxy) = app.strip_prefix("?rtmp") else {
            let group = GroupName::from_app(app).map_err(RouteError::Group)?;
            return Ok(Self {
                group,
                origin: None,
            });
        };
        let (host, app) = proxy
            .strip_prefix("://")
            .and_then(|rest| rest.split_once('/'))
            .ok_or(RouteError::Proxy)?;
        let name = without_port(host);
        let is_strange = |c: char| c.is_control() || c.is_whitespace() || "?@\\".contains(c);
        if name.is_empty() || host.len() > MAX_HOST || host.contains(is_strange) {
            return Err(RouteError::Proxy);
        }
        let group = GroupName::from_app(app).map_err(RouteError::Group)?;
        Ok(Self {
            group,
            origin: Some(name.to_owned()),
        })
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

impl RouteError {
    /// The label in logs and metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Group(GroupNameError::TooLong) => "app_too_long",
            Self::Group(GroupNameError::ControlCharacter) => "app_control_character",
            Self::Group(GroupNameError::Traversal) => "app_traversal",
            Self::Group(_) => "app_empty",
            Self::Proxy => "app_proxy",
        }
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(error) => error.fmt(f),
            Self::Proxy => f.write_str("proxy URL without an origin"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_lead_to_groups_and_named_origins() {
        for (app, group, origin) in [
            ("live", "live/_definst_", None),
            ("live/a?token=x", "live/a", None),
            ("?rtmp://o1/live/room", "live/room", Some("o1")),
            (
                "?rtmp://o1.example:1936/live?x",
                "live/_definst_",
                Some("o1.example"),
            ),
            ("?rtmp://[::1]:1935/live", "live/_definst_", Some("[::1]")),
        ] {
            let route = Route::from_app(app).unwrap();
            assert_eq!(route.group.to_string(), group, "{app}");
            assert_eq!(route.origin.as_deref(), origin, "{app}");
        }
    }

    #[test]
    fn bad_apps_are_refused() {
        let long = "x".repeat(65_536);
        let long_host = format!("?rtmp://{}/live", "x".repeat(1000));
        for (app, label) in [
            ("", "app_empty"),
            ("?x", "app_empty"),
            (&*long, "app_too_long"),
            ("live\0", "app_control_character"),
            ("../etc", "app_traversal"),
            ("?rtmp", "app_proxy"),
            ("?rtmp://", "app_proxy"),
            ("?rtmp:///live", "app_proxy"),
            ("?rtmp://host", "app_proxy"),
            ("?rtmp://a b/live", "app_proxy"),
            ("?rtmp://u@h/live", "app_proxy"),
            (&*long_host, "app_proxy"),
            ("?rtmp://host/", "app_empty"),
            ("?rtmp://host/../x", "app_traversal"),
        ] {
            let error = Route::from_app(app).unwrap_err();
            assert_eq!(error.label(), label, "{app:.40}");
        }
    }
}
