//! The words of a program. A global whose name is not among them is not made.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{script_files::beside, source::loads};

/// The words of all files. `None` if other code may run: code made at run time, or loaded from
/// elsewhere.
pub(crate) fn of(files: &BTreeMap<String, Arc<str>>) -> Option<HashSet<Box<str>>> {
    let mut words = HashSet::new();
    for (file, text) in files {
        let known = loads(text)
            .filter(|name| is_file(files, file, name))
            .count();
        let mut named = 0;
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')) {
            if MAKERS.contains(&word) {
                return None;
            }
            named += usize::from(word == "load");
            if !word.is_empty() && !words.contains(word) {
                words.insert(Box::from(word));
            }
        }
        if known < named {
            return None;
        }
    }
    Some(words)
}

/// Whether a file of `load()` is one of these: beside the loader, or in the folder or its
/// `scripts/`.
fn is_file(files: &BTreeMap<String, Arc<str>>, loader: &str, name: &str) -> bool {
    let name = name.replace('\\', "/");
    beside(loader, &name).is_some_and(|path| files.contains_key(&path))
        || files.contains_key(&name)
        || files.contains_key(&format!("scripts/{name}"))
}

/// Words that make code or names at run time.
const MAKERS: &[&str] = &["eval", "Function", "globalThis", "getGlobal"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_unless_code_comes_from_elsewhere() {
        for (text, known) in [
            ("var a = SharedObject.get('x');", true),
            ("load('b.asc'); load( \"scripts/c.asc\" )", true),
            ("load('netservices.asc')", false),
            ("load(name)", false),
            ("x = eval('1')", false),
            ("new Function('a', 'b')", false),
            ("globalThis[name]", false),
        ] {
            let files = [
                ("main.asc", text),
                ("b.asc", ""),
                ("scripts/c.asc", "inC"),
                ("lib/d.asc", "load('e.asc')"),
                ("lib/e.asc", ""),
            ]
            .map(|(name, text)| (name.to_owned(), Arc::from(text)));
            let words = of(&BTreeMap::from(files));
            assert_eq!(words.is_some(), known, "{text}");
            if let Some(words) = words {
                assert!(words.contains("inC") && !words.contains("LoadVars"));
            }
        }
    }
}
