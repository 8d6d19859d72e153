//! Applications in the style of public ones whose origin's process is killed: in a cluster, their
//! clients go on.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::copy;
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
    wait,
};

/// One origin in a cluster with an application, and two edges.
fn cluster(from: &str, name: &str) -> Cluster {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(from).join(name);
    Cluster::with_applications_and_tables(1, 2, "[cluster]\nname = \"lab\"\n", |directory| {
        copy(&folder, &directory.join(name), &|text| text);
        let checks = folder.with_file_name("checks.asc");
        if let Ok(checks) = fs::read_to_string(checks) {
            fs::write(directory.join(name).join("checks.asc"), checks).expect("a copy");
        }
    })
}

fn enter(kind: Kind, cluster: &Cluster, edge: usize, room: &str, arguments: Value) -> Driven {
    Driven::session_with(kind, cluster.rtmp(edge), room, arguments)
}

/// The names of the slots that an object has for this client.
fn slots<'a>(client: &'a Driven, object: &str) -> Vec<&'a str> {
    let replica = client.replica(object).expect("an object in use");
    replica.slots.keys().map(String::as_str).collect()
}

#[test]
fn a_chat_takes_nobody_for_a_second_one_of_the_name() {
    for app in ["chat", "chat-classic"] {
        let mut cluster = cluster("examples/applications", app);
        let room = format!("{app}/room");
        let who = [
            (Kind::Amf0, 0, "Ann"),
            (Kind::Amf3, 1, "Bob"),
            (Kind::Npm, 1, "Eve"),
            (Kind::Npm, 0, "Dan"),
        ];
        let [mut ann, mut bob, eve, mut dan] = who.map(|(kind, edge, name)| {
            let mut client = enter(kind, &cluster, edge, &room, json!([name]));
            client.join("users");
            client.join("typing/now");
            client.use_object("history", true, 0);
            client.until_joined("history");
            client
        });
        dan.hears(&["onWhisper"]);
        assert_eq!(ann.call("say", json!(["one"])), Ok(json!(1)), "{app}");
        bob.set("typing/now", "Bob", json!(true));
        ann.until_slot("typing/now", "Bob", &json!(true));

        cluster.origins[0].kill();
        for edge in &cluster.edges {
            wait::logged(edge, "link lost");
        }
        drop(eve);
        cluster.restart_origin(0);
        for client in [&mut ann, &mut bob, &mut dan] {
            client.until("Eve is gone, and all others are there", |client| {
                slots(client, "users") == ["Ann", "Bob", "Dan"]
            });
            client.until_slot("typing/now", "Bob", &json!(true));
        }
        // The script's last change of the persistent object may have been on its way to the disk.
        let number = bob.call("say", json!(["two"])).expect("a number");
        assert!([json!(1), json!(2)].contains(&number), "{app}: {number}");
        ann.until_slot("history", "count", &number);
        let heard = bob.call("whisper", json!(["Dan", "only you"]));
        assert_eq!(heard, Ok(json!(true)), "{app}");
        assert_eq!(dan.called("onWhisper"), json!(["Bob", "only you"]), "{app}");
        // Names are taken and given back as before.
        let mut other = Driven::start(Kind::Npm);
        let refused = other.connect(cluster.rtmp(1), &room, json!(["Ann"]));
        let info = refused.expect_err("the name is not to be had");
        assert_eq!(info["application"]["code"], "taken", "{app}: {info}");
        drop(dan);
        ann.until_there("users", "Dan", false);
        let eve = enter(Kind::Npm, &cluster, 1, &room, json!(["Eve"]));
        bob.until_there("users", "Eve", true);
        drop(eve);
    }
}

#[test]
fn rooms_of_a_classic_script_are_entered_again() {
    let mut cluster = cluster("tests/applications", "rooms");
    let arguments = |name: &str| json!([name, "blue"]);
    let mut ann = enter(Kind::Amf0, &cluster, 0, "rooms/house", arguments("Ann"));
    let mut bob = enter(Kind::Npm, &cluster, 1, "rooms/house", arguments("Bob"));
    for client in [&mut ann, &mut bob] {
        client.join("rooms/blue");
        client.until("both are in", |client| {
            slots(client, "rooms/blue") == ["Ann", "Bob"]
        });
    }
    for _ in 0..2 {
        cluster.origins[0].kill();
        cluster.restart_origin(0);
        for client in [&mut ann, &mut bob] {
            // A call that leaves while the edge has not noticed the loss fails, once.
            let answer = client.call("say", json!(["hello"]));
            let answer = answer.or_else(|_| client.call("say", json!(["hello"])));
            assert!(answer.is_ok(), "{answer:?}");
            assert_eq!(slots(client, "rooms/blue"), ["Ann", "Bob"]);
        }
    }
    ann.call("leave", json!([])).expect("no failure");
    bob.until("Ann has left", |bob| slots(bob, "rooms/blue") == ["Bob"]);
}
