//! Streams that an application sends to other servers and takes from them:
//! `[[applications.NAME.push]]` and `[[applications.NAME.pull]]`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tributary_protocol::{GroupName, link::lane_frame::MAX_STREAM_NAME};
use wildmatch::WildMatch;

use super::{At, Check, Duration, Mistakes, Target};

/// Streams that are published at another server as well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Where they are published.
    pub url: RelayUrl,
    /// The names of the streams.
    #[serde(default)]
    pub streams: NamePatterns,
    /// The instances that have them.
    #[serde(default)]
    pub instance: NamePatterns,
}

/// A stream that is played from another server and published here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// Where it is played.
    pub url: RelayUrl,
    /// Its name here.
    pub stream: String,
    /// The instance that has it.
    #[serde(default = "default_instance")]
    pub instance: String,
    #[serde(default)]
    pub when: When,
    /// For how long a `watched` pull goes on after its last viewer.
    #[serde(default = "default_linger")]
    pub linger: Duration,
}

/// The time for which a pull runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum When {
    /// As long as the origin runs.
    #[default]
    Always,
    /// While the stream has viewers.
    Watched,
}

/// Patterns of names, with `*` and `?`: one text, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NamePatterns(Vec<String>);

/// The address of a stream at another server: `rtmp://HOST[:PORT]/APP[/INSTANCE][/NAME]`, or
/// `rtmps`. All behind the application may be secret: it is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayUrl {
    server: Target,
    /// The address of the instance, for the connect command.
    connect: String,
    /// The name, perhaps with [`PLACEHOLDER`]; empty for the stream's own.
    name: String,
    /// With its question mark, for the name; empty without one.
    query: String,
    shown: String,
}

/// The text is no address of a stream at another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayUrlError {
    /// There is no scheme.
    NoScheme,
    /// The scheme is neither `rtmp` nor `rtmps`.
    Scheme,
    /// A user or password stands before the host.
    User,
    /// The host or the port cannot be.
    Server,
    /// There is no application, or it and its instance cannot be.
    Application,
    /// Braces that are not [`PLACEHOLDER`], or such in the application.
    Placeholder,
    /// The address is too long, or has a space or control character.
    Characters,
}

/// Stands in the name of a [`RelayUrl`] for the name of the stream.
pub const PLACEHOLDER: &str = "{name}";

/// The longest address of a stream at another server, in bytes. Reason: it goes into commands.
const MAX_RELAY_URL: usize = 2_048;

/// The most pushes of one application. Reason: each is compared with every stream that begins.
const MAX_PUSHES: usize = 64;

/// The most pulls of one application. Reason: a group looks at all of its own when viewers come.
const MAX_PULLS: usize = 256;

/// The least bytes of a part of an address that is hidden. Reason: shorter ones are words.
const LEAST_SECRET: usize = 4;

const MOST_LINGER: Duration = Duration::from_secs(24 * 60 * 60);

impl Push {
    /// Whether a stream of an instance is pushed.
    pub fn fits(&self, instance: &str, stream: &str) -> bool {
        self.instance.fit(instance) && self.streams.fit(stream)
    }
}

impl NamePatterns {
    /// Whether a name fits one of them.
    pub fn fit(&self, name: &str) -> bool {
        let mut patterns = self.0.iter();
        patterns.any(|pattern| WildMatch::new(pattern).matches(name))
    }

    fn check(&self, at: At, mistakes: &mut Mistakes) {
        if self.0.is_empty() || self.0.iter().any(String::is_empty) {
            let remedy = "write \"*\" for all, a name, or a pattern such as \"cam*\"";
            mistakes.add(at, "an empty pattern fits nothing", remedy);
        }
    }
}

impl RelayUrl {
    /// Host and port, as the setting `outgoing` names them.
    pub fn server(&self) -> (&str, u16) {
        let port = if self.is_secure() { 443 } else { 1935 };
        (self.server.host(), self.server.port().unwrap_or(port))
    }

    /// Whether it is `rtmps`.
    pub fn is_secure(&self) -> bool {
        self.connect.starts_with("rtmps:")
    }

    /// The address of the application's instance, with the query that belongs to it: `tcUrl`.
    pub fn connect(&self) -> &str {
        &self.connect
    }

    /// The name there of the stream with this name here, with its query.
    pub fn name_of(&self, stream: &str) -> String {
        let name = match self.name.as_str() {
            "" => stream.to_owned(),
            name => name.replace(PLACEHOLDER, stream),
        };
        name + &self.query
    }

    /// The application and instance.
    pub fn group(&self) -> Option<GroupName> {
        let (_, path) = self.connect.split_once("://")?;
        GroupName::from_app(path.split_once('/')?.1).ok()
    }

