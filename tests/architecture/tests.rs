//! Tests of the checker: small crates whose arrows are known.

use super::{
    graph::Graph,
    map::{CrateMap, Verdict},
    names::shared_names,
    source::{Files, Source},
};

fn graph(files: &[(&str, &str)]) -> Graph {
    let files: Files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    Graph::new(&Source::parse(&files, "lib.rs"))
}

/// The arrows of a crate, as `from -> to: name (line n) ...`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(files);
    graph.arrows().map(|arrow| arrow.to_string()).collect()
}

#[test]
fn a_name_leads_to_the_file_that_defines_it_through_all_exports() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a/mod.rs",
            "mod one; mod two;\npub use two::{self, Two as Renamed};",
        ),
        ("a/one.rs", "pub struct One;\npub use super::two::*;"),
        ("a/two.rs", "pub struct Two;\npub fn two() {}"),
        (
            "b.rs",
            "use crate::a::Renamed;\nuse crate::a::one::Two;\nuse crate::a::two as t;\nfn f() { t::two() }",
        ),
    ];
    assert_eq!(
        arrows(&files),
        [
            "a/mod.rs -> a/two.rs: two::Two (line 2)",
            "b.rs -> a/two.rs: crate::a::Renamed (line 1) crate::a::one::Two (line 2) t::two (line 4)",
        ]
    );
}

#[test]
fn a_child_may_use_its_parent_and_no_other_ancestor() {
    let files = [
        ("lib.rs", "mod a;\npub struct Top;\nuse a::A;"),
        ("a.rs", "mod b;\npub struct A(b::B);\nuse super::Top;"),
        ("a/b.rs", "use super::A;\npub struct B(super::super::Top);"),
    ];
    assert_eq!(
        arrows(&files),
        [
            "lib.rs -> a.rs: a::A (line 3)",
            "a.rs -> a/b.rs: b::B (line 2)",
            "a/b.rs -> lib.rs: super::super::Top (line 2)",
        ]
    );
}

#[test]
fn paths_count_wherever_they_stand() {
    let uses = [
        "fn f() -> crate::a::A { todo!() }",
        "fn f() { let x = <crate::a::A>::new(); }",
        "fn f(list: Vec<Option<crate::a::A>>) {}",
        "fn f() { use crate::a::A; }",
        "fn f() { tokio::select! { x = other() => { crate::a::A::new() } } }",
        "fn f() { print!(\"{}\", [1, crate::a::A::ONE, ..2]); }",
        "fn f() { s = S { x: 1, ..crate::a::A::default() }; }",
        "fn f() { wrap!(S { x: 1, ..crate::a::A::default() }); }",
        "#[arg(value_parser = crate::a::A)] struct S;",
        "macro_rules! m { ($x:ident) => { $crate::a::A } }",
        "#[cfg(not(test))] use crate::a::A;",
        "mod inner { use super::super::a::A; }",
    ];
    for text in uses {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", text),
        ];
        let arrows = arrows(&files);
        assert_eq!(arrows.len(), 1, "{text}: {arrows:?}");
        assert!(arrows[0].starts_with("b.rs -> a.rs: "), "{arrows:?}");
    }
}

#[test]
fn code_for_tests_and_names_of_others_are_no_arrows() {
    let uses = [
        "#[cfg(test)] use crate::a::A;",
        "#[cfg(any(test, feature = \"test\"))] fn f() { crate::a::A }",
        "#[cfg(all(test, unix))] mod helper { use crate::a::A; }",
        "struct S; impl S { #[cfg(test)] fn f() { crate::a::A } }",
        "struct S { #[cfg(test)] a: crate::a::A }",
        "#[cfg(test)] mod tests;",
        "#![cfg(test)]\nuse crate::a::A;",
        "use tokio::a::A;",
        "use ::a::A;",
        "fn f() { x.a.A; print!(\"{}\", x.A); }",
        "fn f() { print!(\"{}\", ::a::A); }",
        "use crate::a;",
        "/// [`crate::a::A`]\nstruct S;",
    ];
    for text in uses {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "pub struct A;"),
            ("b.rs", text),
        ];
        assert_eq!(arrows(&files), [""; 0], "{text}");
    }
}

#[test]
fn a_module_and_a_function_of_one_name_are_two_things() {
    let files = [
        ("lib.rs", "mod queue; mod user;"),
        ("queue/mod.rs", "mod queue;\npub use queue::queue;"),
        ("queue/queue.rs", "pub fn queue() {}\npub struct Item;"),
        (
            "user.rs",
            "use crate::queue::{self, queue};\nfn f() { queue() }",
        ),
    ];
    assert_eq!(
        arrows(&files),
        [
            "queue/mod.rs -> queue/queue.rs: queue::queue (line 2)",
            "user.rs -> queue/queue.rs: crate::queue::queue (line 1) queue (line 2)",
        ]
    );
}

#[test]
fn names_that_come_with_a_glob_lead_to_their_files() {
    let files = [
        ("lib.rs", "mod all; mod a; mod user;"),
        ("all.rs", "pub use crate::a::*;"),
        ("a.rs", "pub struct A; pub enum E { One }"),
        (
            "user.rs",
            "use crate::all::*;\nuse crate::a::E::*;\nfn f(a: A) {}",
        ),
    ];
    assert_eq!(
        arrows(&files),
        ["user.rs -> a.rs: crate::a::E (line 2) A (line 3)"]
    );
}

