//! The files of the framework.

use tributary_origin::test::ConnectAs;

use super::*;

#[test]
fn subscribers_hear_what_happens_to_the_application() {
    let script = "load('framework.asc');
        application.onConnect = function(client, name) {
            gFrameworkFC.getClientGlobals(client).username = name;
            if (name == 'bad') { application.rejectConnection(client, { why: 1 }); return; }
            application.acceptConnection(client);
        };
        application.onConnectAccept = function(client, name) { trace('in ' + name); };
        application.onConnectReject = function(client, name) { trace('out ' + name); };
        application.onAppStart = function() {
            gFrameworkFC.addSubscriber({
                onConnect: function(client, name) { trace('asked ' + name); },
                onConnectAccept: function(client) {
                    trace(gFrameworkFC.getClientGlobals(client).username + ' ' + gFrameworkFC.getClientID(client));
                },
                onDisconnect: function(client) { trace('left ' + gFrameworkFC.getClientID(client)); }
            });
        };";
    let stage = stage(script);
    let named = |name: &str| stage.connect_as("x", ConnectAs::with([text(name)]));
    let alice = named("alice");
    assert!(alice.is_accepted());
    assert!(named("bad").refused().is_some());
    alice.leave();
    let said = stage.said();
    let expected = [
        "in alice",
        "alice c1",
        "asked alice",
        "out bad",
        "asked bad",
        "left c1",
    ];
    assert_eq!(said, expected);
}

#[test]
fn the_framework_without_handlers_accepts() {
    let stage = stage("load('components.asc');");
    assert!(stage.connect("x").is_accepted());
}

#[test]
fn calls_reach_the_methods_of_components_and_nothing_else() {
    let poll = "FCPoll = function(name) { this.init(name); this.votes = {}; this.secret = function() { return 1; }; };
        FCPoll.prototype = new FCComponent('FCPoll', FCPoll);
        FCPoll.prototype.vote = function(client, choice) {
            this.getClientGlobalStorage(client).voted = true;
            return this.votes[choice] = (this.votes[choice] || 0) + 1;
        };
        FCPoll.prototype.where = function(client) { return this.prefix + client.ip; };";
    let stage = files(&[
        (
            "main.asc",
            "load('components/component.asc'); load('components/poll.asc');",
        ),
        ("components/poll.asc", poll),
    ]);
    let client = stage.connect("x");
    assert_eq!(
        client.call("FCPoll/main/vote", [text("a")]),
        Ok(Value::from(1.0))
    );
    assert_eq!(
        client.call("FCPoll.main.vote", [text("a")]),
        Ok(Value::from(2.0))
    );
    assert_eq!(
        client.call("FCPoll/other/vote", [text("a")]),
        Ok(Value::from(1.0))
    );
    let place = text("FCPoll.main.127.0.0.1");
    assert_eq!(client.call("FCPoll/main/where", []), Ok(place));
    for name in [
        "init",
        "secret",
        "close",
        "constructor",
        "getClientID",
        "toString",
        "votes",
    ] {
        assert!(
            client.call(&format!("FCPoll/main/{name}"), []).is_err(),
            "{name}"
        );
    }
    let flood = (0..300).filter(|n| client.call(&format!("FCPoll/n{n}/where"), []).is_ok());
    assert_eq!(flood.count(), 254);
}

#[test]
fn a_missing_framework_file_names_the_documentation() {
    let stage = stage("load('components/chat.asc');");
    assert!(stage.connect("x").refused().is_some());
    let said = stage.said();
    assert!(said[0].contains("components/chat.asc"), "{said:?}");
    assert!(said[0].contains("docs/porting-from-fms.md"), "{said:?}");
}
