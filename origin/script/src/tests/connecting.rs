//! Tests of onConnect and its decisions, and of calls both ways.

use std::time::Duration;

use tributary_origin::test::{ConnectAs, Heard};
use tributary_protocol::link::ClientClaims;

use super::*;

#[test]
fn what_on_connect_returns_decides() {
    for (returned, accepted, refused) in [
        ("true", true, false),
        ("false", false, true),
        ("1", false, false),
        ("0", false, false),
        ("undefined", false, false),
        ("null", false, false),
        ("'yes'", false, false),
        ("Promise.resolve(true)", true, false),
        ("Promise.resolve(false)", false, true),
        ("Promise.reject('no')", false, true),
        ("nothing.here", false, true),
        ("(application.acceptConnection(client), false)", true, false),
        ("(application.rejectConnection(client), true)", false, true),
    ] {
        let stage = stage(&format!(
            "application.onConnect = function(client) {{ return {returned}; }}"
        ));
        let client = stage.connect("x");
        assert_eq!(client.is_accepted(), accepted, "{returned}");
        assert_eq!(client.refused().is_some(), refused, "{returned}");
    }
}

#[test]
fn a_pending_client_waits_and_does_not_hold_back_the_next() {
    let stage = stage(
        "var first = null;
         application.onConnect = function(client, name) {
             if (first) { trace('next'); return true; }
             first = client;
             client.call('early', { onResult: function(value) { trace('answered ' + value); } }, 1);
             setTimeout(function() { application.acceptConnection(first); first.call('late', null, 2); }, 500);
         }
         Client.prototype.held = function() { return application.clients.length; }",
    );
    let slow = stage.connect("x");
    let held = slow.send("held", []);
    let quick = stage.connect("x");
    assert!(quick.is_accepted() && !slow.is_accepted());
    assert_eq!(slow.answer(held), None, "nothing of it is handled yet");
    stage.pass(Duration::from_millis(600));
    assert!(slow.is_accepted());
    assert_eq!(slow.answer(held), Some(Ok(2.0.into())));
    let heard = slow.heard();
    let calls: Vec<_> = heard
        .iter()
        .filter_map(|heard| match heard {
            Heard::Call(name, id, _) => Some((name.as_str(), *id)),
            _ => None,
        })
        .collect();
    assert_eq!(calls[0].0, "early");
    assert_eq!(calls[1], ("late", 0.0), "no answer is expected");
    assert!(
        matches!(heard[0], Heard::Result(1.0, _)),
        "connect's answer is first"
    );
    slow.respond(calls[0].1, Ok("fine".into()));
    assert_eq!(stage.said(), ["next", "answered fine"]);
}

#[test]
fn calls_to_a_rejected_client_fail() {
    let stage = stage(
        "application.onConnect = function(client) {
             client.call('early', { onStatus: function(info) { trace(info.code); } });
             setTimeout(function() { application.rejectConnection(client, 'later'); }, 10);
         }",
    );
    let client = stage.connect("x");
    stage.pass(Duration::from_millis(20));
    assert_eq!(
        client.refused().unwrap().get("application"),
        Some(&text("later"))
    );
    assert_eq!(client.calls(), []);
    assert_eq!(stage.said(), ["NetConnection.Call.Failed"]);
}

#[test]
fn an_undecided_client_is_rejected_after_a_minute() {
    let stage = stage("application.onConnect = function() {}");
    let client = stage.connect("x");
    stage.pass(Duration::from_secs(59));
    assert!(client.refused().is_none());
    stage.pass(Duration::from_secs(2));
    assert!(client.refused().is_some());
}

