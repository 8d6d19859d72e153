//! Stream, NetConnection and NetStream.

use std::time::Duration;

use tributary_origin::test::Client;

use super::*;

/// Runs the code of a test, and traces the events of streams and connections.
const RUN: &str = "
    function told(name) {
        return function(info) {
            trace(name + ' ' + info.code.replace('NetStream.', '').replace('NetConnection.', '')
                + (info.details ? ' ' + info.details : ''));
        };
    }
    Client.prototype.run = function(code) { return eval(code); };
    mix = Stream.get('mix');
    mix.onStatus = told('mix');
    nc = new NetConnection();
    nc.onStatus = told('nc');
";

/// A stage with `RUN` and further code, and a client of instance `x`.
fn running(more: &str) -> (Stage, Client) {
    let stage = stage(&format!("{RUN}{more}"));
    let client = stage.connect("x");
    client.call("createStream", []).unwrap();
    (stage, client)
}

/// The log lines of a script since the last call.
struct Said<'a> {
    stage: &'a Stage,
    heard: usize,
}

impl Said<'_> {
    fn since(&mut self) -> Vec<String> {
        let said = self.stage.said();
        let new = said[self.heard.min(said.len())..].to_vec();
        self.heard = said.len();
        new
    }
}

fn said(stage: &Stage) -> Said<'_> {
    Said { stage, heard: 0 }
}

fn run(client: &Client, code: &str) -> Value {
    client
        .call("run", [text(code)])
        .unwrap_or_else(|error| panic!("{code}: {error:?}"))
}

fn publish(client: &Client, name: &str) {
    client.send_on(1, "publish", [text(name), text("live")]);
}

#[test]
fn members_of_stream_do_what_they_say() {
    let (stage, client) = running("");
    publish(&client, "cam?key=1");
    for (code, expected) in [
        ("Stream.get('cam') === Stream.get('/cam')", true.into()),
        ("Stream.get('cam') instanceof Stream", true.into()),
        ("new Stream('cam') === Stream.get('cam')", true.into()),
        ("Stream.get('a//b')", Value::Null),
        ("Stream.get('cam').name", text("cam")),
        ("Stream.get('cam').publishQueryString", text("key=1")),
        ("Stream.get('nobody').publishQueryString", text("")),
        ("Stream.get('cam').time >= 0", true.into()),
        ("Stream.length('cam')", 0.0.into()),
        ("Stream.size('cam')", 0.0.into()),
        ("mix.bufferTime", 0.0.into()),
        ("mix.setBufferTime(2.5); mix.bufferTime", 2.5.into()),
        ("mix.setBufferTime(NaN); mix.bufferTime", 0.0.into()),
        ("mix.getOnMetaData()", Value::Null),
        ("mix.record('record')", false.into()),
        ("mix.record(false)", true.into()),
        ("mix.clear()", false.into()),
        ("mix.flush()", true.into()),
        ("mix.send('cue', {a: 1}, [2])", true.into()),
        (
            "mix.send('@setDataFrame', 'onMetaData', {title: 'x'})",
            true.into(),
        ),
        ("mix.getOnMetaData().title", text("x")),
        ("mix.receiveAudio(false)", Value::Undefined),
        (
            "mix.receiveVideo = false; typeof mix.receiveVideo",
            text("function"),
        ),
        ("mix.getStats().publisher", Value::Null),
        ("Stream.get('cam').getStats().viewers", 0.0.into()),
        ("Stream.get('nobody').getStats()", Value::Null),
        ("mix.mine = 7; Stream.get('mix').mine", 7.0.into()),
        (
            "var seen = []; for (var n in mix) seen.push(n); seen.join()",
            text("onStatus,mine"),
        ),
        ("'' + mix", text("[object Stream]")),
        ("Stream.destroy(mix)", true.into()),
        ("Stream.destroy({})", false.into()),
    ] {
        assert_eq!(run(&client, code), expected, "{code}");
    }
    assert_eq!(
        stage.said(),
        ["mix Record.NoAccess mix", "mix Clear.Failed mix"]
    );
}

