//! SharedObject in scripts.

use tributary_origin::test::Client;
use tributary_protocol::shared_object::Event;

use super::*;
use crate::ScriptApplication;

fn change(name: &str, value: impl Into<Value>) -> Event {
    Event::RequestChange {
        name: name.to_owned(),
        value: value.into(),
    }
}

fn changed(name: &str, value: impl Into<Value>) -> (String, Event) {
    let slots = vec![(name.to_owned(), value.into())];
    ("so".to_owned(), Event::Change(slots))
}

fn member(stage: &Stage) -> Client {
    let client = stage.connect("x");
    client.send_object("so", [Event::Use]);
    client.heard();
    client
}

const RUN: &str = "
    var so = SharedObject.get('so');
    Client.prototype.run = function(code) { return eval(code); };";

#[test]
fn what_the_script_sets_reaches_the_members() {
    let stage = stage(RUN);
    let client = member(&stage);
    client
        .call("run", [text("so.setProperty('a', { x: [1] })")])
        .unwrap();
    let value =
        tributary_protocol::amf::Object::new().with("x", Value::StrictArray(vec![1.0.into()]));
    assert_eq!(client.object_events(), [changed("a", value)]);
    // A script removes a slot by setting null or undefined.
    for nothing in ["null", "undefined"] {
        client
            .call("run", [text("so.setProperty('a', 1)")])
            .unwrap();
        client.heard();
        let code = format!("so.setProperty('a', {nothing})");
        client.call("run", [text(&code)]).unwrap();
        let removed = (
            "so".to_owned(),
            Event::Remove {
                name: "a".to_owned(),
            },
        );
        assert_eq!(client.object_events(), [removed], "{nothing}");
    }
    client
        .call("run", [text("so.send('hello', 1, 'x')")])
        .unwrap();
    let values = vec![text("hello"), 1.0.into(), text("x")];
    let sent = ("so".to_owned(), Event::SendMessage { values });
    assert_eq!(client.object_events(), [sent]);
}

#[test]
fn what_members_set_reaches_on_sync() {
    let stage = stage(&format!(
        "{RUN}
         SharedObject.prototype.onSync = function() {{ trace('not me'); }};
         so.onSync = function(list) {{
             for (var i = 0; i < list.length; i++)
                 trace([list[i].code, list[i].name, list[i].oldValue, this === so].join(' '));
         }};
         so.say = function(what, more) {{ trace('said ' + what + more + (this === so)); }};"
    ));
    let client = member(&stage);
    client
        .call("run", [text("so.setProperty('own', 1)")])
        .unwrap();
    client.send_object("so", [change("a", 1.0), change("b", "x")]);
    client.send_object("so", [change("a", 2.0)]);
    client.send_object(
        "so",
        [Event::RequestRemove {
            name: "b".to_owned(),
        }],
    );
    let say = |handler: &str| Event::SendMessage {
        values: vec![text(handler), text("hi"), 5.0.into()],
    };
    for handler in ["say", "setProperty", "clear", "constructor", "missing"] {
        client.send_object("so", [say(handler)]);
    }
    client.send_object("so", [Event::RequestClear]);
    assert_eq!(
        stage.said(),
        [
            "change a  true",
            "change b  true",
            "change a 1 true",
            "delete b x true",
            "said hi5true",
            "clear   true",
        ]
    );
}

#[test]
fn every_member_of_the_class_answers() {
    let stage = stage(RUN);
    let client = member(&stage);
    for (code, expected) in [
        ("SharedObject.get('so') === so", Value::from(true)),
        ("so.name + ' ' + so", text("so [object SharedObject]")),
        ("so.size()", 0.0.into()),
        (
            "so.setProperty('a', 1); so.setProperty('b', [2]); so.size()",
            2.0.into(),
        ),
        ("so.getPropertyNames().join()", text("a,b")),
        ("so.getProperty('b')[0] + so.getProperty('a')", 3.0.into()),
        ("so.getProperty('missing') === null", true.into()),
        ("so.version > 0", true.into()),
        ("so.isDirty", false.into()),
        ("so.resyncDepth", f64::INFINITY.into()),
        ("so.resyncDepth = 5; so.resyncDepth", 5.0.into()),
        (
            "[so.lock(), so.lock(), so.unlock(), so.unlock()].join()",
            text("1,2,1,0"),
        ),
        ("so.flush()", false.into()),
        ("so.mark('done', 1)", true.into()),
        ("so.purge(1), so.clear()", true.into()),
        ("so.size()", 0.0.into()),
        (
            "(function() { var all = []; for (var n in so) all.push(n); return all.join(); })()",
            text(""),
        ),
        (
            "try { new SharedObject() } catch (e) { e.name }",
            text("TypeError"),
        ),
        ("SharedObject.get('../x')", Value::Null),
        ("SharedObject.get('so', true)", Value::Null),
        ("SharedObject.commit()", true.into()),
    ] {
        assert_eq!(client.call("run", [text(code)]), Ok(expected), "{code}");
    }
}

