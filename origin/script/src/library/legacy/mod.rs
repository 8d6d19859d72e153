//! Features of JavaScript 1.5, the old engine's language, that QuickJS does not have.
//!
//! A conditional `catch` is rewritten before a file is compiled ([`translate`]). Members of the
//! standard objects are added to groups whose files use them ([`Extras`]), so that they cost the
//! others nothing. `tributary check` lists all other features with their lines ([`findings`]).

use std::borrow::Cow;

mod lasting;
mod lexer;
mod needs;
mod order;
mod scopes;
mod translate;

use self::lexer::{Token, TokenKind};
pub(crate) use self::{
    lasting::{LASTING, Lasting},
    needs::{defined, needed},
    order::{Walk, walks},
};

/// A feature of the old language that does not work here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The line, from 1.
    pub(crate) line: u32,
    /// The feature, and its replacement.
    pub(crate) what: &'static str,
}

impl Finding {
    /// The finding as a line of `tributary check`.
    pub(crate) fn in_file(&self, file: &str) -> String {
        format!("{file}:{}: {}", self.line, self.what)
    }
}

/// Members of the standard objects that a script's files use and the engine does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    /// `RegExp.$1`, `RegExp.lastMatch` and the others.
    regexp: bool,
    /// `toSource`, `uneval`, `quote`.
    source: bool,
    /// `Array.join(list)`, `String.replace(text, ...)` and the others.
    generics: bool,
    /// `Object.watch`, `Object.unwatch`.
    watch: bool,
}

impl Extras {
    /// The members that a file uses.
    pub(crate) fn of(text: &str) -> Self {
        // Most files use none of these: their words are not looked at.
        const HINTS: &[&str] = &[
            "RegExp", "toSource", "uneval", "quote", "Array.", "String.", "watch",
        ];
        if !HINTS.iter().any(|hint| text.contains(hint)) {
            return Self::default();
        }
        let tokens = lexer::tokens(text);
        let mut extras = Self::default();
        for window in tokens.windows(3) {
            let [owner, dot, member] = window else {
                continue;
            };
            if !dot.is(".") || member.kind != TokenKind::Word {
                continue;
            }
            match member.text {
                "toSource" | "quote" => extras.source = true,
                "watch" | "unwatch" => extras.watch = true,
                name if owner.is("RegExp") => extras.regexp |= is_regexp_static(name),
                name if owner.is("Array") => extras.generics |= ARRAY_GENERICS.contains(&name),
                name if owner.is("String") => extras.generics |= STRING_GENERICS.contains(&name),
                _ => {}
            }
        }
        extras.source |= tokens.iter().any(|token| token.is("uneval"));
        extras
    }

    /// The members that either uses.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            regexp: self.regexp || other.regexp,
            source: self.source || other.source,
            generics: self.generics || other.generics,
            watch: self.watch || other.watch,
        }
    }

    /// The scripts that add these members, each with its name.
    pub(crate) fn scripts(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [
            (self.regexp, "regexp.js", include_str!("regexp.js")),
            (self.source, "source.js", include_str!("source.js")),
            (self.generics, "generics.js", include_str!("generics.js")),
            (self.watch, "watch.js", include_str!("watch.js")),
        ]
        .into_iter()
        .filter(|(used, ..)| *used)
        .map(|(_, name, text)| (name, text))
    }
}

/// A file's text with conditional `catch` clauses in today's syntax. Every line keeps its number.
pub(crate) fn translate(text: &str) -> Cow<'_, str> {
    if text.contains("catch") {
        translate::conditional_catch(text)
    } else {
        Cow::Borrowed(text)
    }
}

/// The calls of `load` with a literal name, and their lines. Unlike a search in the text it leaves
/// out comments and strings.
pub(crate) fn loads(text: &str) -> Vec<(u32, &str)> {
    if !text.contains("load") {
        return Vec::new();
    }
    let tokens = lexer::tokens(text);
    let named = tokens.windows(4).enumerate().filter_map(|(index, window)| {
        let [load, open, name, close] = window else {
            return None;
        };
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        let is_call = load.is("load") && open.is("(") && close.is(")");
        let is_member = before.is_some_and(|before| before.is(".") || before.is("function"));
        let is_named = name.kind == TokenKind::Text && name.text.starts_with(['"', '\'']);
        let name = (load.line, name.text.trim_matches(['"', '\'']));
        (is_call && is_named && !is_member).then_some(name)
    });
    named.collect()
}

/// The features that do not work, in the order of the file. This is a look at the words, not at
/// their meaning: a member of the script's own with such a name is listed too.
pub(crate) fn findings(text: &str) -> Vec<Finding> {
    let tokens = lexer::tokens(text);
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let after = tokens.get(index + 1..).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        if let Some(what) = finding(before, token, after) {
            let line = token.line;
            found.push(Finding { line, what });
        }
    }
    found
}

fn finding(
    before: Option<&Token<'_>>,
    token: &Token<'_>,
    after: &[Token<'_>],
) -> Option<&'static str> {
    let follows = |at: usize, text: &str| after.get(at).is_some_and(|token| token.is(text));
    let is_member = before.is_some_and(|before| before.is("."));
    if token.is("#") {
        let number = after
            .first()
            .is_some_and(|next| next.kind == TokenKind::Number);
        let sharp = number && (follows(1, "=") || follows(1, "#"));
        return sharp.then_some("sharp variables (#1=) do not exist: name the object");
    }
    if token.kind != TokenKind::Word {
        return None;
    }
    match token.text {
        "for" if !is_member && follows(0, "each") && follows(1, "(") => {
            Some("for each (... in ...) does not exist: write for (... of Object.values(...))")
        }
        "getter" | "setter" if !is_member && follows(0, "=") && follows(1, "function") => {
            Some("getter = and setter = do not exist: write __defineGetter__ or get name() {}")
        }
        "default" if follows(0, "xml") && follows(1, "namespace") => {
            Some("E4X does not exist: use the class XML")
        }
        "__noSuchMethod__" => Some("__noSuchMethod__ is not called: use a Proxy"),
        "__parent__" | "__count__" if is_member => Some("__parent__ and __count__ do not exist"),
        "toLocaleFormat" if is_member => Some("toLocaleFormat does not exist: use toLocaleString"),
        "arguments" if is_member => {
            Some("the property arguments of a function does not exist: use the variable arguments")
        }
        "caller" if is_member => Some("caller does not exist"),
        _ => None,
    }
}

fn is_regexp_static(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "lastMatch",
        "lastParen",
        "leftContext",
        "rightContext",
        "input",
        "multiline",
    ];
    let digits = name.strip_prefix('$');
    NAMES.contains(&name) || digits.is_some_and(|rest| rest.len() <= 1)
}

const ARRAY_GENERICS: &[&str] = &[
    "concat",
    "every",
    "filter",
    "forEach",
    "indexOf",
    "join",
    "lastIndexOf",
    "map",
    "pop",
    "push",
    "reduce",
    "reduceRight",
    "reverse",
    "shift",
    "slice",
    "some",
    "sort",
    "splice",
    "unshift",
];

const STRING_GENERICS: &[&str] = &[
    "charAt",
    "charCodeAt",
    "concat",
    "indexOf",
    "lastIndexOf",
    "localeCompare",
    "match",
    "replace",
    "search",
    "slice",
    "split",
    "substr",
    "substring",
    "toLowerCase",
    "toUpperCase",
    "trim",
];

#[cfg(test)]
mod tests;
