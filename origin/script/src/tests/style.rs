//! Tests of scripts in the style of 2005 to 2012, and in today's style.

use tributary_origin::test::ConnectAs;
use tributary_protocol::amf::{Object, Value};

use super::*;
use crate::ProgramError;

#[test]
fn a_script_without_handlers_accepts_everybody() {
    assert!(stage("").connect("room").is_accepted());
}

/// CR line ends, a byte-order mark, implicit globals, `this` of plain functions, prototypes,
/// objects as maps, `delete` of a global.
#[test]
fn an_old_chat_runs_unchanged() {
    let script = "\u{feff}/* chat, 2006 */\r\
        application.onAppStart = function() {\r\
            users = new Array();\r\
            this.count = 0;\r\
            bump();\r\
            trace(\"started \" + this.name);\r\
        }\r\
        function bump() { this.bumped = true; delete unused; }\r\
        unused = 1;\r\
        application.onConnect = function(client, nick) {\r\
            if (users[nick] != null) {\r\
                application.rejectConnection(client, { message: \"in use\" });\r\
                return;\r\
            }\r\
            client.nick = nick;\r\
            client.id = \"user\" + (++this.count);\r\
            users[nick] = client;\r\
            application.acceptConnection(client);\r\
            client.call(\"welcome\", null, client.id, bumped, typeof unused);\r\
        }\r\
        application.onDisconnect = function(client) {\r\
            delete users[client.nick];\r\
            trace(client.nick + \" left from \" + client.ip);\r\
        }\r\
        Client.prototype.say = function(text) {\r\
            for (var i = 0; i < application.clients.length; i++)\r\
                application.clients[i].call(\"said\", null, this.nick, text);\r\
            return true;\r\
        }\r";
    let stage = stage(script);
    let alice = stage.connect_as("lobby", ConnectAs::with([text("alice")]));
    let bob = stage.connect_as("lobby", ConnectAs::with([text("bob")]));
    let welcome = |id: &str| {
        let given = vec![text(id), Value::Bool(true), text("undefined")];
        ("welcome".to_owned(), given)
    };
    assert_eq!(alice.calls(), [welcome("user1")]);
    assert_eq!(bob.calls(), [welcome("user2")]);
    let other = stage.connect_as("lobby", ConnectAs::with([text("alice")]));
    let refused = other.refused().unwrap();
    assert_eq!(
        refused
            .get("application")
            .and_then(|info| info.get("message")),
        Some(&text("in use"))
    );
    assert_eq!(alice.call("say", [text("hello")]), Ok(Value::Bool(true)));
    let said = ("said".to_owned(), vec![text("alice"), text("hello")]);
    assert_eq!(bob.calls(), [said]);
    alice.leave();
    assert_eq!(
        stage.said(),
        ["started app/lobby", "alice left from 127.0.0.1"]
    );
    let again = stage.connect_as("lobby", ConnectAs::with([text("alice")]));
    assert!(again.is_accepted(), "the name is free again");
}

#[test]
fn for_in_sees_data_alone() {
    let script = "
        function names(of) { var all = []; for (var name in of) all.push(name); return all; }
        application.onConnect = function(client, given) {
            client.own = 1;
            answers = [names(client), names(application.config), names(given)];
            return true;
        }
        application.config.a = 1;
        Client.prototype.report = function() { return answers.concat([names(application.clients)]); }";
    let given = Object::new().with("x", 1.0).with("y", 2.0);
    let client = stage(script).connect_as("_definst_", ConnectAs::with([given.into()]));
    let list = |names: &[&str]| Value::StrictArray(names.iter().map(|name| text(name)).collect());
    assert_eq!(
        client.call("report", []),
        Ok(Value::StrictArray(vec![
            // Methods on the prototype are the script's own data.
            list(&["own", "report"]),
            list(&["a"]),
            list(&["x", "y"]),
            list(&["0"]),
        ]))
    );
}

#[test]
fn errors_show_file_line_and_source_line_and_reach_on_status() {
    let stage = stage(
        "application.onStatus = function(info) {\r\
             trace(info.code + ' ' + info.filename + ' ' + info.lineno + ' ' + info.linebuf);\r\
         }\r\
         Client.prototype.fail = function() {\r\
             missing.thing = 1;\r\
         }\r",
    );
    let client = stage.connect("x");
    let failed = client.call("fail", []).unwrap_err();
    assert_eq!(failed.get("code"), Some(&text("NetConnection.Call.Failed")));
    let said = stage.said();
    assert_eq!(
        said[0],
        "main.asc:5: ReferenceError: missing is not defined\n    missing.thing = 1;"
    );
    assert!(
        said[1].starts_with("Application.Script.Error main.asc 5 "),
        "{said:?}"
    );
}