#[test]
fn a_redirect_says_where_to() {
    let stage = stage(
        "application.onConnect = function(client, why, more) {
             application.redirectConnection(client, 'rtmp://other/app', why, more);
         }",
    );
    for (arguments, description, application) in [
        (vec![], None, None),
        (vec![text("it moved")], Some("it moved"), None),
        (vec![text("so"), 5.0.into()], Some("so"), Some(5.0.into())),
    ] {
        let client = stage.connect_as("x", ConnectAs::with(arguments));
        let info = client.refused().unwrap();
        let ex = info.get("ex").unwrap();
        assert_eq!(ex.get("code"), Some(&302.0.into()));
        assert_eq!(ex.get("redirect"), Some(&text("rtmp://other/app")));
        let usual = description.unwrap_or("Connection rejected.");
        assert_eq!(info.get("description"), Some(&text(usual)));
        assert_eq!(info.get("application"), application.as_ref());
    }
}

#[test]
fn a_rejection_has_a_description_an_object_or_both() {
    let stage = stage(
        "application.onConnect = function(client, how) {
             if (how == 'object') application.rejectConnection(client, { why: 1 });
             if (how == 'text') application.rejectConnection(client, 'full');
             if (how == 'both') application.rejectConnection(client, 'full', { why: 2 });
             if (how == 'null') application.rejectConnection(client, null);
             if (how == 'nowhere') application.redirectConnection(client);
         }",
    );
    let why = |number: f64| Value::from(tributary_protocol::amf::Object::new().with("why", number));
    let usual = "Connection rejected.";
    for (how, description, application) in [
        ("object", usual, Some(why(1.0))),
        ("text", "full", Some(text("full"))),
        ("both", "full", Some(why(2.0))),
        ("null", usual, None),
        ("nowhere", usual, None),
    ] {
        let info = stage.connect_as("x", ConnectAs::with([text(how)]));
        let info = info.refused().unwrap();
        assert_eq!(
            info.get("code"),
            Some(&text("NetConnection.Connect.Rejected"))
        );
        assert_eq!(info.get("description"), Some(&text(description)), "{how}");
        assert_eq!(info.get("application"), application.as_ref(), "{how}");
        assert_eq!(info.get("ex"), None, "{how}");
    }
}

#[test]
fn peers_reach_what_the_script_has_put_there_and_nothing_else() {
    let stage = stage(
        "function Chat() {} Chat.prototype.say = function(x) { return 'said ' + x; };
         application.onConnect = function(client) {
             client.own = function() { return 'own'; };
             client.chat = new Chat();
             client.deep = { a: { b: { c: { d: function() { return 'too deep'; } },
                                       f: function() { return this.name; }, name: 'b' } } };
             client.app = application;
             client.list = [1];
             client.host = Client;
             client.data = 5;
             return true;
         }
         Client.prototype.shared = function(a, b) { return a + b; };
         Client.prototype.data2 = { get: function() { return 2; } };",
    );
    let client = stage.connect("x");
    for (name, expected) in [
        ("own", Some("own")),
        ("chat.say", Some("said 1")),
        ("chat/say", Some("said 1")),
        ("deep.a.b.f", Some("b")),
        ("deep/a.b/f", Some("b")),
        ("deep.a.b.c.d", None),
        ("call", None),
        ("getStats", None),
        ("toString", None),
        ("constructor", None),
        ("__proto__", None),
        ("hasOwnProperty", None),
        ("chat.constructor", None),
        ("chat.hasOwnProperty", None),
        ("own.call", None),
        ("own.constructor", None),
        ("app.shutdown", None),
        ("app.acceptConnection", None),
        ("list.push", None),
        ("host.prototype.shared", None),
        ("data", None),
        ("data.x", None),
        ("nothing", None),
        ("", None),
        (".", None),
    ] {
        match (client.call(name, [1.0.into()]), expected) {
            (Ok(value), Some(expected)) => assert_eq!(value, text(expected), "{name}"),
            (Err(info), None) => {
                assert_eq!(
                    info.get("code"),
                    Some(&text("NetConnection.Call.Failed")),
                    "{name}"
                );
            }
            (answer, _) => panic!("{name}: {answer:?}"),
        }
    }
    assert_eq!(
        client.call("shared", [1.0.into(), 2.0.into()]),
        Ok(3.0.into())
    );
    assert_eq!(stage.groups(), 1);
    assert_eq!(
        stage.said(),
        Vec::<String>::new(),
        "a wrong name is no error of the script"
    );
}

