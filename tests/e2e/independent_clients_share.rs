//! Shared objects between clients of every kind, across two edges.

use serde_json::json;

use crate::support::{
    clients::{
        driven::{Driven, Kind},
        replica::everyone,
    },
    cluster::Cluster,
};

#[test]
fn every_kind_of_client_shares_one_object_across_edges() {
    let cluster = Cluster::start(1, 2);
    let mut members = everyone(&cluster, "counter/so", "shared");
    for number in 0..members.len() {
        let slot = format!("of{number}");
        let value = json!({"number": number, "text": "语", "list": [1, null, true]});
        members[number].set("shared", &slot, value.clone());
        members[number].until_success("shared", &slot);
        for member in &mut members {
            member.until_slot("shared", &slot, &value);
        }
    }
    // All members write one slot in turn.
    for number in 0..members.len() {
        members[number].set("shared", "turn", json!(number));
        for member in &mut members {
            member.until_slot("shared", "turn", &json!(number));
        }
    }
    members[1].remove("shared", "of0");
    for member in &mut members {
        member.until_there("shared", "of0", false);
    }
    // A late member sees the same.
    let mut late = Driven::session(Kind::Amf3, cluster.rtmp(1), "counter/so");
    late.join("shared");
    let seen = late.replica("shared").map(|replica| &replica.slots);
    let all = members[2].replica("shared").map(|replica| &replica.slots);
    assert_eq!(seen, all);
}

#[test]
fn a_message_reaches_all_members_in_order_with_the_changes_around_it() {
    let cluster = Cluster::start(1, 2);
    let mut members = everyone(&cluster, "counter/send", "shared");
    for number in [1, 2] {
        let sender = &mut members[number];
        sender.set("shared", "before", json!(number));
        sender.send_to("shared", "said", json!(["hello", number, {"deep": [1]}]));
        sender.set("shared", "after", json!(number));
        for member in members.iter_mut().filter(|member| member.is_python()) {
            let said = member.until_message("shared", "said");
            assert_eq!(said, json!(["hello", number, {"deep": [1]}]));
            let before = member.slot("shared", "before");
            assert_eq!(before, Some(&json!(number)), "what came before is there");
        }
        for member in &mut members {
            member.until_slot("shared", "after", &json!(number));
        }
    }
}

#[test]
fn what_only_amf3_has_reaches_amf0_members_in_the_nearest_form() {
    let cluster = Cluster::start(1, 2);
    let mut members = everyone(&cluster, "counter/forms", "shared");
    let bytes = json!({"$": "bytes", "hex": "00ff10"});
    let sender = members
        .iter()
        .position(|member| member.kind() == Kind::Amf3)
        .expect("one of them is");
    members[sender].set("shared", "raw", bytes.clone());
    members[sender].until_success("shared", "raw");
    members[sender].send_to("shared", "raw", json!([bytes]));
    for member in &mut members {
        let whole = member.kind() == Kind::Amf3;
        let expected = if whole {
            bytes.clone()
        } else {
            json!([0, 255, 16])
        };
        member.until_slot("shared", "raw", &expected);
        if member.is_python() {
            assert_eq!(member.until_message("shared", "raw"), json!([expected]));
            let kind = if whole { 16 } else { 19 };
            assert_eq!(
                member.replica("shared").and_then(|replica| replica.kind),
                Some(kind)
            );
        }
    }
}

#[test]
fn clear_empties_the_object_for_all() {
    let cluster = Cluster::start(1, 2);
    let mut members = everyone(&cluster, "counter/clear", "shared");
    members[0].set("shared", "a", json!(1));
    members[1].set("shared", "b", json!(2));
    for member in &mut members {
        member.until_slot("shared", "a", &json!(1));
        member.until_slot("shared", "b", &json!(2));
    }
    // npm rtmp-client is the client that may ask for it.
    members[0].order(json!({"do": "clear", "object": "shared"}));
    for member in &mut members {
        member.until_there("shared", "a", false);
        member.until_there("shared", "b", false);
    }
}

#[test]
fn an_old_change_is_refused_with_the_present_value() {
    let cluster = Cluster::start(1, 2);
    let mut one = Driven::session(Kind::Amf0, cluster.rtmp(0), "counter/stale");
    let mut other = Driven::session(Kind::Amf3, cluster.rtmp(1), "counter/stale");
    one.join("shared");
    other.join("shared");
    one.set("shared", "x", json!("first"));
    other.until_slot("shared", "x", &json!("first"));
    let old = other
        .replica("shared")
        .map(|replica| replica.version)
        .unwrap_or_default();
    one.set("shared", "x", json!("second"));
    one.until_success("shared", "x");
    other.until_slot("shared", "x", &json!("second"));
    other.order(json!({
        "do": "set", "object": "shared", "slot": "x", "value": "late", "version": old,
    }));
    // Both hold the second value after the refusal, too.
    other.set("shared", "y", json!(true));
    other.until_success("shared", "y");
    assert_eq!(other.slot("shared", "x"), Some(&json!("second")));
    one.until_slot("shared", "y", &json!(true));
    assert_eq!(one.slot("shared", "x"), Some(&json!("second")));
}

#[test]
fn what_an_object_does_not_allow_is_refused_by_a_status() {
    let cluster = Cluster::start(1, 1);
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut client = Driven::session(kind, cluster.rtmp(0), "counter/refused");
        client.order(json!({"do": "set", "object": "never-used", "slot": "x", "value": 1}));
        client.until("a status", |client| {
            client.has_status("SharedObject.NoObjectFound")
        });
        client.join("temporary");
        client.set("temporary", "x", json!(1));
        client.until_success("temporary", "x");
        let mut other = Driven::session(kind, cluster.rtmp(0), "counter/refused");
        other.use_object("temporary", true, 0);
        other.until_status("temporary", "SharedObject.BadPersistence");
        // The client stays, and so do its objects.
        client.set("temporary", "y", json!(2));
        client.until_success("temporary", "y");
        assert_eq!(client.call("echo", json!(["there"])), Ok(json!("there")));
    }
}
