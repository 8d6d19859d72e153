//! The settings of one application: `[applications.NAME]`. Both tiers read them.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tributary_gate::{Access, Action, EncoderSettings, HookSettings, RateSettings, TokenSettings};

use super::{
    At, Check, Deliveries, Delivery, Displace, Durability, Duration, Mistakes, Pull, Push, Secret,
    SharedObjects, Size, Target,
    delivery::{self, StreamTable},
    relay,
};

/// The policy of one application for its publishers and sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Application {
    /// The built-in application of this name, unless a folder has the name.
    pub builtin: Builtin,
    /// The effect of a new version on running groups.
    pub on_deploy: OnDeploy,
    /// The most groups of this application at a time, on one origin.
    pub max_groups: usize,
    /// The effect of a second publisher on a live name.
    pub second_publisher: SecondPublisher,
    /// The players that get a notice of a stream's data.
    pub data_start: DataStart,
    /// The way in which edges deliver the live streams.
    pub delivery: Delivery,
    /// The longest wait of a message at the edge for others; unset, that of the delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_cap: Option<Duration>,
    /// Other deliveries for streams whose name fits a pattern with `*` and `?`.
    #[serde(skip_serializing_if = "StreamTable::is_empty")]
    pub streams: StreamTable,
    /// The silence after which a publisher is pinged, and after another such time its name may be
    /// taken over.
    pub stall_time: Duration,
    /// The time that a stream waits for a publisher that was lost without an unpublish.
    pub return_time: Duration,
    /// The time for which the sessions of a lost link are kept.
    pub grace_time: Duration,
    /// The life of an instance without clients; unset, `live` ends at once and any other after 10
    /// min.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_time: Option<Duration>,
    /// The time in which the application must decide a connect.
    pub connect_time: Duration,
    /// Whether stream names are secret: logs, metrics and admin answers show a keyed hash.
    pub secret_names: bool,
    /// The addresses from which publishers may come without a token.
    pub publish_from: PublishFrom,
    /// The value of `token=...` that a publisher must give, in the query of the stream name, of
    /// `app` or of `tcUrl`; with it publishers may come from any address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_token: Option<Secret>,
    /// The addresses and transports of clients; edges judge them, as the four below.
    pub access: Access,
    /// The rates of one address.
    pub limits: RateSettings,
    /// The users of encoders; unset, encoders need no user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoders: Option<EncoderSettings>,
    /// The tokens that permit an act; unset, no act needs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenSettings>,
    /// The services that decide about acts by HTTP; unset, none is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HookSettings>,
    /// The servers that the application may connect to; empty, it may connect to none.
    pub outgoing: Vec<Target>,
    /// Streams that are published at other servers as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub push: Vec<Push>,
    /// Streams that come from other servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pull: Vec<Pull>,
    /// The shared objects that clients may create; unset, `live` and `counter` have temporary ones,
    /// any other all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_objects: Option<SharedObjects>,
    /// The messages of shared objects that one session may send per second, on average.
    pub shared_object_rate: u32,
    /// The bytes of all persistent shared objects of the application in the store.
    pub object_storage: Size,
    /// The time at which members receive a change of a persistent shared object.
    pub durability: Durability,
    /// The fate of the clients when their origin's process is lost, in a cluster.
    pub restore: Restore,
    /// Whether a group with persistent data may start at another origin while its home is away.
    pub displace: Displace,
    /// The memory of one group's script.
    pub script_memory: Size,
    /// The processor time of one turn of a script; its start may take ten times that.
    pub script_turn_time: Duration,
    /// The timers of one group's script.
    pub script_timers: usize,
}

impl Default for Application {
    fn default() -> Self {
        Self {
            builtin: Builtin::Live,
            on_deploy: OnDeploy::Keep,
            max_groups: Self::DEFAULT_MAX_GROUPS,
            second_publisher: SecondPublisher::Reject,
            data_start: DataStart::Amf3,
            delivery: Delivery::Standard,
            delivery_cap: None,
            streams: StreamTable::new(),
            stall_time: Duration::from_secs(5),
            return_time: Duration::from_secs(5),
            grace_time: Duration::from_secs(15),
            idle_time: None,
            connect_time: Duration::from_secs(60),
            secret_names: false,
            publish_from: PublishFrom::Loopback,
            publish_token: None,
            access: Access::default(),
            limits: RateSettings::default(),
            encoders: None,
            tokens: None,
            hooks: None,
            outgoing: Vec::new(),
            push: Vec::new(),
            pull: Vec::new(),
            shared_objects: None,
            shared_object_rate: Self::DEFAULT_SHARED_OBJECT_RATE,
            object_storage: Size::from_mib(256),
            durability: Durability::Author,
            restore: Restore::Replay,
            displace: Displace::WithoutData,
            script_memory: Size::from_mib(16),
            script_turn_time: Duration::from_millis(100),
            script_timers: 1_000,
        }
    }
}

