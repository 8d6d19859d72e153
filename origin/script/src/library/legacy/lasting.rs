//! The part of a script that matters when the process of its origin is lost: what it has for that, and
//! the members of clients that only a call sets.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::lexer::{self, Token, TokenKind};

/// Handlers and methods for clients that outlive a process, in the order of reports.
pub(crate) const LASTING: [&str; 4] = ["onHandover", "onRestore", "onReconnect", "remember"];

/// A look at the words of a script's files.
#[derive(Debug, Default)]
pub(crate) struct Lasting<'a> {
    /// Those of [`LASTING`] that it has.
    has: BTreeSet<&'static str>,
    /// The members of a client that `onConnect` names, and whether it gives it no value yet.
    connect: BTreeMap<&'a str, bool>,
    /// The members that methods of clients set, each with its first place.
    of_methods: BTreeMap<&'a str, (&'a str, u32)>,
    /// The same of all other code but the handlers of the application.
    of_others: BTreeMap<&'a str, (&'a str, u32)>,
}

/// A member of clients that is lost with the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LostMember<'a> {
    pub(crate) name: &'a str,
    /// The place that sets it after the connect: file and line.
    pub(crate) file: &'a str,
    pub(crate) line: u32,
}

impl<'a> Lasting<'a> {
    /// Adds a file.
    pub(crate) fn add(&mut self, file: &'a str, text: &'a str) {
        let tokens = lexer::tokens(text);
        for name in LASTING {
            let names = |pair: &[Token<'_>]| pair[0].is(".") && pair[1].is(name);
            if tokens.windows(2).any(names) {
                self.has.insert(name);
            }
        }
        let handlers = handlers(&tokens);
        let mut methods = methods(&tokens);
        for handler in handlers.iter().filter(|it| it.name == "onConnect") {
            let body = &tokens[handler.body.clone()];
            if let Some(client) = handler.client {
                self.add_connect(body, client);
                let inner = methods_of(&tokens, handler.body.clone(), client);
                methods.extend(inner);
            }
        }
        for (at, set) in sets(&tokens) {
            let place = (file, set.member.line);
            let within = |range: &Range<usize>| range.contains(&at);
            if set.owner.is("this") && methods.iter().any(within) {
                self.of_methods.entry(set.member.text).or_insert(place);
            } else if !set.owner.is("this") && !handlers.iter().any(|it| within(&it.body)) {
                self.of_others.entry(set.member.text).or_insert(place);
            }
        }
    }

    /// Notes the members of the client in the body of `onConnect`.
    fn add_connect(&mut self, body: &[Token<'a>], client: &str) {
        for (at, window) in body.windows(3).enumerate() {
            let [owner, dot, member] = window else {
                continue;
            };
            let after = body.get(at + 3..).unwrap_or_default();
            let is_call = after.first().is_some_and(|next| next.is("("));
            if !owner.is(client) || !dot.is(".") || is_call || OWN.contains(&member.text) {
                continue;
            }
            let is_empty = match after {
                [equals, value, ..] if equals.is("=") => is_nothing(value),
                _ => false,
            };
            *self.connect.entry(member.text).or_default() |= is_empty;
        }
    }

    /// Those of [`LASTING`] that the script has.
    pub(crate) fn has(&self) -> impl Iterator<Item = &'static str> {
        LASTING.into_iter().filter(|name| self.has.contains(name))
    }

    /// The members of clients that `onConnect` uses and that are set later, by a call. None if the script
    /// is made for that.
    pub(crate) fn lost(&self) -> Vec<LostMember<'a>> {
        if !self.has.is_empty() {
            return Vec::new();
        }
        let lost = self.connect.iter().filter_map(|(name, is_empty)| {
            let others = self.of_others.get(name).filter(|_| *is_empty);
            let (file, line) = *self.of_methods.get(name).or(others)?;
            Some(LostMember { name, file, line })
        });
        lost.collect()
    }
}

/// A handler of the application.
struct Handler<'a> {
    name: &'a str,
    /// The first parameter.
    client: Option<&'a str>,
    body: Range<usize>,
}

/// The functions that are assigned to `application.on...`.
fn handlers<'a>(tokens: &[Token<'a>]) -> Vec<Handler<'a>> {
    let handlers = tokens.windows(4).enumerate().filter_map(|(at, window)| {
        let [application, dot, name, equals] = window else {
            return None;
        };
        let is_handler = application.is("application")
            && dot.is(".")
            && name.text.starts_with("on")
            && equals.is("=");
        let body = at + 4..function_end(tokens, at + 4)?;
        is_handler.then(|| Handler {
            name: name.text,
            client: first_parameter(&tokens[body.clone()]),
            body,
        })
    });
    handlers.collect()
}

/// The functions that are assigned to `Client.prototype.name`.
fn methods(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let starts = tokens.windows(6).enumerate().filter(|(_, window)| {
        let [client, dot, own, second, name, equals] = window else {
            return false;
        };
        client.is("Client")
            && dot.is(".")
            && own.is("prototype")
            && second.is(".")
            && name.kind == TokenKind::Word
            && equals.is("=")
    });
    let ranges = starts.filter_map(|(at, _)| Some(at + 6..function_end(tokens, at + 6)?));
    ranges.collect()
}

