//! Script files as text: byte-order marks, encodings of old editors, lines, calls of `load`.

use std::borrow::Cow;

use encoding_rs::{GB18030, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// A script file's text for the engine, and its encoding if that is not UTF-8.
///
/// Other files are read as GB18030 (a superset of GBK) if they are valid in it, else as
/// Windows-1252. The engine takes CR, LF and CRLF as line ends.
pub(crate) fn decode(bytes: &[u8]) -> (String, Option<&'static str>) {
    if let Some(rest) = bytes.strip_prefix(b"\xEF\xBB\xBF") {
        return decode(rest);
    }
    for (mark, encoding) in [(b"\xFF\xFE", UTF_16LE), (b"\xFE\xFF", UTF_16BE)] {
        if let Some(rest) = bytes.strip_prefix(mark) {
            let (text, _) = encoding.decode_without_bom_handling(rest);
            return (text.into_owned(), Some(encoding.name()));
        }
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => {
            let (encoding, text) = decode_old(bytes);
            (text.into_owned(), Some(encoding))
        }
    }
}

fn decode_old(bytes: &[u8]) -> (&'static str, Cow<'_, str>) {
    let (text, wrong) = GB18030.decode_without_bom_handling(bytes);
    if !wrong {
        return (GB18030.name(), text);
    }
    let (text, _) = WINDOWS_1252.decode_without_bom_handling(bytes);
    (WINDOWS_1252.name(), text)
}

/// A line of a source, from 1, as the engine counts them; cut to the length of a log line.
pub(crate) fn line(source: &str, number: u32) -> Option<&str> {
    let mut rest = source;
    for _ in 1..number {
        let end = rest.find(['\r', '\n', '\u{2028}', '\u{2029}'])?;
        let mut after = rest[end..].chars();
        if after.next() == Some('\r') && rest[end + 1..].starts_with('\n') {
            after.next();
        }
        rest = after.as_str();
    }
    let end = rest
        .find(['\r', '\n', '\u{2028}', '\u{2029}'])
        .unwrap_or(rest.len());
    Some(shortened(&rest[..end], LINE_SHOWN))
}

/// The beginning of a text, cut at a character.
pub(crate) fn shortened(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The names in `load("name")` calls; names in comments are included, which does no harm.
pub(crate) fn loads(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("load").filter_map(|(at, word)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || "_$.".contains(before)) {
            return None;
        }
        let rest = text[at + word.len()..].trim_start();
        let rest = rest.strip_prefix('(')?.trim_start();
        let quote = rest
            .chars()
            .next()
            .filter(|&quote| quote == '"' || quote == '\'')?;
        rest[1..].split_once(quote).map(|(name, _)| name)
    })
}

/// The bytes of a source line that an error shows. Reason: log lines and status objects contain it.
const LINE_SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_of_old_editors_is_read() {
        for (bytes, text, encoding) in [
            (&b"trace(1)"[..], "trace(1)", None),
            (b"\xEF\xBB\xBFvar a;", "var a;", None),
            ("\u{4f60}".as_bytes(), "\u{4f60}", None),
            (b"\xFF\xFEa\0b\0", "ab", Some("UTF-16LE")),
            (b"\xFE\xFF\0a\0b", "ab", Some("UTF-16BE")),
            // The file of a Chinese editor with "你好".
            (b"'\xC4\xE3\xBA\xC3'", "'\u{4f60}\u{597d}'", Some("gb18030")),
            // The file of a western editor with "café" and a byte that GBK does not have.
            (b"'caf\xE9'\xFF", "'caf\u{e9}'\u{ff}", Some("windows-1252")),
        ] {
            assert_eq!(decode(bytes), (text.to_owned(), encoding), "{bytes:?}");
        }
    }

    #[test]
    fn loads_are_found() {
        let text =
            "load(\"a.asc\");load( 'b/c.asc' )\rx.load('no');preload('no');load(name);load()";
        assert_eq!(loads(text).collect::<Vec<_>>(), ["a.asc", "b/c.asc"]);
    }

    #[test]
    fn lines_end_as_the_engine_ends_them() {
        for source in ["a\rb\rc", "a\nb\nc", "a\r\nb\r\nc"] {
            for (number, text) in [(1, "a"), (2, "b"), (3, "c")] {
                assert_eq!(line(source, number), Some(text), "{source:?}");
            }
            assert_eq!(line(source, 4), None);
        }
        assert_eq!(line("\r\r\nx", 3), Some("x"));
    }
}