/// The applications that need no folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Builtin {
    /// Live streams: clients publish and play.
    #[default]
    Live,
    /// For diagnosis: counts numbered calls and reports losses and repetitions.
    Counter,
    /// None: without a folder of its name the application does not exist.
    None,
}

/// The effect of a new version on running groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDeploy {
    /// They keep their version until they end or are restarted.
    #[default]
    Keep,
    /// Their sessions end with NetConnection.Connect.AppShutdown; the next connect gets the new
    /// version.
    Restart,
}

/// The fate of an application's clients when their origin's process is lost, in a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restore {
    /// They go on at the next process: the application starts anew and is asked about each again.
    #[default]
    Replay,
    /// They are closed, and connect again.
    Close,
}

/// The effect of a second publisher on a live name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SecondPublisher {
    /// The second publisher is refused.
    #[default]
    Reject,
    /// The second publisher takes the name over if it has the same identity.
    Takeover,
}

/// The players that get NetStream.Data.Start, from which ffmpeg and GStreamer make a track of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DataStart {
    /// Players with objectEncoding 3, which are players in ActionScript.
    #[default]
    Amf3,
    /// All players.
    Always,
}

/// The addresses from which publishers may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PublishFrom {
    /// The edge's own machine.
    #[default]
    Loopback,
    /// Any address.
    Anywhere,
}

impl Application {
    /// Half of an origin's default for all applications, so that one application cannot keep the
    /// others out.
    pub const DEFAULT_MAX_GROUPS: usize = 25_000;
    /// Above the rate of a client that draws or moves with every frame.
    pub const DEFAULT_SHARED_OBJECT_RATE: u32 = 250;

    /// The deliveries of the application's live streams.
    pub fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.delivery, self.delivery_cap, &self.streams)
    }

    /// Whether the application may connect to this host and port.
    pub fn may_connect(&self, host: &str, port: u16) -> bool {
        self.outgoing.iter().any(|target| target.admits(host, port))
    }

    /// Whether everybody on the edge's machine may publish, and nothing else is asked of them.
    pub fn trusts_the_machine(&self) -> bool {
        let tokens = self.tokens.as_ref();
        let asks = self.publish_token.is_some()
            || self.encoders.is_some()
            || self.hooks.is_some()
            || self.access.publish.is_some()
            || tokens.is_some_and(|tokens| tokens.require.contains(&Action::Publish));
        self.builtin != Builtin::Counter && self.publish_from == PublishFrom::Loopback && !asks
    }

    /// Whether a client at `peer`, `None` if that is unknown, that has this [`token`] may publish.
    pub fn may_publish(
        &self,
        peer: Option<IpAddr>,
        given: Option<&str>,
    ) -> Result<(), PublishRefused> {
        if let Some(token) = &self.publish_token {
            let given = given.unwrap_or_default().as_bytes();
            let holds: bool = given.ct_eq(token.reveal().as_bytes()).into();
            return if holds {
                Ok(())
            } else {
                Err(PublishRefused::Token)
            };
        }
        match self.publish_from {
            PublishFrom::Anywhere => Ok(()),
            PublishFrom::Loopback if peer.is_some_and(|ip| ip.to_canonical().is_loopback()) => {
                Ok(())
            }
            PublishFrom::Loopback => Err(PublishRefused::NotLoopback),
        }
    }
}

/// The value of the first `token=` in a query, which may contain question marks.
pub fn token(query: &str) -> Option<&str> {
    let mut pairs = query.split(['&', '?']);
    pairs.find_map(|pair| pair.strip_prefix("token="))
}

