//! The name of a group: application and instance.

use std::{fmt, str::FromStr};

/// `application/instance`, normalised, for routing, authorisation, statistics and storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    application: String,
    instance: String,
}

impl GroupName {
    /// The longest name accepted, in bytes, query excluded and the default instance included.
    /// Reason: the name is held per session and per group in both tiers and is written to logs.
    pub const MAX_LENGTH: usize = 512;
    /// The instance of an `app` without one.
    pub const DEFAULT_INSTANCE: &str = "_definst_";

    /// Reads the `app` property of a connect command: the first path segment is the application,
    /// the rest up to the query is the instance.
    pub fn from_app(app: &str) -> Result<Self, GroupNameError> {
        let path = app.split('?').next().unwrap_or_default();
        if path.len() > Self::MAX_LENGTH {
            return Err(GroupNameError::TooLong);
        }
        if path.chars().any(char::is_control) {
            return Err(GroupNameError::ControlCharacter);
        }
        let path = path.trim_matches('/');
        let (application, instance) = path.split_once('/').unwrap_or((path, ""));
        if application.is_empty() {
            return Err(GroupNameError::Empty);
        }
        let instance = match instance.trim_matches('/') {
            "" => Self::DEFAULT_INSTANCE,
            instance => instance,
        };
        // The length on the link, the default instance included.
        if application.len() + 1 + instance.len() > Self::MAX_LENGTH {
            return Err(GroupNameError::TooLong);
        }
        let traverses = |part: &str| matches!(part, "." | ".." | "") || part.contains('\\');
        if traverses(application) || instance.split('/').any(traverses) {
            return Err(GroupNameError::Traversal);
        }
        Ok(Self {
            application: application.to_owned(),
            instance: instance.to_owned(),
        })
    }

    /// The application's name: one path segment.
    pub fn application(&self) -> &str {
        &self.application
    }

    /// The instance's name; may contain slashes.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.application, self.instance)
    }
}

impl FromStr for GroupName {
    type Err = GroupNameError;

    fn from_str(app: &str) -> Result<Self, Self::Err> {
        Self::from_app(app)
    }
}

/// The reason for which an `app` names no group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupNameError {
    /// No application segment.
    Empty,
    /// Longer than [`GroupName::MAX_LENGTH`].
    TooLong,
    /// NUL or another control character.
    ControlCharacter,
    /// A segment is empty, `.` or `..`, or holds a backslash.
    Traversal,
}

impl fmt::Display for GroupNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no application named",
            Self::TooLong => "application name too long",
            Self::ControlCharacter => "control character in the application name",
            Self::Traversal => "path traversal in the application name",
        })
    }
}

impl std::error::Error for GroupNameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_is_split_at_the_first_slash_and_cut_at_the_query() {
        for (app, application, instance) in [
            ("live", "live", "_definst_"),
            ("live/", "live", "_definst_"),
            ("/live", "live", "_definst_"),
            ("live/room1", "live", "room1"),
            ("chat/a/b/c", "chat", "a/b/c"),
            ("live/room1?token=a/b", "live", "room1"),
            ("live?x=/y", "live", "_definst_"),
            ("Live", "Live", "_definst_"),
        ] {
            let name = GroupName::from_app(app).unwrap();
            assert_eq!(
                (name.application(), name.instance()),
                (application, instance),
                "{app}"
            );
            assert_eq!(
                GroupName::from_app(&name.to_string()).unwrap(),
                name,
                "{app} round trip"
            );
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        for (app, error) in [
            ("", GroupNameError::Empty),
            ("?x", GroupNameError::Empty),
            ("live\0", GroupNameError::ControlCharacter),
            ("live/a\nb", GroupNameError::ControlCharacter),
            ("..", GroupNameError::Traversal),
            ("live/../x", GroupNameError::Traversal),
            ("live/a//b", GroupNameError::Traversal),
            ("live/a\\b", GroupNameError::Traversal),
        ] {
            assert_eq!(GroupName::from_app(app), Err(error), "{app:?}");
        }
        assert_eq!(
            GroupName::from_app(&"a".repeat(65_536)),
            Err(GroupNameError::TooLong)
        );
    }

    #[test]
    fn every_name_that_is_taken_in_can_be_read_back() {
        for length in 490..=520 {
            if let Ok(name) = GroupName::from_app(&"a".repeat(length)) {
                assert_eq!(name.to_string().parse(), Ok(name), "{length} bytes");
                assert!(length <= 502, "{length} bytes and /_definst_");
            } else {
                assert!(length > 502, "{length} bytes");
            }
        }
    }
}
