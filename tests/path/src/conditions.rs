//! The settings of a path.

use std::{
    fmt::{self, Display, Formatter},
    str::FromStr,
    time::Duration,
};

/// The treatment of the packets of one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// The time on the way.
    pub delay: Duration,
    /// A random time up to this is added to each delay. Packets keep their order.
    pub jitter: Duration,
    /// Bits per second of the narrowest part of the way, IP headers included; without one, all
    /// packets leave at once.
    pub rate: Option<u64>,
    /// Bytes that wait for the narrowest part at most. A packet that finds no room is dropped.
    pub queue: u64,
    /// The share of the packets that is dropped at random, 0 to 1.
    pub loss: f64,
    /// The share of the packets that later packets overtake.
    pub reorder: f64,
    /// The time by which an overtaken packet is late.
    pub reorder_by: Duration,
    /// The share of the packets that arrives twice.
    pub duplicate: f64,
    /// Every packet that comes is dropped; the packets on their way arrive.
    pub cut: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: QUEUE,
            loss: 0.0,
            reorder: 0.0,
            reorder_by: REORDER_BY,
            duplicate: 0.0,
            cut: false,
        }
    }
}

/// The settings of both directions, and of the path as a whole.
///
/// They can be read from text: `rtt=50ms,rate=100mbit,down.loss=0.5%`. A setting of [`Conditions`] is
/// one of both directions, unless it begins with `up.` (from the near end to the far end) or
/// `down.`. `rtt` is a delay of one half in each direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub up: Conditions,
    pub down: Conditions,
    /// Bytes of the largest IP packet.
    pub mtu: u16,
    /// The random choices follow from this number and the packets.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            up: Conditions::default(),
            down: Conditions::default(),
            mtu: MTU,
            seed: 1,
        }
    }
}

impl Settings {
    /// Changes the settings that the text names.
    pub fn change(&mut self, text: &str) -> Result<(), InvalidSettings> {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            self.change_one(key.trim(), value.trim())
                .ok_or_else(|| InvalidSettings(part.to_owned()))?;
        }
        Ok(())
    }

    fn change_one(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "mtu" => self.mtu = value.parse().ok().filter(|mtu| *mtu >= LEAST_MTU)?,
            "seed" => self.seed = value.parse().ok()?,
            "rtt" => {
                let rtt = duration(value)?;
                self.up.delay = rtt / 2;
                self.down.delay = rtt - rtt / 2;
            }
            _ => {
                if let Some(key) = key.strip_prefix("up.") {
                    return self.up.change_one(key, value);
                }
                if let Some(key) = key.strip_prefix("down.") {
                    return self.down.change_one(key, value);
                }
                self.up.change_one(key, value)?;
                self.down.change_one(key, value)?;
            }
        }
        Some(())
    }
}

impl FromStr for Settings {
    type Err = InvalidSettings;

    fn from_str(text: &str) -> Result<Self, InvalidSettings> {
        let mut settings = Self::default();
        settings.change(text)?;
        Ok(settings)
    }
}

impl Conditions {
    fn change_one(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "delay" => self.delay = duration(value)?,
            "jitter" => self.jitter = duration(value)?,
            "rate" => self.rate = Some(amount(value, BITS)?).filter(|rate| *rate > 0),
            "queue" => self.queue = amount(value, BYTES)?,
            "loss" => self.loss = share(value)?,
            "reorder" => self.reorder = share(value)?,
            "reorder_by" => self.reorder_by = duration(value)?,
            "duplicate" => self.duplicate = share(value)?,
            "cut" => self.cut = matches!(value, "" | "yes" | "no").then_some(value != "no")?,
            _ => return None,
        }
        Some(())
    }
}

/// A part of the text that is no setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidSettings(String);

impl Display for InvalidSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(part) = self;
        write!(
            f,
            "`{part}` is no setting of a path; the settings are rtt, delay, jitter, reorder_by (50ms), \
             rate (20mbit, 0mbit for none), queue (256KiB), loss, reorder, duplicate (0.5%), cut (yes, \
             no), each also as up.KEY and down.KEY, and mtu and seed"
        )
    }
}

impl std::error::Error for InvalidSettings {}

fn duration(text: &str) -> Option<Duration> {
    Some(Duration::from_nanos(amount(text, NANOSECONDS)?))
}

/// A number with a unit, as a multiple of the smallest unit.
fn amount(text: &str, units: &[(&str, f64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.parse().ok()?;
    Some((number * scale).round() as u64)
}

fn share(text: &str) -> Option<f64> {
    let share = match text.strip_suffix('%') {
        Some(per_cent) => per_cent.parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

const NANOSECONDS: &[(&str, f64)] = &[("us", 1e3), ("ms", 1e6), ("s", 1e9)];
const BITS: &[(&str, f64)] = &[("bit", 1.0), ("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)];
const BYTES: &[(&str, f64)] = &[("B", 1.0), ("KiB", 1024.0), ("MiB", 1024.0 * 1024.0)];

/// A tenth of a second of 20 Mbit/s.
const QUEUE: u64 = 256 * 1024;
const REORDER_BY: Duration = Duration::from_millis(1);
/// As on the internet.
const MTU: u16 = 1500;
/// The least that IPv6 allows.
const LEAST_MTU: u16 = 1280;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_text() {
        let read: Settings = "rtt=50ms,rate=2.5mbit,down.loss=0.5%,up.queue=64KiB,mtu=9000,seed=7"
            .parse()
            .unwrap();
        let both = Conditions {
            delay: Duration::from_millis(25),
            rate: Some(2_500_000),
            ..Conditions::default()
        };
        let expected = Settings {
            up: Conditions {
                queue: 64 * 1024,
                ..both.clone()
            },
            down: Conditions {
                loss: 0.005,
                ..both
            },
            mtu: 9000,
            seed: 7,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn a_change_leaves_the_other_settings() {
        let mut settings: Settings = "delay=5ms,rate=1gbit,reorder=0.1,reorder_by=700us"
            .parse()
            .unwrap();
        settings.change("up.cut,down.rate=0bit").unwrap();
        assert!(settings.up.cut && !settings.down.cut);
        assert_eq!(settings.up.rate, Some(1_000_000_000));
        assert_eq!(settings.down.rate, None);
        settings.change("cut=no").unwrap();
        assert!(!settings.up.cut);
        assert_eq!(settings.up.delay, Duration::from_millis(5));
        assert_eq!(settings.down.reorder_by, Duration::from_micros(700));
    }

    #[test]
    fn text_that_is_no_setting_is_refused() {
        for text in [
            "rtt",
            "rtt=50",
            "rtt=ms",
            "rtt=-1ms",
            "rate=5",
            "loss=2",
            "loss=101%",
            "mtu=100",
            "sideways.loss=1%",
            "up.rtt=5ms",
            "cut=maybe",
            "speed=9",
            "queue=1.2.3KiB",
        ] {
            let read = text.parse::<Settings>();
            assert_eq!(read, Err(InvalidSettings(text.to_owned())));
        }
    }
}
