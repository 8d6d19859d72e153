//! Calls by clients that the project did not write, and by one in Python on py3amf.

use serde_json::json;

use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
};

#[test]
fn every_client_gets_results_and_errors() {
    let cluster = Cluster::start(1, 1);
    let values = [
        json!("text, längere Wörter, 語"),
        json!(""),
        json!(-12.5),
        json!(true),
        json!(null),
        json!([1, [2, [3, "deep"]], {"in": {"side": [null, false]}}]),
        json!({"name": "Ann", "list": ["a", "b"], "nested": {"x": 1, "y": {"z": "end"}}}),
        json!([]),
        json!({}),
        json!("long ".repeat(20_000)),
    ];
    for kind in Kind::ALL {
        let mut client = Driven::session(kind, cluster.rtmp(0), "counter/calls");
        for value in &values {
            let answer = client.call("echo", json!([value]));
            assert_eq!(answer.as_ref(), Ok(value), "{kind:?}");
        }
        let several = client.call("echo", json!(["one", 2, false]));
        assert_eq!(several, Ok(json!(["one", 2, false])), "{kind:?}");
        for number in 1..=20 {
            assert_eq!(client.call("count", json!([number])), Ok(json!(number)));
        }
        let report = client.call("report", json!([])).expect("a report");
        assert_eq!(report["calls"], 20, "{kind:?}");
        assert_eq!(report["duplicates"], 0, "{kind:?}");

        let error = client.call("count", json!(["many"])).expect_err("an error");
        assert_eq!(error, json!("count needs a number"), "{kind:?}");
        let error = client
            .call("noSuchMethod", json!([]))
            .expect_err("an error");
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{kind:?}");
        assert_eq!(error["level"], "error", "{kind:?}");
    }
}

#[test]
fn a_call_without_a_responder_is_answered_only_if_it_fails() {
    let cluster = Cluster::start(1, 1);
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut client = Driven::session(kind, cluster.rtmp(0), "counter/told");
        client.tell("count", json!([1]));
        client.tell("unheardOf", json!([]));
        let status = client.status("NetConnection.Call.Failed");
        let description = status["description"].as_str().unwrap_or_default();
        assert!(description.contains("unheardOf"), "{status}");
        assert_eq!(client.call("count", json!([2])), Ok(json!(2)));
    }
}

#[test]
fn a_refused_connect_says_why_to_every_client() {
    let cluster = Cluster::start(1, 1);
    for kind in Kind::ALL {
        let mut client = Driven::start(kind);
        let refused = client.connect(cluster.rtmp(0), "nothing/here", json!([]));
        let info = refused.expect_err("there is no such application");
        assert_eq!(info["code"], "NetConnection.Connect.InvalidApp", "{kind:?}");
    }
}

#[test]
fn values_that_only_amf3_has_come_back_whole_or_in_the_nearest_form() {
    let cluster = Cluster::start(1, 1);
    let bytes = json!({"$": "bytes", "hex": "00ff7f80"});
    let collection = json!({"$": "collection", "value": ["a", {"b": 1}]});
    let both = [
        json!({"$": "date", "ms": 1_234_567_890_123_i64}),
        json!({"$": "undefined"}),
        json!({"$": "xml", "text": "<a b=\"1\" />"}),
        json!({"$": "typed", "class": "game.Move", "value": {"x": 3}}),
        json!({"$": "array", "value": {"0": "first", "name": "mixed"}}),
        json!({"$": "number", "text": "nan"}),
    ];
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut client = Driven::session(kind, cluster.rtmp(0), "counter/values");
        for value in &both {
            let answer = client.call("echo", json!([value]));
            assert_eq!(answer.as_ref(), Ok(value), "{kind:?}");
        }
    }
    let mut client = Driven::session(Kind::Amf3, cluster.rtmp(0), "counter/values");
    for value in [&bytes, &collection] {
        let answer = client.call("echo", json!([{"inside": value}]));
        assert_eq!(answer, Ok(json!({"inside": value})));
    }
}
