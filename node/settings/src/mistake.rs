//! The mistakes in a configuration: setting, reason and remedy.

use std::fmt;

/// The path of a setting: `edge.rtmp`, `applications.live`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct At(Vec<String>);

impl At {
    /// The whole configuration.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a key of the table here, or of an item of the list here.
    pub fn key(&self, key: impl ToString) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.to_string());
        Self(keys)
    }

    pub(crate) fn from_keys(keys: Vec<String>) -> Self {
        Self(keys)
    }

    pub(crate) fn keys(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub at: At,
    /// The file with line and column, the variable or the flag; `None` for a default.
    pub place: Option<String>,
    pub what: String,
    pub remedy: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if !self.at.keys().is_empty() {
            write!(f, "{}: ", self.at)?;
        }
        f.write_str(&self.what)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// Every mistake of a configuration, one per line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds a mistake of the setting at `at`, with the remedy.
    pub fn add(&mut self, at: At, what: impl Into<String>, remedy: impl Into<String>) {
        self.push(Mistake {
            at,
            place: None,
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// Adds the mistakes of another part.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Whether there are no mistakes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }

    pub(crate) fn push(&mut self, mistake: Mistake) {
        self.0.push(mistake);
    }

    /// Adds the sources of the settings, which `place` finds by their keys.
    pub(crate) fn locate(&mut self, place: impl Fn(&[String]) -> Option<String>) {
        for mistake in &mut self.0 {
            if mistake.place.is_none() {
                mistake.place = place(mistake.at.keys());
            }
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