#[test]
fn a_lock_puts_changes_into_one_message() {
    let stage = stage(RUN);
    let client = member(&stage);
    client
        .call(
            "run",
            [text(
                "so.lock(); so.setProperty('a', 1); so.setProperty('b', 2);",
            )],
        )
        .unwrap();
    assert_eq!(client.object_events(), []);
    client
        .call("run", [text("so.setProperty('a', 3); so.unlock();")])
        .unwrap();
    let events = client.object_events();
    let slots: Vec<_> = events
        .iter()
        .flat_map(|(_, event)| match event {
            Event::Change(slots) => slots.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(slots.contains(&("a".to_owned(), 3.0.into())), "{slots:?}");
    assert!(slots.contains(&("b".to_owned(), 2.0.into())), "{slots:?}");
}

#[test]
fn a_turn_that_fails_leaves_no_lock() {
    let stage = stage(&format!(
        "{RUN} Client.prototype.fail = function() {{ so.lock(); so.setProperty('a', 1); missing(); }};"
    ));
    let client = member(&stage);
    client.call("fail", []).unwrap_err();
    assert_eq!(client.object_events(), [changed("a", 1.0)]);
    assert!(stage.said().iter().any(|line| line.contains("locked")));
}

#[test]
fn a_temporary_object_lives_until_it_is_closed() {
    let stage = stage(&format!(
        "{RUN}
         Client.prototype.open = function() {{ held = SharedObject.get('t'); held.setProperty('a', 1); }};
         Client.prototype.look = function() {{ return SharedObject.get('t').size(); }};"
    ));
    let client = stage.connect("x");
    client.call("open", []).unwrap();
    assert_eq!(client.call("look", []), Ok(1.0.into()));
    client.call("run", [text("held = null")]).unwrap();
    assert_eq!(
        client.call("look", []),
        Ok(1.0.into()),
        "it needs no variable"
    );
    client.call("open", []).unwrap();
    let code = "held.close(); held.setProperty('b', 1); held.size()";
    assert_eq!(client.call("run", [text(code)]), Ok(0.0.into()));
    assert_eq!(client.call("look", []), Ok(0.0.into()));
}

#[test]
fn access_lists_keep_clients_out() {
    let stage = stage(&format!(
        "{RUN}
         application.onConnect = function(client) {{
             trace(client.readAccess + ' ' + client.writeAccess);
             client.writeAccess = 'public;open'; client.readAccess = '/';
             return true;
         }};"
    ));
    let client = member(&stage);
    client.send_object("so", [change("a", 1.0)]);
    let events = client.object_events();
    let refused = |(_, event): &(String, Event)| matches!(event, Event::Status { code, .. } if code == "SharedObject.NoWriteAccess");
    assert!(events.iter().any(refused), "{events:?}");
    assert_eq!(
        client.call("run", [text("this.writeAccess")]),
        Ok(text("public;open"))
    );
    assert_eq!(stage.said(), ["/ /"]);
}

#[test]
fn clear_shared_objects_takes_a_path() {
    let stage = stage(RUN);
    let client = stage.connect("x");
    let code = "a = SharedObject.get('dir/a'); b = SharedObject.get('b');
        a.setProperty('x', 1); b.setProperty('x', 1);
        [application.clearSharedObjects('/dir/*'), a.size(), b.size(),
         application.clearSharedObjects('/'), b.size()].join()";
    assert_eq!(
        client.call("run", [text(code)]),
        Ok(text("true,0,1,true,0"))
    );
}

/// Persistent objects outlive the process; `flush` and `commit` report that the write is queued.
#[test]
fn persistent_objects_are_there_again() {
    let data = tempfile::tempdir().unwrap();
    let script = "
        var so = SharedObject.get('scores', true);
        so.onStatus = function(info) { trace(info.code); };
        Client.prototype.run = function(code) { return eval(code); };";
    let begin = || {
        let program = program(&[("main.asc", script)]);
        let settings = program.settings().clone();
        Stage::with_data(data.path(), settings, move |_| {
            Box::new(ScriptApplication::new(
                Arc::clone(&program),
                Host::default(),
            ))
        })
        .unwrap()
    };
    let stage = begin();
    let client = stage.connect("x");
    for (code, expected) in [
        (
            "so.setProperty('bob', { best: [7] }); so.autoCommit",
            true.into(),
        ),
        ("so.flush()", true.into()),
        (
            "so.autoCommit = false; so.setProperty('eve', 1); so.isDirty",
            Value::from(true),
        ),
        ("SharedObject.commit('other')", true.into()),
        ("so.isDirty", true.into()),
        ("SharedObject.commit('scores')", true.into()),
    ] {
        assert_eq!(client.call("run", [text(code)]), Ok(expected), "{code}");
    }
    assert_eq!(client.call("run", [text("so.isDirty")]), Ok(false.into()));
    stage.shut_down();
    drop((client, stage));
    let stage = begin();
    let client = stage.connect("x");
    let code =
        "[so.getProperty('bob').best[0], so.getProperty('eve'), so.getPropertyNames()].join()";
    assert_eq!(client.call("run", [text(code)]), Ok(text("7,1,bob,eve")));
    assert_eq!(stage.said(), Vec::<String>::new());
}
