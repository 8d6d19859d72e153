//! Tests of the bounds of a script: exceeding one harms no other script.

use std::time::{Duration, Instant};

use super::*;

/// Scripts that would run for ever, or longer than a turn may.
const ENDLESS: &[(&str, &str)] = &[
    (
        "loop",
        "try { while (1) {} } catch (e) { caught = 1; } finally { caught = 2; }",
    ),
    (
        "regexp",
        "try { /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'); } finally { caught = 1; }",
    ),
    (
        "sort",
        "try { [3, 1, 2].sort(function(a, b) { while (true); }); } catch (e) { caught = 1; }",
    ),
    (
        "join",
        "var a = []; for (var i = 0; i < 100000; i++) a[i] = i; while (true) a.join();",
    ),
    (
        "getter",
        "var o = { get x() { while (1); } }; try { JSON.stringify(o); } catch (e) { caught = 1; }",
    ),
    ("result", "return { get x() { while (1); } };"),
];

#[test]
fn a_turn_without_end_ends_and_the_script_goes_on() {
    for (name, code) in ENDLESS {
        let stage = stage(&format!(
            "caught = 0;
             Client.prototype.burn = function() {{ {code} }};
             Client.prototype.caught = function() {{ return caught; }};"
        ));
        let client = stage.connect("x");
        let burn = client.send("burn", []);
        let answer = client.answer(burn);
        assert!(
            matches!(answer, Some(Err(_) | Ok(Value::Undefined))),
            "{name}: {answer:?}"
        );
        assert_eq!(client.call("caught", []), Ok(0.0.into()), "{name}");
        let said = stage.said();
        assert!(
            said.iter().any(|line| line.contains("script_turn_time")),
            "{name}: {said:?}"
        );
    }
}

#[test]
fn a_promise_chain_without_end_ends_with_its_group() {
    let stage = stage(
        "Client.prototype.burn = function() {
             (function next() { Promise.resolve().then(next); })();
             return 'begun';
         };
         Client.prototype.chain = async function(steps) {
             while (steps-- > 0) await null;
             return 'done';
         };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("chain", [1_000.0.into()]), Ok(text("done")));
    // The jobs go on in turn after turn, and each turn exceeds the allowance.
    client.send("burn", []);
    stage.pass(Duration::from_millis(100));
    assert!(client.is_closed());
    assert_eq!(client.statuses(), ["NetConnection.Connect.AppShutdown"]);
    let said = stage.said();
    assert!(said[0].contains("script_turn_time"), "{said:?}");
}

#[test]
fn long_native_work_is_refused() {
    let stage = stage("Client.prototype.run = function(code) { return eval(code); };");
    let client = stage.connect("x");
    for code in [
        "new Array(4294967295).join('')",
        "Array.prototype.join.call({ length: 9007199254740991 }, '')",
        "new Array(4294967295).fill(0)",
        "new Array(4294967295).reverse()",
        "[].concat(new Array(4294967295))",
        "[[new Array(4294967295)]].flat(Infinity)",
        "'a'.repeat(1000000).indexOf('a'.repeat(500000) + 'b')",
    ] {
        let began = Instant::now();
        let failed = client.call("run", [text(code)]).unwrap_err();
        let why = failed
            .get("description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert!(why.starts_with("RangeError"), "{code}: {why}");
        assert!(began.elapsed() < Duration::from_secs(5), "{code}");
    }
    for (code, expected) in [
        ("[1, [2, [3, 4]]].flat().join('-')", text("1-2-3,4")),
        (
            "'a,b'.split(',').concat(['c']).reverse().join('')",
            text("cba"),
        ),
        ("'abc'.indexOf('c')", 2.0.into()),
        ("[3, 1, 2].sort().slice(1).join()", text("2,3")),
        (
            "[].join.name + [].join.length + [].splice.length",
            text("join12"),
        ),
    ] {
        assert_eq!(client.call("run", [text(code)]), Ok(expected), "{code}");
    }
}

#[test]
fn three_turns_that_exceed_in_a_minute_end_the_group_and_the_third_end_holds_it_off() {
    let stage = stage("Client.prototype.burn = function() { while (1); };");
    for start in 0..3 {
        let client = stage.connect("x");
        let other = stage.connect("x");
        assert!(client.is_accepted(), "start {start}");
        for turn in 0..3 {
            assert!(!other.is_closed(), "start {start} turn {turn}");
            client.send("burn", []);
        }
        assert!(other.is_closed(), "start {start}");
        assert_eq!(other.statuses(), ["NetConnection.Connect.AppShutdown"]);
    }
    let refused = stage.connect("x").refused().unwrap();
    let code = refused.get("code").and_then(Value::as_str);
    assert_eq!(code, Some("NetConnection.Connect.AppShutdown"));
    assert!(
        stage.connect("other").is_accepted(),
        "another instance is not touched"
    );
    stage.pass(Duration::from_secs(301));
    assert!(stage.connect("x").is_accepted());
}

#[test]
fn exceeding_now_and_then_is_forgiven() {
    let stage = stage("Client.prototype.burn = function() { while (1); };");
    let client = stage.connect("x");
    for _ in 0..4 {
        client.send("burn", []);
        stage.pass(Duration::from_secs(31));
    }
    assert!(!client.is_closed());
}

#[test]
fn a_recursion_without_end_cannot_be_caught() {
    let stage = stage(
        "caught = 0;
         function deep() { try { deep(); } finally { caught++; } }
         Client.prototype.recurse = function() { try { deep(); } catch (e) { caught++; } };
         Client.prototype.sum = function(n) { return n == 0 ? 0 : n + this.sum(n - 1); };
         Client.prototype.caught = function() { return caught; };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("sum", [2_000.0.into()]), Ok(2_001_000.0.into()));
    client.send("recurse", []);
    assert_eq!(client.call("caught", []), Ok(0.0.into()));
    assert!(stage.said()[0].contains("too deeply"), "{:?}", stage.said());
}

#[test]
fn running_out_of_memory_is_caught_once() {
    let stage = stage(
        "Client.prototype.eat = function() {
             try { all = []; while (true) all.push('x'.repeat(100000) + all.length); }
             catch (e) { return 'caught'; }
         };
         Client.prototype.free = function() { all = null; return 'free'; };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("eat", []), Ok(text("caught")));
    assert_eq!(client.call("free", []), Ok(text("free")));
    client.send("eat", []);
    assert!(client.is_closed());
    assert!(stage.connect("x").is_accepted(), "it starts anew");
}

