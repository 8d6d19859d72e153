//! Names that the evaluation of a script needs, and names that it defines.

use std::collections::HashSet;

use super::{
    lexer::{Token, TokenKind},
    scopes::Script,
};

/// Names that a file's top level uses and the file does not define, each with its first line. Names
/// under a `try` or a `typeof` are left out.
pub(crate) fn needed(text: &str) -> Vec<(u32, &str)> {
    let script = Script::of(text);
    let mut known = declared(&script, |_| true);
    known.extend(script.parameters_of_all());
    known.extend(guarded(&script));
    let mut needed = Vec::new();
    for at in script.top_level() {
        let token = script.tokens[at];
        if is_use(&script, at) && known.insert(token.text) {
            needed.push((token.line, token.text));
        }
    }
    needed
}

/// Names that are global when the file has been evaluated.
pub(crate) fn defined(text: &str) -> HashSet<&str> {
    let script = Script::of(text);
    let mut defined = declared(&script, |at| script.is_outermost(at));
    let assigned = script.top_level().filter_map(|at| assigned(&script, at));
    defined.extend(assigned);
    defined
}

/// Names that are declared or assigned at these tokens.
fn declared<'a>(script: &Script<'a>, counts: impl Fn(usize) -> bool) -> HashSet<&'a str> {
    let mut names = HashSet::new();
    for (at, token) in script.tokens.iter().enumerate() {
        if !counts(at) || script.is_before(at, 1, ".") || token.kind != TokenKind::Word {
            names.extend(assigned(script, at).filter(|_| counts(at)));
            continue;
        }
        match token.text {
            "var" | "let" | "const" => declarators(&script.tokens[at + 1..], &mut names),
            "function" | "class" => {
                let name = script.tokens[at + 1..].iter().find(|token| !token.is("*"));
                names.extend(
                    name.filter(|name| name.kind == TokenKind::Word)
                        .map(|name| name.text),
                );
            }
            "import" => {
                let rest = script.tokens[at + 1..].iter().take(MAX_DECLARATION);
                let words =
                    rest.take_while(|token| token.kind != TokenKind::Text && !token.is(";"));
                names.extend(words.map(|word| word.text));
            }
            _ => names.extend(assigned(script, at)),
        }
    }
    names
}

/// The names that a `var` declares.
fn declarators<'a>(tokens: &[Token<'a>], names: &mut HashSet<&'a str>) {
    let mut depth = 0_usize;
    let mut is_name = true;
    let mut pattern = 0;
    let mut last: Option<&Token<'_>> = None;
    for token in tokens.iter().take(MAX_DECLARATION) {
        // A new line that cannot continue the expression of the line before.
        let ended = last.is_some_and(|last| {
            let operand = last.kind != TokenKind::Sign || [")", "]", "}"].contains(&last.text);
            last.line < token.line && operand && token.kind == TokenKind::Word
        });
        if depth == 0 && (token.is(";") || token.is("in") || token.is("of") || ended) {
            return;
        }
        last = Some(token);
        if token.kind == TokenKind::Word && (is_name || pattern > 0) {
            names.insert(token.text);
            is_name = false;
        } else if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
            if is_name {
                pattern = depth;
                is_name = false;
            }
        } else if token.is(")") || token.is("]") || token.is("}") {
            if pattern == depth {
                pattern = 0;
            }
            let Some(outer) = depth.checked_sub(1) else {
                return;
            };
            depth = outer;
        } else if depth == 0 && token.is(",") {
            is_name = true;
        }
    }
}

/// The name of a variable, or of a member of the global object, that is assigned here.
fn assigned<'a>(script: &Script<'a>, at: usize) -> Option<&'a str> {
    let token = script.tokens.get(at)?;
    let is_simple = script.is(at + 1, "=") && !script.is(at + 2, "=") && !script.is(at + 2, ">");
    let is_walked = (script.is(at + 1, "in") || script.is(at + 1, "of"))
        && script.is_before(at, 1, "(")
        && script.is_before(at, 2, "for");
    if token.kind != TokenKind::Word || !(is_simple || is_walked) {
        return None;
    }
    let is_member = script.is_before(at, 1, ".");
    let of_global = ["this", "globalThis"]
        .iter()
        .any(|owner| script.is_before(at, 2, owner) && !script.is_before(at, 3, "."))
        || script.is_before(at, 2, ")") && script.is_before(at, 4, "getGlobal");
    (!is_member || of_global).then_some(token.text)
}