/// The functions that are assigned to `client.name` in a part of the file.
fn methods_of(tokens: &[Token<'_>], within: Range<usize>, client: &str) -> Vec<Range<usize>> {
    let starts = within.filter(|at| {
        let Some([owner, dot, name, equals]) = tokens.get(*at..at + 4) else {
            return false;
        };
        owner.is(client) && dot.is(".") && name.kind == TokenKind::Word && equals.is("=")
    });
    let ranges = starts.filter_map(|at| Some(at + 4..function_end(tokens, at + 4)?));
    ranges.collect()
}

/// An assignment to a member.
struct Set<'a> {
    owner: Token<'a>,
    member: Token<'a>,
}

/// The assignments `owner.member = `, each with the place of its owner.
fn sets<'a>(tokens: &[Token<'a>]) -> impl Iterator<Item = (usize, Set<'a>)> {
    tokens.windows(5).enumerate().filter_map(|(at, window)| {
        let [owner, dot, member, equals, next] = window else {
            return None;
        };
        let is_set = owner.kind == TokenKind::Word
            && dot.is(".")
            && member.kind == TokenKind::Word
            && equals.is("=")
            && !next.is("=");
        is_set.then_some((
            at,
            Set {
                owner: *owner,
                member: *member,
            },
        ))
    })
}

/// The token after a function that begins here; `None` if none does.
fn function_end(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let begins = tokens.get(start)?;
    let is_function = begins.is("function") || begins.is("async");
    let mut depth = 0_usize;
    let mut is_arrow = false;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        if ["(", "[", "{"].iter().any(|open| token.is(open)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|close| token.is(close)) {
            depth = depth.checked_sub(1)?;
            if depth == 0 && token.is("}") && (is_function || is_arrow) {
                return Some(at + 1);
            }
        } else if depth == 0 && token.is(">") {
            is_arrow = true;
        } else if depth == 0 && token.is(";") {
            return is_arrow.then_some(at);
        }
    }
    None
}

/// The first parameter of a function that begins here.
fn first_parameter<'a>(tokens: &[Token<'a>]) -> Option<&'a str> {
    let first = tokens.first()?;
    if first.kind == TokenKind::Word && !["function", "async"].iter().any(|word| first.is(word)) {
        return Some(first.text);
    }
    let open = tokens.iter().position(|token| token.is("("))?;
    let parameter = tokens.get(open + 1)?;
    (parameter.kind == TokenKind::Word).then_some(parameter.text)
}

/// Whether a value stands for none yet.
fn is_nothing(value: &Token<'_>) -> bool {
    let words = ["null", "undefined", "false", "[", "{"];
    words.iter().any(|word| value.is(word)) || ["\"\"", "''", "0"].contains(&value.text)
}

/// Members that every client has, and that go on with it.
const OWN: &[&str] = &[
    "agent",
    "audioSampleAccess",
    "id",
    "ip",
    "pageUrl",
    "protocol",
    "readAccess",
    "referrer",
    "remembered",
    "restored",
    "secure",
    "uri",
    "videoSampleAccess",
    "writeAccess",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(text: &str) -> Vec<(&str, u32)> {
        let mut lasting = Lasting::default();
        lasting.add("main.asc", text);
        let lost = lasting.lost().into_iter();
        lost.map(|member| (member.name, member.line)).collect()
    }

    #[test]
    fn members_that_a_call_sets_are_found() {
        let login = "application.onConnect = function(client) {\n client.user = null;\n return true; }\n\
             Client.prototype.login = function(name) {\n this.user = name; }";
        assert_eq!(lost(login), [("user", 5)]);
        let inner = "application.onConnect = function(c) {\n if (c.user) trace(c.user);\n\
             c.login = function(name) {\n this.user = name; };\n c.ip; }";
        assert_eq!(lost(inner), [("user", 4)]);
        let arrow = "application.onConnect = (client, name) => { client.room = null; return true };\n\
             Room.prototype.enter = function(member) { member.room = this; };";
        assert_eq!(lost(arrow), [("room", 2)]);
    }

    #[test]
    fn members_that_a_connect_sets_anew_are_not() {
        for text in [
            // All from the connect.
            "application.onConnect = function(client, name) { client.nick = name; }\n\
             Client.prototype.who = function() { return this.nick == name; }",
            // Told again by onPublish.
            "application.onConnect = function(client) { client.camera = null; }\n\
             application.onPublish = function(client, s) { client.camera = s.name; }",
            // Another object's member of the same name.
            "application.onConnect = function(client, name) { client.name = name; }\n\
             function Room(name) { this.name = name; }\n info.name = 'x';",
            // The script knows how.
            "application.onConnect = function(client) { client.user = client.remembered; }\n\
             Client.prototype.login = function(name) { this.user = name; this.remember(name); }",
            "application.onConnect = function(client",
            "",
        ] {
            assert_eq!(lost(text), [], "{text}");
        }
    }

    #[test]
    fn what_a_script_has_is_found() {
        let mut lasting = Lasting::default();
        lasting.add("a.asc", "application.onReconnect = f; // client.remember()");
        lasting.add("b.asc", "x = 'application.onRestore'");
        assert_eq!(lasting.has().collect::<Vec<_>>(), ["onReconnect"]);
    }
}
