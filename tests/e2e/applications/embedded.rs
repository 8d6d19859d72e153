//! The example of an application in Rust, `examples/rust/poll`.

use std::path::Path;

use serde_json::json;

use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::TRIBUTARY,
    program::Program,
};

#[test]
fn a_program_with_its_own_application_serves_it() {
    let examples = Path::new(TRIBUTARY).with_file_name("examples");
    let executable = examples.join("poll");
    assert!(
        executable.exists(),
        "{}: run cargo build --examples",
        executable.display()
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["127.0.0.1:0"];
    let server = Program::tributary("poll", &executable, directory.path(), &arguments);
    let rtmp = server.address("rtmp");

    let mut nameless = Driven::start(Kind::Npm);
    let refused = nameless.connect(rtmp, "poll/lunch", json!([]));
    let info = refused.expect_err("it gives no name");
    assert_eq!(info["description"], "Say who you are.", "{info}");

    let enter = |kind, name| {
        let mut client = Driven::session_with(kind, rtmp, "poll/lunch", json!([name]));
        client.hears(&["onQuestion", "onCounts", "onClosed"]);
        client.order(json!({"do": "answer", "name": "confirm", "value": true}));
        client
    };
    let mut ann = enter(Kind::Amf3, "Ann");
    let mut bob = enter(Kind::Npm, "Bob");
    let error = bob.call("ask", json!(["Mine?", ["yes", "no"]]));
    error.expect_err("Ann was first");
    let options = json!(["soup", "salad"]);
    let asked = ann.call("ask", json!(["Lunch?", options]));
    assert_eq!(asked, Ok(json!(true)));
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.called("onQuestion"), json!(["Lunch?", options]));
    }
    let mut eve = enter(Kind::Amf0, "Eve");
    assert_eq!(eve.called("onQuestion"), json!(["Lunch?", options]));

    let error = ann.call("vote", json!([5])).expect_err("no text");
    assert_eq!(error["description"], "argument 1 must be a text", "{error}");
    ann.call("vote", json!(["soup"])).expect("a vote");
    bob.call("vote", json!(["stew"]))
        .expect_err("no such option");
    bob.call("vote", json!(["soup"])).expect("a vote");
    let counts = bob.call("vote", json!(["salad"])).expect("another");
    assert_eq!(counts, json!({"soup": 1, "salad": 1}));
    assert_eq!(eve.called("onCounts"), json!([{"soup": 1, "salad": 0}]));

    // Eve's answer waits until Ann has answered.
    let closed = eve.call("close", json!([])).expect("the counts");
    assert_eq!(closed, counts);
    assert_eq!(ann.called("confirm"), json!([]));
    assert_eq!(bob.called("onClosed"), json!([counts]));
    bob.call("vote", json!(["soup"])).expect_err("it is over");
}
