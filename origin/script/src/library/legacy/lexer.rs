//! The tokens of a script: a lexer that tells code from strings, comments, templates and regular
//! expressions, and no more.

/// A piece of code, no comment and no white space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    /// The offset of its first byte.
    pub(super) at: usize,
    /// The line of its first byte, from 1.
    pub(super) line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or keyword.
    Word,
    /// A number.
    Number,
    /// A string in quotes, or a piece of a template between its substitutions.
    Text,
    /// A regular expression.
    Pattern,
    /// Any other single character.
    Sign,
}

impl Token<'_> {
    pub(super) fn is(&self, text: &str) -> bool {
        matches!(self.kind, TokenKind::Word | TokenKind::Sign) && self.text == text
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }
}

/// All tokens of a text, even if the text is no script.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    Lexer {
        text,
        at: 0,
        line: 1,
        tokens: Vec::new(),
        brackets: Vec::new(),
        head_end: None,
    }
    .run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    tokens: Vec<Token<'a>>,
    /// The open brackets.
    brackets: Vec<Bracket>,
    /// The last `)` that ended the head of a statement: an operand follows it, unlike the `)` of
    /// `f()`.
    head_end: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bracket {
    /// The `(` after `if`, `while`, `for` or `with`: a statement follows the closing bracket.
    Head,
    /// Any other `(`.
    Parenthesis,
    Brace,
    /// `${` of a template.
    Substitution,
}

/// Keywords before an operand: a `/` after them begins a regular expression.
const BEFORE_OPERAND: &[&str] = &[
    "await",
    "case",
    "delete",
    "do",
    "else",
    "in",
    "instanceof",
    "new",
    "of",
    "return",
    "throw",
    "typeof",
    "void",
    "yield",
];

impl<'a> Lexer<'a> {
    fn run(mut self) -> Vec<Token<'a>> {
        // On the first line alone, which is a comment for the engine too.
        if self.text.starts_with("#!") {
            self.skip_line();
        }
        while let Some(char) = self.rest().chars().next() {
            self.next(char);
        }
        self.tokens
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&mut self, char: char) {
        let rest = self.rest();
        match char {
            char if char.is_whitespace() || char == '\u{feff}' => self.advance(char.len_utf8()),
            '/' if rest.starts_with("//") => self.skip_line(),
            '/' if rest.starts_with("/*") => {
                let end = rest[2..].find("*/").map_or(rest.len(), |end| end + 4);
                self.advance(end);
            }
            '<' if rest.starts_with("<!--") => self.skip_line(),
            '"' | '\'' => self.push(TokenKind::Text, string_length(rest, char)),
            '`' => self.template(1),
            '/' if self.operand_follows() => self.push(TokenKind::Pattern, pattern_length(rest)),
            char if char.is_ascii_digit() => self.push(TokenKind::Number, number_length(rest)),
            char if is_word(char) => {
                let end = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
                self.push(TokenKind::Word, end);
            }
            '}' if self.brackets.last() == Some(&Bracket::Substitution) => {
                self.brackets.pop();
                self.template(1);
            }
            char => self.sign(char),
        }
    }

    fn sign(&mut self, char: char) {
        match char {
            '(' => {
                let head = self.tokens.last().is_some_and(|token| {
                    token.kind == TokenKind::Word
                        && matches!(token.text, "if" | "while" | "for" | "with" | "each")
                });
                let bracket = if head {
                    Bracket::Head
                } else {
                    Bracket::Parenthesis
                };
                self.brackets.push(bracket);
            }
            '{' => self.brackets.push(Bracket::Brace),
            ')' | '}' => {
                let closed = self.brackets.pop();
                if closed == Some(Bracket::Head) {
                    self.head_end = Some(self.tokens.len());
                }
            }
            _ => {}
        }
        self.push(TokenKind::Sign, char.len_utf8());
    }

    /// A piece of a template from its opening (of this length) to its end or next substitution.
    fn template(&mut self, opening: usize) {
        let rest = self.rest();
        let mut at = opening;
        while let Some(char) = rest.get(at..).and_then(|rest| rest.chars().next()) {
            match char {
                '\\' => at += 1 + next_length(&rest[at + 1..]),
                '`' => {
                    at += 1;
                    break;
                }
                '$' if rest[at..].starts_with("${") => {
                    at += 2;
                    self.brackets.push(Bracket::Substitution);
                    break;
                }
                char => at += char.len_utf8(),
            }
        }
        self.push(TokenKind::Text, at.min(rest.len()));
    }

    /// Whether an operand comes next rather than an operator.
    fn operand_follows(&self) -> bool {
        let Some(last) = self.tokens.last() else {
            return true;
        };
        match last.kind {
            TokenKind::Number | TokenKind::Pattern => false,
            // A substitution opens with an operand; a template that ends does not.
            TokenKind::Text => last.text.ends_with("${"),
            TokenKind::Word => BEFORE_OPERAND.contains(&last.text),
            TokenKind::Sign if last.text == ")" => self.head_end == Some(self.tokens.len() - 1),
            TokenKind::Sign => last.text != "]",
        }
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        let text = self.rest().get(..length).unwrap_or_else(|| self.rest());
        self.tokens.push(Token {
            kind,
            text,
            at: self.at,
            line: self.line,
        });
        self.advance(text.len());
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        let end = rest.find(is_line_end).unwrap_or(rest.len());
        self.advance(end);
    }

    fn advance(&mut self, length: usize) {
        let next = (self.at + length).min(self.text.len());
        let passed = self.text.get(self.at..next).unwrap_or_default();
        let whole = self.text.as_bytes();
        let ends = passed.char_indices().filter(|&(index, char)| {
            let crlf = char == '\r' && whole.get(self.at + index + 1) == Some(&b'\n');
            is_line_end(char) && !crlf
        });
        self.line += u32::try_from(ends.count()).unwrap_or_default();
        self.at = next;
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric()
        || matches!(char, '_' | '$')
        || (char > '\u{7f}' && !char.is_whitespace())
}