impl Check for Application {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        for (key, time) in [
            ("stall_time", self.stall_time),
            ("grace_time", self.grace_time),
            ("connect_time", self.connect_time),
        ] {
            if time.get() < LEAST_TIME {
                mistakes.add(
                    at.key(key),
                    format!("{time} is too short for a healthy client to keep"),
                    "write at least \"1 s\"",
                );
            }
        }
        if self.shared_object_rate == 0 {
            mistakes.add(
                at.key("shared_object_rate"),
                "0 keeps every client waiting for ever",
                "write 1 or more; shared_objects = \"none\" if none are meant",
            );
        }
        if self.max_groups == 0 {
            let remedy = "write 1 or more";
            mistakes.add(at.key("max_groups"), "0 runs no group", remedy);
        }
        self.check_script(at, mistakes);
        self.check_gate(at, mistakes);
        let usual = (self.delivery, self.delivery_cap);
        delivery::check(usual, &self.streams, at, mistakes);
        relay::check(&self.push, &self.pull, at, mistakes);
        if self
            .publish_token
            .as_ref()
            .is_some_and(|token| token.reveal().is_empty())
        {
            mistakes.add(
                at.key("publish_token"),
                "an empty token admits everybody",
                "write a token, or publish_from = \"anywhere\" if that is meant",
            );
        }
        if self.second_publisher == SecondPublisher::Takeover && self.stall_time > MOST_STALL {
            mistakes.add(
                at.key("stall_time"),
                format!("{} leaves a dead publisher in its place", self.stall_time),
                "write at most \"10 min\"",
            );
        }
    }
}

impl Application {
    fn check_gate(&self, at: &At, mistakes: &mut Mistakes) {
        self.access.check(&at.key("access"), mistakes);
        self.limits.check(&at.key("limits"), mistakes);
        if let Some(encoders) = &self.encoders {
            encoders.check(&at.key("encoders"), mistakes);
        }
        if let Some(tokens) = &self.tokens {
            tokens.check(&at.key("tokens"), mistakes);
        }
        if let Some(hooks) = &self.hooks {
            hooks.check(&at.key("hooks"), mistakes);
        }
    }

    fn check_script(&self, at: &At, mistakes: &mut Mistakes) {
        if self.script_memory < LEAST_SCRIPT_MEMORY || self.script_memory > MOST_SCRIPT_MEMORY {
            mistakes.add(
                at.key("script_memory"),
                format!(
                    "{} is not an amount that a script can live in",
                    self.script_memory
                ),
                "write 1 MiB to 1 GiB",
            );
        }
        if self.script_turn_time < LEAST_TURN_TIME || self.script_turn_time > MOST_TURN_TIME {
            mistakes.add(
                at.key("script_turn_time"),
                format!("{} is no time for a turn", self.script_turn_time),
                "write \"1 ms\" to \"10 s\": other groups of the worker wait meanwhile",
            );
        }
    }
}

/// The reason for which a publish is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishRefused {
    /// The token is missing or wrong.
    Token,
    /// The client is not on the edge's machine.
    NotLoopback,
}

impl fmt::Display for PublishRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token => "the token is missing or wrong",
            Self::NotLoopback => {
                "publishing is open to this machine only; set publish_from or publish_token"
            }
        })
    }
}

impl std::error::Error for PublishRefused {}

const LEAST_TIME: std::time::Duration = std::time::Duration::from_secs(1);
const LEAST_SCRIPT_MEMORY: Size = Size::from_mib(1);
const MOST_SCRIPT_MEMORY: Size = Size::from_mib(1024);
const LEAST_TURN_TIME: Duration = Duration::from_millis(1);
const MOST_TURN_TIME: Duration = Duration::from_secs(10);
const MOST_STALL: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_needs_the_token_or_the_right_place() {
        let address = |text: &str| text.parse::<IpAddr>().ok();
        let (here, mapped) = (address("127.0.0.9"), address("::ffff:127.0.0.1"));
        let there = address("192.0.2.1");
        let closed = Application::default();
        assert_eq!(closed.may_publish(here, None), Ok(()));
        assert_eq!(closed.may_publish(mapped, None), Ok(()));
        for peer in [there, None] {
            let refused = closed.may_publish(peer, None);
            assert_eq!(refused, Err(PublishRefused::NotLoopback));
        }

        let open = Application {
            publish_from: PublishFrom::Anywhere,
            ..closed.clone()
        };
        assert_eq!(open.may_publish(there, None), Ok(()));

        let token = Application {
            publish_token: Some(Secret::new("s3cret")),
            ..closed
        };
        for (given, admitted) in [
            (Some("s3cret"), true),
            (Some("s3cre"), false),
            (Some("s3cret2"), false),
            (Some(""), false),
            (None, false),
        ] {
            for peer in [here, there] {
                assert_eq!(
                    token.may_publish(peer, given).is_ok(),
                    admitted,
                    "{given:?}"
                );
            }
        }
    }

    #[test]
    fn the_first_token_of_a_query_counts() {
        for (query, given) in [
            ("token=a", Some("a")),
            ("x=y&token=a&token=b", Some("a")),
            ("rtmp://origin/app?token=a", Some("a")),
            ("token=", Some("")),
            ("xtoken=a", None),
            ("Token=a", None),
            ("", None),
        ] {
            assert_eq!(token(query), given, "{query}");
        }
    }
}
