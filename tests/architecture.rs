//! The direction of imports: which folder may use which, and no circle of files within a crate. Also the names of types.
//!
//! An arrow between files is any `use` or path in code that is not for tests alone. It leads to the
//! file that defines the name, through all re-exports. A child's use of the module that declares it
//! is no arrow; a parent's use of its child is. A module's name by itself is no arrow either; a
//! path through the module is.

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/map.rs"]
mod map;
#[path = "architecture/names.rs"]
mod names;
#[path = "architecture/resolve.rs"]
mod resolve;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tests.rs"]
mod tests;

use std::{collections::BTreeSet, fs, path::Path};

use graph::Graph;
use map::{CRATES, CrateMap};
use names::{HELD, shared_names};
use source::Source;
use toml::{Table, Value};

/// The directories of the workspace's crates; `.` is the program's.
fn members() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest: Table = fs::read_to_string(root.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let names = members.iter().filter_map(Value::as_str).map(str::to_owned);
    names.chain([".".to_owned()]).collect()
}

/// The sources of a crate's roots.
fn sources(member: &str) -> Vec<Source> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(member);
    let files = source::read(&directory.join("src"));
    let roots = ["lib.rs", "main.rs"].into_iter();
    let roots = roots.filter(|root| files.contains_key(*root));
    roots.map(|root| Source::parse(&files, root)).collect()
}

/// The graphs of a crate's roots.
fn graphs(member: &str) -> Vec<Graph> {
    sources(member).iter().map(Graph::new).collect()
}

fn map_of(member: &str) -> &'static CrateMap {
    let map = CRATES.iter().find(|map| map.member == member);
    map.unwrap_or_else(|| panic!("tests/architecture/map.rs has no crate {member}"))
}

#[test]
fn the_map_has_every_crate() {
    let members = members();
    for member in &members {
        assert_eq!(map_of(member).member, member);
    }
    for map in CRATES {
        let name = map.member;
        assert!(members.iter().any(|it| it == name), "no crate {name}");
    }
}

#[test]
fn no_files_stand_in_a_circle_but_those_that_are_known() {
    let mut problems = Vec::new();
    for member in members() {
        let known: BTreeSet<_> = map_of(&member).circles.iter().copied().collect();
        let mut seen = BTreeSet::new();
        for graph in graphs(&member) {
            for circle in graph.circles() {
                let new = circle.files.iter().filter(|it| !known.contains(*it));
                let new: Vec<_> = new.copied().collect();
                if !new.is_empty() {
                    problems.push(format!("{member}: {} in {circle}", new.join(", ")));
                }
                seen.extend(circle.files.iter().map(|&file| file.to_owned()));
            }
        }
        for file in known.iter().filter(|file| !seen.contains(**file)) {
            problems.push(format!(
                "{member}: {file} is in no circle any more: it leaves the list"
            ));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_folder_uses_only_what_the_map_allows() {
    let mut problems = Vec::new();
    for member in members() {
        let map = map_of(&member);
        problems.extend(map.mistakes());
        let mut against = BTreeSet::new();
        let mut folders = BTreeSet::new();
        for graph in graphs(&member) {
            folders.extend(graph.files().filter_map(|file| map.folder(file)));
            let homeless = graph.files().filter(|file| map.folder(file).is_none());
            problems.extend(homeless.map(|file| format!("{member}: {file} is in no folder")));
            for arrow in graph.arrows() {
                match map.judge(&arrow) {
                    map::Verdict::Allowed => {}
                    map::Verdict::Against(pair) => drop(against.insert(pair)),
                    map::Verdict::Forbidden => problems.push(format!("{member}: {arrow}")),
                }
            }
        }
        problems.extend(map.unused(&folders, &against));
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn a_type_that_other_files_see_has_a_name_of_its_own() {
    let mut problems = Vec::new();
    for (member, known) in HELD {
        let shared: Vec<_> = sources(member).iter().flat_map(shared_names).collect();
        let new = shared
            .iter()
            .filter(|it| !known.contains(&it.name.as_str()));
        problems.extend(new.map(|it| format!("{member}: {it}")));
        for name in *known {
            if !shared.iter().any(|it| it.name == *name) {
                problems.push(format!(
                    "{member}: {name} is the only type of its name: it leaves the list in tests/architecture/names.rs"
                ));
            }
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
