//! The settings of what one address may do.

use serde::{Deserialize, Serialize};
use tributary_settings::{At, Check, Mistakes};

/// The rates of one address: `[applications.NAME.limits]`.
///
/// An address is that of the client, for IPv6 its /64. Many clients share one behind a NAT, so that no
/// rate is set by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateSettings {
    /// The connects a minute, and as many at once; unset, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connects_per_minute: Option<u32>,
    /// The publishes a minute, and as many at once; unset, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publishes_per_minute: Option<u32>,
    /// The refused decisions in a minute from which on connects of the address wait.
    pub failures_per_minute: u32,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            connects_per_minute: None,
            publishes_per_minute: None,
            failures_per_minute: 5,
        }
    }
}

impl Check for RateSettings {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        for (key, rate, none) in [
            ("connects_per_minute", self.connects_per_minute, "connects"),
            (
                "publishes_per_minute",
                self.publishes_per_minute,
                "publishes",
            ),
        ] {
            if rate == Some(0) {
                let what = format!("0 refuses all {none}");
                mistakes.add(at.key(key), what, "write 1 or more, or leave it out");
            }
        }
        if self.failures_per_minute == 0 {
            let remedy = "write 1 or more; the more clients share an address, the more";
            mistakes.add(
                at.key("failures_per_minute"),
                "0 slows clients that have never failed",
                remedy,
            );
        }
    }
}
