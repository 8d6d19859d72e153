//! `application/x-www-form-urlencoded`, as `LoadVars` reads and writes it.

use std::borrow::Cow;

/// Variables of one text. Reason: each becomes a property of a script's object.
pub(crate) const MAX_VARIABLES: usize = 10_000;

/// The variables in order; those above [`MAX_VARIABLES`] are not read. A name without `=` has the
/// value `undefined` in Flash, and the empty text here.
pub(crate) fn decode(text: &str) -> Vec<(String, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .take(MAX_VARIABLES)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name).into_owned(), unescape(value).into_owned())
        })
        .collect()
}

/// `name=value` pairs joined by `&`.
pub(crate) fn encode<'a>(variables: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in variables {
        if !out.is_empty() {
            out.push('&');
        }
        escape_into(&mut out, name);
        out.push('=');
        escape_into(&mut out, value);
    }
    out
}

/// Escapes as Flash does: every byte of UTF-8 except ASCII letters and digits becomes `%XX`.
fn escape_into(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 0xf)]));
        }
    }
}

/// `+` is a space, `%XX` a byte; any other `%` stays. Bytes that are not UTF-8 are read as Latin-1,
/// which older servers send.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => match after {
                [high, low, after @ ..] if digit(*high).is_some() && digit(*low).is_some() => {
                    let byte =
                        digit(*high).unwrap_or_default() << 4 | digit(*low).unwrap_or_default();
                    bytes.push(byte);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            byte => bytes.push(*byte),
        }
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    Cow::Owned(text)
}

fn digit(char: u8) -> Option<u8> {
    char::from(char)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn variables_are_decoded() {
        let table: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("a=1&b=two+words", &[("a", "1"), ("b", "two words")]),
            ("&a=1&&b", &[("a", "1"), ("b", "")]),
            ("a=1=2", &[("a", "1=2")]),
            ("%61=%C3%A9%", &[("a", "é%")]),
            ("a=%e9%4", &[("a", "é%4")]),
            ("a=1\r\n&b=2", &[("a", "1\r\n"), ("b", "2")]),
            ("\u{feff}ok=true", &[("ok", "true")]),
            ("a=1&a=2", &[("a", "1"), ("a", "2")]),
        ];
        for (text, expected) in table {
            assert_eq!(decode(text), pairs(expected), "{text}");
        }
    }

    #[test]
    fn variables_are_bounded() {
        assert_eq!(
            decode(&"a=&".repeat(MAX_VARIABLES + 5)).len(),
            MAX_VARIABLES
        );
    }

    #[test]
    fn variables_are_encoded_as_flash_does() {
        let encoded = encode([("name", "J. Doe-é"), ("x_y", "1&2")]);
        assert_eq!(encoded, "name=J%2E%20Doe%2D%C3%A9&x%5Fy=1%262");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(name in ".{1,10}", value in any::<String>()) {
            let text = encode([(name.as_str(), value.as_str())]);
            prop_assert_eq!(decode(&text), vec![(name, value)]);
        }
    }
}