#[test]
fn a_macro_is_found_by_the_order_of_the_text() {
    let files = [
        ("lib.rs", "#[macro_use] mod a; mod b;"),
        ("a.rs", "macro_rules! make { () => {} }"),
        ("b.rs", "make!();\nfn f() { other!(make!()); }"),
    ];
    assert_eq!(
        arrows(&files),
        ["b.rs -> a.rs: make (line 1) make (line 2)"]
    );
}

#[test]
fn imports_that_name_each_other_end() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub use crate::b::*; pub use crate::b::X;"),
        ("b.rs", "pub use crate::a::*; pub use crate::a::X;"),
    ];
    assert_eq!(arrows(&files), [""; 0]);
}

#[test]
fn a_circle_names_its_files_lines_and_names() {
    let graph = graph(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "pub struct A(\n crate::b::B);"),
        ("b.rs", "use crate::c::C;\npub struct B;"),
        ("c.rs", "pub struct C;\nfn f() {\n crate::a::A\n}"),
        ("d.rs", "use crate::a::A;"),
    ]);
    let circles: Vec<_> = graph.circles().iter().map(ToString::to_string).collect();
    assert_eq!(
        circles,
        ["a circle of 3: a.rs, b.rs, c.rs\n  \
          a.rs -> b.rs: crate::b::B (line 2)\n  \
          b.rs -> c.rs: crate::c::C (line 1)\n  \
          c.rs -> a.rs: crate::a::A (line 3)\n"]
    );
}

#[test]
fn a_parent_and_a_child_that_use_each_other_are_a_circle_through_a_third_alone() {
    let parent = ("a/mod.rs", "mod b; mod c;\npub struct A(b::B);");
    let two = [
        ("lib.rs", "mod a;"),
        parent,
        ("a/b.rs", "pub struct B(super::A);"),
        ("a/c.rs", ""),
    ];
    assert!(graph(&two).circles().is_empty());
    let three = [
        ("lib.rs", "mod a;"),
        parent,
        ("a/b.rs", "pub struct B(super::c::C);"),
        ("a/c.rs", "mod d;\npub struct C(d::D);"),
        ("a/c/d.rs", "pub struct D(crate::a::A);"),
    ];
    assert_eq!(graph(&three).circles().len(), 1);
}

#[test]
fn the_map_judges_by_the_deepest_folder() {
    let map = CrateMap {
        member: "x",
        folders: &[("a/deep", ""), ("a", "a/deep"), ("b", "a")],
        against: &[("a", "b")],
        circles: &[],
    };
    assert_eq!(map.folder("a/deep/mod.rs"), Some("a/deep"));
    assert_eq!(map.folder("a/deep.rs"), Some("a/deep"));
    assert_eq!(map.folder("a/deeper.rs"), Some("a"));
    assert_eq!(map.folder("ab.rs"), None);
    assert_eq!(map.mistakes(), [""; 0]);
    let graph = graph(&[
        ("lib.rs", "mod a; mod b;"),
        ("a/mod.rs", "mod deep; mod side;"),
        ("a/deep.rs", "pub struct Deep;\nuse super::side::Side;"),
        (
            "a/side.rs",
            "pub struct Side;\nuse super::deep::Deep;\nuse crate::b::B;",
        ),
        ("b.rs", "pub struct B;\nuse crate::a::side::Side;"),
    ]);
    let verdicts: Vec<_> = graph
        .arrows()
        .map(|arrow| {
            (
                arrow.from.to_owned(),
                arrow.to.to_owned(),
                map.judge(&arrow),
            )
        })
        .collect();
    let expected = [
        ("a/deep.rs", "a/side.rs", Verdict::Forbidden),
        ("a/side.rs", "a/deep.rs", Verdict::Allowed),
        ("a/side.rs", "b.rs", Verdict::Against(("a", "b"))),
        ("b.rs", "a/side.rs", Verdict::Allowed),
    ];
    let expected = expected.map(|(from, to, verdict)| (from.to_owned(), to.to_owned(), verdict));
    assert_eq!(verdicts, expected);
}

#[test]
fn the_map_itself_has_no_circle() {
    let map = CrateMap {
        member: "x",
        folders: &[("a", "b"), ("b", "a")],
        against: &[("b", "a")],
        circles: &[],
    };
    assert_eq!(
        map.mistakes(),
        ["x: a may use b, which does not stand above it"]
    );
    let folders = ["a"].into_iter().collect();
    assert_eq!(
        map.unused(&folders, &[].into_iter().collect()),
        [
            "x: there is no folder b",
            "x: b does not use a any more: the pair leaves the list"
        ]
    );
}

#[test]
fn a_visible_type_shares_its_name_with_no_other_type() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c;"),
        (
            "a.rs",
            "pub struct One; pub(super) enum Two {} struct State; pub(crate) type Own = u8;",
        ),
        (
            "b.rs",
            "pub trait One {} struct Two; struct State;\n#[cfg(test)] pub struct Own;",
        ),
        (
            "c.rs",
            "fn f() { struct One; }\nmod tests { pub struct One; }",
        ),
    ];
    let files: Files = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect();
    let shared = shared_names(&Source::parse(&files, "lib.rs"));
    let shared: Vec<_> = shared.iter().map(ToString::to_string).collect();
    let remedy =
        "rename all but one by what each of them is, or make all of them private to their files";
    assert_eq!(
        shared,
        ["One", "Two"].map(|name| format!("the type {name} stands in a.rs, b.rs: {remedy}"))
    );
}