#[test]
fn resolve_is_asked_for_unknown_methods() {
    let stage = stage(
        "Client.prototype.__resolve = function(name) {
             if (name == 'no') return undefined;
             return function(value) { return [name, value, this instanceof Client]; };
         }",
    );
    let client = stage.connect("x");
    let expected = Value::StrictArray(vec![text("any"), 7.0.into(), true.into()]);
    assert_eq!(client.call("any", [7.0.into()]), Ok(expected));
    assert!(client.call("no", []).is_err());
}

#[test]
fn answers_may_come_later() {
    let stage = stage(
        "Client.prototype.later = function(ms) {
             return new Promise(function(resolve) { setTimeout(resolve, ms, 'late'); });
         };
         Client.prototype.never = async function() { throw new TypeError('no'); };
         Client.prototype.nothing = function() {};
         Client.prototype.both = function() { return { a: [1, null], b: true }; };",
    );
    let client = stage.connect("x");
    let later = client.send("later", [100.0.into()]);
    assert_eq!(client.answer(later), None);
    stage.pass(Duration::from_millis(100));
    assert_eq!(client.answer(later), Some(Ok(text("late"))));
    let failed = client.call("never", []).unwrap_err();
    assert_eq!(failed.get("description"), Some(&text("TypeError: no")));
    assert_eq!(client.call("nothing", []), Ok(Value::Undefined));
    let both = client.call("both", []).unwrap();
    assert_eq!(
        both.get("a"),
        Some(&Value::StrictArray(vec![1.0.into(), Value::Null]))
    );
}

#[test]
fn responders_hear_results_and_errors() {
    let stage = stage(
        "function Responder(name) { this.name = name; }
         Responder.prototype.onResult = function(value) { trace(this.name + ' ' + value); };
         Responder.prototype.onStatus = function(info) { trace(this.name + ' ' + info.code); };
         application.onConnect = function(client) {
             application.acceptConnection(client);
             client.call('one', new Responder('one'));
             client.call('two', new Responder('two'));
             client.call('three', new Responder('three'));
             client.call('onBWDone');
             client.call('none', null, 1);
             client.call('empty', {});
         }",
    );
    let client = stage.connect("x");
    let calls: Vec<_> = client
        .heard()
        .into_iter()
        .filter_map(|heard| match heard {
            Heard::Call(name, id, _) => Some((name, id)),
            _ => None,
        })
        .collect();
    let id = |name: &str| calls.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(id("onBWDone"), 0.0);
    assert_eq!(id("none"), 0.0);
    client.respond(id("one"), Ok("fine".into()));
    client.respond(id("one"), Ok("twice".into()));
    let info = tributary_protocol::amf::Object::new().with("code", "Wrong");
    client.respond(id("two"), Err(info.into()));
    client.respond(id("empty"), Ok(1.0.into()));
    client.leave();
    assert_eq!(
        stage.said(),
        ["one fine", "two Wrong", "three NetConnection.Call.Failed"]
    );
}

#[test]
fn a_script_reads_what_the_edge_has_verified() {
    let stage = stage(
        "application.onConnect = function(c) {
             trace(c.user + ' ' + JSON.stringify(c.claims) + ' ' + (c.claims === c.claims));
             c.old = c.user;
             c.user = 'own';
             return true;
         }
         application.onDisconnect = function(c) {
             trace(c.old + ' ' + c.user + ' ' + (c.claims && c.claims.room));
         }",
    );
    let claims = |user: &str, json: &str| ClientClaims {
        user: (!user.is_empty()).then(|| user.to_owned()),
        json: (!json.is_empty()).then(|| json.to_owned()),
    };
    let deep = "[".repeat(4_000);
    let mut all = Vec::new();
    for (claims, expected) in [
        (None, ["null null true", "null own null"]),
        (
            Some(claims("bob", "{\"room\":[1,\"a\"],\"exp\":7}")),
            ["bob {\"room\":[1,\"a\"],\"exp\":7} true", "bob own 1,a"],
        ),
        (Some(claims("", "7")), ["null null true", "null own null"]),
        (Some(claims("", "{")), ["null null true", "null own null"]),
        (Some(claims("", &deep)), ["null null true", "null own null"]),
    ] {
        let connect = ConnectAs {
            claims,
            ..ConnectAs::default()
        };
        stage.connect_as("x", connect).leave();
        all.extend(expected);
    }
    assert_eq!(stage.said(), all);
}

