//! `catch (e if condition)` in today's syntax.
//!
//! ```text
//! catch (a if x) { 1 } catch (b if y) { 2 } catch (c) { 3 }
//! catch (a) { if (x) { 1 } else { let b = a; if (y) { 2 } else { let c = a; { 3 } } } }
//! ```
//!
//! Without a last clause that catches everything, the error is thrown on.

use std::borrow::Cow;

use super::lexer::{self, Token, TokenKind};

/// One clause of a `catch` chain: the places of its tokens.
struct Clause<'a> {
    catch: Token<'a>,
    open: Token<'a>,
    name: &'a str,
    /// The `if`, if there is a condition.
    condition: Option<Token<'a>>,
    /// The `)` of the head.
    close: Token<'a>,
    /// The last `}`.
    end: Token<'a>,
    /// The index of the token after the clause.
    next: usize,
}

pub(super) fn conditional_catch(text: &str) -> Cow<'_, str> {
    let tokens = lexer::tokens(text);
    let mut edits = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        match chain(&tokens, index) {
            Some(clauses) => {
                // Only the heads are skipped: bodies may have chains of their own.
                index += 1;
                rewrite(&clauses, &mut edits);
            }
            None => index += 1,
        }
    }
    if edits.is_empty() {
        return Cow::Borrowed(text);
    }
    edits.sort_by_key(|edit: &Edit| (edit.from, edit.order));
    let mut out = String::with_capacity(text.len() + edits.len() * 16);
    let mut at = 0;
    for edit in &edits {
        out.push_str(text.get(at..edit.from).unwrap_or_default());
        out.push_str(&edit.with);
        at = at.max(edit.to);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Cow::Owned(out)
}

/// The chain whose first clause begins at this token, if any of its clauses has a condition.
fn chain<'a>(tokens: &[Token<'a>], at: usize) -> Option<Vec<Clause<'a>>> {
    let is_first = tokens.get(at)?.is("catch")
        && at
            .checked_sub(1)
            .and_then(|before| tokens.get(before))?
            .is("}");
    if !is_first || continues(tokens, at) {
        return None;
    }
    let mut clauses = Vec::new();
    let mut next = at;
    while tokens.get(next).is_some_and(|token| token.is("catch")) {
        let clause = clause(tokens, next)?;
        next = clause.next;
        let last = clause.condition.is_none();
        clauses.push(clause);
        if last {
            break;
        }
    }
    clauses
        .first()
        .is_some_and(|clause| clause.condition.is_some())
        .then_some(clauses)
}

/// Whether the `catch` at this token follows another clause of its chain.
fn continues(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(open) = at.checked_sub(1).and_then(|end| opening(tokens, end)) else {
        return false;
    };
    // `catch ( ... ) {`: the block that ended before this one is a clause with a condition.
    let Some(head) = open
        .checked_sub(1)
        .filter(|&close| tokens.get(close).is_some_and(|token| token.is(")")))
        .and_then(|close| opening(tokens, close))
    else {
        return false;
    };
    let is_catch = head
        .checked_sub(1)
        .and_then(|catch| tokens.get(catch))
        .is_some_and(|token| token.is("catch"));
    is_catch && tokens.get(head + 2).is_some_and(|token| token.is("if"))
}

fn clause<'a>(tokens: &[Token<'a>], at: usize) -> Option<Clause<'a>> {
    let catch = *tokens.get(at)?;
    let open = *tokens.get(at + 1).filter(|token| token.is("("))?;
    let name = tokens
        .get(at + 2)
        .filter(|token| token.kind == TokenKind::Word)?;
    let condition = tokens.get(at + 3).filter(|token| token.is("if")).copied();
    let close = closing(tokens, at + 1)?;
    let body = close + 1;
    tokens.get(body).filter(|token| token.is("{"))?;
    let end = closing(tokens, body)?;
    Some(Clause {
        catch,
        open,
        name: name.text,
        condition,
        close: *tokens.get(close)?,
        end: *tokens.get(end)?,
        next: end + 1,
    })
}

/// The bracket that closes the one at this token.
fn closing(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        if token.kind != TokenKind::Sign {
            continue;
        }
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// The bracket that the one at this token closes.
fn opening(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().take(at + 1).rev() {
        if token.kind != TokenKind::Sign {
            continue;
        }
        match token.text {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// A piece of text to put in place of another.
struct Edit {
    from: usize,
    to: usize,
    with: String,
    /// The order among edits at one place.
    order: usize,
}

fn rewrite(clauses: &[Clause<'_>], edits: &mut Vec<Edit>) {
    let Some((first, rest)) = clauses.split_first() else {
        return;
    };
    let mut edit = |from: usize, to: usize, with: String| {
        let order = edits.len();
        edits.push(Edit {
            from,
            to,
            with,
            order,
        });
    };
    if let Some(condition) = first.condition {
        edit(condition.at, condition.end(), ") { if (".to_owned());
    }
    for clause in rest {
        let same = clause.name == first.name;
        edit(clause.catch.at, clause.catch.end(), "else".to_owned());
        let name_end = clause.open.end();
        match clause.condition {
            Some(condition) if same => edit(clause.open.at, condition.end(), "{ if (".to_owned()),
            Some(condition) => {
                edit(clause.open.at, name_end, "{ let ".to_owned());
                edit(
                    condition.at,
                    condition.end(),
                    format!("= {}; if (", first.name),
                );
            }
            None if same => edit(clause.open.at, clause.close.end(), "{".to_owned()),
            None => {
                edit(clause.open.at, name_end, "{ let ".to_owned());
                edit(
                    clause.close.at,
                    clause.close.end(),
                    format!(" = {};", first.name),
                );
            }
        }
    }
    let Some(last) = clauses.last() else { return };
    let mut end = String::new();
    if last.condition.is_some() {
        end.push_str(&format!(" else throw {};", first.name));
    }
    end.push_str(&" }".repeat(clauses.len()));
    edit(last.end.end(), last.end.end(), end);
}
