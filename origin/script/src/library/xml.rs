//! Reads XML the way ActionScript's `XML` object does.
//!
//! It reads elements, their attributes, text and CDATA. Comments and processing instructions are
//! skipped; the XML declaration and the document type are kept as text. There are no external
//! entities and no entity declarations: `&amp;`, `&lt;`, `&gt;`, `&quot;`, `&apos;` and character
//! references are decoded, any other `&name;` stays. So no part of a document can grow.

use std::{borrow::Cow, fmt};

/// One piece of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A start tag. An [`Piece::End`] follows also a tag that closes itself.
    Start {
        /// The name with its prefix.
        name: &'a str,
        /// The attributes in order; the first one of a name counts.
        attributes: Vec<(&'a str, Cow<'a, str>)>,
    },
    /// The end of the element that began last.
    End,
    /// Text between tags, or a CDATA section.
    Text(Cow<'a, str>),
    /// `<?xml ...?>`, as it stands.
    Declaration(&'a str),
    /// `<!DOCTYPE ...>`, as it stands.
    DocType(&'a str),
}

/// A fault of a document, with the number in `XML.status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Fault {
    Cdata = -2,
    Declaration = -3,
    DocType = -4,
    Comment = -5,
    Element = -6,
    /// A limit of this module; ActionScript's "out of memory".
    TooMuch = -7,
    Attribute = -8,
    NoEnd = -9,
    NoStart = -10,
}

impl Fault {
    /// The number in `XML.status`.
    pub(crate) fn status(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cdata => "a CDATA section is not terminated",
            Self::Declaration => "a declaration or processing instruction is not terminated",
            Self::DocType => "the document type is not terminated",
            Self::Comment => "a comment is not terminated",
            Self::Element => "an element is malformed",
            Self::TooMuch => "the document is too deep or has too many parts",
            Self::Attribute => "an attribute's value is not terminated",
            Self::NoEnd => "a start tag has no end tag",
            Self::NoStart => "an end tag has no start tag",
        })
    }
}

/// Elements open at a time. Reason: code that walks the finished tree may recurse.
pub(crate) const MAX_DEPTH: usize = 256;

/// Elements, texts and attributes of one document. Reason: each costs a group some hundred bytes of
/// its heap, whatever its length in the document.
pub(crate) const MAX_PARTS: usize = 100_000;

/// Reads a document piece by piece.
#[derive(Debug)]
pub(crate) struct XmlReader<'a> {
    text: &'a str,
    at: usize,
    open: Vec<&'a str>,
    parts: usize,
    /// The last start tag closed itself: its [`Piece::End`] is next.
    ends: bool,
    failed: bool,
    /// The offset up to which lines are counted, and the line there.
    counted: (usize, u32),
}