#[test]
fn a_stream_plays_others_one_after_the_other() {
    let (stage, client) = running("");
    let mut said = said(&stage);
    publish(&client, "cam");
    for (code, returned, expected) in [
        (
            "mix.play('cam')",
            true,
            vec!["mix Play.Reset cam", "mix Play.Start cam"],
        ),
        ("mix.play('later', -1, 5, false)", true, vec![]),
        (
            "mix.play('other', -2, -1, true)",
            true,
            vec![
                "mix Play.Stop cam",
                "mix Play.Reset other",
                "mix Play.Start other",
            ],
        ),
        (
            "mix.play('vod', 0)",
            false,
            vec!["mix Play.StreamNotFound vod"],
        ),
        ("mix.play('mix')", false, vec!["mix Play.Failed mix"]),
        ("mix.play('')", false, vec!["mix Play.Failed"]),
        ("mix.play(false)", true, vec!["mix Play.Stop other"]),
        ("mix.play(false)", false, vec![]),
        ("mix.play('cam', -2, -1, true, nc)", false, vec![]),
        (
            "s = Stream.get('cam'); s.onStatus = told('cam'); s.play('x')",
            false,
            vec!["cam Publish.BadName cam"],
        ),
    ] {
        assert_eq!(run(&client, code), returned.into(), "{code}");
        assert_eq!(said.since(), expected, "{code}");
    }
    run(
        &client,
        "mix.play('cam', -2, 2); mix.play('later', -2, -1, 0)",
    );
    said.since();
    stage.pass(Duration::from_secs(2));
    assert_eq!(said.since(), ["mix Play.Stop cam", "mix Play.Start later"]);
    client.send_on(1, "closeStream", []);
    publish(&client, "later");
    assert_eq!(said.since(), ["mix Play.PublishNotify later"]);
    client.send_on(1, "closeStream", []);
    assert_eq!(said.since(), ["mix Play.UnpublishNotify later"]);
}

#[test]
fn on_publish_gets_the_stream() {
    let stage = stage(
        "application.onPublish = function(client, stream) {
             trace('on ' + stream.name + ' ' + stream.publishQueryString + ' ' + (stream === Stream.get('cam')));
             stream.onStatus = function(info) { trace(info.code); };
         };
         application.onUnpublish = function(client, stream) { trace('off ' + stream.name); };
         Client.prototype.kick = function() { return Stream.get('cam').kick('Enough.'); };",
    );
    let client = stage.connect("x");
    let other = stage.connect("x");
    client.call("createStream", []).unwrap();
    publish(&client, "cam?token=5");
    assert_eq!(other.call("kick", []), Ok(true.into()));
    assert!(
        client
            .statuses()
            .contains(&"NetStream.Publish.BadName".to_owned())
    );
    assert!(!client.is_closed(), "it is no encoder");
    assert_eq!(other.call("kick", []), Ok(false.into()));
    assert_eq!(stage.said(), ["on cam token=5 true", "off cam"]);
}

#[test]
fn streams_that_play_nothing_are_let_go() {
    let (_stage, client) = running("");
    run(
        &client,
        "mix.play('a'); first = Stream.get('s0');
         for (var i = 0; i < 3000; i++) Stream.get('s' + i).mine = i;",
    );
    assert_eq!(run(&client, "Stream.get('s2999').mine"), 2999.0.into());
    assert_eq!(run(&client, "mix === Stream.get('mix')"), true.into());
    // A dropped `Stream` object still works, and the host knows it again.
    assert_eq!(run(&client, "first.send('x')"), true.into());
    assert_eq!(run(&client, "first === Stream.get('s0')"), true.into());
}

#[test]
fn a_status_that_leads_to_the_next_holds_nobody_up() {
    let (stage, client) = running("mix.onStatus = function() { mix.play('mix'); };");
    run(&client, "mix.play('mix')");
    let other = stage.connect("x");
    assert_eq!(run(&other, "1 + 1"), 2.0.into());
}

/// The other side of connections: instance `far` of the same application.
const FAR: &str = "
    application.onConnect = function(client, word) {
        if (application.name != 'app/far') return true;
        trace('far: ' + client.agent.split('/')[0] + ' ' + client.ip + ' ' + word);
        if (word == 'no') return false;
        return true;
    };
    application.onDisconnect = function() {
        if (application.name == 'app/far') trace('far: gone');
    };
    Client.prototype.sum = function(a, b) { return a + b; };
    Client.prototype.fail = function() { throw new Error('broken'); };
    Client.prototype.callMe = function() {
        var told = { onResult: function(value) { trace('far: got ' + value); },
                     onStatus: function(info) { trace('far: ' + info.code); } };
        this.call('twice', told, 21);
        this.call('later', told);
        this.call('connect', told);
        this.call('nothing', told);
    };
    nc.twice = function(n) { return 2 * n; };
    nc.later = function() { return Promise.resolve('late'); };
    result = { onResult: function(value) { trace('result ' + value); },
               onStatus: function(info) { trace('status ' + info.code); } };
";

