//! Settings with a unit: times, sizes, and text that is not shown.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A time, written with its unit: `500 ms`, `15 s`, `2 min`, `1 h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// A time of this many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// A time of this many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(std::time::Duration::from_millis(milliseconds))
    }

    /// The time as the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

/// A number of bytes, written with its unit: `512 B`, `64 KiB`, `4 MiB`, `1 GiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub usize);

impl Size {
    /// This many KiB.
    pub const fn from_kib(kib: usize) -> Self {
        Self(kib << 10)
    }

    /// This many MiB.
    pub const fn from_mib(mib: usize) -> Self {
        Self(mib << 20)
    }

    /// The number of bytes.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// Text that is neither logged nor printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for a comparison.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// The text is not a number with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    text: String,
    kind: &'static str,
    example: &'static str,
    units: &'static [(&'static str, u64)],
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: Vec<_> = self.units.iter().map(|(unit, _)| *unit).collect();
        write!(
            f,
            "{:?} is not a {}; write a number and one of {}, such as {:?}",
            self.text,
            self.kind,
            units.join(", "),
            self.example
        )
    }
}

impl std::error::Error for UnitError {}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            kind: "time",
            example: "500 ms",
            units: TIMES,
        };
        let nanoseconds = number(text, TIMES).ok_or_else(error)?;
        Ok(Self(std::time::Duration::from_nanos(nanoseconds)))
    }
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = number(text, SIZES).and_then(|bytes| usize::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| UnitError {
            text: text.to_owned(),
            kind: "size",
            example: "64 KiB",
            units: SIZES,
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        f.write_str(&with_unit(nanoseconds, TIMES, "s"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_unit(self.0 as u64, SIZES, "B"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(time: Duration) -> Self {
        time.0
    }
}

macro_rules! as_text {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;

                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Visitor)
            }
        }
    };
}

as_text!(Duration, "a time with its unit as text, such as \"500 ms\"");
as_text!(Size, "a size with its unit as text, such as \"64 KiB\"");

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let &(_, factor) = units
        .iter()
        .find(|(known, _)| *known == unit.trim_start())?;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    (product < MAX_FRACTION).then_some(product.round() as u64)
}

/// The value in the largest unit that leaves a whole number.
fn with_unit(value: u64, units: &[(&str, u64)], of_zero: &str) -> String {
    if value == 0 {
        return format!("0 {of_zero}");
    }
    let whole = units
        .iter()
        .rev()
        .find(|(_, factor)| value.is_multiple_of(*factor));
    let (unit, factor) = whole.copied().unwrap_or((units[0].0, units[0].1));
    format!("{} {unit}", value / factor)
}

const TIMES: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// The whole numbers below it are exact in an f64.
const MAX_FRACTION: f64 = (1_u64 << 53) as f64;

const HIDDEN: &str = "(hidden)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_and_written() {
        for (text, milliseconds, canonical) in [
            ("500 ms", 500, "500 ms"),
            ("15s", 15_000, "15 s"),
            (" 90 s ", 90_000, "90 s"),
            ("1.5 s", 1_500, "1500 ms"),
            ("2 min", 120_000, "2 min"),
            ("120 min", 7_200_000, "2 h"),
            ("0 ms", 0, "0 s"),
        ] {
            let time: Duration = text.parse().unwrap();
            assert_eq!(time, Duration::from_millis(milliseconds), "{text}");
            assert_eq!(time.to_string(), canonical);
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for (text, bytes, canonical) in [
            ("512 B", 512, "512 B"),
            ("64 KiB", 65_536, "64 KiB"),
            ("1.5KiB", 1_536, "1536 B"),
            ("2 GiB", 2 << 30, "2 GiB"),
            ("0 B", 0, "0 B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!(
                (size, size.to_string().as_str()),
                (Size(bytes), canonical),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_needs_a_known_unit() {
        for text in [
            "",
            "5",
            "s",
            "5 parsecs",
            "-1 s",
            "1..5 s",
            "5 S",
            "99999999999999 h",
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains("such as \"500 ms\""), "{error}");
        }
        for text in ["5", "5 KB", "64k", "99999999999999 GiB"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("such as \"64 KiB\""), "{error}");
        }
    }
}