impl<'a> XmlReader<'a> {
    /// Reads `text`; a byte-order mark before it is skipped.
    pub(crate) fn new(text: &'a str) -> Self {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self {
            text,
            at,
            open: Vec::new(),
            parts: 0,
            ends: false,
            failed: false,
            counted: (0, 1),
        }
    }

    /// The line on which the next piece begins, from 1. CR, LF and CRLF each end one.
    pub(crate) fn line(&mut self) -> u32 {
        let text = self.text.as_bytes();
        let read = text.iter().enumerate().take(self.at).skip(self.counted.0);
        let ends = read.filter(|&(index, &byte)| {
            byte == b'\n' || (byte == b'\r' && text.get(index + 1) != Some(&b'\n'))
        });
        let ends = u32::try_from(ends.count()).unwrap_or(u32::MAX);
        self.counted = (self.at, self.counted.1.saturating_add(ends));
        self.counted.1
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn count(&mut self, parts: usize) -> Result<(), Fault> {
        self.parts += parts;
        if self.parts > MAX_PARTS {
            return Err(Fault::TooMuch);
        }
        Ok(())
    }

    fn piece(&mut self) -> Result<Option<Piece<'a>>, Fault> {
        if std::mem::take(&mut self.ends) {
            return Ok(Some(self.end()));
        }
        loop {
            let rest = self.rest();
            if rest.is_empty() {
                return if self.open.is_empty() {
                    Ok(None)
                } else {
                    Err(Fault::NoEnd)
                };
            }
            if !rest.starts_with('<') {
                return self.characters(rest).map(Some);
            }
            if let Some(piece) = self.markup(rest)? {
                return Ok(Some(piece));
            }
        }
    }

    fn characters(&mut self, rest: &'a str) -> Result<Piece<'a>, Fault> {
        self.count(1)?;
        let text = rest.split('<').next().unwrap_or(rest);
        self.at += text.len();
        Ok(Piece::Text(unescape(text)))
    }

    /// Reads a piece that begins with `<`; `None` if it is skipped.
    fn markup(&mut self, rest: &'a str) -> Result<Option<Piece<'a>>, Fault> {
        if rest.starts_with("<!--") {
            self.skip(rest, 4, "-->", Fault::Comment)?;
            return Ok(None);
        }
        if let Some(data) = rest.strip_prefix("<![CDATA[") {
            let data = data.split_once("]]>").ok_or(Fault::Cdata)?.0;
            self.count(1)?;
            self.at += data.len() + 12;
            return Ok(Some(Piece::Text(Cow::Borrowed(data))));
        }
        if rest.starts_with("<?") {
            let whole = self.skip(rest, 2, "?>", Fault::Declaration)?;
            let declares = whole.starts_with("<?xml")
                && whole[5..].starts_with(|next: char| next.is_ascii_whitespace() || next == '?');
            return Ok(declares.then_some(Piece::Declaration(whole)));
        }
        if rest.starts_with("<!") {
            let length = doctype_length(rest).ok_or(Fault::DocType)?;
            self.at += length;
            return Ok(Some(Piece::DocType(&rest[..length])));
        }
        if let Some(tag) = rest.strip_prefix("</") {
            return self.end_tag(tag).map(Some);
        }
        self.start_tag(&rest[1..]).map(Some)
    }

    fn skip(
        &mut self,
        rest: &'a str,
        opening: usize,
        end: &str,
        fault: Fault,
    ) -> Result<&'a str, Fault> {
        let body = rest[opening..].find(end).ok_or(fault)?;
        let length = opening + body + end.len();
        self.at += length;
        Ok(&rest[..length])
    }

    fn end_tag(&mut self, tag: &'a str) -> Result<Piece<'a>, Fault> {
        let name = tag.split_once('>').ok_or(Fault::Element)?.0;
        self.at += name.len() + 3;
        let name = name.trim_ascii();
        match self.open.last() {
            Some(&open) if open == name => Ok(self.end()),
            // The end tag of an outer element: the inner ones have none.
            _ if self.open.contains(&name) => Err(Fault::NoEnd),
            _ => Err(Fault::NoStart),
        }
    }

    fn end(&mut self) -> Piece<'a> {
        self.open.pop();
        Piece::End
    }

    fn start_tag(&mut self, tag: &'a str) -> Result<Piece<'a>, Fault> {
        let (name, mut rest) = take_name(tag).ok_or(Fault::Element)?;
        let mut attributes: Vec<(&'a str, Cow<'a, str>)> = Vec::new();
        loop {
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix('>') {
                rest = after;
                break;
            }
            if let Some(after) = rest.strip_prefix("/>") {
                rest = after;
                self.ends = true;
                break;
            }
            let (attribute, after) = take_name(rest).ok_or(Fault::Element)?;
            let (value, after) = take_value(after)?;
            if self.parts + attributes.len() > MAX_PARTS {
                return Err(Fault::TooMuch);
            }
            attributes.push((attribute, value));
            rest = after;
        }
        if self.open.len() == MAX_DEPTH {
            return Err(Fault::TooMuch);
        }
        self.count(1 + attributes.len())?;
        self.open.push(name);
        self.at = self.text.len() - rest.len();
        Ok(Piece::Start { name, attributes })
    }
}

impl<'a> Iterator for XmlReader<'a> {
    type Item = Result<Piece<'a>, Fault>;

    /// The iterator ends after the first fault.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let piece = self.piece();
        self.failed = piece.is_err();
        piece.transpose()
    }
}

/// Text with `&`, `<`, `>`, `"` and `'` written as entities, as `XML.toString` writes it.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            char => out.push(char),
        }
    }
    Cow::Owned(out)
}

/// Text with its entities and character references read.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    let Some((before, mut rest)) = text.split_once('&') else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    out.push_str(before);
    loop {
        match entity(rest) {
            Some((char, after)) => {
                out.push(char);
                rest = after;
            }
            None => out.push('&'),
        }
        let Some((before, after)) = rest.split_once('&') else {
            out.push_str(rest);
            return Cow::Owned(out);
        };
        out.push_str(before);
        rest = after;
    }
}

/// The character of an entity after its `&`, and the text after it.
fn entity(text: &str) -> Option<(char, &str)> {
    const LONGEST: usize = "#x10FFFF".len();
    let end = text
        .bytes()
        .take(LONGEST + 1)
        .position(|byte| byte == b';')?;
    let (name, rest) = (&text[..end], &text[end + 1..]);
    let char = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code).filter(|&char| char != '\0')?
        }
    };
    Some((char, rest))
}

/// A name at the start of `text`, and the text after it.
fn take_name(text: &str) -> Option<(&str, &str)> {
    let is_end = |char: char| char.is_ascii_whitespace() || "<>/=\"'".contains(char);
    let end = text.find(is_end)?;
    (end > 0).then(|| text.split_at(end))
}

/// `= "value"` at the start of `text`, and the text after it.
fn take_value(text: &str) -> Result<(Cow<'_, str>, &str), Fault> {
    let text = text.trim_ascii_start();
    let text = text
        .strip_prefix('=')
        .ok_or(Fault::Element)?
        .trim_ascii_start();
    let quote = text
        .chars()
        .next()
        .filter(|char| matches!(char, '"' | '\''))
        .ok_or(Fault::Element)?;
    let (value, rest) = text[1..].split_once(quote).ok_or(Fault::Attribute)?;
    Ok((unescape(value), rest))
}