    /// The address for logs and metrics: `rtmp://HOST[:PORT]/APP`.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Replaces what is secret of the address in a text of the other side.
    pub fn hide_in(&self, text: &str) -> String {
        let mut hidden = text.to_owned();
        let of_app = self.connect.split_once('?').map_or("", |(_, query)| query);
        for secret in [
            self.name.as_str(),
            self.query.trim_start_matches('?'),
            of_app,
        ] {
            if secret.len() >= LEAST_SECRET {
                hidden = hidden.replace(secret, "***");
            }
        }
        hidden
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        if text.len() > MAX_RELAY_URL || text.chars().any(|c| c.is_control() || c == ' ') {
            return Err(RelayUrlError::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(RelayUrlError::NoScheme)?;
        let scheme = scheme.to_ascii_lowercase();
        if !matches!(scheme.as_str(), "rtmp" | "rtmps") {
            return Err(RelayUrlError::Scheme);
        }
        let (path, query) = match rest.find('?') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (authority, path) = path.split_once('/').ok_or(RelayUrlError::Application)?;
        if authority.contains('@') {
            return Err(RelayUrlError::User);
        }
        let server: Target = authority.parse().map_err(|_| RelayUrlError::Server)?;
        let path = path.trim_start_matches('/');
        let (app, name, of_app, of_name) = match path.rsplit_once('/') {
            Some((app, name)) => (app, name, "", query),
            None => (path, "", query, ""),
        };
        let group = GroupName::from_app(app).map_err(|_| RelayUrlError::Application)?;
        let braces = name.replace(PLACEHOLDER, "");
        if braces.contains(['{', '}']) || app.contains(['{', '}']) {
            return Err(RelayUrlError::Placeholder);
        }
        Ok(Self {
            shown: format!("{scheme}://{server}/{}", group.application()),
            connect: format!("{scheme}://{server}/{app}{of_app}"),
            server,
            name: name.to_owned(),
            query: of_name.to_owned(),
        })
    }
}

impl Default for NamePatterns {
    fn default() -> Self {
        Self(vec!["*".to_owned()])
    }
}

impl<'de> Deserialize<'de> for NamePatterns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = NamePatterns;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pattern such as \"cam*\", or a list of them")
            }

            fn visit_str<E: de::Error>(self, pattern: &str) -> Result<NamePatterns, E> {
                Ok(NamePatterns(vec![pattern.to_owned()]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<NamePatterns, A::Error> {
                let mut patterns = Vec::new();
                while let Some(pattern) = list.next_element()? {
                    patterns.push(pattern);
                }
                Ok(NamePatterns(patterns))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl fmt::Debug for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Serialize for RelayUrl {
    /// As it is shown, with a mark where something is hidden.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.name.as_str(), self.connect == self.shown) {
            ("", true) if self.query.is_empty() => serializer.serialize_str(&self.shown),
            _ => serializer.collect_str(&format_args!("{}/***", self.shown)),
        }
    }
}

impl<'de> Deserialize<'de> for RelayUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for RelayUrlError {
    /// The text itself may hold a secret and is not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoScheme => "the address has no scheme; write rtmp://HOST/APP/NAME, or rtmps",
            Self::Scheme => "no such scheme; write rtmp://HOST/APP/NAME, or rtmps",
            Self::User => {
                "a user and a password are not sent; put a key into the name or its query"
            }
            Self::Server => "no such host or port; write rtmp://HOST:PORT/APP/NAME",
            Self::Application => {
                "no such application or instance; write rtmp://HOST/APP[/INSTANCE]/NAME"
            }
            Self::Placeholder => "braces that stand for nothing; write {name} within the name",
            Self::Characters => {
                "more than 2048 bytes, a space or a control character; write %20 for a space"
            }
        })
    }
}

impl std::error::Error for RelayUrlError {}

impl Check for Push {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.streams.check(at.key("streams"), mistakes);
        self.instance.check(at.key("instance"), mistakes);
    }
}

impl Check for Pull {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if !is_stream_name(&self.stream) {
            let remedy = "write a name such as \"cam\", without a query";
            mistakes.add(at.key("stream"), "no stream can have this name", remedy);
        }
        let app = format!("app/{}", self.instance);
        let group = GroupName::from_app(&app).ok();
        if group.is_none_or(|group| group.instance() != self.instance) {
            let remedy = "write a name such as \"room1\", or leave it out";
            mistakes.add(at.key("instance"), "no instance can have this name", remedy);
        }
        if self.linger > MOST_LINGER {
            mistakes.add(
                at.key("linger"),
                "more than a day",
                "write at most \"24 h\"",
            );
        }
    }
}

/// Adds the mistakes in the relays of an application.
pub(super) fn check(pushes: &[Push], pulls: &[Pull], at: &At, mistakes: &mut Mistakes) {
    if pushes.len() > MAX_PUSHES {
        let what = format!("more than {MAX_PUSHES} pushes");
        mistakes.add(at.key("push"), what, "join those to one server by patterns");
    }
    if pulls.len() > MAX_PULLS {
        let what = format!("more than {MAX_PULLS} pulls");
        mistakes.add(
            at.key("pull"),
            what,
            "spread them over several applications",
        );
    }
    for (index, push) in pushes.iter().enumerate() {
        push.check(&at.key("push").key(index), mistakes);
    }
    let mut names = BTreeSet::new();
    for (index, pull) in pulls.iter().enumerate() {
        let at = at.key("pull").key(index);
        pull.check(&at, mistakes);
        if !names.insert((&pull.instance, &pull.stream)) {
            let what = format!("two pulls of {}/{}", pull.instance, pull.stream);
            mistakes.add(at.key("stream"), what, "give each pull a name of its own");
        }
    }
}

/// Whether a live stream can have this name.
fn is_stream_name(name: &str) -> bool {
    let hostile = |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', '?']);
    name.len() <= MAX_STREAM_NAME
        && !name.chars().any(char::is_control)
        && !name.split('/').any(hostile)
}

fn default_instance() -> String {
    GroupName::DEFAULT_INSTANCE.to_owned()
}

fn default_linger() -> Duration {
    Duration::from_secs(10)
}

#[cfg(test)]
mod tests;
