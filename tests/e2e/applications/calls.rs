//! Calls between clients and a script, both ways, and decisions about connects.

use std::path::Path;

use serde_json::{Value, json};

use super::{copy, old_scripts};
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
};

#[test]
fn clients_and_script_call_each_other() {
    let cluster = old_scripts();
    for (kind, edge) in Kind::ALL.into_iter().zip([0, 1, 0, 1]) {
        let arguments = json!(["guest", {"seat": 7, "tags": "a,b"}]);
        let mut client = Driven::start(kind);
        client.hears(&["greet", "answered"]);
        client.order(json!({"do": "answer", "name": "double", "value": 42}));
        let connected = client.connect(cluster.rtmp(edge), "calls/both", arguments.clone());
        connected.expect("guests are welcome");

        assert_eq!(client.call("add", json!([2, 3])), Ok(json!(5)), "{kind:?}");
        let joined = client.call("add", json!(["a", "b"]));
        assert_eq!(joined, Ok(json!("ab")), "{kind:?}");
        let given = client.call("given_", json!([])).expect("a result");
        assert_eq!(given["mode"], "guest", "{kind:?}");
        assert_eq!(given["extra"], arguments[1], "{kind:?}");
        assert_eq!(given["count"], 2, "{kind:?}");
        let value = json!({"list": [1, [2]], "text": "语", "no": null, "yes": true});
        let echo = client.call("echo", json!([value]));
        assert_eq!(echo.as_ref(), Ok(&value), "{kind:?}");
        let error = client.call("fail", json!([])).expect_err("an error");
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{kind:?}");
        let error = client.call("unheardOf", json!([])).expect_err("an error");
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{kind:?}");
        let resolved = client.call("anything", json!([1, 2, 3]));
        assert_eq!(resolved, Ok(json!("anything with 3")), "{kind:?}");

        assert_eq!(client.call("later", json!(["soon"])), Ok(json!("soon")));
        let error = client.call("later", json!(["never", true]));
        let error = error.expect_err("an error");
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{kind:?}");

        assert_eq!(client.called("greet"), json!(["hello guest", 2]));
        assert_eq!(
            client.call("callMe", json!(["double", 21])),
            Ok(json!(true))
        );
        let answered = client.called("answered");
        assert_eq!(answered, json!(["double", 42]), "{kind:?}");
    }
}

#[test]
fn a_client_that_refuses_or_does_not_know_a_call_is_heard() {
    let cluster = old_scripts();
    for kind in [Kind::Npm, Kind::Amf0, Kind::Amf3] {
        let mut client = Driven::session_with(kind, cluster.rtmp(0), "calls/no", json!(["x"]));
        let error = if kind == Kind::Npm {
            json!("no")
        } else {
            json!({"level": "error", "code": "Game.Refused"})
        };
        client.order(json!({"do": "answer", "name": "unwanted", "error": error}));
        client.hears(&["refused"]);
        for method in ["unwanted", "unknown"] {
            client
                .call("callMe", json!([method, 1]))
                .expect("it is sent");
            let refused = client.called("refused");
            assert_eq!(refused[0], method, "{kind:?}");
            let own = method == "unwanted" && kind != Kind::Npm;
            let code = if own {
                "Game.Refused"
            } else {
                "NetConnection.Call.Failed"
            };
            assert_eq!(refused[1], code, "{kind:?}");
        }
    }
}

#[test]
fn a_call_reaches_what_the_script_put_there_and_nothing_else() {
    let cluster = old_scripts();
    let mut client = Driven::session_with(Kind::Amf0, cluster.rtmp(0), "calls/in", json!(["x"]));
    for path in ["tools.math.mul", "tools/math/mul"] {
        assert_eq!(client.call(path, json!([6, 7])), Ok(json!(42)), "{path}");
    }
    let unreachable = [
        "call",
        "tools.name",
        "tools.math",
        "constructor",
        "tools.constructor",
        "__proto__.add",
        "tools.math.mul.call",
        "toString",
        "tools.hasOwnProperty",
        "a.b.c.d.e",
        "",
        ".",
        "tools..math",
    ];
    for path in unreachable {
        let error = client.call(path, json!([])).expect_err(path);
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{path}");
    }
    client.tell("add", json!([1, 2]));
    client.tell("unheardOf", json!([]));
    let status = client.status("NetConnection.Call.Failed");
    let description = status["description"].as_str().unwrap_or_default();
    assert!(description.contains("unheardOf"), "{status}");
}

#[test]
fn a_connect_is_rejected_redirected_or_decided_later() {
    let cluster = old_scripts();
    let server = cluster.rtmp(1);
    for kind in Kind::ALL {
        let connect = |args: Value| Driven::start(kind).connect(server, "calls/door", args);
        let info = connect(json!(["reject", "extra"])).expect_err("rejected");
        assert_eq!(info["code"], "NetConnection.Connect.Rejected", "{kind:?}");
        let told = &info["application"];
        assert_eq!(told["reason"], "not today", "{kind:?}: {info}");
        assert_eq!(told["extra"], "extra", "{kind:?}: {info}");

        let info = connect(json!(["false"])).expect_err("rejected");
        assert_eq!(info["code"], "NetConnection.Connect.Rejected", "{kind:?}");

        let elsewhere = "rtmp://elsewhere.example/calls/door";
        let info = connect(json!(["redirect", elsewhere])).expect_err("redirected");
        assert_eq!(info["code"], "NetConnection.Connect.Rejected", "{kind:?}");
        assert_eq!(info["ex"]["code"], 302, "{kind:?}: {info}");
        assert_eq!(info["ex"]["redirect"], elsewhere, "{kind:?}: {info}");
        assert_eq!(info["description"], "it moved", "{kind:?}: {info}");

        let info = connect(json!(["pending", false])).expect_err("rejected");
        assert_eq!(info["code"], "NetConnection.Connect.Rejected", "{kind:?}");
        for mode in ["pending", "one", "true"] {
            let info = connect(json!([mode, true])).expect("accepted");
            assert_eq!(info["code"], "NetConnection.Connect.Success", "{kind:?}");
        }
    }
}

