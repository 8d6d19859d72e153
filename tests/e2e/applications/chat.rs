//! The example applications `chat` and `chat-classic`: one chat, two ways to write it.

use serde_json::{Value, json};

use super::example;
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
};

#[test]
fn a_room_spans_edges_and_kinds_of_clients() {
    for app in APPLICATIONS {
        let cluster = example(app);
        let room = format!("{app}/room");
        let mut ann = enter(Kind::Amf0, &cluster, 0, &room, "Ann");
        let mut bob = enter(Kind::Amf3, &cluster, 1, &room, "Bob");
        let mut eve = enter(Kind::Npm, &cluster, 1, &room, "Eve");
        eve.hears(&["onWhisper"]);
        for client in [&mut ann, &mut bob, &mut eve] {
            for name in ["Ann", "Bob", "Eve"] {
                client.until_there("users", name, true);
            }
        }
        assert_eq!(ann.called("onJoin"), json!(["Ann"]), "{app}");
        assert_eq!(ann.called("onJoin"), json!(["Bob"]), "{app}");

        let told: Vec<Value> = [&mut ann, &mut bob, &mut eve]
            .into_iter()
            .map(|client| {
                let said = client.call("say", json!(["hello all"]));
                said.expect("the message's number")
            })
            .collect();
        assert_eq!(told, [1, 2, 3], "{app}");
        for client in [&mut ann, &mut bob, &mut eve] {
            client.until_slot("history", "count", &json!(3));
            for (slot, from) in [
                ("message1", "Ann"),
                ("message2", "Bob"),
                ("message3", "Eve"),
            ] {
                let message = client.slot("history", slot).expect("the message");
                assert_eq!(message["from"], from, "{app}");
                assert_eq!(message["text"], "hello all", "{app}");
            }
        }

        let heard = bob.call("whisper", json!(["Eve", "only you"]));
        assert_eq!(heard, Ok(json!(true)), "{app}");
        assert_eq!(eve.called("onWhisper"), json!(["Bob", "only you"]), "{app}");
        let heard = bob.call("whisper", json!(["Nobody", "?"]));
        assert_eq!(heard, Ok(json!(false)), "{app}");
        let error = ann.call("say", json!([""])).expect_err("nothing is said");
        assert_eq!(error["code"], "NetConnection.Call.Failed", "{app}");

        // A client that does not read shared objects takes part by calls.
        let mut dan = Driven::session_with(Kind::Librtmp, cluster.rtmp(0), &room, json!(["Dan"]));
        assert_eq!(dan.call("say", json!(["from librtmp"])), Ok(json!(4)));
        ann.until_slot("history", "count", &json!(4));
        drop(dan);
        ann.until_there("users", "Dan", true);
        ann.until_there("users", "Dan", false);

        drop(eve);
        bob.until_there("users", "Eve", false);
        let left = bob.called("onLeave");
        assert_eq!(left, json!(["Dan"]), "{app}");
        assert_eq!(bob.called("onLeave"), json!(["Eve"]), "{app}");
        let mut who = ann.call("who", json!([])).expect("names");
        if let Some(names) = who.as_array_mut() {
            names.sort_by_key(Value::to_string);
        }
        assert_eq!(who, json!(["Ann", "Bob"]), "{app}");
    }
}

#[test]
fn nobody_takes_a_name_or_writes_for_others() {
    for app in APPLICATIONS {
        let cluster = example(app);
        let room = format!("{app}/room");
        let mut ann = enter(Kind::Amf0, &cluster, 0, &room, "Ann");
        for (wanted, code) in [("Ann", "taken"), ("", "name")] {
            let mut other = Driven::start(Kind::Npm);
            let refused = other.connect(cluster.rtmp(1), &room, json!([wanted]));
            let info = refused.expect_err("the name is not to be had");
            assert_eq!(info["code"], "NetConnection.Connect.Rejected", "{app}");
            assert_eq!(info["application"]["code"], code, "{app}: {info}");
        }
        let mut bob = enter(Kind::Amf3, &cluster, 1, &room, "Bob");
        ann.call("say", json!(["mine"])).expect("a number");
        bob.until_slot("history", "count", &json!(1));
        bob.set("history", "count", json!(1000));
        bob.until_status("history", "SharedObject.NoWriteAccess");
        bob.until_slot("history", "count", &json!(1));
        // Every client may write the object that shows who is typing.
        for client in [&mut ann, &mut bob] {
            client.join("typing/now");
        }
        bob.set("typing/now", "Bob", json!(true));
        ann.until_slot("typing/now", "Bob", &json!(true));
    }
}

#[test]
fn the_history_survives_a_restart_of_the_origin() {
    for app in APPLICATIONS {
        let mut cluster = example(app);
        let room = format!("{app}/kept");
        let mut ann = enter(Kind::Amf3, &cluster, 0, &room, "Ann");
        for text in ["one", "two"] {
            ann.call("say", json!([text])).expect("a number");
        }
        ann.until_slot("history", "count", &json!(2));
        drop(ann);
        cluster.stop_and_restart_origin(0);
        cluster.await_links();
        let mut ann = enter(Kind::Npm, &cluster, 1, &room, "Ann");
        ann.until_slot("history", "count", &json!(2));
        let message = ann.slot("history", "message2").expect("the last message");
        assert_eq!(message["text"], "two", "{app}");
        assert_eq!(ann.call("say", json!(["three"])), Ok(json!(3)), "{app}");
    }
}

/// One chat, written twice.
const APPLICATIONS: [&str; 2] = ["chat", "chat-classic"];

fn enter(kind: Kind, cluster: &Cluster, edge: usize, room: &str, name: &str) -> Driven {
    let mut client = Driven::session_with(kind, cluster.rtmp(edge), room, json!([name]));
    client.join("users");
    client.use_object("history", true, 0);
    client.until_joined("history");
    client
}
