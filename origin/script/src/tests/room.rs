//! Tests of the life of a script's shared objects, and of the closing of objects when there are
//! many.

use std::time::Duration;

use tributary_origin::test::{Client, ConnectAs};
use tributary_protocol::shared_object::Event;

use super::*;

const RUN: &str = "Client.prototype.run = function(code) { return eval(code); };";

/// A stage with a long turn time, for a busy machine.
fn patient(text: &str) -> Stage {
    let settings = config::Application {
        script_turn_time: config::Duration(Duration::from_secs(10)),
        ..config::Application::default()
    };
    let files = BTreeMap::from([("main.js".to_owned(), Arc::from(text))]);
    let program = Program::of_files("app", Path::new(""), files, &settings);
    test::program(program.unwrap(), Host::default())
}

fn run(stage: &Stage, client: &Client, code: &str) -> Value {
    client
        .call("run", [text(code)])
        .unwrap_or_else(|_| panic!("{code}: {:?}", stage.said()))
}

/// The number of objects from `first` to `last` that are not empty.
fn filled(stage: &Stage, client: &Client, first: u32, last: u32) -> u32 {
    let code = format!(
        "var full = 0; for (var i = {first}; i <= {last}; i++) {{
            var so = SharedObject.get('s' + i); if (so.size() > 0) full++; else so.close(); }} full"
    );
    run(stage, client, &code).as_number().unwrap() as u32
}

/// Makes the objects `first` to `last`, each with a slot, in turns of a hundred.
fn fill(stage: &Stage, client: &Client, first: u32, last: u32) {
    for from in (first..=last).step_by(100) {
        let to = (from + 99).min(last);
        let code = format!(
            "for (var i = {from}; i <= {to}; i++) SharedObject.get('s' + i, false).setProperty('v', i);"
        );
        run(stage, client, &code);
    }
}

#[test]
fn an_object_in_a_local_variable_stays_and_hears_its_members() {
    let stage = stage(
        "application.onAppStart = function() {
             var so = SharedObject.get('settings', false);
             so.setProperty('v', 1);
             so.onSync = function(list) { trace(list[0].code + ' ' + list[0].name); };
         };",
    );
    let client = stage.connect("x");
    client.send_object("settings", [Event::Use]);
    let value = (
        "settings".to_owned(),
        Event::Change(vec![("v".to_owned(), 1.0.into())]),
    );
    assert!(client.object_events().contains(&value));
    let change = Event::RequestChange {
        name: "w".to_owned(),
        value: 2.0.into(),
    };
    client.send_object("settings", [change]);
    assert_eq!(stage.said(), ["change w"]);
    client.leave();
    stage.pass(Duration::from_secs(60));
    let client = stage.connect("x");
    client.send_object("settings", [Event::Use]);
    assert!(
        client.object_events().contains(&value),
        "it outlives its members"
    );
}

#[test]
fn twenty_thousand_clients_have_an_object_each() {
    let stage = stage(
        "application.onConnect = function(client, name) {
             var so = SharedObject.get(name, false);
             so.setProperty('here', true);
             return true;
         };
         Client.prototype.look = function(name) { return SharedObject.get(name).size(); };",
    );
    for number in 0..20_000 {
        let name = format!("user{number}");
        let client = stage.connect_as("x", ConnectAs::with([text(&name)]));
        if number % 100 == 0 {
            assert_eq!(client.call("look", [text(&name)]), Ok(1.0.into()));
        }
        client.leave();
    }
    let notes: Vec<_> = stage.said();
    assert_eq!(notes.len(), 1, "one line a minute: {notes:?}");
}

