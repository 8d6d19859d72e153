//! Tests of a script's handlers for publishers, and of its ways to end a publish.

use std::time::Duration;

use tributary_origin::test::{Client, ConnectAs};

use super::*;

/// Traces the handlers' calls, and disconnects a client with the name "bad".
const CHECK: &str = "
    application.onConnect = function(c, nm) { c.nm = nm; this.acceptConnection(c); };
    application.onPublish = function(c, s) {
        trace('on ' + c.nm + ' ' + s.name + ' ' + s.publishQueryString);
        if (c.nm == 'bad') application.disconnect(c);
    };
    application.onUnpublish = function(c, s) {
        trace('off ' + c.nm + ' ' + s.name + ' ' + s.publishQueryString);
    };
    application.onDisconnect = function(c) { trace('left ' + c.nm); };
";

fn connect(stage: &Stage, name: &str) -> Client {
    let client = stage.connect_as("x", ConnectAs::with([text(name)]));
    client.call("createStream", []).unwrap();
    client
}

fn publish(client: &Client, name: &str) {
    client.send_on(1, "publish", [text(name), text("live")]);
}

fn has(client: &Client, status: &str) -> bool {
    client.statuses().iter().any(|code| code == status)
}

#[test]
fn a_check_in_on_publish_holds_for_a_name_that_was_lost() {
    let stage = stage(CHECK);
    let (good, bad) = (connect(&stage, "good"), connect(&stage, "bad"));
    publish(&good, "cam");
    good.leave();
    let expected = ["on good cam ", "off good cam ", "left good"];
    assert_eq!(stage.said(), expected);
    publish(&bad, "cam");
    assert!(bad.is_closed());
    assert!(!has(&bad, "NetStream.Publish.Start"));
    assert_eq!(
        stage.said()[3..],
        ["on bad cam ", "off bad cam ", "left bad"]
    );
    let next = connect(&stage, "next");
    publish(&next, "cam");
    assert!(has(&next, "NetStream.Publish.Start"));
    stage.pass(Duration::from_secs(60));
    assert_eq!(stage.said()[6..], ["on next cam "]);
}

/// Handlers of public scripts for Flash Media Live Encoder.
const ENCODERS: &str = "
    Client.prototype.releaseStream = function(name) { trace('free ' + Stream.get(name).play(false)); };
    Client.prototype.FCPublish = function(name) {
        var s = Stream.get(name);
        if (s) trace('free ' + s.play(false));
        this.call('onFCPublish', null, {code: 'NetStream.Publish.Start', description: name});
    };
    Client.prototype.FCUnpublish = function(name) {
        trace('free ' + Stream.get(name).play(false));
        this.call('onFCUnpublish', null, name);
    };
    Client.prototype.stop = function(name) { return Stream.get(name).play(false); };
";

#[test]
fn a_stock_script_frees_the_name_of_a_dead_encoder() {
    for command in ["releaseStream", "FCPublish", "FCUnpublish"] {
        let stage = stage(&format!("{CHECK}{ENCODERS}"));
        let (dead, next) = (connect(&stage, "dead"), connect(&stage, "next"));
        publish(&dead, "cam");
        next.call(command, [text("cam")]).unwrap();
        assert!(has(&dead, "NetStream.Publish.BadName"));
        assert!(!dead.is_closed());
        publish(&next, "cam");
        assert!(has(&next, "NetStream.Publish.Start"));
        let expected = ["on dead cam ", "free true", "off dead cam ", "on next cam "];
        assert_eq!(stage.said(), expected, "{command}");
        // The encoder may publish again under another name.
        publish(&dead, "other");
        assert_eq!(stage.said()[4..], ["on dead other "]);
    }
}

#[test]
fn an_encoder_that_ends_its_own_publish_hears_no_error() {
    let stage = stage(&format!("{CHECK}{ENCODERS}"));
    let encoder = connect(&stage, "encoder");
    publish(&encoder, "cam");
    encoder.call("FCUnpublish", [text("cam")]).unwrap();
    encoder.send_on(1, "closeStream", []);
    assert!(has(&encoder, "NetStream.Unpublish.Success"));
    assert!(!has(&encoder, "NetStream.Publish.BadName"));
    let expected = ["on encoder cam ", "free true", "off encoder cam "];
    assert_eq!(stage.said(), expected);
}

#[test]
fn a_name_is_freed_only_for_a_client_that_may_write_it() {
    let with_token = config::Application {
        publish_token: Some(config::Secret::new("s3cret")),
        ..config::Application::default()
    };
    let open = config::Application::default();
    let closed = "application.onConnect = function(c, nm) {
        c.nm = nm; c.writeAccess = nm == 'thief' ? '/mine' : '/'; return true; };";
    for (settings, more, name, freed) in [
        (&open, "", "cam", true),
        (&open, "", "cam?token=s3cret", true),
        (&open, closed, "cam", false),
        (&with_token, "", "cam", false),
        (&with_token, "", "cam?token=wrong", false),
        (&with_token, "", "/cam?x=1&token=s3cret", true),
        (&with_token, closed, "cam?token=s3cret", false),
    ] {
        for command in ["releaseStream", "FCPublish", "FCUnpublish"] {
            let source = format!("{CHECK}{ENCODERS}{more}");
            let files = [("main.js".to_owned(), Arc::from(source))];
            let program = Program::of_files("app", Path::new(""), BTreeMap::from(files), settings);
            let stage = test::program(program.unwrap(), Host::default());
            let (live, thief) = (connect(&stage, "live"), connect(&stage, "thief"));
            publish(&live, "cam?token=s3cret");
            assert!(has(&live, "NetStream.Publish.Start"), "{name} {settings:?}");
            thief.call(command, [text(name)]).unwrap();
            assert_eq!(
                has(&live, "NetStream.Publish.BadName"),
                freed,
                "{command} {name}"
            );
            // A call at another time may end the publish: the script decides.
            assert_eq!(thief.call("stop", [text("cam")]), Ok((!freed).into()));
        }
    }
}