#[test]
fn a_client_tells_about_itself_even_when_it_is_gone() {
    let stage = stage(
        "application.onDisconnect = function(c) {
             trace([c.ip, c.agent, c.referrer, c.pageUrl, c.uri, c.protocol, c.secure, c.nick].join('|'));
             trace(typeof c.id + ' ' + c.call('gone') + ' ' + c.getStats() + ' ' + application.clients.length);
         }
         application.onConnect = function(c) { c.ip = 'forged'; c.nick = 'n'; return true; }",
    );
    let mut connect = ConnectAs {
        peer: "[::ffff:192.0.2.7]:99".parse().unwrap(),
        ..ConnectAs::default()
    };
    connect.properties.push("swfUrl", "http://a/b.swf");
    connect.properties.push("pageUrl", "http://a/");
    stage.connect_as("x", connect).leave();
    assert_eq!(
        stage.said(),
        [
            "192.0.2.7|LNX 9,0,124,2|http://a/b.swf|http://a/|rtmp://localhost/app/x|rtmp|false|n",
            "string false undefined 0",
        ]
    );
}

#[test]
fn an_own_id_does_not_confuse_the_host() {
    let stage = stage(
        "application.onConnect = function(client, id) { client.id = id; return true; }
         Client.prototype.kick = function() { application.disconnect(this); };
         Client.prototype.who = function() { return this.id; };",
    );
    let one = stage.connect_as("x", ConnectAs::with([text("same")]));
    let two = stage.connect_as("x", ConnectAs::with([text("same")]));
    assert_eq!(one.call("who", []), Ok(text("same")));
    one.send("kick", []);
    assert!(one.is_closed() && !two.is_closed());
    assert_eq!(two.call("who", []), Ok(text("same")));
}

#[test]
fn broadcasts_reach_every_accepted_client() {
    let stage = stage(
        "var pending = 0;
         application.onConnect = function(client) { if (pending++ < 2) return true; };
         Client.prototype.all = function(x) { return application.broadcastMsg('news', x, [1]); };",
    );
    let clients = [stage.connect("x"), stage.connect("x"), stage.connect("x")];
    assert_eq!(clients[0].call("all", [text("now")]), Ok(true.into()));
    let news = (
        "news".to_owned(),
        vec![text("now"), Value::StrictArray(vec![1.0.into()])],
    );
    for client in &clients[..2] {
        assert_eq!(client.calls(), std::slice::from_ref(&news));
    }
    assert_eq!(clients[2].calls(), []);
}

#[test]
fn instances_are_apart() {
    let stage = stage("count = 0; Client.prototype.next = function() { return ++count; }");
    let (one, two) = (stage.connect("one"), stage.connect("two"));
    assert_eq!(one.call("next", []), Ok(1.0.into()));
    assert_eq!(one.call("next", []), Ok(2.0.into()));
    assert_eq!(two.call("next", []), Ok(1.0.into()));
}

#[test]
fn on_app_stop_may_keep_an_idle_instance_and_hears_of_the_end() {
    let stage = stage(
        "var asked = 0;
         application.onDisconnect = function() { trace('left'); };
         application.onAppStop = function(info) { trace(info.code); return ++asked > 1; }",
    );
    stage.connect("x").leave();
    stage.pass(Duration::from_secs(610));
    assert_eq!(stage.said(), ["left", "Application.GC"]);
    let client = stage.connect("x");
    stage.shut_down();
    assert!(client.is_closed());
    assert_eq!(stage.said()[2..], ["left", "Application.Shutdown"]);
}