fn is_line_end(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

fn next_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn string_length(text: &str, quote: char) -> usize {
    let mut at = 1;
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match char {
            '\\' if text[at + 1..].starts_with("\r\n") => at += 3,
            '\\' => at += 1 + next_length(&text[at + 1..]),
            // An unterminated string, which the engine reports.
            '\n' | '\r' => return at,
            char => {
                at += char.len_utf8();
                if char == quote {
                    return at;
                }
            }
        }
    }
    text.len()
}

fn pattern_length(text: &str) -> usize {
    let mut at = 1;
    let mut class = false;
    while let Some(char) = text.get(at..).and_then(|rest| rest.chars().next()) {
        match char {
            '\\' => at += 1 + next_length(&text[at + 1..]),
            char if is_line_end(char) => return at,
            char => {
                at += char.len_utf8();
                match char {
                    '[' => class = true,
                    ']' => class = false,
                    '/' if !class => break,
                    _ => {}
                }
            }
        }
    }
    let at = at.min(text.len());
    let flags = text[at..].find(|char: char| !char.is_ascii_alphabetic());
    at + flags.unwrap_or(text.len() - at)
}

fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let exponent = at > 0
            && matches!(byte, b'+' | b'-')
            && matches!(bytes.get(at - 1), Some(b'e' | b'E'))
            && !text.starts_with("0x")
            && !text.starts_with("0X");
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent) {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn code_is_told_from_what_looks_like_it() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            ("a // b\n/* c */ d <!-- e\rf", &["a", "d", "f"]),
            (r#"'a\'b' "c//d""#, &[r"'a\'b'", "\"c//d\""]),
            ("a / b / c", &["a", "/", "b", "/", "c"]),
            ("x = /a[/]b/gi.test", &["x", "=", "/a[/]b/gi", ".", "test"]),
            ("return /a/", &["return", "/a/"]),
            ("f(x) / 2 / 3", &["f", "(", "x", ")", "/", "2", "/", "3"]),
            (
                "if (x) /a/.test",
                &["if", "(", "x", ")", "/a/", ".", "test"],
            ),
            ("a[0] / b / c", &["a", "[", "0", "]", "/", "b", "/", "c"]),
            ("{} /a/", &["{", "}", "/a/"]),
            (
                "`a${b + `c${d}`}e` / f",
                &["`a${", "b", "+", "`c${", "d", "}`", "}e`", "/", "f"],
            ),
            ("`\\`${{a:1}}`", &["`\\`${", "{", "a", ":", "1", "}", "}`"]),
            ("1e+5+0x1e+2.5", &["1e+5", "+", "0x1e", "+", "2.5"]),
            ("$a_1.é", &["$a_1", ".", "é"]),
            ("'a\nb", &["'a", "b"]),
            ("/a", &["/a"]),
            ("#!x\ny", &["y"]),
        ];
        for (text, expected) in table {
            assert_eq!(texts(text), *expected, "{text}");
        }
    }

    #[test]
    fn lines_are_counted_for_every_end_of_line() {
        let lines: Vec<_> = tokens("a\r\nb\rc\nd /*\n\r*/ 'e\\\nf' g")
            .into_iter()
            .map(|token| (token.text, token.line))
            .collect();
        let expected = [
            ("a", 1),
            ("b", 2),
            ("c", 3),
            ("d", 4),
            ("'e\\\nf'", 6),
            ("g", 7),
        ];
        assert_eq!(lines, expected);
    }

    proptest! {
        #[test]
        fn tokens_are_parts_of_any_text(text in "[a-c0-9'\"`/\\\\*${}()\\[\\] \n\ré<!=-]{0,60}") {
            let mut last = 0;
            for token in tokens(&text) {
                prop_assert!(token.at >= last && !token.text.is_empty());
                prop_assert_eq!(text.get(token.at..token.end()), Some(token.text));
                last = token.end();
            }
            prop_assert!(last <= text.len());
        }
    }
}
