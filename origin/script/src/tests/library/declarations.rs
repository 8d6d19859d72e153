//! The TypeScript declarations.

use std::collections::BTreeSet;

use super::super::*;
use crate::program::globals::GLOBALS;

const DECLARATIONS: &str = include_str!("../../../types/tributary.d.ts");
const DOCUMENTATION: &str = include_str!("../../../../../docs/applications.md");

#[test]
fn every_global_is_declared() {
    let words: Vec<_> = DECLARATIONS
        .lines()
        .filter_map(|line| line.strip_prefix("declare "))
        .filter_map(|line| {
            let (_, rest) = line.split_once(' ')?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            Some(&rest[..end])
        })
        .collect();
    for (_, name, _) in GLOBALS {
        assert!(words.contains(name), "{name} is not declared");
    }
    for word in words {
        let known = GLOBALS.iter().any(|(_, name, _)| *name == word);
        assert!(known, "{word} is declared and does not exist");
    }
}

/// The host's members of an object of each class, and of each class itself: the names along the
/// chain of prototypes, up to `Object.prototype` or `Function.prototype`.
const MEMBERS: &str = "
    var nc = new NetConnection();
    var samples = {
        Application: application,
        SharedObject: SharedObject.get('x'),
        Stream: Stream.get('x'),
        NetConnection: nc,
        NetStream: new NetStream(nc),
        File: new File('x'),
        ByteArray: new ByteArray(),
        LoadVars: new LoadVars(),
        XML: new XML(''),
        XMLNode: new XMLNode(1, 'x'),
        XMLSocket: new XMLSocket(),
        SHA256: new SHA256(),
        Log: new Log()
    };
    Client.prototype.members = function(name) {
        var names = [];
        for (var at = samples[name] || this; at !== Object.prototype; at = Object.getPrototypeOf(at))
            names = names.concat(Object.getOwnPropertyNames(at));
        var type = getGlobal()[name];
        if (type) names = names.concat(Object.getOwnPropertyNames(type));
        return names.join();
    };";

/// Members that functions and classes have by the language, and members of these tests.
const OF_THE_LANGUAGE: &[&str] = &[
    "constructor",
    "length",
    "members",
    "name",
    "prototype",
    "toString",
];

/// The members of a class in the declarations: the required ones and the optional ones.
fn declared(class: &str) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
    let heads = [
        format!("interface {class} {{"),
        format!("declare class {class} "),
        format!("declare const {class}: {{"),
    ];
    let mut inside = false;
    for line in DECLARATIONS.lines() {
        if heads.iter().any(|head| line.starts_with(head.as_str())) {
            inside = !line.ends_with("};");
            continue;
        }
        inside &= !line.starts_with('}');
        let Some(member) = line.strip_prefix("    ").filter(|_| inside) else {
            continue;
        };
        let member = member.trim_start_matches("static ");
        let member = member.trim_start_matches("readonly ");
        let end = member.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let (name, rest) = member.split_at(end.unwrap_or(member.len()));
        if !name.is_empty() && rest.starts_with(['(', ':']) {
            must.insert(name);
        } else if !name.is_empty() && rest.starts_with("?") {
            may.insert(name);
        }
    }
    (must, may)
}

#[test]
fn every_member_is_there_declared_and_documented() {
    let stage = stage(MEMBERS);
    let client = stage.connect("x");
    let mut wrong = Vec::new();
    for class in [
        "Application",
        "Client",
        "SharedObject",
        "Stream",
        "NetConnection",
        "NetStream",
        "File",
        "ByteArray",
        "LoadVars",
        "XML",
        "XMLNode",
        "XMLSocket",
        "SHA256",
        "Log",
    ] {
        let found = client.call("members", [text(class)]).unwrap();
        let found = found.as_str().unwrap_or_default();
        let found: BTreeSet<_> = found.split(',').collect();
        let (mut must, mut may) = declared(class);
        if class == "XML" {
            let (more, others) = declared("XMLNode");
            must.extend(more);
            may.extend(others);
        }
        assert!(must.len() > 1, "{class} is not declared");
        let words = DOCUMENTATION.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let words: BTreeSet<_> = words.collect();
        for &name in found.union(&must) {
            let of_the_language = OF_THE_LANGUAGE.contains(&name);
            let declared = must.contains(name) || may.contains(name) || of_the_language;
            let there = found.contains(name) || !must.contains(name);
            let ending = name.trim_start_matches("read").trim_start_matches("write");
            let documented = words.contains(name) || of_the_language || words.contains(ending);
            if !(declared && there && documented) {
                wrong.push(format!(
                    "{class}.{name}: declared {declared}, there {there}, documented {documented}"
                ));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
