//! Rates of one address, and slowing after failures.

mod lru;
mod place;
mod settings;
mod slowing;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub use lru::MAX_ADDRESSES;
pub use settings::RateSettings;
pub use slowing::Slowing;

use crate::refusal::{Action, Refusal};
use lru::Lru;
use place::Place;

/// The acts of each address at each application; an edge has one for all its applications.
#[derive(Debug, Default)]
pub struct Rates(Lru<(Arc<str>, Place), Acts>);

#[derive(Debug, Default)]
struct Acts {
    connects: Allowance,
    publishes: Allowance,
}

impl Rates {
    /// Takes one act of an address from its allowance, if the settings of the application bound it. A
    /// play is not bounded.
    pub fn take(
        &mut self,
        application: &Arc<str>,
        settings: &RateSettings,
        action: Action,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), RateRefused> {
        let (per_minute, refused) = match action {
            Action::Connect => (settings.connects_per_minute, RateRefused::Connects),
            Action::Publish => (settings.publishes_per_minute, RateRefused::Publishes),
            Action::Play => return Ok(()),
        };
        let (Some(per_minute), Some(place)) = (per_minute, Place::of(address)) else {
            return Ok(());
        };
        let key = (Arc::clone(application), place);
        let acts = self.0.get_or_make(&key, Acts::default);
        let allowance = match action {
            Action::Connect => &mut acts.connects,
            Action::Publish | Action::Play => &mut acts.publishes,
        };
        allowance.take(per_minute, now).then_some(()).ok_or(refused)
    }

    /// Whether an address may publish now, without taking the publish: for releaseStream, FCPublish and
    /// FCUnpublish, which come beside the publish itself.
    pub fn may_publish(
        &mut self,
        application: &Arc<str>,
        settings: &RateSettings,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), RateRefused> {
        let (Some(per_minute), Some(place)) = (settings.publishes_per_minute, Place::of(address))
        else {
            return Ok(());
        };
        let acts = self.0.peek_mut(&(Arc::clone(application), place));
        let has_one = acts.is_none_or(|acts| acts.publishes.fill(per_minute, now) >= 1.0);
        has_one.then_some(()).ok_or(RateRefused::Publishes)
    }
}

/// The acts that an address has left: a minute's worth at most, which fills with time.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    /// The acts taken that have not been filled up again.
    taken: f64,
    filled: Option<Instant>,
}

impl Allowance {
    /// The acts that are left at `now`.
    fn fill(&mut self, per_minute: u32, now: Instant) -> f64 {
        let per_minute = f64::from(per_minute);
        let filled = self.filled.map_or(now, |filled| filled.max(now));
        let since = self.filled.replace(filled);
        let passed = since.map_or(Duration::ZERO, |since| filled - since);
        self.taken = (self.taken - passed.as_secs_f64() * per_minute / 60.0).max(0.0);
        per_minute - self.taken
    }

    fn take(&mut self, per_minute: u32, now: Instant) -> bool {
        let has_one = self.fill(per_minute, now) >= 1.0;
        if has_one {
            self.taken += 1.0;
        }
        has_one
    }
}

/// The rate of an address that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateRefused {
    /// `connects_per_minute`.
    Connects,
    /// `publishes_per_minute`.
    Publishes,
}

impl RateRefused {
    /// The label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connects => "rate_connects",
            Self::Publishes => "rate_publishes",
        }
    }

    /// The refusal of an act for this reason.
    pub fn refusal(self, action: Action) -> Refusal {
        Refusal::new(action, self.label(), &self)
    }
}

impl fmt::Display for RateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connects => "too many connections from this address: try again in a minute",
            Self::Publishes => "too many publishes from this address: try again in a minute",
        })
    }
}