#[test]
fn what_a_pending_client_sends_and_is_sent_waits_for_the_decision() {
    let cluster = old_scripts();
    let url = format!("rtmp://{}/calls/wait", cluster.rtmp(0));
    let mut client = Driven::start(Kind::Amf0);
    let args = json!(["pending", true]);
    let connect = client.send(json!({"do": "connect", "url": url, "args": args}));
    let calls: Vec<_> = (0..5)
        .map(|number| {
            let args = json!([number, 1]);
            client.send(json!({"do": "call", "name": "add", "args": args}))
        })
        .collect();
    // The client prints lines in the order of the messages; the answer to connect is the first.
    let first = client.line();
    assert_eq!(first["id"], connect, "{first}");
    assert_eq!(first["value"]["code"], "NetConnection.Connect.Success");
    let second = client.line();
    assert_eq!(second["name"], "early", "{second}");
    for (number, call) in calls.into_iter().enumerate() {
        let line = client.line();
        assert_eq!(line["id"], call, "{line}");
        assert_eq!(line["value"], number + 1, "{line}");
    }
}

#[test]
fn a_script_knows_who_is_there_and_who_left() {
    let cluster = old_scripts();
    let mut stays =
        Driven::session_with(Kind::Amf3, cluster.rtmp(0), "calls/who", json!(["stays"]));
    let mut leaves =
        Driven::session_with(Kind::Amf0, cluster.rtmp(1), "calls/who", json!(["leaves"]));
    let mut killed = Driven::session_with(Kind::Npm, cluster.rtmp(1), "calls/who", json!(["dies"]));
    let names = stays.call("others", json!([])).expect("a list");
    assert_eq!(names.as_array().map(Vec::len), Some(3), "{names}");

    killed.hears(&["heard"]);
    stays.call("all", json!(["good day"])).expect("a broadcast");
    for client in [&mut stays, &mut leaves, &mut killed] {
        assert_eq!(client.called("heard"), json!(["good day", "stays"]));
    }
    leaves.send(json!({"do": "call", "name": "bye", "args": []}));
    leaves.event("closed", |_| true);
    drop(killed);
    loop {
        let left = stays.call("whoLeft", json!([])).expect("a list");
        let left = left.as_array().cloned().unwrap_or_default();
        assert!(left.len() <= 2, "each leaves once: {left:?}");
        if left.len() == 2 {
            assert!(left.contains(&json!("leaves")) && left.contains(&json!("dies")));
            break;
        }
    }
    let about = stays.call("about", json!([])).expect("an object");
    assert_eq!(about["ip"], "127.0.0.1", "{about}");
    assert_eq!(about["agent"], "WIN 32,0,0,465", "{about}");
    assert_eq!(about["protocol"], "rtmp", "{about}");
    let uri = format!("rtmp://{}/calls/who", cluster.rtmp(0));
    assert_eq!(about["uri"], uri.as_str(), "{about}");
}

#[test]
fn a_client_is_told_how_fast_it_is() {
    let cluster = old_scripts();
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut client = Driven::session_with(kind, cluster.rtmp(0), "calls/fast", json!(["x"]));
        client.hears(&["onBWCheck", "onBWDone"]);
        // The script asks one client for a check; the other client asks for it itself.
        let asked = match kind {
            Kind::Amf0 => "measure",
            _ => "checkBandwidth",
        };
        client.call(asked, json!([])).expect("it begins");
        client.called("onBWCheck");
        let done = client.called("onBWDone");
        let kilobits = done[0].as_f64().expect("a figure");
        assert!(kilobits > 0.0, "{done}");
    }
}

/// A check as scripts for Flash Media Server make it: `getStats().bytes_out` before and after a call.
#[test]
fn a_bandwidth_check_of_a_script_measures_what_its_call_sends() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications/rooms");
    let cluster = Cluster::with_applications(1, 1, |directory| {
        copy(&scripts, &directory.join("rooms"), &|text| {
            text.replace("load(\"checks.asc\");", "")
        });
    });
    let server = cluster.rtmp(0);
    let mut client = Driven::session_with(Kind::Amf0, server, "rooms/hall", json!(["x", "y"]));
    client.hears(&["onBWCheck", "onBWDone"]);
    client.call("checkBandwidth", json!([])).expect("it begins");
    let done = client.called("onBWDone");
    let (rate, kbit) = (done[0].as_f64(), done[1].as_f64());
    assert!(rate > Some(0.0), "{done}");
    // The script's first text has 2 KiB.
    assert!(kbit >= Some(16.0), "{done}");
}
