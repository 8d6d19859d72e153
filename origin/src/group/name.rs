//! The name of a stream, as a client wrote it and as the group knows it.

use tributary_protocol::link::lane_frame::MAX_STREAM_NAME;

/// A stream's name within its group, and the query that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamName<'a> {
    /// The name of the stream in its group: query and surrounding slashes cut off.
    pub(super) name: &'a str,
    /// The text behind the first `?`; it may hold a key.
    pub(super) query: &'a str,
}

/// The longest stream name, query excluded, in bytes. Reason: names are kept for each stream
/// that is waited for.
pub(super) const MAX_NAME: usize = MAX_STREAM_NAME;

/// The longest query of a stream name, in bytes. Reason: an identity keeps it as long as its
/// publisher; tokens are far shorter.
pub(super) const MAX_QUERY: usize = 4_096;

impl<'a> StreamName<'a> {
    /// Reads a name; `None` if it is empty, too long, holds control characters or points outside
    /// its group.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let name = name.trim_matches('/');
        if name.is_empty() || name.len() > MAX_NAME || query.len() > MAX_QUERY {
            return None;
        }
        let hostile = |part: &str| matches!(part, "" | "." | "..") || part.contains('\\');
        if name.chars().any(char::is_control) || name.split('/').any(hostile) {
            return None;
        }
        Some(Self { name, query })
    }
}

/// The name as a client writes it, with its query if it has one.
pub(super) fn with_query(name: &str, query: &str) -> String {
    match query {
        "" => name.to_owned(),
        query => format!("{name}?{query}"),
    }
}

/// The name as written, without the query, which may hold a key.
pub(super) fn without_query(name: &str) -> &str {
    name.split('?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_or_refused() {
        let long = "n".repeat(65_536);
        for (text, expected) in [
            ("cam", Some(("cam", ""))),
            ("cam?key=1?2", Some(("cam", "key=1?2"))),
            ("/a/b/?", Some(("a/b", ""))),
            ("mp4:a.mp4", Some(("mp4:a.mp4", ""))),
            ("Cam", Some(("Cam", ""))),
            ("\u{e9}t\u{e9}", Some(("\u{e9}t\u{e9}", ""))),
            ("", None),
            ("?key", None),
            ("///", None),
            ("a//b", None),
            ("../secret", None),
            ("a/./b", None),
            ("a\\..\\b", None),
            ("a\0b", None),
            ("a\nb", None),
            (&long, None),
        ] {
            let parsed = StreamName::parse(text).map(|parsed| (parsed.name, parsed.query));
            assert_eq!(parsed, expected, "{text:.20}");
        }
    }
}
