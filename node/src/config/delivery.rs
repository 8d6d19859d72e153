//! The delay that viewers accept so that the machine has less to do:
//! `applications.NAME.delivery`, `delivery_cap` and `[applications.NAME.streams."PATTERN"]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::{At, Duration, Mistakes};

/// The way in which an edge delivers a live stream to its viewers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Delivery {
    /// For talks and games: the edge adds 5 ms at most.
    Interactive,
    /// The edge waits where a round of writes is expensive, and there the kernel may merge writes.
    #[default]
    Standard,
    /// For large audiences: the edge waits as long as it may, and ends a write with a picture.
    Broadcast,
}

/// A delivery and the longest wait of a message at the edge, both settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryPolicy {
    pub delivery: Delivery,
    pub cap: std::time::Duration,
}

/// The settings of the live streams of an application whose name fits a pattern. An unset one is
/// that of the application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_cap: Option<Duration>,
}

/// The deliveries of an application's live streams, by pattern.
#[derive(Clone, Debug, Default)]
pub struct Deliveries {
    usual: DeliveryPolicy,
    /// The most specific pattern first.
    patterns: Vec<(WildMatch, DeliveryPolicy)>,
}

impl Delivery {
    /// The cap where none is set.
    pub const fn default_cap(self) -> Duration {
        match self {
            Self::Interactive => Duration::from_millis(5),
            Self::Standard => Duration::from_millis(20),
            Self::Broadcast => Duration::from_millis(60),
        }
    }

    /// The largest cap that may be set.
    pub const fn most_cap(self) -> Duration {
        match self {
            Self::Interactive => Duration::from_millis(5),
            Self::Standard => Duration::from_millis(100),
            Self::Broadcast => Duration::from_millis(500),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Broadcast => "broadcast",
        }
    }

    fn with(self, cap: Option<Duration>) -> DeliveryPolicy {
        DeliveryPolicy {
            delivery: self,
            cap: cap.unwrap_or_else(|| self.default_cap()).get(),
        }
    }

    fn check_cap(self, cap: Option<Duration>, at: &At, mistakes: &mut Mistakes) {
        let most = self.most_cap();
        if cap.is_some_and(|cap| cap > most) {
            let what = format!("more than {most}, the most of {:?}", self.name());
            let remedy = match self {
                Self::Broadcast => "write a time such as \"60 ms\"",
                _ => "write a shorter time, or delivery = \"broadcast\" if delay does not matter",
            };
            mistakes.add(at.key("delivery_cap"), what, remedy);
        }
    }
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Delivery::default().with(None)
    }
}

impl Deliveries {
    /// The deliveries of an application with this usual delivery and cap. Of several patterns that
    /// a name fits, one without `*` and `?` holds, then the one with the most other characters;
    /// among equals the first in the alphabet.
    pub(super) fn new(delivery: Delivery, cap: Option<Duration>, streams: &StreamTable) -> Self {
        let mut patterns: Vec<_> = streams.iter().collect();
        let rank = |pattern: &str| (is_exact(pattern), literals(pattern));
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(rank(pattern)));
        let settle = |own: &Streams| {
            let cap = own.cap(delivery, cap);
            own.delivery.unwrap_or(delivery).with(cap)
        };
        Self {
            usual: delivery.with(cap),
            patterns: patterns
                .into_iter()
                .map(|(pattern, own)| (WildMatch::new(pattern), settle(own)))
                .collect(),
        }
    }

    /// The delivery of streams that no pattern fits.
    pub fn usual(&self) -> DeliveryPolicy {
        self.usual
    }

    /// The delivery of the live stream of this name.
    pub fn of(&self, stream: &str) -> DeliveryPolicy {
        let fits = |(pattern, _): &&(WildMatch, _)| pattern.matches(stream);
        let found = self.patterns.iter().find(fits);
        found.map_or(self.usual, |(_, policy)| *policy)
    }
}

impl Streams {
    /// The cap that is set for these streams. The usual one is for the usual delivery.
    fn cap(&self, delivery: Delivery, cap: Option<Duration>) -> Option<Duration> {
        let inherits = self.delivery.is_none_or(|own| own == delivery);
        self.delivery_cap.or_else(|| cap.filter(|_| inherits))
    }
}

