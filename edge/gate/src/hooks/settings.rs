//! The settings of HTTP hooks.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
};
use tributary_settings::{At, Check, Duration, Mistakes};

/// The HTTP hooks of an application: `[applications.NAME.hooks]`.
///
/// Each hook has one URL or a list of them, which all must agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HookSettings {
    /// The language of the service that is asked.
    pub style: HookStyle,
    /// The method of requests in the style nginx.
    pub method: HookMethod,
    /// Asked at a connect.
    #[serde(skip_serializing_if = "Urls::is_empty")]
    pub on_connect: Urls,
    /// Told when a session ends whose connect was allowed; SRS calls it `on_close`.
    #[serde(alias = "on_close", skip_serializing_if = "Urls::is_empty")]
    pub on_disconnect: Urls,
    /// Asked at a publish.
    #[serde(skip_serializing_if = "Urls::is_empty")]
    pub on_publish: Urls,
    /// Told when an allowed publish ends; SRS calls it `on_unpublish`.
    #[serde(alias = "on_unpublish", skip_serializing_if = "Urls::is_empty")]
    pub on_publish_done: Urls,
    /// Asked at a play.
    #[serde(skip_serializing_if = "Urls::is_empty")]
    pub on_play: Urls,
    /// Told when an allowed play ends; SRS calls it `on_stop`.
    #[serde(alias = "on_stop", skip_serializing_if = "Urls::is_empty")]
    pub on_play_done: Urls,
    /// Told when an allowed publish or play ends.
    #[serde(skip_serializing_if = "Urls::is_empty")]
    pub on_done: Urls,
    /// Asked every `update_interval` while a client publishes or plays.
    #[serde(skip_serializing_if = "Urls::is_empty")]
    pub on_update: Urls,
    /// The time between two updates.
    pub update_interval: Duration,
    /// Whether an update that is answered with a redirect ends the stream as well.
    pub update_strict: bool,
    /// The time for an answer.
    pub timeout: Duration,
    /// The outcome where a service does not answer, or answers that it cannot.
    pub on_failure: OnFailure,
}

/// The language of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookStyle {
    /// Forms and status codes, as nginx-rtmp has them.
    Nginx,
    /// JSON and a code in the answer, as SRS has them.
    Srs,
    /// JSON of Tributary.
    #[default]
    Json,
}

/// The method of requests in the style nginx.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookMethod {
    /// The fields are the body.
    #[default]
    Post,
    /// The fields are the query.
    Get,
}

/// The outcome where a service does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The act is refused.
    #[default]
    Refuse,
    /// The act is allowed.
    Allow,
}

/// The URLs of a hook.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Urls(Vec<String>);

impl Urls {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The URLs in the order of the setting.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.0.len() > MAX_URLS {
            let what = format!("more than {MAX_URLS} URLs");
            mistakes.add(at.clone(), what, "ask one service that asks the others");
        }
        for (index, url) in self.0.iter().enumerate() {
            if !is_url(url) {
                let at = if self.0.len() == 1 {
                    at.clone()
                } else {
                    at.key(index)
                };
                let remedy = "write such as \"https://auth.example.com/publish\"; a user and a \
                              password belong into a query or path that nobody guesses";
                mistakes.add(at, "no address of a service", remedy);
            }
        }
    }
}

/// Without their queries, which may be secret.
impl Serialize for Urls {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|url| match url.split_once('?') {
            Some((url, _)) => format!("{url}?(hidden)"),
            None => url.to_owned(),
        }))
    }
}

/// The hosts alone: paths and queries may be secret.
impl fmt::Debug for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(host)).finish()
    }
}

impl<const N: usize> From<[&str; N]> for Urls {
    fn from(urls: [&str; N]) -> Self {
        Self(urls.map(str::to_owned).to_vec())
    }
}

/// The host of a service with its port, as its URL has them.
pub(super) fn host(url: &str) -> &str {
    let (_, rest) = url.split_once("://").unwrap_or_default();
    rest.split(['/', '?']).next().unwrap_or_default()
}

