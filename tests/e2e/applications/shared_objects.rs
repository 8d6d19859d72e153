//! Shared objects between clients and a script.

use serde_json::json;

use super::old_scripts;
use crate::support::{
    clients::{
        driven::{Driven, Kind},
        replica::everyone,
    },
    cluster::Cluster,
};

#[test]
fn a_script_sees_and_writes_what_clients_share() {
    let cluster = old_scripts();
    let mut members = everyone(&cluster, "calls/script", "shared");
    let boss = 1;
    members[boss]
        .call("watch", json!(["shared", false]))
        .expect("it opens it");
    members[0].set("shared", "from-npm", json!("x"));
    members[2].set("shared", "from-amf3", json!("y"));
    for member in &mut members {
        member.until_slot("shared", "from-npm", &json!("x"));
        member.until_slot("shared", "from-amf3", &json!("y"));
    }
    members[2].send_to("shared", "poke", json!(["amf3", 5]));
    for member in members.iter_mut().filter(|member| member.is_python()) {
        member.until_message("shared", "poke");
    }
    let seen = members[boss].call("synced", json!([])).expect("a list");
    for expected in [
        "shared change from-npm",
        "shared change from-amf3",
        "poke amf3 5",
    ] {
        let seen = seen.as_array().cloned().unwrap_or_default();
        assert!(seen.contains(&json!(expected)), "{expected}: {seen:?}");
    }
    let got = members[boss].call("get", json!(["shared", "from-npm"]));
    assert_eq!(got, Ok(json!("x")));

    // Changes that a script makes in one batch reach each member as one message.
    let before = received(&members[3]);
    let slots = json!({"a": 1, "b": [2], "c": {"d": 3}});
    members[boss]
        .call("put", json!(["shared", slots]))
        .expect("a version");
    for member in &mut members {
        for (slot, value) in slots.as_object().into_iter().flatten() {
            member.until_slot("shared", slot, value);
        }
    }
    assert_eq!(received(&members[3]), before + 1, "one message");
    members[boss]
        .call("shout", json!(["shared", "hear"]))
        .expect("it is sent");
    for member in members.iter_mut().filter(|member| member.is_python()) {
        let heard = member.until_message("shared", "shouted");
        assert_eq!(heard, json!(["hear", 1, {"by": "the server"}]));
    }
    members[boss]
        .call("wipe", json!(["shared"]))
        .expect("it is");
    for member in &mut members {
        member.until_there("shared", "a", false);
    }
}

#[test]
fn changes_wait_while_a_script_holds_the_lock() {
    let cluster = old_scripts();
    let mut one = guest(Kind::Amf0, &cluster, 0, "calls/lock", "one");
    let mut other = guest(Kind::Amf3, &cluster, 1, "calls/lock", "other");
    one.join("shared");
    other.join("shared");
    let depth = one.call("hold", json!(["shared", 500]));
    assert_eq!(depth, Ok(json!(1)));
    other.set("shared", "mine", json!(1));
    other.until_success("shared", "mine");
    let held = other.slot("shared", "held");
    assert_eq!(held, Some(&json!("by the server")), "the lock went first");
    one.until_slot("shared", "mine", &json!(1));
}

#[test]
fn access_is_refused_by_path_and_the_client_stays() {
    let cluster = old_scripts();
    let mut owner = guest(Kind::Amf0, &cluster, 0, "calls/access", "owner");
    owner.join("room/open");
    owner.set("room/open", "x", json!("kept"));
    owner.until_success("room/open", "x");
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut client = guest(kind, &cluster, 1, "calls/access", "guest");
        client
            .call("allow", json!(["/room", "/nothing"]))
            .expect("it is set");
        client.join("room/open");
        client.set("room/open", "x", json!("overwritten"));
        client.until_status("room/open", "SharedObject.NoWriteAccess");
        client.until_slot("room/open", "x", &json!("kept"));
        client.use_object("room/new", false, 0);
        client.until_status("room/new", "SharedObject.ObjectCreationFailed");
        client.use_object("other/open", false, 0);
        client.until_status("other/open", "SharedObject.NoReadAccess");
        client.order(json!({"do": "set", "object": "never-used", "slot": "x", "value": 1}));
        client.until("SharedObject.NoObjectFound", |client| {
            client.has_status("SharedObject.NoObjectFound")
        });
        assert_eq!(client.call("add", json!([1, 1])), Ok(json!(2)));
        let mut other = guest(kind, &cluster, 1, "calls/access", "other");
        other.use_object("room/open", true, 0);
        other.until_status("room/open", "SharedObject.BadPersistence");
    }
    assert_eq!(owner.slot("room/open", "x"), Some(&json!("kept")));
}

#[test]
fn a_persistent_object_survives_its_origin_and_members_resume_by_version() {
    let mut cluster = old_scripts();
    let mut author = guest(Kind::Amf3, &cluster, 0, "calls/kept", "member");
    author.use_object("kept", true, 0);
    author.until_joined("kept");
    for number in 0..5 {
        let slot = format!("s{number}");
        author.set("kept", &slot, json!({"number": number}));
        author.until_success("kept", &slot);
    }
    author.remove("kept", "s0");
    author.until_there("kept", "s0", false);
    drop(author);
    cluster.restart_origin(0);
    cluster.await_links();

    let mut back = guest(Kind::Amf0, &cluster, 1, "calls/kept", "member");
    back.use_object("kept", true, 0);
    back.until_joined("kept");
    let slots = back.replica("kept").map(|replica| &replica.slots);
    let names: Vec<_> = slots.into_iter().flatten().map(|(name, _)| name).collect();
    assert_eq!(names, ["s1", "s2", "s3", "s4"]);
    assert_eq!(back.slot("kept", "s4"), Some(&json!({"number": 4})));
    let version = back
        .replica("kept")
        .map(|replica| replica.version)
        .unwrap_or_default();
    back.set("kept", "s1", json!("changed"));
    back.until_success("kept", "s1");

    // A client with a version of this life of the object gets the later changes.
    let mut returning = guest(Kind::Amf3, &cluster, 0, "calls/kept", "member");
    returning.use_object("kept", true, version);
    returning.until_joined("kept");
    let slots = returning.replica("kept").map(|replica| &replica.slots);
    let names: Vec<_> = slots.into_iter().flatten().map(|(name, _)| name).collect();
    assert_eq!(names, ["s1"], "nothing that it has already");
}

fn guest(kind: Kind, cluster: &Cluster, edge: usize, app: &str, name: &str) -> Driven {
    Driven::session_with(kind, cluster.rtmp(edge), app, json!([name]))
}

fn received(member: &Driven) -> usize {
    let replica = member.replica("shared");
    replica.map_or(0, |replica| replica.received)
}