/// The length of `<!DOCTYPE ...>`, an internal subset in `[ ]` included.
fn doctype_length(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut brackets = 0usize;
    for (index, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'[') => brackets += 1,
            (None, b']') => brackets = brackets.saturating_sub(1),
            (None, b'>') if brackets == 0 => return Some(index + 1),
            (None, _) => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A document as one line: `(` name and attributes, `)` end, `'text'`.
    fn shape(text: &str) -> Result<String, (String, Fault)> {
        let mut out = String::new();
        for piece in XmlReader::new(text) {
            match piece {
                Ok(Piece::Start { name, attributes }) => {
                    out.push_str(&format!("({name}"));
                    for (name, value) in attributes {
                        out.push_str(&format!(" {name}={value}"));
                    }
                    out.push(':');
                }
                Ok(Piece::End) => out.push(')'),
                Ok(Piece::Text(text)) => out.push_str(&format!("'{text}'")),
                Ok(Piece::Declaration(text) | Piece::DocType(text)) => out.push_str(text),
                Err(fault) => return Err((out, fault)),
            }
        }
        Ok(out)
    }

    #[test]
    fn documents_are_read() {
        let table = [
            ("", ""),
            ("\u{feff}<a/>", "(a:)"),
            ("<a b='1' c = \"2\"/>", "(a b=1 c=2:)"),
            ("<a>x<b>y</b >z</a>", "(a:'x'(b:'y')'z')"),
            ("<a> <!-- <b> --> </a>", "(a:' '' ')"),
            ("<a><![CDATA[<b>&amp;]]></a>", "(a:'<b>&amp;')"),
            (
                "<?xml version=\"1.0\"?><?pi x?><a/>",
                "<?xml version=\"1.0\"?>(a:)",
            ),
            (
                "<!DOCTYPE a [<!ENTITY b \"]>\">]><a>&b;</a>",
                "<!DOCTYPE a [<!ENTITY b \"]>\">](a:'&b;')"
                    .replace("](", "]>(")
                    .as_str(),
            ),
            (
                "<a b=\"&lt;&quot;&#65;&#x42;\">&amp;&apos;&gt;&nbsp;& &;&#0;</a>",
                "(a b=<\"AB:'&'>&nbsp;& &;&#0;')",
            ),
            ("<s:a x:b='é'>日本</s:a>", "(s:a x:b=é:'日本')"),
            ("text alone", "'text alone'"),
            ("<a/><b/>", "(a:)(b:)"),
        ]
        .map(|(text, expected)| (text, expected.to_owned()));
        for (text, expected) in table {
            assert_eq!(shape(text).as_deref(), Ok(expected.as_str()), "{text}");
        }
    }

    #[test]
    fn faults_have_the_numbers_of_flash() {
        let table = [
            ("<a><![CDATA[x</a>", -2),
            ("<?xml version='1.0'", -3),
            ("<!DOCTYPE a [", -4),
            ("<a><!-- x</a>", -5),
            ("<a", -6),
            ("<a b>", -6),
            ("<a b=c>", -6),
            ("< a>", -6),
            ("</a", -6),
            ("<a b='c>", -8),
            ("<a><b></a>", -9),
            ("<a>", -9),
            ("<a></a></b>", -10),
            ("</a>", -10),
        ];
        for (text, status) in table {
            assert_eq!(shape(text).unwrap_err().1.status(), status, "{text}");
        }
        let (read, fault) = shape("<a><b>x</b><c></a>").unwrap_err();
        assert_eq!((read.as_str(), fault), ("(a:(b:'x')(c:", Fault::NoEnd));
    }

    #[test]
    fn depth_and_parts_are_bounded() {
        let nested = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(shape(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(shape(&nested(MAX_DEPTH + 1)).unwrap_err().1, Fault::TooMuch);
        let many = "<a/>".repeat(MAX_PARTS + 1);
        assert_eq!(shape(&many).unwrap_err().1, Fault::TooMuch);
        let wide = format!("<a{}/>", " b=''".repeat(MAX_PARTS + 1));
        assert_eq!(shape(&wide).unwrap_err().1, Fault::TooMuch);
    }

    #[test]
    fn lines_are_counted_for_every_end_of_line() {
        let mut reader = XmlReader::new("<a>\r\n<b/>\r<c/>\n</a>");
        let mut lines = Vec::new();
        loop {
            let line = reader.line();
            match reader.next() {
                Some(Ok(Piece::Start { name, .. })) => lines.push((name, line)),
                Some(_) => {}
                None => break,
            }
        }
        assert_eq!(lines, [("a", 1), ("b", 2), ("c", 3)]);
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(text in "[<>/!?\\-\\[\\]CDAT&;#x0-9a-c='\" é]{0,60}") {
            let _ = shape(&text);
        }

        #[test]
        fn escaped_text_is_read_back(text in any::<String>()) {
            let escaped = escape(&text).into_owned();
            prop_assert_eq!(unescape(&escaped), text.as_str());
        }
    }
}
