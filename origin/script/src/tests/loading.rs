//! Tests of the files that `load()` finds, and of their order.

use super::*;

#[test]
fn loaded_files_run_after_the_main_file_and_before_on_app_start() {
    let stage = files(&[
        (
            "main.asc",
            "load(\"lib/a.asc\"); load('b.asc'); trace('main');
             application.onAppStart = function() { trace('start'); load('late.asc'); trace('end'); }",
        ),
        ("lib/a.asc", "trace('a'); load(\"c.asc\");"),
        ("scripts/b.asc", "trace('b');"),
        ("c.asc", "trace('c');"),
        ("late.asc", "trace('late');"),
    ]);
    stage.connect("x");
    assert_eq!(
        stage.said(),
        ["main", "a", "c", "b", "start", "late", "end"]
    );
}

#[test]
fn a_missing_file_is_an_error_that_names_it() {
    let stage = stage("trace('before');\nload('components.nowhere');");
    let client = stage.connect("x");
    assert!(client.refused().is_some());
    let said = stage.said();
    assert_eq!(said[0], "before");
    assert!(said[1].starts_with("main.asc:2: Error: load:"), "{said:?}");
    assert!(said[1].contains("components.nowhere"), "{said:?}");
    assert!(
        said[1].ends_with("    load('components.nowhere');"),
        "{said:?}"
    );
}

/// The log lines of a started instance of these files.
fn said(of: &[(&str, &str)]) -> Vec<String> {
    let stage = files(of);
    stage.connect("x");
    stage.said()
}

#[test]
fn a_loaded_file_has_what_it_loads_at_once() {
    let said = said(&[
        (
            "main.asc",
            "function helper() { load('helped.asc'); }
             load('room.asc'); trace('main ' + typeof Room);
             application.onAppStart = function() { trace(new Room('a').shown()); };",
        ),
        (
            "room.asc",
            "load('base.asc');
             Room = function(name) { this.name = name; };
             Room.prototype = new Base();
             helper(); trace(helped); ['each.asc'].forEach(load); trace(each);",
        ),
        (
            "base.asc",
            "load('text.asc'); function Base() {}
             Base.prototype.shown = function() { return upper(this.name); }; trace(upper('base'));",
        ),
        (
            "text.asc",
            "const upper = function(text) { return text.toUpperCase(); };",
        ),
        ("helped.asc", "helped = 'helped';"),
        ("each.asc", "each = 'each';"),
    ]);
    assert_eq!(said, ["main undefined", "BASE", "helped", "each", "A"]);
}

#[test]
fn a_start_runs_a_file_once() {
    for (of, expected) in [
        (
            &[
                ("main.asc", "load('a.asc'); load('b.asc'); load('a.asc');"),
                (
                    "a.asc",
                    "trace('a'); load('b.asc'); load('a.asc'); trace('a ends');",
                ),
                (
                    "b.asc",
                    "const b = 1; trace('b'); load('a.asc'); load('main.asc'); trace('b ends');",
                ),
            ][..],
            &["a", "b", "b ends", "a ends"][..],
        ),
        (
            &[("main.asc", "load('main.asc'); trace('main');")],
            &["main"],
        ),
        (
            &[
                (
                    "main.asc",
                    "application.onAppStart = function() { load('a.asc'); load('a.asc'); };",
                ),
                ("a.asc", "trace('a'); load('b.asc');"),
                ("b.asc", "trace('b'); load('a.asc');"),
            ],
            &["a", "b", "a", "b"],
        ),
        (
            &[
                ("main.asc", "load('a.asc');"),
                (
                    "a.asc",
                    "try { load('b.asc'); } catch (error) { ready = 1; load('b.asc'); }",
                ),
                (
                    "b.asc",
                    "trace(typeof ready); if (typeof ready == 'undefined') throw 1;",
                ),
            ],
            &["undefined", "number"],
        ),
    ] {
        assert_eq!(said(of), *expected, "{of:?}");
    }
}

#[test]
fn files_of_the_framework_run_where_they_are_named() {
    let said = said(&[
        (
            "main.asc",
            "load('netservices.asc'); load('own.asc'); load('components.asc');
             NetServices.setDefaultGatewayUrl('http://127.0.0.1/');
             Poll = function(name) { this.init(name); };
             Poll.prototype = new FCComponent('Poll', Poll);
             gFrameworkFC.addSubscriber({ onAppStart: function() { trace('subscriber'); } });
             application.onAppStart = function() { trace('start'); };
             trace('main');",
        ),
        ("own.asc", "trace('own');"),
    ]);
    assert_eq!(said, ["main", "own", "start", "subscriber"]);
}