#[test]
fn a_connection_calls_and_is_called() {
    let (stage, client) = running(FAR);
    let mut said = said(&stage);
    for (code, expected) in [
        (
            "nc.connect('rtmp://localhost/app/far', 'hello')",
            vec!["far: FlashCom 127.0.0.1 hello", "nc Connect.Success"],
        ),
        (
            "nc.isConnected && nc.uri == 'rtmp://localhost/app/far'",
            vec![],
        ),
        ("nc.call('sum', result, 2, 3)", vec!["result 5"]),
        (
            "nc.call('nothing', result)",
            vec!["status NetConnection.Call.Failed"],
        ),
        ("nc.call('sum', null, 2, 3)", vec![]),
        (
            "nc.call('callMe')",
            vec![
                "far: got 42",
                "far: NetConnection.Call.Failed",
                "far: NetConnection.Call.Failed",
                "far: got late",
            ],
        ),
    ] {
        assert_eq!(run(&client, code), true.into(), "{code}");
        let mut heard = said.since();
        heard.sort();
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(heard, expected, "{code}");
    }
    run(&client, "nc.close()");
    assert_eq!(run(&client, "nc.isConnected"), false.into());
    assert_eq!(said.since(), ["far: gone", "nc Connect.Closed"]);
    assert_eq!(run(&client, "nc.call('sum', result)"), false.into());
    // The same object connects again.
    assert_eq!(
        run(&client, "nc.connect('rtmp:/app/far', 'no')"),
        true.into()
    );
    assert_eq!(
        said.since(),
        ["far: FlashCom 127.0.0.1 no", "nc Connect.Rejected"]
    );
}

#[test]
fn a_connect_that_cannot_be_fails_later() {
    let (stage, client) = running("");
    let mut said = said(&stage);
    for (code, returned, expected) in [
        (
            "nc.connect('rtmp://elsewhere.example.com/app')",
            true,
            "nc Connect.Failed",
        ),
        (
            "nc.connect('rtmp://localhost/nothing')",
            true,
            "nc Connect.InvalidApp",
        ),
        ("nc.connect('nonsense')", true, "nc Connect.Failed"),
    ] {
        assert_eq!(run(&client, code), returned.into(), "{code}");
        let heard = said.since();
        assert_eq!(heard.last().unwrap(), expected, "{code}");
        if code.contains("elsewhere") {
            assert!(heard[0].contains("applications.app.outgoing"), "{heard:?}");
        }
    }
    assert_eq!(run(&client, "nc.connect(null)"), false.into());
    assert_eq!(
        run(
            &client,
            "var n = 0, all = [];
             while (n < 1000) { var c = new NetConnection(); all.push(c); if (!c.connect('rtmp:/app/far')) break; n++; } n"
        ),
        64.0.into()
    );
}

#[test]
fn a_net_stream_publishes_elsewhere_and_a_stream_plays_from_there() {
    let (stage, client) = running(FAR);
    let far = stage.connect("far");
    let mut said = said(&stage);
    far.call("createStream", []).unwrap();
    publish(&far, "cam");
    publish(&client, "mine");
    run(
        &client,
        "nc.connect('rtmp://localhost/app/far');
         mix.play('cam', -1, -1, true, nc);
         ns = new NetStream(nc);
         ns.onStatus = told('ns');
         ns.attach(Stream.get('mine'));
         ns.publish('copy', 'live');",
    );
    let heard = said.since();
    for expected in [
        "nc Connect.Success",
        "mix Play.Reset cam",
        "mix Play.Start cam",
        "ns Publish.Start copy",
    ] {
        assert!(
            heard.iter().any(|line| line == expected),
            "{expected} in {heard:?}"
        );
    }
    assert_eq!(
        run(&far, "Stream.get('copy').getStats() != null"),
        true.into()
    );
    assert_eq!(run(&client, "ns.send('cue', 1)"), true.into());
    assert_eq!(run(&client, "ns.publish(false)"), true.into());
    stage.settle();
    assert_eq!(run(&far, "Stream.get('copy').getStats()"), Value::Null);
    assert_eq!(run(&client, "ns.publish('cam')"), true.into());
    assert_eq!(said.since().last().unwrap(), "ns Publish.BadName cam");
    far.send_on(1, "closeStream", []);
    assert_eq!(said.since(), ["mix Play.UnpublishNotify cam"]);
    run(&client, "ns.close(); nc.close()");
    let heard = said.since();
    assert!(heard.contains(&"mix Play.Stop cam".to_owned()), "{heard:?}");
    assert!(client.call("run", [text("new NetStream({})")]).is_err());
    assert!(
        client
            .call("run", [text("new NetStream(nc).attach({})")])
            .is_err()
    );
    assert_eq!(run(&client, "new NetStream(nc).publish('x')"), false.into());
}

