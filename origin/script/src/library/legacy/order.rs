//! Objects whose members a script visits in another order than it adds them.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use super::lexer::{self, Token, TokenKind};

/// A walk with `for in` over an object whose members have computed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Walk<'a> {
    /// The line of the walk, from 1.
    pub(crate) line: u32,
    /// The object's name.
    pub(crate) name: &'a str,
    /// The line that adds members.
    pub(crate) filled: u32,
}

/// The first walk over each object that may have number-like names. This is a look at the words:
/// objects are told apart by their last name, and possible arrays are left out.
pub(crate) fn walks(text: &str) -> Vec<Walk<'_>> {
    if !text.contains("for") {
        return Vec::new();
    }
    let tokens = lexer::tokens(text);
    let arrays = arrays(&tokens);
    let walked: Vec<_> = (0..tokens.len())
        .filter_map(|at| walk(&tokens, at))
        .take(MAX_WALKS)
        .collect();
    let mut filled: HashMap<&str, u32> = HashMap::new();
    for at in 0..tokens.len() {
        let Some((line, name, index)) = fill(&tokens[at..]) else {
            continue;
        };
        // A walk that sets the member it visits adds none.
        let visits = |walk: &Walked<'_>| {
            walk.name == name
                && walk.body.contains(&at)
                && matches!(index, [only] if only.text == walk.variable)
        };
        if !walked.iter().any(visits) {
            filled.entry(name).or_insert(line);
        }
    }
    let mut seen = HashSet::new();
    let walks = walked.into_iter().filter_map(|Walked { line, name, .. }| {
        let filled = *filled.get(name)?;
        let is_noted = !arrays.contains(name) && seen.insert(name);
        is_noted.then_some(Walk { line, name, filled })
    });
    walks.collect()
}

/// `for (var variable in some.name) body`.
struct Walked<'a> {
    line: u32,
    name: &'a str,
    variable: &'a str,
    body: Range<usize>,
}

/// The walk that begins at this token.
fn walk<'a>(tokens: &[Token<'a>], at: usize) -> Option<Walked<'a>> {
    let [head, open, rest @ ..] = tokens.get(at..)? else {
        return None;
    };
    if !head.is("for") || !open.is("(") {
        return None;
    }
    let is_declared = rest
        .first()
        .is_some_and(|word| ["var", "let", "const"].iter().any(|kind| word.is(kind)));
    let skipped = usize::from(is_declared);
    let [variable, within, of @ ..] = rest.get(skipped..)? else {
        return None;
    };
    let end = of.iter().take(MAX_INDEX).position(|token| token.is(")"))?;
    let is_path = of[..end].iter().enumerate().all(|(at, token)| {
        if at % 2 == 0 {
            token.kind == TokenKind::Word
        } else {
            token.is(".")
        }
    });
    let name = of[..end].last()?;
    let is_walk = within.is("in") && is_path && !NO_NAMES.contains(&name.text);
    let begin = at + 4 + skipped + end + 1;
    is_walk.then(|| Walked {
        line: head.line,
        name: name.text,
        variable: variable.text,
        body: begin..begin + statement(&tokens[begin..]),
    })
}

/// The number of tokens of the statement that begins here.
fn statement(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().take(MAX_BODY) {
        if ["(", "[", "{"].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|close| token.is(close)) {
            depth = depth.saturating_sub(1);
        }
        if depth == 0 && (token.is(";") || token.is("}")) {
            return at;
        }
    }
    tokens.len().min(MAX_BODY)
}