#[test]
fn a_name_is_looked_for_beside_the_file_that_loads() {
    for (name, expected) in [
        ("beside.asc", "lib/in"),
        ("./beside.asc", "lib/in"),
        ("deep/beside.asc", "lib/in/deep"),
        ("deep\\\\beside.asc", "lib/in/deep"),
        ("../beside.asc", "lib"),
        ("../../beside.asc", "root"),
        ("/beside.asc", "root"),
        ("root.asc", "root"),
        ("scripts.asc", "scripts"),
        ("scriptlib.asc", "scriptlib"),
        ("in/named.asc", "lib/in"),
        ("lib/beside.asc", "lib"),
    ] {
        let load = format!("load('{name}');");
        let said = said(&[
            ("main.asc", "load('lib/in/loads.asc');"),
            ("lib/in/loads.asc", &load),
            ("beside.asc", "trace('root');"),
            ("lib/beside.asc", "trace('lib');"),
            ("lib/in/beside.asc", "trace('lib/in');"),
            ("lib/in/deep/beside.asc", "trace('lib/in/deep');"),
            ("root.asc", "trace('root');"),
            ("scripts/root.asc", "trace('scripts');"),
            ("scripts/scripts.asc", "trace('scripts');"),
            ("scriptlib/scripts.asc", "trace('scriptlib');"),
            ("scriptlib/scriptlib.asc", "trace('scriptlib');"),
            ("scripts/in/named.asc", "trace('scripts/in');"),
            ("lib/in/in/named.asc", "trace('lib/in');"),
        ]);
        assert_eq!(said, [expected], "{name}");
    }
}

#[test]
fn a_function_loads_from_beside_its_file_whoever_calls_it() {
    let said = said(&[
        (
            "main.asc",
            "load('lib/a.asc'); application.onAppStart = function() { late(); setTimeout(late, 0); };",
        ),
        ("lib/a.asc", "function late() { load('b.asc'); }"),
        ("lib/b.asc", "trace('lib');"),
        ("b.asc", "trace('root');"),
    ]);
    assert_eq!(said[0], "lib");
}

#[test]
fn no_name_leads_out_of_the_folder() {
    for name in [
        "../../outside.asc",
        "../../../etc/passwd",
        "..\\\\..\\\\outside.asc",
        "/../outside.asc",
        "scripts/../../outside.asc",
    ] {
        let load = format!("try {{ load('{name}'); }} catch (error) {{ trace(error.message); }}");
        let said = said(&[
            ("main.asc", "load('lib/a.asc');"),
            ("lib/a.asc", &load),
            ("lib/outside.asc", "trace('inside');"),
        ]);
        assert!(said[0].starts_with("load: there is no file"), "{said:?}");
    }
}

#[test]
fn files_that_load_each_other_for_long_end_in_an_error() {
    let chain = |length: usize| {
        let chained = (0..length).map(|number| {
            let load = if number + 1 < length {
                format!("load('f{}.asc');", number + 1)
            } else {
                String::from("trace('deepest');")
            };
            (format!("f{number}.asc"), load)
        });
        let mut of = vec![("main.asc".to_owned(), "load('f0.asc');".to_owned())];
        of.extend(chained);
        let of: Vec<_> = of.iter().map(|(name, text)| (&**name, &**text)).collect();
        said(&of)
    };
    assert_eq!(chain(256), ["deepest"]);
    let said = chain(257);
    assert!(said[0].contains("load: more than 256 files"), "{said:?}");
}

#[test]
fn files_loaded_without_end_end_in_an_error() {
    let said = said(&[
        ("main.asc", "for (var i = 0; i < 2000; i++) load('a.asc');"),
        ("a.asc", ""),
    ]);
    assert!(said[0].contains("RangeError: load: a start"), "{said:?}");
}

#[test]
fn what_check_says_is_missing_is_what_is_not_found() {
    let program = program(&[
        ("main.asc", "load('lib/a.asc');"),
        (
            "lib/a.asc",
            "load('b.asc');\nload('../c.asc');\nload('../../c.asc');\nload('d.asc');",
        ),
        ("lib/b.asc", ""),
        ("c.asc", ""),
        ("other/d.asc", ""),
    ]);
    let why = "there is no such file in the application or the framework";
    assert_eq!(
        program.notes(),
        [
            format!("lib/a.asc:3: load(\"../../c.asc\"): {why}"),
            format!("lib/a.asc:4: load(\"d.asc\"): {why}"),
        ]
    );
}