#[test]
fn modern_scripts_run_as_modules() {
    let stage = files(&[
        (
            "main.js",
            "import { greet } from './lib/greet.js';
             application.onConnect = (client) => true;
             Client.prototype.greet = async function (name) { await null; return greet(name); };
             console.log('ready', { a: [1, 2] });",
        ),
        (
            "lib/greet.js",
            "export const greet = (name = 'you') => `hello ${name}`;",
        ),
    ]);
    let client = stage.connect("x");
    assert_eq!(client.call("greet", [text("bob")]), Ok(text("hello bob")));
    assert_eq!(stage.said(), ["ready {\"a\":[1,2]}"]);
}

#[test]
fn timers_run_until_they_are_cleared() {
    let stage = stage(
        "application.onAppStart = function() {
             var left = 3;
             ticker = { name: 'tick', go: function(more) { trace(this.name + more); if (--left == 0) clearInterval(id); } };
             var id = setInterval(ticker, 'go', 100, '!');
             setTimeout((a, b) => trace(a + b), 50, 1, 2);
             clearTimeout(setTimeout(() => trace('never'), 10));
             clearInterval(undefined); clearInterval(99);
         }",
    );
    stage.connect("x");
    stage.pass(std::time::Duration::from_secs(1));
    assert_eq!(stage.said(), ["3", "tick!", "tick!", "tick!"]);
}

#[test]
fn a_broken_script_is_refused_with_every_error() {
    for (files, expected) in [
        (
            &[("main.asc", "var a = 1;\rclass { public var x:Number; }")][..],
            &["main.asc:2: SyntaxError"][..],
        ),
        (
            &[
                ("main.asc", "load('a.asc'); load('b.asc'); load('c.asc');"),
                ("a.asc", "var ok = 1;"),
                ("b.asc", "\n\nfunction ( {"),
                ("c.asc", "}"),
            ],
            &["c.asc:1: SyntaxError", "b.asc:3: SyntaxError"],
        ),
        (
            &[
                ("main.js", "import a from './a.js';"),
                ("a.js", "export default ("),
            ],
            &["a.js:1: SyntaxError"],
        ),
    ] {
        let files: BTreeMap<_, _> = files
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Arc::from(*text)))
            .collect();
        let settings = config::Application::default();
        let error = Program::of_files("app", Path::new(""), files, &settings).unwrap_err();
        let text = error.to_string();
        for expected in expected {
            assert!(text.contains(expected), "{text}\n{expected}");
        }
    }
}

#[test]
fn globals_of_the_host_can_be_replaced() {
    let stage = stage(
        "var setTimeout = function() { return 'mine'; };
         console = { log: function() { return 'own'; } };
         function protectObject() { return 'declared'; }
         var seen = []; for (var name in this) seen.push(name);
         Client.prototype.run = function(code) { return '' + eval(code); };",
    );
    let client = stage.connect("x");
    for (code, expected) in [
        ("setTimeout()", "mine"),
        ("console.log()", "own"),
        ("protectObject()", "declared"),
        ("seen.sort()", "console,name,protectObject,seen,setTimeout"),
        (
            "typeof SharedObject + typeof clearTimeout",
            "functionfunction",
        ),
        ("SharedObject === SharedObject", "true"),
        ("Object.keys(globalThis).indexOf('SharedObject')", "-1"),
        ("typeof neverNamed", "undefined"),
    ] {
        assert_eq!(
            client.call("run", [text(code)]),
            Ok(text(expected)),
            "{code}"
        );
    }
    assert!(client.call("run", [text("neverNamed")]).is_err());
}

#[test]
fn old_helpers_do_what_they_did() {
    let stage = stage(
        "Client.prototype.run = function(code) { return '' + eval(code); };
         held = { a: 1, hidden: 2, secret: function(x) { return x + this.a; } };
         setAttributes(held, 'hidden', false, true, true);",
    );
    let client = stage.connect("x");
    for (code, expected) in [
        (
            "var all = []; for (var n in held) all.push(n); all",
            "a,secret",
        ),
        ("held.hidden = 3; held.hidden", "2"),
        ("delete held.hidden", "false"),
        (
            "getGlobal() === this.constructor.constructor('return this')()",
            "true",
        ),
        (
            "p = protectObject(held); p.secret(2) + ' ' + p.a",
            "3 undefined",
        ),
        (
            "p.secret = 1; p.more = 2; p.secret(3) + ' ' + p.more",
            "4 undefined",
        ),
    ] {
        assert_eq!(
            client.call("run", [text(code)]),
            Ok(text(expected)),
            "{code}"
        );
    }
}