/// Adds the mistakes in the deliveries of an application.
pub(super) fn check(
    (delivery, cap): (Delivery, Option<Duration>),
    streams: &StreamTable,
    at: &At,
    mistakes: &mut Mistakes,
) {
    delivery.check_cap(cap, at, mistakes);
    for (pattern, own) in streams {
        let at = at.key("streams").key(pattern);
        if pattern.is_empty() {
            let remedy = "write a stream's name, or a pattern with * and ?";
            mistakes.add(at.clone(), "an empty pattern fits no stream", remedy);
        }
        let delivery = own.delivery.unwrap_or(delivery);
        delivery.check_cap(own.delivery_cap, &at, mistakes);
    }
}

/// The streams of an application by pattern.
pub(super) type StreamTable = BTreeMap<String, Streams>;

fn is_exact(pattern: &str) -> bool {
    !pattern.contains(['*', '?'])
}

fn literals(pattern: &str) -> usize {
    pattern.chars().filter(|c| !matches!(c, '*' | '?')).count()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Application, Check},
        *,
    };

    fn streams(delivery: Option<Delivery>, cap: Option<u64>) -> Streams {
        Streams {
            delivery,
            delivery_cap: cap.map(Duration::from_millis),
        }
    }

    fn ms(policy: DeliveryPolicy) -> (Delivery, u128) {
        (policy.delivery, policy.cap.as_millis())
    }

    #[test]
    fn the_most_specific_pattern_holds() {
        let application = Application {
            delivery: Delivery::Standard,
            delivery_cap: Some(Duration::from_millis(8)),
            streams: BTreeMap::from([
                ("*".to_owned(), streams(None, Some(7))),
                (
                    "cam*".to_owned(),
                    streams(Some(Delivery::Interactive), None),
                ),
                ("cam?".to_owned(), streams(None, None)),
                (
                    "cam-hall/*".to_owned(),
                    streams(Some(Delivery::Broadcast), None),
                ),
                (
                    "*camera".to_owned(),
                    streams(Some(Delivery::Broadcast), None),
                ),
                (
                    "camera".to_owned(),
                    streams(Some(Delivery::Interactive), None),
                ),
            ]),
            ..Application::default()
        };
        let deliveries = application.deliveries();
        for (name, expected) in [
            ("other", (Delivery::Standard, 7)),
            ("camera", (Delivery::Interactive, 5)),
            ("cam", (Delivery::Interactive, 5)),
            // As specific as `cam?`, and before it.
            ("cam1", (Delivery::Interactive, 5)),
            ("cam-hall/left", (Delivery::Broadcast, 60)),
        ] {
            assert_eq!(ms(deliveries.of(name)), expected, "{name}");
        }
    }

    #[test]
    fn without_patterns_all_streams_are_alike() {
        let usual = Application::default().deliveries();
        assert_eq!(ms(usual.of("any")), (Delivery::Standard, 20));
        let broadcast = Application {
            delivery: Delivery::Broadcast,
            delivery_cap: Some(Duration::from_millis(500)),
            ..Application::default()
        };
        let any = broadcast.deliveries().of("any");
        assert_eq!(ms(any), (Delivery::Broadcast, 500));
    }

    #[test]
    fn a_cap_beyond_its_delivery_is_a_mistake() {
        let application = Application {
            delivery: Delivery::Interactive,
            delivery_cap: Some(Duration::from_millis(6)),
            streams: BTreeMap::from([
                (String::new(), streams(None, None)),
                ("a".to_owned(), streams(Some(Delivery::Standard), Some(101))),
                (
                    "b".to_owned(),
                    streams(Some(Delivery::Broadcast), Some(501)),
                ),
                (
                    "c".to_owned(),
                    streams(Some(Delivery::Broadcast), Some(500)),
                ),
            ]),
            ..Application::default()
        };
        let mut mistakes = Mistakes::default();
        application.check(&At::root().key("x"), &mut mistakes);
        let text = mistakes.to_string();
        assert_eq!(mistakes.iter().count(), 4, "{text}");
        for at in [
            "x.delivery_cap",
            "x.streams.a.delivery_cap",
            "x.streams.b.delivery_cap",
        ] {
            assert!(text.contains(at), "{at} in\n{text}");
        }
    }
}