#[test]
fn what_a_file_loads_from_beside_it_is_compiled() {
    let files = [
        ("main.asc", "load('lib/a.asc');"),
        ("lib/a.asc", "load('b.asc');"),
        ("lib/b.asc", "function ("),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), Arc::from(text)));
    let settings = config::Application::default();
    let error = Program::of_files("app", Path::new(""), files.into(), &settings).unwrap_err();
    assert!(error.to_string().contains("lib/b.asc:1"), "{error}");
}

#[test]
fn the_main_file_is_the_first_in_the_order_of_flash_media_server() {
    let order = [
        "scripts/main.asc",
        "main.asc",
        "scripts/main.js",
        "main.js",
        "scripts/app.asc",
        "app.asc",
        "scripts/app.js",
        "app.js",
    ];
    for first in 0..order.len() {
        let of: Vec<_> = order[first..].iter().map(|&name| (name, "")).collect();
        assert_eq!(program(&of).main(), order[first]);
    }
}

/// The notes of `tributary check` for these files.
fn notes(of: &[(&str, &str)]) -> Vec<String> {
    program(of).notes().to_vec()
}

#[test]
fn a_name_that_comes_after_the_main_file_is_named_with_the_remedy() {
    let util = (
        "lib/util.asc",
        "load('base.asc'); Room = function() {}; var LIMIT = 3; function helper() {}",
    );
    let base = ("lib/base.asc", "Base = function() {};");
    let note = |line: u32, name: &str, file: &str| {
        format!(
            "main.asc:{line}: {name} is not there yet: {file}, which defines it, runs after \
             main.asc: move this code into application.onAppStart, or into a file that is loaded \
             after {file}"
        )
    };
    let util_note = |line, name| note(line, name, "lib/util.asc");
    for (rest, expected) in [
        (
            "room = new Room();\nroom2 = new Room();",
            vec![util_note(2, "Room")],
        ),
        (
            "\nSub.prototype = new Base(); function Sub() {}",
            vec![note(3, "Base", "lib/base.asc")],
        ),
        (
            "var most = LIMIT * 2;\n(function() { helper(); })();",
            vec![util_note(2, "LIMIT"), util_note(3, "helper")],
        ),
        (
            "function init() {\nhelper();\n} init();",
            vec![util_note(3, "helper")],
        ),
        (
            "application.onAppStart = function() { room = new Room(LIMIT); helper(); };",
            vec![],
        ),
        (
            "try { new Room(); } catch (e) {} if (typeof LIMIT == 'number') LIMIT++;",
            vec![],
        ),
        (
            "function helper() {} Room = Object; var LIMIT; helper(new Room(LIMIT));",
            vec![],
        ),
        ("trace(nowhere);", vec![]),
    ] {
        let main = format!("load('lib/util.asc');\n{rest}");
        assert_eq!(
            notes(&[("main.asc", &main), util, base]),
            expected,
            "{rest}"
        );
    }
    // The error that the note predicts happens.
    let of = [
        ("main.asc", "load('lib/util.asc');\nroom = new Room();"),
        util,
        base,
    ];
    let stage = files(&of);
    stage.connect("x");
    assert!(stage.said()[0].starts_with("main.asc:2: ReferenceError"));
}

#[test]
fn names_of_the_framework_are_there() {
    let poll = "load('components.asc'); load('own.asc');
         Poll = function() {}; Poll.prototype = new FCComponent('Poll', Poll);";
    assert!(notes(&[("main.asc", poll), ("own.asc", "own = FCComponent;")]).is_empty());
}

#[test]
fn a_walk_over_names_that_may_be_numbers_is_a_note() {
    let main = "users = {};\nfunction add(id, user) { users[id] = user; }\n\
                function tell() { for (var id in users) trace(id); }";
    let note = "main.asc:3: for in visits number-like names of users first, in ascending order \
                (line 2 adds members under computed names): keep their order in an array, or put \
                a letter before each name";
    assert_eq!(notes(&[("main.asc", main)]), [note]);
    let stage = stage(&format!(
        "{main} add('20', 1); add('b', 1); add('3', 1); tell();"
    ));
    stage.connect("x");
    assert_eq!(stage.said(), ["3", "20", "b"]);
}