#[test]
fn what_is_needed_stays_and_the_least_used_go_first() {
    let stage = patient(RUN);
    let client = stage.connect("x");
    let member = stage.connect("x");
    run(
        &stage,
        &client,
        "held = SharedObject.get('held'); held.setProperty('v', 1);
         SharedObject.get('handles').onSync = function() { trace('sync'); };
         SharedObject.get('handles').setProperty('v', 1);
         SharedObject.get('nested').on = { say: function() {} };
         SharedObject.get('nested').setProperty('v', 1);
         SharedObject.get('locked').setProperty('v', 1);
         SharedObject.get('used').setProperty('v', 1); 1",
    );
    run(
        &stage,
        &client,
        "SharedObject.get('joined').setProperty('v', 1)",
    );
    member.send_object("joined", [Event::Use]);
    for first in (1..10_000).step_by(1_000) {
        fill(&stage, &client, first, first + 999);
        assert_eq!(
            run(&stage, &client, "SharedObject.get('used').size()"),
            1.0.into()
        );
    }
    for name in ["held", "handles", "nested", "joined", "used"] {
        let size = run(
            &stage,
            &client,
            &format!("SharedObject.get('{name}').size()"),
        );
        assert_eq!(size, 1.0.into(), "{name}");
    }
    assert_eq!(run(&stage, &client, "held.getProperty('v')"), 1.0.into());
    // The newest objects exist, the oldest do not.
    assert_eq!(filled(&stage, &client, 8_001, 10_000), 2_000);
    assert_eq!(filled(&stage, &client, 1, 1_000), 0);
    let change = Event::RequestChange {
        name: "w".to_owned(),
        value: 2.0.into(),
    };
    member.send_object("handles", [Event::Use, change]);
    assert_eq!(stage.said().last().unwrap(), "sync");
}

#[test]
fn many_objects_of_one_turn_make_room_as_well() {
    let stage = patient(RUN);
    let client = stage.connect("x");
    let code = "for (var i = 0; i < 6000; i++) {
        var so = SharedObject.get('s' + i); so.setProperty('v', i); } so.getProperty('v')";
    assert_eq!(run(&stage, &client, code), 5_999.0.into());
    // Objects that hold each other are closed as well.
    let code = "for (var i = 0; i < 3000; i++) {
        var a = SharedObject.get('a' + i), b = SharedObject.get('b' + i);
        a.other = b; b.other = a; b.setProperty('v', i); } b.getProperty('v')";
    assert_eq!(run(&stage, &client, code), 2_999.0.into());
}

#[test]
fn objects_that_variables_hold_fill_the_instance() {
    let stage = patient(RUN);
    let client = stage.connect("x");
    let code = "all = []; for (var i = 0; i < 5000; i++) {
        var so = SharedObject.get('s' + i); if (so) { so.setProperty('v', i); all.push(so); } } all.length";
    assert_eq!(run(&stage, &client, code), 4_096.0.into());
    let code = "all.filter(function(so) { return so.size() == 1; }).length";
    assert_eq!(run(&stage, &client, code), 4_096.0.into());
    stage.pass(Duration::from_secs(2));
    run(&stage, &client, "all.length = 4000; 1");
    assert_eq!(
        run(&stage, &client, "SharedObject.get('more') !== null"),
        true.into()
    );
}

#[test]
fn clients_find_room_where_the_script_holds_many() {
    let stage = patient(RUN);
    let client = stage.connect("x");
    fill(&stage, &client, 1, 3_000);
    let members: Vec<_> = (0..10).map(|_| stage.connect("x")).collect();
    for number in 0..2_000 {
        let name = format!("c{number}");
        let member = &members[number % 10];
        member.send_object(&name, [Event::Use]);
        let events = member.object_events();
        assert!(
            events.iter().any(|(_, event)| *event == Event::UseSuccess),
            "{number}: {events:?}"
        );
    }
}

#[test]
fn objects_go_where_memory_is_scarce() {
    let stage = patient(RUN);
    let client = stage.connect("x");
    for from in (0..2_000).step_by(50) {
        let code = format!(
            "for (var i = {from}; i < {from} + 50; i++) {{
                var so = SharedObject.get('s' + i); so.setProperty('v', i);
                so.text = new Array(20000).fill(i).join(); }} i"
        );
        run(&stage, &client, &code);
    }
    assert_eq!(
        run(&stage, &client, "SharedObject.get('s1999').size()"),
        1.0.into()
    );
}