#[test]
fn a_shared_object_of_another_instance_is_used() {
    let (stage, client) = running(FAR);
    let far = stage.connect("far");
    run(
        &far,
        "so = SharedObject.get('room'); so.setProperty('topic', 'cats'); so.lock(); so.unlock();
         so.onSync = function(list) { for (var i = 0; i < list.length; i++) trace('far: ' + list[i].code + ' ' + list[i].name); };
         so.say = function(text) { trace('far: ' + text); };",
    );
    let mut said = said(&stage);
    said.since();
    run(
        &client,
        "nc.connect('rtmp://localhost/app/far');
         so = SharedObject.get('room', false, nc);
         so.onStatus = told('so');
         so.onSync = function(list) {
             for (var i = 0; i < list.length; i++) trace(list[i].code + ' ' + list[i].name + ' ' + list[i].oldValue);
         };
         so.say = function(text) { trace('near: ' + text); };",
    );
    assert_eq!(
        said.since()[1..],
        [
            "nc Connect.Success",
            "so SharedObject.Proxy.Connect",
            "change topic undefined"
        ]
    );
    for (code, expected, heard) in [
        (
            "so === SharedObject.get('room', false, nc)",
            true.into(),
            vec![],
        ),
        ("so instanceof SharedObject", true.into(), vec![]),
        (
            "so.name + so.size() + so.getProperty('topic')",
            text("room1cats"),
            vec![],
        ),
        ("so.lock() + so.unlock()", (-2.0).into(), vec![]),
        ("so.getProperty('nothing')", Value::Null, vec![]),
        (
            "so.autoCommit = false; so.resyncDepth = 5; so.autoCommit + ' ' + so.resyncDepth",
            text("true Infinity"),
            vec![],
        ),
        (
            "so.setProperty('n', 5); so.getProperty('n')",
            5.0.into(),
            vec!["far: change n", "success n 5"],
        ),
        (
            "so.send('say', 'hi')",
            true.into(),
            vec!["far: hi", "near: hi"],
        ),
        (
            "so.setProperty('n', null); so.getPropertyNames().join()",
            text("topic"),
            vec!["delete n undefined", "far: delete n"],
        ),
        ("so.flush()", false.into(), vec![]),
    ] {
        assert_eq!(run(&client, code), expected, "{code}");
        let mut all = said.since();
        all.sort();
        assert_eq!(all, heard, "{code}");
    }
    run(&far, "so.setProperty('topic', 'dogs')");
    assert_eq!(said.since(), ["change topic cats"]);
    run(&far, "so.clear()");
    assert_eq!(said.since().len(), 1);
    assert_eq!(run(&client, "so.size()"), 0.0.into());
    run(&client, "so.close()");
    run(&far, "so.setProperty('topic', 'birds')");
    assert_eq!(said.since(), Vec::<String>::new());
    run(&client, "nc.close()");
    assert_eq!(
        run(&client, "SharedObject.get('room', false, nc)"),
        Value::Null
    );
}

#[test]
fn a_change_that_is_refused_is_undone() {
    let (stage, client) = running(
        "application.onConnect = function(client) {
             client.writeAccess = application.name == 'app/far' ? 'elsewhere' : '/';
             return true;
         };",
    );
    let far = stage.connect("far");
    run(
        &far,
        "so = SharedObject.get('room'); so.setProperty('n', 1);",
    );
    let mut said = said(&stage);
    run(
        &client,
        "nc.connect('rtmp://localhost/app/far');
         so = SharedObject.get('room', false, nc);
         so.onStatus = told('so');
         so.onSync = function(list) { trace(list[0].code + ' ' + list[0].name); };",
    );
    said.since();
    run(&client, "so.setProperty('n', 2)");
    let heard = said.since();
    assert!(
        heard.contains(&"so SharedObject.NoWriteAccess".to_owned()),
        "{heard:?}"
    );
    assert!(heard.contains(&"reject n".to_owned()), "{heard:?}");
    assert_eq!(run(&client, "so.getProperty('n')"), 1.0.into());
}

#[test]
fn a_proxy_answers_with_what_the_other_side_says() {
    let (stage, client) = running(FAR);
    let far = stage.connect("far");
    run(
        &client,
        "nc.connect('rtmp://localhost/app/far'); application.registerProxy('add', nc, 'sum');",
    );
    assert!(far.is_accepted());
    assert_eq!(
        client.call("add", [20.0.into(), 3.0.into()]),
        Ok(23.0.into())
    );
    assert_eq!(run(&client, "application.clearStreams('/')"), false.into());
}