impl std::error::Error for RateRefused {}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use tributary_settings::{At, Check, Layers, Mistakes};

    use super::*;

    #[expect(
        clippy::disallowed_methods,
        reason = "`Instant` offers no other beginning"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    const SETTINGS: RateSettings = RateSettings {
        connects_per_minute: Some(60),
        publishes_per_minute: Some(2),
        failures_per_minute: 5,
    };

    #[test]
    fn an_address_has_a_minutes_worth_and_then_its_rate() {
        let (mut rates, start) = (Rates::default(), start());
        let live: Arc<str> = "live".into();
        let client = address("192.0.2.1");
        let mut count = |action, seconds| {
            let now = start + Duration::from_secs(seconds);
            let take = |_: &i32| rates.take(&live, &SETTINGS, action, client, now).is_ok();
            (0..100).filter(take).count()
        };
        assert_eq!(count(Action::Connect, 0), 60);
        assert_eq!(count(Action::Connect, 0), 0);
        assert_eq!(count(Action::Connect, 10), 10);
        assert_eq!(count(Action::Publish, 10), 2);
        assert_eq!(count(Action::Publish, 39), 0);
        assert_eq!(count(Action::Publish, 40), 1);
        assert_eq!(count(Action::Connect, 100_000), 60);
        assert_eq!(count(Action::Play, 100_000), 100);
    }

    #[test]
    fn addresses_and_applications_have_rates_of_their_own() {
        let (mut rates, now) = (Rates::default(), start());
        let [live, vod]: [Arc<str>; 2] = ["live".into(), "vod".into()];
        let mut publish = |application: &Arc<str>, client: Option<IpAddr>| {
            let action = Action::Publish;
            let taken = rates.take(application, &SETTINGS, action, client, now);
            taken.map_err(RateRefused::label)
        };
        let refused = Err("rate_publishes");
        for (application, client, expected) in [
            (&live, address("2001:db8::1"), Ok(())),
            (&live, address("2001:db8::2"), Ok(())),
            (&live, address("2001:db8::3"), refused),
            (&live, address("2001:db8:0:1::3"), Ok(())),
            (&vod, address("2001:db8::3"), Ok(())),
            (&live, None, Ok(())),
            (&live, None, Ok(())),
            (&live, None, Ok(())),
        ] {
            assert_eq!(publish(application, client), expected, "{client:?}");
        }
    }

    #[test]
    fn a_look_takes_nothing() {
        let (mut rates, now) = (Rates::default(), start());
        let live: Arc<str> = "live".into();
        let client = address("192.0.2.1");
        for left in [2, 1, 0] {
            for _ in 0..3 {
                let may = rates.may_publish(&live, &SETTINGS, client, now);
                assert_eq!(may.is_ok(), left > 0);
            }
            let taken = rates.take(&live, &SETTINGS, Action::Publish, client, now);
            assert_eq!(taken.is_ok(), left > 0);
        }
        let later = now + Duration::from_secs(30);
        assert!(rates.may_publish(&live, &SETTINGS, client, later).is_ok());
    }

    #[test]
    fn without_settings_nothing_is_counted() {
        let (mut rates, now) = (Rates::default(), start());
        let open = RateSettings::default();
        for _ in 0..1000 {
            let client = address("192.0.2.1");
            let taken = rates.take(&"live".into(), &open, Action::Connect, client, now);
            assert_eq!(taken, Ok(()));
        }
        assert_eq!(rates.0.len(), 0);
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Whole {
        limits: RateSettings,
    }

    impl Check for Whole {
        fn check(&self, at: &At, mistakes: &mut Mistakes) {
            self.limits.check(&at.key("limits"), mistakes);
        }
    }

    #[test]
    fn mistakes_name_key_reason_and_remedy() {
        for key in [
            "connects_per_minute",
            "publishes_per_minute",
            "failures_per_minute",
        ] {
            let name = format!("TRIBUTARY_LIMITS_{}", key.to_ascii_uppercase());
            let layers = Layers::new().environment([(name, "0".to_owned())]);
            let mistakes = layers.read::<Whole>().unwrap_err().to_string();
            for part in [&format!("limits.{key}"), "; write 1 or more"] {
                assert!(mistakes.contains(part), "{part} in {mistakes}");
            }
        }
        assert!(Layers::new().read::<Whole>().is_ok());
    }
}
