//! The sites whose pages may use the edge.

use serde::{Deserialize, Serialize};
use tributary_node::config::{At, Check, Mistakes};

/// The sites whose pages may open WebSockets: `["https://example.com"]`. An empty list admits all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WebOrigins(Vec<String>);

impl WebOrigins {
    /// Whether a request with this field `Origin` is admitted. A request without one is no page's,
    /// and says nothing that the list could judge.
    pub fn admit(&self, origin: Option<&str>) -> bool {
        let is_listed = |origin: &str| self.0.iter().any(|it| it.eq_ignore_ascii_case(origin));
        self.0.is_empty() || origin.is_none_or(is_listed)
    }
}

impl FromIterator<String> for WebOrigins {
    fn from_iter<I: IntoIterator<Item = String>>(origins: I) -> Self {
        Self(origins.into_iter().collect())
    }
}

impl Check for WebOrigins {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        for (index, origin) in self.0.iter().enumerate() {
            if !is_origin(origin) {
                let what = format!("{origin:?} is not the origin of a page");
                let remedy = "write a scheme, a host and a port that is not the scheme's own, such \
                              as \"https://example.com\" or \"http://localhost:8000\"";
                mistakes.add(at.key(index), what, remedy);
            }
        }
    }
}

/// Whether browsers may state the text (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "null";
    };
    let is_of_host = |byte: u8| byte.is_ascii_graphic() && !b"/?#@".contains(&byte);
    let is_of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let has_each = |part: &str, is_of: fn(u8) -> bool| !part.is_empty() && part.bytes().all(is_of);
    has_each(scheme, is_of_scheme) && has_each(host, is_of_host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_sites_and_requests_of_no_page_are_admitted() {
        let any = WebOrigins::default();
        let some = WebOrigins(vec!["https://example.com".into(), "http://a:8000".into()]);
        for (origin, is_admitted) in [
            (None, true),
            (Some("https://example.com"), true),
            (Some("HTTPS://Example.COM"), true),
            (Some("http://a:8000"), true),
            (Some("http://a"), false),
            (Some("http://example.com"), false),
            (Some("https://example.com.evil"), false),
            (Some("https://sub.example.com"), false),
            (Some("null"), false),
            (Some(""), false),
        ] {
            assert!(any.admit(origin), "{origin:?}");
            assert_eq!(some.admit(origin), is_admitted, "{origin:?}");
        }
    }

    #[test]
    fn a_text_that_no_browser_states_is_a_mistake() {
        for (text, is) in [
            ("https://example.com", true),
            ("http://[::1]:8000", true),
            ("moz-extension://2c127fa4", true),
            ("null", true),
            ("https://example.com/", false),
            ("example.com", false),
            ("https://", false),
            ("://a", false),
            ("*", false),
            ("https://a b", false),
            ("", false),
        ] {
            assert_eq!(is_origin(text), is, "{text}");
        }
    }
}