/// Names in the operand of `typeof` or `in`.
fn guarded<'a>(script: &Script<'a>) -> impl Iterator<Item = &'a str> {
    script
        .tokens
        .windows(3)
        .flat_map(|window| {
            let [first, second, third] = window else {
                return [None, None];
            };
            let asked = if second.is("(") { third } else { second };
            let is_text = first.kind == TokenKind::Text && second.is("in");
            [
                first.is("typeof").then_some(asked.text),
                is_text.then(|| first.text.trim_matches(['"', '\''])),
            ]
        })
        .flatten()
}

/// Whether the token is a variable whose value is read.
fn is_use(script: &Script<'_>, at: usize) -> bool {
    let token = script.tokens[at];
    if token.kind != TokenKind::Word || KEYWORDS.contains(&token.text) {
        return false;
    }
    let member = script.is_before(at, 1, ".") && !script.is_before(at, 2, ".");
    let before = ["delete", "break", "continue", "typeof"];
    let no_value = before.iter().any(|word| script.is_before(at, 1, word));
    let begins = ["{", ",", ";", "}"];
    let key = script.is(at + 1, ":")
        && (at == 0 || begins.iter().any(|sign| script.is_before(at, 1, sign)));
    !(member || no_value || key)
}

/// Tokens of a declaration that are looked at. Reason: each could be as long as the file.
const MAX_DECLARATION: usize = 512;

/// Words that are no variables.
const KEYWORDS: &[&str] = &[
    "async",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "each",
    "else",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "from",
    "function",
    "get",
    "if",
    "import",
    "in",
    "instanceof",
    "let",
    "new",
    "null",
    "of",
    "return",
    "set",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "arguments",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_level_needs_what_it_uses_and_does_not_define() {
        for (text, expected) in [
            ("new Room('a'); x = LIMIT + 1;", &["Room", "LIMIT"][..]),
            ("Chat.prototype = new Base();", &["Chat", "Base"]),
            ("\n\nhelper(1); helper(2)", &["helper"]),
            ("class A extends Base {}", &["Base"]),
            (
                "if (a.DEBUG) { start(); } else stop()",
                &["a", "start", "stop"],
            ),
            (
                "(function() { start(); })(); x = function() { other(); }()",
                &["start", "other"],
            ),
            (
                "(() => { start(); })(); (() => other())()",
                &["start", "other"],
            ),
            (
                "init(); function init() { start(); } function no() { other(); }",
                &["start"],
            ),
            ("var init = function() { start(); }; init()", &["start"]),
            ("[1].forEach(function(one) { add(one); })", &["add"]),
            (
                "s = `${name}` + [...list]; a.b.c = { k: v, m() { no(); } }",
                &["name", "list", "a", "v"],
            ),
            (
                "on(x => no(x), function() { no(); }, last)",
                &["on", "last"],
            ),
            (
                "application.onConnect = function(client) { no(client); };",
                &["application"],
            ),
            (
                "try { var dummy = FCComponents; } catch (e) { load('c.asc'); trace(e); }",
                &["load", "trace"],
            ),
            (
                "if (typeof Room != 'undefined') new Room(); if ('Base' in this) Base()",
                &[],
            ),
            (
                "var a, b = [1, 2], { c, d } = b;\nfor (var i = 0, n; i < n; i++) a(b, c, d)\nlate()",
                &["late"],
            ),
            (
                "x = 1; x(); this.y = 2; y(); getGlobal().z = 3; z()",
                &["getGlobal"],
            ),
            (
                "for (i in list) i; l: for (;;) break l; delete gone; v = on ? yes : no",
                &["list", "on", "yes", "no"],
            ),
            ("import a, { b as c } from './d.js'; a(b, c)", &[]),
            ("count += 1; other++", &["count", "other"]),
        ] {
            let names: Vec<_> = needed(text).into_iter().map(|(_, name)| name).collect();
            assert_eq!(names, expected, "{text}");
        }
    }

    #[test]
    fn what_is_global_afterwards_is_defined() {
        let text = "var a = 1, b; function c(p) { var no = 1; no2 = 2; } d = e = 1; this.f = 2;\n\
                    let g; class H {} if (a) { var i = 1; } (function() { j = 1; })();\n\
                    x.no = 1; Object.no = { no: 1 }; a == no; k = function no() {}";
        let mut names: Vec<_> = defined(text).into_iter().collect();
        names.sort_unstable();
        names.retain(|name| !name.starts_with("no") || *name == "no2");
        assert_eq!(
            names,
            ["H", "a", "b", "c", "d", "e", "f", "g", "i", "j", "k"]
        );
    }
}
