//! The rule for sentences: the subject is a noun, not a free relative.
//!
//! A text is Markdown: a document, or the comments of a source file. Headings, table heads and code
//! blocks are not checked; list items and cells are.

use std::iter::Peekable;

/// Words that begin no sentence, and pairs of words.
const WORDS: &[&str] = &["what", "who", "whoever", "nobody"];
const PAIRS: &[(&str, &str)] = &[("one", "that"), ("one", "who")];

/// Consecutive lines without an end that the layout gives: a paragraph, an item of a list, a cell.
type Passage<'t> = Vec<(usize, &'t str)>;

/// Every sentence that breaks the rule, as `path:line: sentence`. A question may.
pub(crate) fn faults<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in texts {
        for passage in passages(text) {
            let sentences = sentences(&passage);
            let wrong = sentences
                .iter()
                .enumerate()
                .filter(|(index, (_, sentence))| breaks_the_rule(sentence, *index == 0));
            found.extend(wrong.map(|(_, (line, sentence))| format!("{path}:{line}: {sentence}")));
        }
    }
    found
}

/// The comments of a source file, each on its line; `mark` begins them.
pub(crate) fn comments(source: &str, mark: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for line in source.lines() {
        text.push_str(comment(line, mark).unwrap_or_default().trim());
        text.push('\n');
    }
    text
}

fn comment<'l>(line: &'l str, mark: &str) -> Option<&'l str> {
    if let Some(comment) = line.trim_start().strip_prefix(mark) {
        return Some(comment.trim_start_matches(['/', '!']));
    }
    let (code, comment) = line.split_once(&format!(" {mark} "))?;
    // Otherwise the mark is within a literal.
    let is_code = code.matches('"').count().is_multiple_of(2);
    is_code.then_some(comment)
}

fn passages(text: &str) -> Vec<Passage<'_>> {
    let mut found = Vec::new();
    let mut open = Passage::new();
    let mut is_code = false;
    let mut lines = text.lines().map(str::trim).zip(1..).peekable();
    while let Some((line, number)) = lines.next() {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        if is_fence || is_code || line.is_empty() || line.starts_with('#') {
            found.push(std::mem::take(&mut open));
        } else if line.starts_with('|') {
            found.push(std::mem::take(&mut open));
            if !is_table_head(line, &mut lines) {
                let cells = line.trim_matches('|').split(" | ");
                found.extend(cells.map(|cell| vec![(number, cell.trim())]));
            }
        } else if let Some(item) = item(line) {
            found.push(std::mem::replace(&mut open, vec![(number, item)]));
        } else {
            open.push((number, line));
        }
    }
    found.push(open);
    found.retain(|passage| !passage.is_empty());
    found
}

fn is_table_head<'t>(
    line: &str,
    rest: &mut Peekable<impl Iterator<Item = (&'t str, usize)>>,
) -> bool {
    let rules = |line: &str| line.starts_with("|-") || line.starts_with("|:");
    rules(line) || rest.peek().is_some_and(|(next, _)| rules(next))
}

/// The text of a list's item.
fn item(line: &str) -> Option<&str> {
    let marked = ["* ", "- ", "+ "].iter();
    let text = marked.clone().find_map(|mark| line.strip_prefix(*mark));
    text.or_else(|| {
        let (number, text) = line.split_once(". ")?;
        let is_number = !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then_some(text)
    })
}

/// The sentences of a passage, each with the line it begins on.
fn sentences(passage: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open = (0, String::new());
    let mut is_code = false;
    let words = passage
        .iter()
        .flat_map(|(number, line)| line.split_whitespace().map(move |word| (*number, word)));
    for (number, word) in words {
        if open.1.is_empty() {
            open.0 = number;
        } else {
            open.1.push(' ');
        }
        open.1.push_str(word);
        is_code ^= !word.matches('`').count().is_multiple_of(2);
        if !is_code && ends(word) {
            found.push(std::mem::take(&mut open));
        }
    }
    if !open.1.is_empty() {
        found.push(open);
    }
    found
}

fn ends(word: &str) -> bool {
    word.trim_end_matches([')', ']', '*', '_', '"', '\''])
        .ends_with(['.', '!', '?'])
}

fn breaks_the_rule(sentence: &str, is_first: bool) -> bool {
    let text = without_markup(sentence);
    let mut words = text
        .split(|letter: char| !letter.is_alphabetic())
        .filter(|word| !word.is_empty());
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    // After an abbreviation a sentence goes on in small letters.
    let begins = is_first || first.starts_with(char::is_uppercase);
    let (first, second) = (
        first.to_lowercase(),
        second.unwrap_or_default().to_lowercase(),
    );
    let is_word = WORDS.contains(&first.as_str());
    let is_pair = PAIRS.contains(&(first.as_str(), second.as_str()));
    let end = sentence.trim_end_matches([')', ']', '*', '_', '"', '\'']);
    // Code that a sentence begins with is a noun.
    let is_noun = text.starts_with('`');
    begins && !is_noun && (is_word || is_pair) && !end.ends_with('?')
}

/// The sentence without the emphasis, brackets and tags before its first word.
fn without_markup(sentence: &str) -> &str {
    let mut rest = sentence;
    loop {
        rest = rest.trim_start_matches(['*', '_', '(', '[', '"', '\'', '>', ' ']);
        let Some((_, behind)) = rest.strip_prefix('<').and_then(|tag| tag.split_once('>')) else {
            return rest;
        };
        rest = behind;
    }
}

#[test]
fn sentences_without_a_subject_are_found() {
    for (text, expected) in [
        ("What a client sends is kept.", 1),
        (
            "It is kept. Who waits\ngets it. One that goes\ndoes not.",
            2,
        ),
        ("* whoever is first wins\n* Nobody waits.", 2),
        ("1. **Who may** publish: all.", 1),
        (
            "| what it is | x |\n|---|---|\n| a | what a cell holds |",
            1,
        ),
        ("# What is here\n\n```\nWhat is code.\n```\n", 0),
        ("What is a lane?", 0),
        (
            "One lane waits. Whose is it? A ring, e.g. what is old, goes.",
            0,
        ),
        (
            "`what` is a word. A `call. What` is code. [Who](x) is not.",
            1,
        ),
        ("<a id=\"x\"></a>**Nobody** hears. (What is said)", 2),
    ] {
        let found = faults([("a.md", text)]);
        assert_eq!(found.len(), expected, "{text:?}: {found:?}");
    }
    let found = faults([("a.md", "A lane waits.\nIt ends. What\nis left goes.")]);
    assert_eq!(found, ["a.md:2: What is left goes."]);
}

#[test]
fn comments_keep_their_lines() {
    let source = "//! What a file is.\n\n/// Who\n/// waits.\nlet a = 1; // Nobody reads it.\n\
                  let b = \" // What \"; \n// Whoever comes.\nlet c = \"http://what\";\n";
    let found = faults([("a.rs", comments(source, "//").as_str())]);
    let expected = [
        "a.rs:1: What a file is.",
        "a.rs:3: Who waits.",
        "a.rs:5: Nobody reads it.",
        "a.rs:7: Whoever comes.",
    ];
    assert_eq!(found, expected);
}
