//! The functions of a script, and the code that runs while the file is evaluated.

use std::collections::HashMap;

use super::lexer::{self, Token, TokenKind};

/// A script's tokens, each with its function.
pub(super) struct Script<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    places: Vec<Place>,
    functions: Vec<Function<'a>>,
}

/// The function and the guard of a token.
#[derive(Clone, Copy)]
struct Place {
    /// The innermost function; 0 is the top level.
    function: usize,
    /// Whether a `try` catches an error here.
    guarded: bool,
}

struct Function<'a> {
    /// The name in calls.
    name: Option<&'a str>,
    /// The place of the function itself.
    outside: Place,
    /// The first token, and the one after the last.
    span: (usize, usize),
}

/// An open bracket.
struct Open {
    at: usize,
    outside: Place,
    /// The function whose body the bracket holds.
    function: Option<usize>,
    /// Whether this is no bracket but the body of an arrow function without one.
    arrow: bool,
}

/// Words before `(` whose block is no function.
const CONTROL: &[&str] = &["if", "for", "while", "switch", "with", "catch", "each"];

/// Methods that call their argument before they return.
const CALLERS: &[&str] = &["forEach", "map", "filter", "some", "every", "reduce"];

impl<'a> Script<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut script = Self {
            tokens: lexer::tokens(text),
            places: Vec::new(),
            functions: Vec::new(),
        };
        script.scan();
        script
    }

    fn scan(&mut self) {
        let mut here = Place {
            function: 0,
            guarded: false,
        };
        self.functions.push(Function {
            name: None,
            outside: here,
            span: (0, self.tokens.len()),
        });
        let mut open: Vec<Open> = Vec::new();
        // The start of the bracket that was closed last.
        let mut closed = 0;
        for at in 0..self.tokens.len() {
            let token = self.tokens[at];
            let ends = [",", ";", ")", "]", "}"];
            while open.last().is_some_and(|last| last.arrow) && ends.iter().any(|end| token.is(end))
            {
                here = self
                    .close(&mut open, at)
                    .map_or(here, |(_, outside)| outside);
            }
            self.places.push(here);
            let arrow = token.is(">") && self.is_arrow(at);
            let body = arrow && !self.is(at + 1, "{");
            if token.is("(") || token.is("[") || token.is("{") || body {
                let outside = here;
                let function = if body {
                    Some((None, self.parameters(at - 1, closed)))
                } else if token.is("{") {
                    self.body(at, closed)
                } else {
                    None
                };
                here.guarded |= token.is("{") && self.is_before(at, 1, "try");
                let function = function.map(|(name, start)| {
                    self.functions.push(Function {
                        name: name.or_else(|| self.assigned(start)),
                        outside,
                        span: (start, self.tokens.len()),
                    });
                    here.function = self.functions.len() - 1;
                    here.function
                });
                open.push(Open {
                    at,
                    outside,
                    function,
                    arrow: body,
                });
            } else if (token.is(")") || token.is("]") || token.is("}"))
                && let Some((began, outside)) = self.close(&mut open, at + 1)
            {
                closed = began;
                here = outside;
            }
        }
    }

    /// Closes the innermost bracket; returns its start and the place around it.
    fn close(&mut self, open: &mut Vec<Open>, end: usize) -> Option<(usize, Place)> {
        let last = open.pop()?;
        if let Some(function) = last.function {
            self.functions[function].span.1 = end;
        }
        Some((last.at, last.outside))
    }

    /// The function whose body the brace begins: its name, and its first token.
    fn body(&self, brace: usize, closed: usize) -> Option<(Option<&'a str>, usize)> {
        if self.is_before(brace, 1, ">") && self.is_arrow(brace - 1) {
            return Some((None, self.parameters(brace - 2, closed)));
        }
        if !self.is_before(brace, 1, ")") {
            return None;
        }
        let word = self.before(closed, 1)?;
        if word.is("function") {
            return Some((None, closed - 1));
        }
        if word.kind != TokenKind::Word || CONTROL.contains(&word.text) {
            return None;
        }
        for distance in [2, 3] {
            if self.is_before(closed, distance, "function") {
                return Some((Some(word.text), closed - distance));
            }
        }
        // A method of an object or a class.
        Some((None, closed - 1))
    }

    /// The first token of the arrow function whose `=` is at `equals`.
    fn parameters(&self, equals: usize, closed: usize) -> usize {
        if self.is_before(equals, 1, ")") {
            closed
        } else {
            equals.saturating_sub(1)
        }
    }

    /// Whether this `>` ends an arrow.
    fn is_arrow(&self, at: usize) -> bool {
        let equals = self.before(at, 1).filter(|token| token.is("="));
        equals.is_some_and(|equals| equals.end() == self.tokens[at].at)
    }

    /// The name to which the function that begins here is assigned.
    fn assigned(&self, start: usize) -> Option<&'a str> {
        let name = self.before(start, 2)?;
        let plain = self.is_before(start, 1, "=") && !self.is_before(start, 3, ".");
        (plain && name.kind == TokenKind::Word).then_some(name.text)
    }

    /// Whether each function runs while the file is evaluated, its errors not caught.
    fn evaluated(&self) -> Vec<bool> {
        let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut next: Vec<Vec<usize>> = vec![Vec::new(); self.functions.len()];
        for (number, function) in self.functions.iter().enumerate().skip(1) {
            if let Some(name) = function.name {
                named.entry(name).or_default().push(number);
            }
            if !function.outside.guarded && self.is_immediate(function) {
                next[function.outside.function].push(number);
            }
        }
        for (at, token) in self.tokens.iter().enumerate() {
            let is_call = self.is(at + 1, "(")
                && !self.is_before(at, 1, ".")
                && !self.is_before(at, 1, "function");
            let place = self.places[at];
            if token.kind == TokenKind::Word && is_call && !place.guarded {
                let called = named.get(token.text).into_iter().flatten();
                next[place.function].extend(called);
            }
        }
        let mut evaluated = vec![false; self.functions.len()];
        let mut left = vec![0];
        while let Some(number) = left.pop() {
            if !std::mem::replace(&mut evaluated[number], true) {
                left.append(&mut next[number]);
            }
        }
        evaluated
    }

    /// Whether a function is called at its definition.
    fn is_immediate(&self, function: &Function<'_>) -> bool {
        let (start, end) = function.span;
        if self.is_before(start, 1, "new") {
            return true;
        }
        let given = self.is_before(start, 1, "(");
        let method = self.before(start, 2);
        if given && method.is_some_and(|method| CALLERS.contains(&method.text)) {
            return true;
        }
        let end = end + usize::from(given && self.is(end, ")"));
        let applied = self.is(end, ".") && (self.is(end + 1, "call") || self.is(end + 1, "apply"));
        let is_expression = self.before(start, 1).is_some_and(|before| {
            before.kind == TokenKind::Sign && !["}", ";", ")"].contains(&before.text)
        });
        is_expression && (self.is(end, "(") || applied)
    }

    /// The indices of the tokens that run while the file is evaluated, their errors not caught.
    pub(super) fn top_level(&self) -> impl Iterator<Item = usize> {
        let evaluated = self.evaluated();
        let places = self.places.iter().enumerate();
        places
            .filter(move |(_, place)| evaluated[place.function] && !place.guarded)
            .map(|(at, _)| at)
    }

    /// Whether a token is outside all functions.
    pub(super) fn is_outermost(&self, at: usize) -> bool {
        self.places[at].function == 0
    }

    /// The tokens of the parameters of all functions and `catch` clauses.
    pub(super) fn parameters_of_all(&self) -> impl Iterator<Item = &'a str> {
        let functions = self.functions.iter().skip(1);
        let heads = functions.flat_map(|function| {
            let (start, end) = function.span;
            let head = self.tokens.get(start..end).unwrap_or_default();
            let until = head
                .iter()
                .position(|token| token.is("{") || token.is(">"))
                .unwrap_or(head.len());
            head[..until].iter()
        });
        let caught = self.tokens.windows(3);
        let caught = caught
            .filter(|window| window[0].is("catch") && window[1].is("("))
            .map(|window| &window[2]);
        heads.chain(caught).map(|token| token.text)
    }

    pub(super) fn before(&self, at: usize, distance: usize) -> Option<&Token<'a>> {
        at.checked_sub(distance).and_then(|at| self.tokens.get(at))
    }

    pub(super) fn is_before(&self, at: usize, distance: usize, text: &str) -> bool {
        self.before(at, distance)
            .is_some_and(|token| token.is(text))
    }

    pub(super) fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(text))
    }
}