#[test]
fn shutdown_unloads_the_instance_and_the_next_client_starts_it_anew() {
    let stage = stage(
        "count = 0;
         application.onAppStop = function(info) { trace('stop ' + count); }
         Client.prototype.end = function() { count = 1; application.shutdown(); };
         Client.prototype.count = function() { return count; };",
    );
    let client = stage.connect("x");
    client.send("end", []);
    assert!(client.is_closed());
    assert_eq!(client.statuses(), ["NetConnection.Connect.AppShutdown"]);
    assert_eq!(stage.said(), ["stop 1"]);
    assert_eq!(stage.connect("x").call("count", []), Ok(0.0.into()));
}

#[test]
fn hooks_decide_who_publishes_and_plays() {
    let stage = stage(
        "application.onPublishRequest = function(client, name, type, query) {
             trace([name, type, query].join(' '));
             if (name == 'closed') return false;
             if (name == 'why') return { code: 'x', description: 'not now' };
             if (name == 'later') return new Promise(function(done) { setTimeout(done, 100, true); });
             if (name == 'never') return undefined;
             return { identity: 'me' };
         };
         application.onPlayRequest = function(client, name) { return name != 'closed'; };
         application.onPublish = function(client, stream) { trace('publishes ' + stream.name); return false; };
         application.onUnpublish = function(client, stream) { trace('ends ' + stream.name); };",
    );
    let client = stage.connect("x");
    let codes = |name: &str, wait: u64| {
        let stream = match client.call("createStream", []) {
            Ok(Value::Number(stream)) => stream as u32,
            other => panic!("{other:?}"),
        };
        client.heard();
        client.send_on(stream, "publish", [text(name), text("live")]);
        stage.pass(Duration::from_millis(wait));
        let codes = client.statuses();
        client.send("deleteStream", [f64::from(stream).into()]);
        codes
    };
    assert_eq!(codes("open?key=1", 0), ["NetStream.Publish.Start"]);
    assert_eq!(codes("closed", 0), ["NetStream.Publish.BadName"]);
    assert_eq!(codes("why", 0), ["NetStream.Publish.BadName"]);
    assert_eq!(codes("later", 50), Vec::<String>::new());
    assert_eq!(codes("later", 150), ["NetStream.Publish.Start"]);
    assert_eq!(codes("never", 11_000), ["NetStream.Publish.BadName"]);
    let said = stage.said();
    assert_eq!(said[0], "open live key=1");
    assert_eq!(said[1], "publishes open");
    assert_eq!(said[2], "ends open");
}

#[test]
fn samples_may_be_read_where_the_script_says() {
    let stage = stage(
        "application.onConnect = function(client, audio, video) {
             trace([client.audioSampleAccess, client.videoSampleAccess].join());
             if (audio != undefined) client.audioSampleAccess = audio;
             if (video != undefined) client.videoSampleAccess = video;
             trace([client.audioSampleAccess, client.videoSampleAccess].join());
             return true;
         };",
    );
    let publisher = stage.connect("x");
    publisher.call("createStream", []).unwrap();
    publisher.send_on(1, "publish", [text("free/cam"), text("live")]);
    for (audio, video, told) in [
        (Value::Undefined, Value::Undefined, [0, 0]),
        (Value::Undefined, text("/"), [0, 1]),
        (text("free;other"), text("other"), [1, 0]),
        (text("/free"), text("free/"), [1, 1]),
    ] {
        let player = stage.connect_as("x", ConnectAs::with([audio, video]));
        player.call("createStream", []).unwrap();
        player.send_on(1, "play", [text("free/cam")]);
        let heard = player.heard();
        let samples = heard.iter().find_map(|heard| match heard {
            Heard::Message(message) if message.payload.starts_with(b"\x02\0\x11|Rtmp") => {
                Some(&message.payload[20..])
            }
            _ => None,
        });
        let [audio, video] = told;
        assert_eq!(samples, Some(&[1, audio, 1, video][..]), "{heard:?}");
    }
    let said = stage.said();
    assert_eq!(said[..2], [",", ","], "the publisher's");
    assert_eq!(said[6..], [",", "free;other,other", ",", "/free,free/"]);
}