/// An absolute address without a user and a fragment, in printable ASCII.
fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("http://");
    let rest = rest.or_else(|| url.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split(['/', '?']).next());
    let is_plain = url
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    is_plain && host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
}

impl<'de> Deserialize<'de> for Urls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrList;

        impl<'de> Visitor<'de> for OneOrList {
            type Value = Urls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or a list of URLs")
            }

            fn visit_str<E: de::Error>(self, url: &str) -> Result<Urls, E> {
                Ok(Urls(vec![url.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Urls, A::Error> {
                let mut urls = Vec::new();
                while let Some(url) = list.next_element()? {
                    urls.push(url);
                }
                Ok(Urls(urls))
            }
        }

        deserializer.deserialize_any(OneOrList)
    }
}

impl Default for HookSettings {
    fn default() -> Self {
        Self {
            style: HookStyle::default(),
            method: HookMethod::default(),
            on_connect: Urls::default(),
            on_disconnect: Urls::default(),
            on_publish: Urls::default(),
            on_publish_done: Urls::default(),
            on_play: Urls::default(),
            on_play_done: Urls::default(),
            on_done: Urls::default(),
            on_update: Urls::default(),
            update_interval: Duration::from_secs(30),
            update_strict: false,
            timeout: Duration::from_secs(10),
            on_failure: OnFailure::default(),
        }
    }
}

impl HookSettings {
    /// Each hook with its key.
    fn hooks(&self) -> [(&'static str, &Urls); 8] {
        [
            ("on_connect", &self.on_connect),
            ("on_disconnect", &self.on_disconnect),
            ("on_publish", &self.on_publish),
            ("on_publish_done", &self.on_publish_done),
            ("on_play", &self.on_play),
            ("on_play_done", &self.on_play_done),
            ("on_done", &self.on_done),
            ("on_update", &self.on_update),
        ]
    }
}

impl Check for HookSettings {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        for (key, urls) in self.hooks() {
            urls.check(&at.key(key), mistakes);
            let is_of_srs = !["on_done", "on_update"].contains(&key);
            if self.style == HookStyle::Srs && !is_of_srs && !urls.is_empty() {
                let remedy = "leave it out: on_publish_done and on_play_done tell the same";
                mistakes.add(at.key(key), "SRS has no such hook", remedy);
            }
        }
        if self.hooks().iter().all(|(_, urls)| urls.is_empty()) {
            let remedy = "add on_publish = \"https://...\", or remove the table hooks";
            mistakes.add(at.clone(), "no hook has a URL", remedy);
        }
        if self.method == HookMethod::Get && self.style != HookStyle::Nginx {
            let what = "only the style nginx has requests by GET";
            mistakes.add(at.key("method"), what, "leave it out");
        }
        let (timeout, interval) = (self.timeout, self.update_interval);
        if timeout < LEAST_TIMEOUT || timeout > MOST_TIMEOUT {
            let what = format!("{timeout} is no time for an answer: the client waits meanwhile");
            mistakes.add(at.key("timeout"), what, "write \"100 ms\" to \"30 s\"");
        }
        if interval < LEAST_INTERVAL {
            let what = format!("{interval} asks the service all the time");
            mistakes.add(at.key("update_interval"), what, "write at least \"1 s\"");
        }
    }
}

/// URLs of one hook. Reason: each is a request for each act.
pub const MAX_URLS: usize = 4;
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
const MOST_TIMEOUT: Duration = Duration::from_secs(30);
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tributary_settings::Layers;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        hooks: Option<HookSettings>,
    }

    impl Check for Whole {
        fn check(&self, at: &At, mistakes: &mut Mistakes) {
            if let Some(hooks) = &self.hooks {
                hooks.check(&at.key("hooks"), mistakes);
            }
        }
    }

    fn read(text: &str) -> Result<HookSettings, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[hooks]\n{text}")).unwrap();
        let read = Layers::new().file(file.path()).read::<Whole>();
        read.map(|whole| whole.hooks.unwrap())
            .map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn a_hook_has_one_url_or_more() {
        let settings = read(
            "style = \"nginx\"\nmethod = \"get\"\non_publish = \"http://127.0.0.1:8000/a?key=1\"\n\
             on_play = [\"https://a.example\", \"https://b.example/x,y\"]\non_failure = \"allow\"",
        )
        .unwrap();
        assert_eq!(
            settings.on_publish,
            Urls::from(["http://127.0.0.1:8000/a?key=1"])
        );
        let urls: Vec<_> = settings.on_play.iter().collect();
        assert_eq!(urls, ["https://a.example", "https://b.example/x,y"]);
        for (value, urls) in [
            (
                "https://a.example/x,y",
                Urls::from(["https://a.example/x,y"]),
            ),
            (
                "[\"https://a.example\", \"https://b.example\"]",
                Urls::from(["https://a.example", "https://b.example"]),
            ),
        ] {
            let name = "TRIBUTARY_HOOKS_ON_PUBLISH".to_owned();
            let layers = Layers::new().environment([(name, value.to_owned())]);
            let settings = layers.read::<Whole>().unwrap().hooks.unwrap();
            assert_eq!(settings.on_publish, urls);
        }
    }

    #[test]
    fn the_names_of_srs_are_understood_and_queries_are_hidden() {
        let settings = read(
            "style = \"srs\"\non_close = \"http://a/?key=1\"\non_unpublish = \"http://b/x\"\n\
             on_stop = [\"http://c\"]",
        );
        let settings = settings.unwrap();
        assert_eq!(settings.on_disconnect, Urls::from(["http://a/?key=1"]));
        assert_eq!(settings.on_publish_done, Urls::from(["http://b/x"]));
        assert_eq!(settings.on_play_done, Urls::from(["http://c"]));
        let shown = serde_json::to_value(&settings).unwrap();
        assert_eq!(shown["on_disconnect"][0], "http://a/?(hidden)");
        assert_eq!(shown["on_publish_done"][0], "http://b/x");
        assert!(!format!("{settings:?}").contains("key"));
    }

    #[test]
    fn mistakes_name_key_reason_and_remedy() {
        let url = "on_publish = \"http://a\"\n";
        for (text, parts) in [
            (String::new(), &["hooks", "no hook has a URL"][..]),
            (
                "on_publish = \"ftp://a\"".to_owned(),
                &["hooks.on_publish", "no address", "https://"],
            ),
            ("on_play = \"http://\"".to_owned(), &["hooks.on_play"]),
            ("on_play = \"http://u:p@h/\"".to_owned(), &["hooks.on_play"]),
            ("on_play = \"http://h/#a\"".to_owned(), &["hooks.on_play"]),
            ("on_play = \"http://h/a b\"".to_owned(), &["hooks.on_play"]),
            (
                "on_play = [\"http://a\", \"b\"]".to_owned(),
                &["hooks.on_play.1"],
            ),
            (
                "on_play = 7".to_owned(),
                &["hooks.on_play", "a list of URLs"],
            ),
            (
                format!("on_play = [{}]", "\"http://a\",".repeat(5)),
                &["hooks.on_play", "more than 4"],
            ),
            (
                format!("{url}style = \"srs\"\non_update = \"http://a\""),
                &["hooks.on_update", "SRS"],
            ),
            (
                format!("{url}method = \"get\""),
                &["hooks.method", "leave it out"],
            ),
            (
                format!("{url}timeout = \"1 min\""),
                &["hooks.timeout", "\"30 s\""],
            ),
            (
                format!("{url}update_interval = \"0 s\""),
                &["hooks.update_interval", "\"1 s\""],
            ),
            (
                format!("{url}on_record_done = \"http://a\""),
                &["hooks.on_record_done"],
            ),
            (
                format!("{url}on_stop = \"http://a\"\non_play_done = \"http://a\""),
                &["hooks"],
            ),
        ] {
            let mistakes = read(&text).unwrap_err();
            for part in parts {
                assert!(mistakes.contains(part), "{part} in {mistakes}");
            }
        }
    }
}
