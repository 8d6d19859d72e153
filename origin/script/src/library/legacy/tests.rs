//! Tests of the old language in the engine.

use rquickjs::{CatchResultExt, Coerced, Context, Runtime, context::EvalOptions};

use super::*;

/// The value of a script as text, or its exception; the engine has the extras that the script uses.
fn run(text: &str) -> String {
    let runtime = Runtime::new().unwrap();
    let context = Context::full(&runtime).unwrap();
    let translated = translate(text);
    assert_eq!(translated.lines().count(), text.lines().count());
    context.with(|ctx| {
        let eval = |text: &str| {
            let mut options = EvalOptions::default();
            options.strict = false;
            ctx.eval_with_options::<Coerced<String>, _>(text, options)
                .catch(&ctx)
        };
        for (name, script) in Extras::of(text).scripts() {
            eval(script).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        match eval(&translated) {
            Ok(value) => value.0,
            Err(error) => format!("{translated}\n{error}"),
        }
    })
}

#[test]
fn what_the_engine_has_itself() {
    let table = [
        (
            "var o = {}; o.__defineGetter__('a', function () { return 5 }); o.a",
            "5",
        ),
        (
            "var o = { get a() { return 1 } }; typeof o.__lookupGetter__('a')",
            "function",
        ),
        ("new Date(2010, 1, 1).getYear()", "110"),
        (
            "'x'.bold() + 'x'.anchor('y')",
            "<b>x</b><a name=\"y\">x</a>",
        ),
        ("escape('\u{e9} ') + unescape('%u0041')", "%E9%20A"),
        ("'abcd'.substr(-2, 1) + 010", "c8"),
        ("var n = 0; with ({ n: 7 }) { n }", "7"),
        ("(function () { return arguments.callee.length })()", "0"),
        ("x = 3; <!-- a comment\nx", "3"),
    ];
    for (text, expected) in table {
        assert_eq!(run(text), expected, "{text}");
        assert_eq!(Extras::of(text), Extras::default(), "{text}");
        assert_eq!(findings(text), [], "{text}");
    }
}

#[test]
fn conditional_catch_clauses_choose() {
    let chain = "function pick(x) {\n try { throw x }\n catch (e if e == 1) { return 'one' }\n \
                 catch (f if f instanceof TypeError) { return 'type ' + f.message }\n \
                 catch (e if typeof e == 'object') { return 'object' }\n \
                 catch (g) { return 'other ' + g }\n finally { done = true }\n}\n";
    let table = [
        ("pick(1)", "one"),
        ("pick(new TypeError('x'))", "type x"),
        ("pick({})", "object"),
        ("pick(2)", "other 2"),
        ("pick(2), done", "true"),
    ];
    for (call, expected) in table {
        assert_eq!(run(&format!("{chain}{call}")), expected, "{call}");
    }
}

#[test]
fn conditional_catch_clauses_nest_and_throw_on() {
    let table = [
        (
            "try { try { throw 1 } catch (e if e == 2) { 'no' } } catch (e) { 'on ' + e }",
            "on 1",
        ),
        (
            "var r; try { throw 1 } catch (e if e == 1) { try { throw 2 } catch (e if e == 1) { } \
             catch (e if e == 2) { r = 'inner' } } r",
            "inner",
        ),
        // Text that looks like such a clause.
        (
            "var s = 'catch (e if e) {'; try { throw 1 } catch (e) { s.length }",
            "16",
        ),
        ("try { throw 1 } catch (e) { if (e) { 'plain' } }", "plain"),
        ("try { throw 1 } catch { 'none' }", "none"),
        (
            "var o = { catch: function (e) { return e } }; o.catch(4)",
            "4",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(run(text), expected, "{text}");
    }
}

#[test]
fn a_script_that_is_wrong_stays_wrong() {
    for text in [
        "try {} catch (e if e) {",
        "catch (e if",
        "} catch (e if e) { }",
        "try {} catch (e if e)",
        "try {} catch (1 if e) {}",
    ] {
        let translated = translate(text);
        assert!(run(text).contains("Error"), "{translated}");
    }
}

#[test]
fn regexp_remembers_the_last_match() {
    let text = "/(b)(c)?/.test('abd');\n [RegExp.$1, RegExp.$2, RegExp.lastMatch, \
                RegExp.leftContext, RegExp.rightContext, RegExp.input].join('|')";
    assert_eq!(run(text), "b||b|a|d|abd");
    assert_eq!(run("'x1y2'.replace(/[a-z](\\d)/g, '') + RegExp.$1"), "2");
    assert_eq!(run("/a/.exec('b'); RegExp.$1 + RegExp.lastParen"), "");
    assert_eq!(run("'2010-11'.match(/(\\d+)-(\\d+)/); RegExp.$2"), "11");
    assert_eq!(
        run("var r = /a/g; r.test('aa'); r.lastIndex + RegExp.lastMatch"),
        "1a"
    );
}

#[test]
fn values_as_source_text() {
    let table = [
        (
            "({ a: 1, 'b-c': [1, , 'x'], d: null }).toSource()",
            "({a:1, \"b-c\":[1, , \"x\"], d:null})",
        ),
        ("uneval(undefined)", "(void 0)"),
        ("'it\\'s \u{e9}'.toSource()", "(new String(\"it's \\xE9\"))"),
        ("uneval('a')", "\"a\""),
        ("(5).toSource()", "(new Number(5))"),
        ("new Date(5).toSource()", "(new Date(5))"),
        ("var o = {}; o.me = o; o.toSource()", "({me:{}})"),
        ("[].toSource() + [,].toSource()", "[][, ]"),
        ("'a\"b'.quote()", "\"a\\\"b\""),
        (
            "var o = {}; for (var k in o) o.bad = 1; o.toSource()",
            "({})",
        ),
        ("eval({ a: [1, 2] }.toSource()).a.length", "2"),
    ];
    for (text, expected) in table {
        assert_eq!(run(text), expected, "{text}");
    }
}

#[test]
fn array_and_string_generics() {
    let text = "(function () { return Array.join(Array.slice(arguments, 1), '-') })(1, 2, 3)";
    assert_eq!(run(text), "2-3");
    assert_eq!(
        run("String.toUpperCase('a') + String.replace(5, '5', 'five')"),
        "Afive"
    );
    assert_eq!(
        run("Array.isArray([]) + Array.map([1], function (x) { return x + 1 }).join()"),
        "true2"
    );
}

#[test]
fn objects_are_watched() {
    let text = "var o = { a: 1 }, seen = []; o.watch('a', function (name, old, next) { \
                seen.push(name + old + next); return next * 10 }); o.a = 2; o.a = 3; o.unwatch('a'); \
                o.a = 4; seen.join() + ' ' + o.a";
    assert_eq!(run(text), "a12,a203 4");
    assert_eq!(
        run("var o = {}; o.unwatch('x'); var n = 0; for (var k in o) n++; n"),
        "0"
    );
}

#[test]
fn what_does_not_work_is_listed_with_its_line() {
    let text = "// for each (x in y)\nfor each (var x in y) {}\n'#1='; a = #1={ b: #1# };\n\
                o.x getter = function () {};\nf.arguments[0]; f.caller;\r\
                d.toLocaleFormat('%Y'); o.__noSuchMethod__ = f;\nvar getter = 1, arguments;\n\
                x.forEach(f); o.__count__";
    let found: Vec<_> = findings(text)
        .into_iter()
        .map(|finding| {
            (
                finding.line,
                finding.what.split_whitespace().next().unwrap_or_default(),
            )
        })
        .collect();
    let expected = [
        (2, "for"),
        (3, "sharp"),
        (3, "sharp"),
        (4, "getter"),
        (5, "the"),
        (5, "caller"),
        (6, "toLocaleFormat"),
        (6, "__noSuchMethod__"),
        (8, "__parent__"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn extras_are_only_what_is_used() {
    let names = |text: &str| {
        Extras::of(text)
            .scripts()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
    };
    assert!(names("var a = new Array(); Array.isArray(a); String.fromCharCode(1)").is_empty());
    assert!(names("'RegExp.$1' // Array.join(x)").is_empty());
    assert_eq!(names("RegExp.$3"), ["regexp.js"]);
    let both = Extras::of("x.toSource()").and(Extras::of("Array.join(x)"));
    assert_eq!(both.scripts().count(), 2);
}