#[test]
fn a_script_that_runs_out_of_memory_may_make_room() {
    let stage = stage(
        "application.onStatus = function(info) {
             trace(info.code + ' ' + info.level);
             if (info.code == 'Application.Resource.LowMemory') all = null;
         };
         Client.prototype.eat = function() {
             all = [];
             try { while (true) all.push('x'.repeat(100000) + all.length); } catch (e) { return 'caught'; }
         };
         Client.prototype.size = function() { return all === null; };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("eat", []), Ok(text("caught")));
    assert_eq!(
        client.call("size", []),
        Ok(true.into()),
        "{:?}",
        stage.said()
    );
    let said = stage.said();
    let told = "Application.Resource.LowMemory warning".to_owned();
    assert_eq!(
        said.iter().filter(|line| **line == told).count(),
        1,
        "{said:?}"
    );
    assert!(!client.is_closed());
}

#[test]
fn a_script_that_traces_without_end_does_not_fill_the_log() {
    let stage = stage("Client.prototype.flood = function() { while (true) trace('x'); };");
    let client = stage.connect("x");
    client.send("flood", []);
    stage.pass(Duration::from_secs(1));
    client.send("missing", []);
    let flooded = stage.log().last().map_or(0, |line| line.number);
    assert!(flooded <= 2_000 + 3, "{flooded}");
    client.send("flood", []);
    let said = stage.said();
    let dropped = |line: &String| line.contains("lines of the script were too many");
    assert!(said.iter().any(dropped), "{:?}", said.last());
}

#[test]
fn timers_are_counted() {
    let stage = stage(
        "Client.prototype.fill = function() {
             var made = 0;
             try { while (true) { setInterval(function() {}, 1000); made++; } }
             catch (e) { return made + ' ' + e.name; }
         };",
    );
    let client = stage.connect("x");
    assert_eq!(client.call("fill", []), Ok(text("1000 RangeError")));
}

#[test]
fn a_script_that_fails_to_start_is_held_off() {
    let stage = stage("application.onAppStart = function() { nothing.here(); };");
    for _ in 0..5 {
        let refused = stage.connect("x").refused().unwrap();
        let code = refused.get("code").and_then(Value::as_str);
        assert_eq!(code, Some("NetConnection.Connect.AppShutdown"));
    }
    let said = stage.said();
    let starts = said
        .iter()
        .filter(|line| line.contains("ReferenceError"))
        .count();
    assert_eq!(starts, 3, "{said:?}");
}

#[test]
fn an_error_in_on_status_is_not_told_to_on_status() {
    let stage = stage(
        "application.onStatus = function() { alsoMissing(); };
         Client.prototype.fail = function() { missing(); };",
    );
    let client = stage.connect("x");
    assert!(client.call("fail", []).is_err());
    assert_eq!(stage.said().len(), 2);
}

#[test]
fn rejections_that_nobody_looks_at_are_logged() {
    let stage = stage(
        "Client.prototype.lose = function() { Promise.reject(new Error('lost')); };
         Client.prototype.look = function() { Promise.reject(new Error('seen')).catch(function() {}); };",
    );
    let client = stage.connect("x");
    client.send("look", []);
    client.send("lose", []);
    let said = stage.said();
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("main.asc:1: Error: lost"), "{said:?}");
}

/// A group that uses up its allowance does not get the next turn as long as others wait.
#[test]
fn a_burning_group_takes_turns_with_its_neighbours() {
    let stage = stage(
        "Client.prototype.burn = function() { trace('burn'); while (1); };
         Client.prototype.quick = function() { trace('quick'); };",
    );
    let (burner, neighbour) = (stage.connect("one"), stage.connect("two"));
    burner.queue("burn", []);
    burner.queue("burn", []);
    neighbour.queue("quick", []);
    stage.settle();
    let said: Vec<_> = stage
        .said()
        .into_iter()
        .filter(|line| line == "burn" || line == "quick")
        .collect();
    assert_eq!(said, ["burn", "quick", "burn"]);
}

#[test]
fn a_turn_that_ends_by_its_limit_touches_no_other_group() {
    let stage = stage(
        "count = 0;
         Client.prototype.burn = function() { while (1); };
         Client.prototype.next = function() { return ++count; };",
    );
    let (burner, neighbour) = (stage.connect("one"), stage.connect("two"));
    assert_eq!(neighbour.call("next", []), Ok(1.0.into()));
    for _ in 0..3 {
        burner.send("burn", []);
    }
    assert!(burner.is_closed());
    assert_eq!(neighbour.call("next", []), Ok(2.0.into()));
    assert!(!neighbour.is_closed());
}