/// A folder as an old editor left it: a byte-order mark, CR line ends, GBK, scripts/, a link.
#[test]
fn a_folder_is_read_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("chat");
    std::fs::create_dir_all(root.join("scripts")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.join(name), bytes).unwrap();
    write(
        "chat.asc",
        b"\xEF\xBB\xBFload(\"words.asc\");\rload(\"more.asc\");\rtrace('main');\r",
    );
    write(
        "scripts/words.asc",
        b"word = '\xC4\xE3\xBA\xC3';\r\ntrace(word);",
    );
    write("more.asc", b"trace('more');");
    write("logo.png", b"\x89PNG");
    let outside = folder.path().join("outside.asc");
    std::fs::write(&outside, "trace('outside')").unwrap();
    std::os::unix::fs::symlink(&outside, root.join("linked.asc")).unwrap();
    let settings = config::Application::default();
    let program = Program::load(&root, &settings).unwrap();
    assert_eq!((program.name(), program.main()), ("chat", "chat.asc"));
    let files: Vec<_> = program.files().collect();
    assert_eq!(files, ["chat.asc", "more.asc", "scripts/words.asc"]);
    let stage = test::program(program, Host::default());
    stage.connect("x");
    assert_eq!(stage.said(), ["main", "\u{4f60}\u{597d}", "more"]);
}

#[test]
fn a_folder_without_a_main_file_is_no_application() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.asc"), "").unwrap();
    let settings = config::Application::default();
    let error = Program::load(folder.path(), &settings).unwrap_err();
    assert!(matches!(error, ProgramError::NoMain), "{error}");
}

#[test]
fn a_proxy_answers_for_another_side() {
    let stage = stage(
        "var far = { call: function(name, responder, a) {
             if (a < 0) responder.onStatus({ code: 'Wrong' });
             else responder.onResult(name + ' ' + a);
         } };
         application.onAppStart = function() {
             Client = null;
             application.registerProxy('near', far);
             application.registerProxy('other', far, 'renamed');
         };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("near", [1.0.into()]), Ok(text("near 1")));
    assert_eq!(client.call("other", [2.0.into()]), Ok(text("renamed 2")));
    assert!(client.call("near", [(-1.0).into()]).is_err());
}

#[test]
fn statistics_count_clients() {
    let stage = stage(
        "application.onConnect = function(client, no) { return no !== true; };
         Client.prototype.stats = function() {
             var s = application.getStats();
             return [s.accepted, s.rejected, s.total_connects, s.total_disconnects, s.bytes_in > 0].join();
         };
         Client.prototype.own = function() { return this.getStats().bytes_in > 0; };
         Client.prototype.limits = function() {
             var all = [this.getBandwidthLimit(0), this.getBandwidthLimit(1)];
             this.setBandwidthLimit(5000, 1000); this.setBandwidthLimit(0, 2000.9);
             return all.concat([this.getBandwidthLimit(0), this.getBandwidthLimit(1), this.ping()]).join();
         };",
    );
    let client = stage.connect("x");
    stage.connect("x").leave();
    stage.connect_as("x", ConnectAs::with([true.into()]));
    assert_eq!(client.call("stats", []), Ok(text("2,1,3,1,true")));
    assert_eq!(client.call("own", []), Ok(true.into()));
    let limits = text("125000000,125000000,2000,5000,true");
    assert_eq!(client.call("limits", []), Ok(limits));
}

#[test]
fn the_language_is_of_2023() {
    let stage = files(&[
        (
            "main.js",
            "await null;
             class Room { #seats = 2n; static all = []; get seats() { return this.#seats ?? 0n; } }
             globalThis.run = {
                 private: () => new Room().seats === 2n,
                 optional: () => ({})?.a?.b?.() === undefined,
                 sorted: () => [3, 1, 2].toSorted().at(-1) === 3 && [1, 2, 3].findLast((n) => n < 3) === 2,
                 spread: () => { const { a, ...rest } = { a: 1, b: 2 }; return rest.b === 2; },
                 generator: () => [...(function* () { yield 1; yield* [2, 3]; })()].length === 3,
                 named: () => '2023-06'.match(/(?<year>\\d{4})/u).groups.year === '2023',
                 proxy: () => new Proxy({}, { get: (_, name) => name }).hello === 'hello',
                 weak: () => { const kept = { a: 1 }; return new WeakRef(kept).deref().a === 1; },
                 imported: async () => (await import('./lib/more.js')).default === 'more',
                 iterated: async () => { let sum = 0; for await (const n of [1, 2]) sum += n; return sum === 3; },
             };
             Client.prototype.run = (name) => globalThis.run[name]();",
        ),
        ("lib/more.js", "export default 'more';"),
    ]);
    let client = stage.connect("x");
    for name in [
        "private",
        "optional",
        "sorted",
        "spread",
        "generator",
        "named",
        "proxy",
        "weak",
        "imported",
        "iterated",
    ] {
        assert_eq!(client.call("run", [text(name)]), Ok(true.into()), "{name}");
    }
}