/// `name[index] = `: the line, the name, and the index if it may be number-like.
fn fill<'a, 'b>(tokens: &'b [Token<'a>]) -> Option<(u32, &'a str, &'b [Token<'a>])> {
    let [name, open, rest @ ..] = tokens else {
        return None;
    };
    if name.kind != TokenKind::Word || NO_NAMES.contains(&name.text) || !open.is("[") {
        return None;
    }
    let mut depth = 1_usize;
    let end = rest.iter().take(MAX_INDEX).position(|token| {
        if token.is("[") || token.is("(") || token.is("{") {
            depth += 1;
        } else if token.is("]") || token.is(")") || token.is("}") {
            depth -= 1;
        }
        depth == 0
    })?;
    let (index, after) = rest.split_at(end);
    let follows = |at: usize, text: &str| after.get(at).is_some_and(|token| token.is(text));
    let is_set = follows(1, "=") && !follows(2, "=") && !follows(2, ">");
    (is_set && may_be_number(index)).then_some((name.line, name.text, index))
}

/// Whether the value may be a whole number. A text with a character other than a digit, alone or in
/// a sum, rules it out.
fn may_be_number(index: &[Token<'_>]) -> bool {
    let is_word = |token: &Token<'_>| {
        let text = token.text.trim_matches(['"', '\'', '`', '$', '{', '}']);
        token.kind == TokenKind::Text && text.contains(|char: char| !char.is_ascii_digit())
    };
    if let [only] = index {
        return only.kind != TokenKind::Text;
    }
    let is_sum = index.iter().all(|token| {
        token.kind != TokenKind::Sign || ["+", ".", "(", ")", "[", "]"].contains(&token.text)
    });
    let mut depth = 0_i32;
    let has_word = index.iter().enumerate().any(|(at, token)| {
        depth += i32::from(token.is("(") || token.is("["));
        depth -= i32::from(token.is(")") || token.is("]"));
        let beside = |at: Option<usize>| {
            at.and_then(|at| index.get(at))
                .is_some_and(|token| token.is("+"))
        };
        let is_piece = token.text.starts_with(['`', '}']);
        let is_part = is_piece || beside(at.checked_sub(1)) || beside(Some(at + 1));
        depth == 0 && is_word(token) && is_part
    });
    !(is_sum && has_word)
}

/// Names of variables that hold an array, or are used as one.
fn arrays<'a>(tokens: &[Token<'a>]) -> HashSet<&'a str> {
    let mut arrays = HashSet::new();
    for (at, name) in tokens.iter().enumerate() {
        let follows = |distance: usize, text: &str| {
            tokens
                .get(at + distance)
                .is_some_and(|token| token.is(text))
        };
        let made =
            follows(2, "[") || follows(2, "Array") || (follows(2, "new") && follows(3, "Array"));
        let given = (follows(1, "=") || follows(1, ":")) && made;
        let used = follows(1, ".") && ARRAY_MEMBERS.iter().any(|member| follows(2, member));
        if name.kind == TokenKind::Word && (given || used) {
            arrays.insert(name.text);
        }
    }
    arrays
}

/// Tokens that are searched for the end of an index or of a walk's head. Reason: each could be as
/// long as the file.
const MAX_INDEX: usize = 64;

/// Tokens of a walk's body that are looked at. Reason: as for [`MAX_INDEX`].
const MAX_BODY: usize = 512;

/// Walks of a file that are looked at. Reason: each fill is compared with each of them.
const MAX_WALKS: usize = 512;

/// Words that stand for many objects.
const NO_NAMES: &[&str] = &["this", "arguments", "return", "in", "of", "typeof", "case"];

/// Members that only arrays have.
const ARRAY_MEMBERS: &[&str] = &[
    "length", "push", "pop", "shift", "unshift", "splice", "sort",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_filled_under_computed_names_are_seen_where_they_are_walked() {
        for (text, expected) in [
            (
                "users[id] = c;\nfor (var i in users) {}",
                &[(2, "users", 1)][..],
            ),
            (
                "for (i in this.a.users) {}\nx.users[n.id] = 1;",
                &[(1, "users", 2)],
            ),
            (
                "o[1] = 1; o['a'] = 2; for (let i in o) f(i)",
                &[(1, "o", 1)],
            ),
            ("o[f('x')] = 1; for (const i in o) f(i)", &[(1, "o", 1)]),
            (
                "o[a + b] = 1; for (i in o) {}\nfor (i in o) {}",
                &[(1, "o", 1)],
            ),
            ("o[x ? 'a' : y] = 1; for (i in o) {}", &[(1, "o", 1)]),
            ("o[`${id}`] = 1; for (i in o) {}", &[(1, "o", 1)]),
            ("o[id + ''] = 1; for (i in o) {}", &[(1, "o", 1)]),
            ("for (i in a) b[i] = a[i]; for (i in b) {}", &[(1, "b", 1)]),
            ("o['a'] = 1; o.b = 2; for (i in o) {}", &[]),
            ("o['u' + id] = 1; for (i in o) {}", &[]),
            ("o[id + '_x'] = 1; for (i in o) {}", &[]),
            ("o[`u${id}`] = 1; for (i in o) {}", &[]),
            ("o[a.b(c) + ':' + d] = 1; for (i in o) {}", &[]),
            ("o = []; o[i] = 1; for (i in o) {}", &[]),
            ("x = { o: new Array(3) }; o[n] = 1; for (i in o) {}", &[]),
            ("o[o.length] = 1; for (i in o) {}", &[]),
            ("for (i in o) o[i] = 0;", &[]),
            ("for (i in o) { if (i) { o[i] = 0; } }", &[]),
            ("for (i in o) { f(i); } o[i] = 0;", &[(1, "o", 1)]),
            ("if (o[id] == 1) o[id]; for (i in o) {}", &[]),
            ("this[n] = 1; for (i in this) {}", &[]),
            ("o[n] = 1; for (i in f(o)) {}", &[]),
            ("// o[n] = 1\nfor (i in o) {}", &[]),
        ] {
            let found: Vec<_> = walks(text)
                .iter()
                .map(|walk| (walk.line, walk.name, walk.filled))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
