//! Notes on a program's files that are no errors, for `tributary check`.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::{
    globals::GLOBALS,
    script_files::{FileOwner, ScriptFiles},
};
use tributary_node::config::Restore;

use crate::library::legacy::{self, LASTING, Lasting};

/// All notes that need more than the words of one line.
pub(crate) fn of(scripts: &ScriptFiles) -> Vec<String> {
    let mut notes = missing(scripts);
    notes.extend(too_early(scripts));
    for (file, text) in scripts.texts() {
        notes.extend(legacy::walks(text).iter().map(|walk| {
            let legacy::Walk { line, name, filled } = walk;
            format!(
                "{file}:{line}: for in visits number-like names of {name} first, in ascending \
                 order (line {filled} adds members under computed names): keep their order in an \
                 array, or put a letter before each name"
            )
        }));
    }
    notes
}

/// The fate of the clients when the process of an origin in a cluster is lost.
pub(crate) fn in_cluster(name: &str, scripts: &ScriptFiles, restore: Restore) -> Vec<String> {
    let main = scripts.main();
    if restore == Restore::Close {
        return vec![format!(
            "{main}: when its origin's process is lost, its clients are closed \
             (applications.{name}.restore = \"close\")"
        )];
    }
    let mut lasting = Lasting::default();
    for (file, text) in scripts.texts() {
        lasting.add(file, text);
    }
    let has: Vec<_> = lasting.has().collect();
    let handler = match has.contains(&"onReconnect") {
        true => "onReconnect",
        false => "onConnect",
    };
    let known = match has.as_slice() {
        [] => format!("it has none of {}", LASTING.join(", ")),
        _ => format!("it has {}", has.join(", ")),
    };
    let mut notes = vec![format!(
        "{main}: when its origin's process is lost, application.{handler} is called again for each \
         client; {known}"
    )];
    notes.extend(lasting.lost().iter().map(|lost| {
        let (file, line, member) = (lost.file, lost.line, lost.name);
        format!(
            "{file}:{line}: {member} of a client is set after its connect, and is lost with the \
             process of the origin: keep it with client.remember(value) and read client.remembered \
             in onConnect, or set applications.{name}.restore = \"close\""
        )
    }));
    notes
}

/// Files of `load()` that do not exist. This is no error: the script may never run that call.
fn missing(scripts: &ScriptFiles) -> Vec<String> {
    let mut missing = Vec::new();
    for (file, text) in scripts.texts() {
        for (line, name) in legacy::loads(text) {
            if scripts.find(file, name).is_none() {
                let why = "there is no such file in the application or the framework";
                missing.push(format!("{file}:{line}: load(\"{name}\"): {why}"));
            }
        }
    }
    missing
}

/// Names that the main file's top level needs and that a loaded file defines, which runs after it.
fn too_early(scripts: &ScriptFiles) -> Vec<String> {
    let main = scripts.main();
    let (own, framework) = loaded(scripts);
    if own.is_empty() {
        return Vec::new();
    }
    let mut defined = BTreeMap::new();
    for file in own {
        let text = scripts.source(file).unwrap_or_default();
        for name in legacy::defined(text) {
            defined.entry(name).or_insert(file);
        }
    }
    let mut there: HashSet<&str> = GLOBALS.iter().map(|(_, name, _)| *name).collect();
    there.extend(LANGUAGE);
    for file in framework {
        there.extend(legacy::defined(scripts.source(file).unwrap_or_default()));
    }
    let needed = legacy::needed(scripts.source(main).unwrap_or_default());
    let early = needed.into_iter().filter_map(|(line, name)| {
        let file = defined.get(name).filter(|_| !there.contains(name))?;
        Some(format!(
            "{main}:{line}: {name} is not there yet: {file}, which defines it, runs after \
             {main}: move this code into application.onAppStart, or into a file that is loaded \
             after {file}"
        ))
    });
    early.collect()
}

/// The files that the main file reaches by `load()`: the application's, and those of the framework.
fn loaded(scripts: &ScriptFiles) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let mut own = BTreeSet::new();
    let mut framework = BTreeSet::new();
    let mut left = vec![scripts.main()];
    while let Some(file) = left.pop() {
        let text = scripts.source(file).unwrap_or_default();
        for (_, name) in legacy::loads(text) {
            let Some(found) = scripts.find(file, name) else {
                continue;
            };
            let is_new = match scripts.owner(found) {
                FileOwner::Application => found != scripts.main() && own.insert(found),
                FileOwner::Framework => framework.insert(found),
            };
            if is_new {
                left.push(found);
            }
        }
    }
    (own, framework)
}

/// Globals of the language that a script may replace.
const LANGUAGE: &[&str] = &[
    "Array",
    "ArrayBuffer",
    "BigInt",
    "Boolean",
    "DataView",
    "Date",
    "Error",
    "EvalError",
    "Function",
    "Infinity",
    "Int8Array",
    "JSON",
    "Map",
    "Math",
    "NaN",
    "Number",
    "Object",
    "Promise",
    "Proxy",
    "RangeError",
    "ReferenceError",
    "Reflect",
    "RegExp",
    "Set",
    "String",
    "Symbol",
    "SyntaxError",
    "TypeError",
    "URIError",
    "Uint8Array",
    "WeakMap",
    "WeakSet",
    "decodeURI",
    "decodeURIComponent",
    "encodeURI",
    "encodeURIComponent",
    "escape",
    "eval",
    "globalThis",
    "isFinite",
    "isNaN",
    "parseFloat",
    "parseInt",
    "queueMicrotask",
    "unescape",
    "uneval",
];
